"""A service that no file shows is not made where something else has, or may have, its name."""

from __future__ import annotations

import json

import pytest

from mlflow_gitops.manifests import Manifests
from tests.support.memory_tree import MemoryTree
from tests.unit.manifests.helpers import PREDICTOR, SPEC, environment, manifests, refused, service
from tests.unit.manifests.test_applications import application, flux

API = "apiVersion: serving.kserve.io/v1beta1\n"
CONFIG = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: svc}\n"
LLM = "apiVersion: serving.example.com/v1\nkind: LLMInferenceService\nmetadata: {name: svc}\n"
OLD = "apiVersion: serving.kubeflow.org/v1beta1\nkind: InferenceService\nmetadata: {name: svc}\n"


def release(values: str = "{}", name: str = "other", kind: str = "HelmRelease") -> str:
    return (
        f"apiVersion: helm.toolkit.fluxcd.io/v2\nkind: {kind}\nmetadata: {{name: {name}}}\n"
        f"spec: {{values: {values}}}\n"
    )


@pytest.mark.parametrize("holder", [LLM, OLD], ids=["llm", "group"])
@pytest.mark.parametrize(
    ("file", "form"),
    [
        ("env/a.yaml", "{}"),
        ("env/a.yml", f"{CONFIG}---\n\ufeff{{}}"),
        ("env/sub/a.yaml", "\ufeff{}"),
        ("env/a.yaml", "kind: List\napiVersion: v1\nitems:\n- {indented}"),
    ],
    ids=["file", "second", "mark", "list"],
)
def test_another_kind_or_group_has_the_name(holder: str, file: str, form: str) -> None:
    text = form.replace("{indented}", holder.replace("\n", "\n  ")).replace("{}", holder)
    assert f"{file}: `svc` is the name of a" in refused({file: text, "env/b.yaml": CONFIG})
    assert refused({file: text, "env/kustomization.yaml": f"resources: [{file[4:]}]"})


def test_another_kind_in_json_has_the_name() -> None:
    text = json.dumps({"apiVersion": "serving.example.com/v1", "kind": "LLMInferenceService"})
    text = text.replace("}", ', "metadata": {"name": "svc"}}')
    assert "env/a.json: `svc` is the name of a LLMInferenceService" in refused({"env/a.json": text})


@pytest.mark.parametrize(
    ("name", "may_be_ours"),
    [
        ("$(NAME)", True),
        ("$(USER)-vc", False),
        ("s$(REST)", True),
        ("${name}", True),
        ("${a}v${b}", True),
        ("$(USER)-model", False),
    ],
)
def test_a_name_that_is_filled_in_later(name: str, may_be_ours: bool) -> None:
    files = {
        "env/kustomization.yaml": "resources: [../base]",
        "base/kustomization.yaml": "resources: [a.yaml]",
        "base/a.yaml": service(name=f'"{name}"'),
    }
    if may_be_ours:
        assert f"base/a.yaml: metadata.name is `{name}`" in refused(files)
    else:
        assert manifests(files).set_service("env", "svc", SPEC, PREDICTOR)


@pytest.mark.parametrize(
    ("outer", "inner", "name", "is_ours"),
    [
        ("namePrefix: s", "", "vc", True),
        ("nameSuffix: c", "", "sv", True),
        ("", "namePrefix: s", "vc", True),
        ("namePrefix: s", "nameSuffix: c", "v", True),
        ("namePrefix: s", "namePrefix: v", "c", True),
        ("namePrefix: v", "namePrefix: s", "c", False),
        ("namePrefix: s", "", "other", False),
        ("namePrefix: svc", "", "", False),
    ],
)
def test_a_prefix_or_suffix_makes_the_name(
    outer: str, inner: str, name: str, is_ours: bool
) -> None:
    files = {
        "env/kustomization.yaml": f"resources: [../base]\n{outer}\n",
        "base/kustomization.yaml": f"resources: [a.yaml]\n{inner}\n",
        "base/a.yaml": service(name=name or "x"),
    }
    if is_ours:
        error = refused(files)
        assert f"base/a.yaml: this is `{name}`" in error
        assert f'services: {{"svc": {name}}}' in error
    else:
        assert manifests(files).set_service("env", "svc", SPEC, PREDICTOR)


REPLACEMENT = "{source: {kind: X}, targets: [{select: {kind: Y}, fieldPaths: [%s]}]}"


@pytest.mark.parametrize(
    ("lines", "more", "where"),
    [
        (f"replacements: [{REPLACEMENT % 'metadata.name'}]", {}, "kustomization.yaml"),
        (f"replacements: [{REPLACEMENT % 'spec.name'}]", {}, ""),
        (
            "replacements: [{path: r.yaml}]",
            {"env/r.yaml": f"[{REPLACEMENT % 'metadata.name'}]"},
            "r.yaml",
        ),
        (
            "patches: [{target: {name: a}, path: p.yaml}]",
            {"env/p.yaml": "[{op: replace, path: /metadata/name, value: x}]"},
            "p.yaml",
        ),
        (
            "patches: [{target: {name: b}, patch: '[{op: add, path: /metadata/name, value: x}]'}]",
            {},
            "kustomization.yaml",
        ),
        (
            "patches: [{target: {name: b}, patch: '[{op: add, path: /metadata/namespace}]'}]",
            {},
            "",
        ),
        (
            "transformers: [t.yaml]",
            {"env/t.yaml": "kind: PrefixTransformer\nprefix: s\n"},
            "t.yaml",
        ),
        ("transformers: [t.yaml]", {"env/t.yaml": "kind: PrefixTransformer\nprefix: x-\n"}, ""),
    ],
)
def test_names_that_only_a_build_shows(lines: str, more: dict[str, str], where: str) -> None:
    files = {"env/kustomization.yaml": f"resources: [c.yaml]\n{lines}\n", "env/c.yaml": CONFIG}
    if where:
        assert f"env/{where}: it sets the names of objects" in refused(files | more)
    else:
        assert manifests(files | more).set_service("env", "svc", SPEC, PREDICTOR)


