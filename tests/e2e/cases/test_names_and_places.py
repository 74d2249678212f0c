"""How services are called and where their manifests are, through the real command on real Git."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from tests.support.stack import Stack

pytestmark = pytest.mark.slow

Names = Callable[[str], str]

PAIR = """
environments:
  champion: {select: {alias: champion}, path: prod/champion, namespace: ml}
  challenger: {select: {alias: challenger}, path: prod/challenger, namespace: ml%s}
"""
ONE = """
environments:
  production:
    select: {stage: Production}
    path: %s
"""


def service(name: str, bucket: str, model: str, label: str = 'model-version: "1"') -> str:
    return f"""apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {name}
  labels:
    {label}
spec:
  predictor:
    model:
      modelFormat:
        name: mlflow
      protocolVersion: v2
      storageUri: s3://{bucket}/{model}/v1/
"""


def repository(stack: Stack, settings: str, files: Mapping[str, str]) -> str:
    """Replace the whole repository. Returns its head."""
    paths = stack.git("ls-tree", "-r", "--name-only", "main").splitlines()
    gone: dict[str, str | None] = dict.fromkeys(paths)
    text = f"artifacts: {{bucket: {stack.bucket}}}{settings}"
    return stack.person_writes({**gone, "mlflow-gitops.yaml": text, **files})


def register(stack: Stack, model: str) -> None:
    stack.registry.register(model)
    stack.registry.register(model)


def changed(stack: Stack, head: str) -> list[str]:
    return stack.git("diff", "--name-only", head, "main").splitlines()


def manifest(stack: Stack, path: str) -> str:
    return stack.file(path) + "\n"


@pytest.fixture
def model(stack: Stack, names: Names) -> str:
    made = names("fraud")
    register(stack, made)
    return made


class TestChampionAndChallenger:
    @pytest.fixture
    def files(self, stack: Stack, model: str) -> dict[str, str]:
        stack.registry.set_alias(model, "champion", "1")
        stack.registry.set_alias(model, "challenger", "2")
        return {
            "prod/champion/fraud.yaml": service(model, stack.bucket, model),
            "prod/challenger/fraud.yaml": service(f"{model}-challenger", stack.bucket, model),
        }

    @pytest.mark.parametrize("how", ["template", "services"])
    def test_share_a_namespace_under_names_of_their_own(
        self, stack: Stack, model: str, files: dict[str, str], how: str
    ) -> None:
        own = {
            "template": ', service-name: "{service}-challenger"',
            "services": f", services: {{{model}: {model}-challenger}}",
        }
        head = repository(stack, PAIR % own[how], files)
        checked = stack.cli("config", "check", MLFLOW_TRACKING_URI="")
        assert (checked.returncode, checked.stderr) == (0, "")
        done = stack.cli("reconcile", model)
        assert done.returncode == 0, done.stdout + done.stderr
        assert changed(stack, head) == ["prod/challenger/fraud.yaml"]
        expected = files["prod/challenger/fraud.yaml"].replace('"1"', '"2"')
        assert manifest(stack, "prod/challenger/fraud.yaml") == expected.replace("/v1/", "/v2/")
        message = stack.git("log", "-1", "--format=%B", "main")
        assert f"Gitops-Service: challenger/{model}-challenger" in message
        keys = {key.partition("/")[0] for key in stack.objects()}
        assert keys == {model}, "one folder in the bucket for both"
        rows = json.loads(stack.cli("status", "--json").stdout)["services"]
        told = {row["environment"]: (row["model"], row["service"], row["state"]) for row in rows}
        assert told["challenger"] == (model, f"{model}-challenger", "committed")
        for name in (model, f"{model}-challenger"):
            why = stack.cli("why", name, "-e", "challenger", "--no-registry")
            assert why.returncode == 0, why.stderr
            assert f"challenger/{model}\n  version       2\n" in why.stdout
        history = stack.cli("history", model, "-e", "challenger", "--json")
        assert json.loads(history.stdout)["changes"][0]["after"]["version"] == "2"

        back = stack.cli("rollback", model, "-e", "challenger", "--to", "1")
        assert back.returncode == 0, back.stdout + back.stderr
        assert manifest(stack, "prod/challenger/fraud.yaml") == files["prod/challenger/fraud.yaml"]

    def test_with_one_name_in_one_namespace_are_refused_before_anything_is_published(
        self, stack: Stack, model: str, files: dict[str, str]
    ) -> None:
        head = repository(stack, PAIR % "", files)
        checked = stack.cli("config", "check")
        assert checked.returncode == 1
        assert "`champion` and `challenger` both write" in checked.stdout
        assert "environments.challenger.services" in checked.stdout
        done = stack.cli("reconcile", model)
        assert done.returncode == 1
        assert "`challenger` and `champion` both write" in done.stdout
        assert f"the InferenceService `{model}` in the namespace `ml`" in done.stdout
        assert "environments.champion.services" in done.stdout
        assert stack.head() == head
        assert not any("/v2/" in key for key in stack.objects())

    def test_of_two_clusters_may_have_one_name(
        self, stack: Stack, model: str, files: dict[str, str]
    ) -> None:
        files["prod/challenger/fraud.yaml"] = service(model, stack.bucket, model)
        head = repository(stack, PAIR % ", cluster: eu", files)
        assert stack.cli("config", "check", MLFLOW_TRACKING_URI="").returncode == 0
        assert stack.cli("reconcile", model).returncode == 0
        assert changed(stack, head) == ["prod/challenger/fraud.yaml"]

    def test_another_model_cannot_take_the_name(
        self, stack: Stack, model: str, files: dict[str, str], names: Names
    ) -> None:
        other = names("other")
        register(stack, other)
        stack.registry.set_alias(other, "challenger", "1")
        own = f', models: ["{other}"], services: {{{other}: {model}}}'
        head = repository(stack, PAIR % own, files)
        done = stack.cli("reconcile", other)
        assert done.returncode == 1
        assert f"both write the InferenceService `{model}`" in done.stdout
        assert stack.head() == head

    @pytest.mark.parametrize("what", ["argo", "kustomization"])
    def test_that_are_deployed_together_are_refused_without_a_namespace_too(
        self, stack: Stack, model: str, files: dict[str, str], what: str
    ) -> None:
        files.pop("prod/challenger/fraud.yaml")
        files["prod/challenger/other.yaml"] = "kind: ConfigMap\n"
        if what == "argo":
            files["argocd/app.yaml"] = (
                "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: models}\n"
                "spec: {source: {path: prod, directory: {recurse: true}}}\n"
            )
        else:
            files["prod/kustomization.yaml"] = "resources: [champion, challenger]\n"
            files["prod/champion/kustomization.yaml"] = "resources: [fraud.yaml]\n"
            files["prod/challenger/kustomization.yaml"] = "resources: []\n"
        head = repository(stack, (PAIR % "").replace(", namespace: ml", ""), files)
        done = stack.cli("reconcile", model)
        assert done.returncode == 1
        assert "`challenger` and `champion` both write" in done.stdout
        assert "service-name" in done.stdout
        assert stack.head() == head
        assert not any("/v2/" in key for key in stack.objects())


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "folder", "more"),
        [
            (".", "", {"kustomization.yaml": "resources:\n- fraud.yaml\n"}),
            ('"./"', "", {".github/fraud.yaml": "FRAUD", ".argocd.yaml": "kind: [\n"}),
            ("./production", "production/", {}),
        ],
    )
    def test_lead_to_a_folder_in_any_spelling(
        self, stack: Stack, model: str, path: str, folder: str, more: dict[str, str]
    ) -> None:
        text = service(model, stack.bucket, model)
        files = {name: text if value == "FRAUD" else value for name, value in more.items()}
        head = repository(stack, ONE % path, {f"{folder}fraud.yaml": text, **files})
        checked = stack.cli("config", "check", MLFLOW_TRACKING_URI="")
        assert (checked.returncode, checked.stderr) == (0, "")
        stack.registry.transition(model, "2", "Production")
        done = stack.cli("reconcile", model)
        assert done.returncode == 0, done.stdout + done.stderr
        assert changed(stack, head) == [f"{folder}fraud.yaml"]

    def test_of_the_root_takes_a_new_service(self, stack: Stack, model: str) -> None:
        head = repository(stack, ONE % ".", {})
        stack.registry.transition(model, "2", "Production")
        done = stack.cli("reconcile", model)
        assert done.returncode == 0, done.stdout + done.stderr
        assert changed(stack, head) == [f"{model}.yaml"]
        assert stack.cli("status").stderr == ""


class TestFilesThatAreNoManifests:
    @pytest.mark.parametrize(
        ("setting", "copy"),
        [
            ("    exclude: [archive]\n", "production/archive/fraud.yaml"),
            ('    exclude: ["0?-assert.yaml"]\n', "production/tests/00-assert.yaml"),
            ("    recurse: false\n", "production/archive/fraud.yaml"),
        ],
    )
    def test_are_neither_read_nor_edited(
        self, stack: Stack, model: str, setting: str, copy: str
    ) -> None:
        text = service(model, stack.bucket, model)
        files = {"production/fraud.yaml": text, copy: text}
        head = repository(stack, ONE % "production", files)
        stack.registry.transition(model, "2", "Production")
        twice = stack.cli("reconcile", model)
        assert twice.returncode == 1
        assert "`exclude`" in twice.stdout
        assert "`recurse: false`" in twice.stdout
        assert stack.head() == head
        head = repository(stack, ONE % "production" + setting, files)
        done = stack.cli("reconcile", model)
        assert done.returncode == 0, done.stdout + done.stderr
        assert changed(stack, head) == ["production/fraud.yaml"]


class TestLabels:
    def test_of_the_team_s_own_carry_the_version(self, stack: Stack, model: str) -> None:
        text = service(model, stack.bucket, model, 'example.com/model-version: "v1"')
        head = repository(
            stack,
            "\nlabel: example.com/model-version" + ONE % "production",
            {"production/a.yaml": text},
        )
        stack.registry.transition(model, "2", "Production")
        done = stack.cli("reconcile", model)
        assert done.returncode == 0, done.stdout + done.stderr
        expected = text.replace('"v1"', '"2"').replace("/v1/", "/v2/")
        assert manifest(stack, "production/a.yaml") == expected
        assert changed(stack, head) == ["production/a.yaml"]
        assert "  version       2\n" in stack.cli("why", model, "--no-registry").stdout

    def test_are_added_to_a_json_6902_patch_with_its_escapes(
        self, stack: Stack, model: str
    ) -> None:
        patch = f"- op: replace\n  path: /spec/predictor/model/storageUri\n  value: s3://{stack.bucket}/{model}/v1/\n"
        files = {
            "base/kustomization.yaml": "resources: [a.yaml]\n",
            "base/a.yaml": service(model, stack.bucket, model, "team: risk"),
            "production/kustomization.yaml": "resources: [../base]\npatches:\n- path: p.yaml\n"
            f"  target: {{kind: InferenceService, name: {model}}}\n",
            "production/p.yaml": patch,
        }
        repository(stack, ONE % "production" + "    label: example.com/model-version\n", files)
        stack.registry.transition(model, "2", "Production")
        done = stack.cli("reconcile", model)
        assert done.returncode == 0, done.stdout + done.stderr
        added = '- op: add\n  path: /metadata/labels/example.com~1model-version\n  value: "2"\n'
        assert manifest(stack, "production/p.yaml") == patch.replace("/v1/", "/v2/") + added

    def test_can_be_left_out(self, stack: Stack, model: str) -> None:
        text = service(model, stack.bucket, model, "team: risk")
        repository(stack, "\nlabel: none" + ONE % "production", {"production/a.yaml": text})
        stack.registry.transition(model, "2", "Production")
        assert stack.cli("reconcile", model).returncode == 0
        assert manifest(stack, "production/a.yaml") == text.replace("/v1/", "/v2/")
        again = stack.cli("plan", model)
        assert "0 of 1 services would change." in again.stdout
        assert "  version       2\n" in stack.cli("why", model, "--no-registry").stdout
        assert stack.cli("rollback", model, "-e", "production", "--to", "1").returncode == 1
        assert stack.person_reverts()
        assert "held" in stack.cli("plan", model).stdout

    def test_of_older_commits_are_read_after_the_setting_changed(
        self, stack: Stack, model: str
    ) -> None:
        text = service(model, stack.bucket, model)
        repository(stack, ONE % "production", {"production/a.yaml": text})
        stack.registry.transition(model, "2", "Production")
        assert stack.cli("reconcile", model).returncode == 0
        stack.edit_settings("environments:", "label: example.com/version\nenvironments:")
        assert "0 of 1 services would change." in stack.cli("plan", model).stdout
        history = json.loads(stack.cli("history", model, "--json").stdout)["changes"]
        assert [row["after"]["version"] for row in history] == ["2", "1"]
        stack.registry.register(model)
        stack.registry.transition(model, "3", "Production")
        assert stack.cli("reconcile", model).returncode == 0
        assert '    example.com/version: "3"\n' in stack.file("production/a.yaml")


class TestNamesThatKubernetesDoesNotTake:
    SERVICES = "\nservices: {%s: %s}"

    def test_too_long_for_kserve_are_refused(self, stack: Stack, model: str) -> None:
        name = "fraud-detector-for-instalment-loans-in-the-northern-region"
        settings = self.SERVICES % (model, name) + ONE % "production"
        head = repository(stack, settings, {"production/kustomization.yaml": "resources: []\n"})
        stack.registry.transition(model, "2", "Production")
        checked = stack.cli("config", "check")
        assert checked.returncode == 1
        assert f"`{name}` has 58 characters" in checked.stdout
        for command in ("plan", "reconcile"):
            done = stack.cli(command, model)
            assert done.returncode == 1
            assert "a name of at most 53" in done.stdout
        assert stack.head() == head
        assert stack.objects() == {}

    def test_too_long_and_there_already_are_changed_with_a_note(
        self, stack: Stack, model: str
    ) -> None:
        name = "x" * 54
        settings = self.SERVICES % (model, name) + ONE % "production"
        text = service(name, stack.bucket, model)
        head = repository(stack, settings, {"production/a.yaml": text})
        stack.registry.transition(model, "2", "Production")
        done = stack.cli("reconcile", model)
        assert done.returncode == 0, done.stdout + done.stderr
        assert changed(stack, head) == ["production/a.yaml"]
        assert "has 54 characters" in done.stdout

    def test_too_long_with_the_namespace_are_warned_of(self, stack: Stack, model: str) -> None:
        name = "x" * 53
        settings = self.SERVICES % (model, name) + ONE % "production" + "    namespace: ml-prod\n"
        repository(stack, settings, {})
        checked = stack.cli("config", "check", MLFLOW_TRACKING_URI="")
        assert checked.returncode == 0
        assert f"Warning: `{name}-predictor-ml-prod` has 71 characters" in checked.stderr

    @pytest.mark.parametrize(
        ("given", "slug"),
        [
            ("Fraud Detector {}", "fraud-detector-{}"),
            ("Betrugsprüfung {}", "betrugsprufung-{}"),
        ],
    )
    def test_are_refused_with_the_line_to_add_which_helps(
        self, stack: Stack, names: Names, given: str, slug: str
    ) -> None:
        suffix = names("")[1:]
        model, free = given.format(suffix), slug.format(suffix)
        register(stack, model)
        stack.registry.transition(model, "2", "Production")
        files = {"production/kustomization.yaml": "resources: []\n"}
        head = repository(stack, ONE % "production", files)
        done = stack.cli("reconcile", model)
        assert done.returncode == 1
        line = f'services: {{"{model}": {free}}}'
        assert f"`{line}`" in done.stdout
        assert "service-names: slug" in done.stdout
        assert stack.head() == head
        repository(stack, f"\n{line}{ONE % 'production'}", files)
        done = stack.cli("reconcile", model)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"production/{free}/model-version.yaml" in changed(stack, head)

    def test_are_derived_where_the_settings_say_so(self, stack: Stack, names: Names) -> None:
        suffix = names("")[1:]
        model, twin = f"Fraud Detector {suffix}", f"fraud_detector {suffix}"
        register(stack, model)
        stack.registry.transition(model, "2", "Production")
        files = {"production/kustomization.yaml": "resources: []\n"}
        head = repository(stack, "\nservice-names: slug" + ONE % "production", files)
        done = stack.cli("reconcile", model)
        assert done.returncode == 0, done.stdout + done.stderr
        free = f"fraud-detector-{suffix}"
        assert f"production/{free}/model-version.yaml" in changed(stack, head)
        assert f"s3://{stack.bucket}/{free}/v2/" in stack.file(
            f"production/{free}/model-version.yaml"
        )
        (row,) = json.loads(stack.cli("status", "--json").stdout)["services"]
        assert (row["model"], row["service"], row["state"]) == (model, free, "committed")
        assert "  version       2\n" in stack.cli("why", model, "--no-registry").stdout

        register(stack, twin)
        stack.registry.transition(twin, "1", "Production")
        clash = stack.cli("reconcile", twin)
        assert clash.returncode == 1
        assert f"`{free}` of the model `{twin}` is that of the model `{model}` too" in clash.stdout
        assert "v1/" not in stack.file(f"production/{free}/model-version.yaml")

    def test_of_a_mapped_model_are_not_another_s(
        self, stack: Stack, model: str, names: Names
    ) -> None:
        other = names("other")
        register(stack, other)
        stack.registry.transition(model, "2", "Production")
        settings = self.SERVICES % (other, model) + ONE % "production"
        head = repository(stack, settings, {"production/kustomization.yaml": "resources: []\n"})
        done = stack.cli("reconcile", model)
        assert done.returncode == 1
        assert f"of the model `{model}` is that of the model `{other}` too" in done.stdout
        assert stack.head() == head


class TestSelectorsThatMiss:
    ALIAS = ONE.replace("stage: Production", "alias: Champion") % "production"

    def told(self, stack: Stack, model: str) -> list[str]:
        """What each command says; none of them fails."""
        commands = (["plan", model], ["plan"], ["status"], ["config", "check"])
        done = [stack.cli(*command) for command in commands]
        assert [each.returncode for each in done[:1]] == [0]
        return [each.stdout + each.stderr for each in done]

    def test_an_alias_in_another_case_is_named_everywhere(self, stack: Stack, model: str) -> None:
        stack.registry.set_alias(model, "champion", "2")
        only = f'    models: ["{model}"]\n'
        files = {"production/a.yaml": service(model, stack.bucket, model)}
        head = repository(stack, self.ALIAS + only, files)
        for text in self.told(stack, model):
            assert f"the alias `champion` is on version 2 of {model}" in text
            assert "select: {alias: champion}" in text
        assert stack.cli("config", "check").returncode == 0
        assert stack.head() == head
        without = stack.cli("config", "check", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
        assert without.returncode == 0
        assert "the registry" in without.stderr

    def test_a_tag_in_another_case_is_named(self, stack: Stack, model: str) -> None:
        stack.registry.set_tag(model, "2", "serve", "Yes ")
        tagged = ONE.replace("stage: Production", 'tag: {serve: "yes"}') % "production"
        repository(stack, tagged + f'    models: ["{model}"]\n', {})
        for text in self.told(stack, model):
            assert f"version 2 of {model} has the tag `serve` with the value 'Yes '" in text

    def test_a_pattern_that_no_model_matches_is_named(self, stack: Stack, model: str) -> None:
        pattern = model.capitalize()
        repository(stack, ONE % "production" + f'    models: ["{pattern}", "nothing-*"]\n', {})
        for command in (["plan"], ["status"], ["config", "check"]):
            text = stack.cli(*command).stderr
            assert f"no registered model matches `{pattern}`, but `{model}` would" in text
            assert "no registered model matches `nothing-*`: correct" in text
        found = json.loads(stack.cli("plan", "--json").stdout)
        assert len(found["warnings"]) == 2