@pytest.mark.parametrize(
    ("text", "has_it"),
    [
        (release(name="svc"), True),
        (release("{fullnameOverride: svc}"), True),
        (release("{model: {uri: 's3://b/svc/v1/'}}"), True),
        (application("helm: {releaseName: svc}", path="x"), True),
        (application("helm: {parameters: [{name: model.name, value: svc}]}", path="x"), True),
        (application("helm: {values: \"a: 1\\nname: 'svc' # x\\n\"}", path="x"), True),
        (application(path="x", name="svc"), True),
        (release("{name: svc-2}"), False),
        (release("{url: 'http://svc.ml'}"), False),
        (release("{note: svc}"), False),
        (release("{name: svc}", kind="HelmRepository"), False),
    ],
)
def test_what_renders_a_service_has_or_gives_the_name(text: str, has_it: bool) -> None:
    files = {"env/a.yaml": text, "env/b.yaml": CONFIG}
    if has_it:
        assert "env/a.yaml: the " in refused(files)
        assert "a rule under `values`" in refused(files)
    else:
        assert manifests(files).set_service("env", "svc", SPEC, PREDICTOR)


@pytest.mark.parametrize(
    ("files", "has_it"),
    [
        ({"env/svc/Chart.yaml": "name: kserve"}, True),
        ({"env/x/Chart.yaml": "", "env/x/values.yaml": "name: svc"}, True),
        ({"env/x/Chart.yaml": "", "env/x/values.yaml": "name: svc-2"}, False),
        ({"other/svc/Chart.yaml": "name: svc"}, False),
    ],
)
def test_a_chart_below_the_folder(files: dict[str, str], has_it: bool) -> None:
    files = {**files, "env/b.yaml": CONFIG}
    if has_it:
        assert "Chart.yaml: this Helm chart may render `svc`" in refused(files)
    else:
        assert manifests(files).set_service("env", "svc", SPEC, PREDICTOR)


@pytest.mark.parametrize(
    ("files", "where"),
    [
        ({"env/SVC.YAML": service()}, "env/SVC.YAML"),
        ({"env/svc.Json": json.dumps({"kind": "InferenceService", "name": "svc"})}, "env/svc.Json"),
        ({"env/SVC.YAML": service(name="other")}, ""),
        ({"env/x.json": '{"kind": "InferenceService", "name": "svc"}', "f.yaml": flux()}, "env/x"),
        ({"env/a/SVC.YAML": service(), "a.yaml": application()}, ""),
    ],
)
def test_a_file_that_is_not_read_because_of_its_ending(files: dict[str, str], where: str) -> None:
    files = {**files, "env/b.yaml": CONFIG}
    if where:
        error = refused(files)
        assert error.startswith(where)
        assert "is not read because of how its name ends" in error
    else:
        assert manifests(files).set_service("env", "svc", SPEC, PREDICTOR)


@pytest.mark.parametrize(
    ("namespace", "text", "is_ours"),
    [
        ("ml", service(), True),
        ("", service(), True),
        ("other", service(), False),
        ("ml", service().replace("  name:", "  namespace: other\n  name:"), False),
        ("ml", service(name="b"), False),
    ],
)
def test_the_same_application_deploys_the_name_from_another_folder(
    namespace: str, text: str, is_ours: bool
) -> None:
    tree = MemoryTree(
        {
            "a.yaml": application("directory: {recurse: true}", path="prod"),
            "prod/champion/a.yaml": text,
            "prod/challenger/b.yaml": CONFIG,
        }
    )
    environments = {
        name: environment(name, f"prod/{name}", namespace) for name in ("champion", "challenger")
    }
    found = Manifests(tree, environments)
    if is_ours:
        (taken,) = found.taken("challenger", "svc")
        assert (taken.file, taken.kind, taken.sure) == (
            "prod/champion/a.yaml",
            "InferenceService",
            True,
        )
    else:
        assert found.set_service("challenger", "svc", SPEC, PREDICTOR)


def test_what_has_the_name_is_known_from_head_to_head() -> None:
    found = manifests({"env/a.yaml": CONFIG})
    assert list(found.taken("env", "svc")) == []
    edited = found.edited({"env/a.yaml": LLM})
    assert [each.file for each in edited.taken("env", "svc")] == ["env/a.yaml"]
    again = edited.edited({"env/a.yaml": release(name="svc")})
    assert [each.kind for each in again.taken("env", "svc")] == ["HelmRelease"]
    assert list(again.edited({"env/a.yaml": CONFIG}).taken("env", "svc")) == []
