"""What we write, rendered by kubectl's kustomize and checked against the real CRDs, strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mlflow_gitops.manifests import InitOptions, Manifests, scaffold_repository
from mlflow_gitops.state import Environment, Predictor, ServiceSpec
from tests.support.crd import APPLICATION, INFERENCE_SERVICE, errors_of
from tests.support.kubectl import build, objects, write_tree
from tests.support.memory_tree import MemoryTree

OPTIONS = InitOptions(
    bucket="prod-ml-models", repository_url="https://git.example.com/ml/manifests.git"
)
ENVIRONMENTS = {each.name: each for each in OPTIONS.environments}
PREDICTOR = Predictor("mlflow", "v2")
CASES = Path(__file__).resolve().parents[1] / "unit" / "manifests" / "cases"


def spec(version: str, service: str = "fraud-detector") -> ServiceSpec:
    return ServiceSpec(f"s3://prod-ml-models/{service}/v{version}/", version)


class Repository:
    """A repository on disk, made by `init`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = MemoryTree({})
        self.commit(dict(scaffold_repository(OPTIONS)))

    def commit(self, changes: dict[str, str | None]) -> None:
        self.tree = self.tree.with_changes(changes)
        for path, text in changes.items():
            if text is None:
                (self.folder / path).unlink()
        write_tree(self.folder, {p: text for p, text in changes.items() if text is not None})

    def promote(self, environment: str, version: str, service: str = "fraud-detector") -> list[str]:
        manifests = Manifests(self.tree, ENVIRONMENTS)
        changes = manifests.set_service(environment, service, spec(version, service), PREDICTOR)
        self.commit(changes)
        return sorted(changes)

    def render(self, environment: str) -> str:
        return build(self.folder / ENVIRONMENTS[environment].path)

    def services(self, environment: str) -> list[dict[str, Any]]:
        rendered = objects(self.render(environment))
        return [each for each in rendered if each["kind"] == "InferenceService"]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_a_new_repository_renders_in_both_environments(repository: Repository) -> None:
    for name, environment in ENVIRONMENTS.items():
        (account,) = objects(repository.render(name))
        assert account["kind"] == "ServiceAccount"
        assert account["metadata"]["namespace"] == environment.namespace


def test_promotions_render_valid_and_leave_the_other_environment_alone(
    repository: Repository,
) -> None:
    for environment, version in (
        ("staging", "1"),
        ("production", "1"),
        ("staging", "2"),
        ("production", "2"),
    ):
        other = "production" if environment == "staging" else "staging"
        before = repository.render(other)
        repository.promote(environment, version)
        assert repository.render(other) == before
        (service,) = repository.services(environment)
        assert errors_of(service, INFERENCE_SERVICE) == []
        assert service["metadata"]["namespace"] == ENVIRONMENTS[environment].namespace
        assert service["metadata"]["labels"]["model-version"] == version
        assert service["spec"]["predictor"]["model"]["storageUri"] == spec(version).uri
        account = service["spec"]["predictor"]["serviceAccountName"]
        found = objects(repository.render(environment))
        assert account in [o["metadata"]["name"] for o in found if o["kind"] == "ServiceAccount"]


def test_a_second_promotion_changes_one_file_and_a_retired_service_is_gone(
    repository: Repository,
) -> None:
    repository.promote("staging", "1")
    repository.promote("production", "1")
    leaf = "models/overlays/staging/fraud-detector/model-version.yaml"
    assert repository.promote("staging", "3") == [leaf]

    before = repository.render("production")
    manifests = Manifests(repository.tree, ENVIRONMENTS)
    repository.commit(manifests.remove_service("staging", "fraud-detector"))
    assert repository.services("staging") == []
    assert repository.render("production") == before
    repository.promote("staging", "4")
    assert [s["metadata"]["labels"]["model-version"] for s in repository.services("staging")] == [
        "4"
    ]


def test_the_gpu_example_is_valid_once_it_is_promoted(repository: Repository) -> None:
    changed = repository.promote("staging", "7", "image-classifier")
    assert not any(path.startswith("models/base/") for path in changed)
    (service,) = repository.services("staging")
    assert errors_of(service, INFERENCE_SERVICE) == []
    assert service["spec"]["predictor"]["nodeSelector"]
    assert service["spec"]["predictor"]["model"]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_an_unknown_field_is_an_error_to_the_strict_schema(repository: Repository) -> None:
    repository.promote("staging", "7", "image-classifier")
    (service,) = repository.services("staging")
    service["spec"]["predictor"]["model"]["nodeSelector"] = {"a": "b"}
    assert any("nodeSelector" in error for error in errors_of(service, INFERENCE_SERVICE))
    service["spec"]["predictor"]["model"].pop("nodeSelector")
    service["metadata"]["labels"]["model-version"] = 7
    assert any("model-version" in error for error in errors_of(service, INFERENCE_SERVICE))


def test_the_applications_are_valid(repository: Repository) -> None:
    for name, environment in ENVIRONMENTS.items():
        application = yaml.safe_load(repository.tree.read(f"argocd/{name}.yaml"))
        assert errors_of(application, APPLICATION) == []
        assert application["spec"]["source"]["path"] == environment.path
        assert application["spec"]["destination"]["namespace"] == environment.namespace


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda path: path.name)
def test_every_golden_case_renders_what_we_say_is_committed(case: Path) -> None:
    """kustomize is the judge of what we read, before and after the edit."""
    settings = yaml.safe_load((case / "case.yaml").read_text())
    for state in ("before", "after"):
        folder = case / state
        files = {
            path.relative_to(folder).as_posix(): path.read_text()
            for path in folder.rglob("*")
            if path.is_file()
        }
        environments = {
            name: Environment(name, ENVIRONMENTS["staging"].select, path)
            for name, path in settings["environments"].items()
        }
        manifests = Manifests(MemoryTree(files), environments)
        for name, path in settings["environments"].items():
            if (folder / path / "kustomization.yaml").exists():
                rendered = objects(build(folder / path))
                assert manifests.services(name) == {
                    each["metadata"]["name"]: _as_rendered(each)
                    for each in rendered
                    if each["kind"] == "InferenceService"
                }


def _as_rendered(service: dict[str, Any]) -> ServiceSpec:
    predictor = service["spec"]["predictor"]
    model = predictor.get("model") or predictor.get("sklearn") or {}
    label = service["metadata"].get("labels", {}).get("model-version", "")
    return ServiceSpec(model.get("storageUri", ""), label)


LAYOUTS: dict[str, dict[str, str]] = {
    "a component's patch comes before the overlay's own": {
        "env/kustomization.yaml": "resources: [../base]\ncomponents: [../comp]\n"
        "patches: [{path: p.yaml}]\n",
        "comp/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
        "patches: [{path: p.yaml}]\n",
        "comp/p.yaml": "MODEL s3://component/",
        "env/p.yaml": "LABEL 9",
    },
    "patchesStrategicMerge before patches": {
        "env/kustomization.yaml": "resources: [../base]\npatchesStrategicMerge: [a.yaml]\n"
        "patches: [{path: b.yaml}]\n",
        "env/a.yaml": "MODEL s3://a/",
        "env/b.yaml": "MODEL s3://b/",
    },
    "the outer patch wins": {
        "env/kustomization.yaml": "resources: [inner]\npatches: [{path: p.yaml}]\n",
        "env/inner/kustomization.yaml": "resources: [../../base]\npatches: [{path: p.yaml}]\n",
        "env/inner/p.yaml": "MODEL s3://inner/",
        "env/p.yaml": "MODEL s3://outer/",
    },
    "a patch with a target": {
        "env/kustomization.yaml": "resources: [../base]\npatches:\n- path: p.yaml\n  target:\n"
        "    kind: InferenceService\n    name: s.*\n",
        "env/p.yaml": "MODEL s3://target/",
    },
    "a patch that deletes a field": {
        "env/kustomization.yaml": "resources: [../base]\npatches: [{path: p.yaml}]\n",
        "env/p.yaml": "MODEL null",
    },
    "operations, and no labels around the missing one": {
        "env/kustomization.yaml": "resources: [../base]\npatches:\n- path: p.yaml\n"
        "  target: {kind: InferenceService, name: svc, namespace: default}\n",
        "env/p.yaml": "OPERATION s3://operation/",
    },
    "patchesJson6902 after all others": {
        "env/kustomization.yaml": "namespace: ml\nresources: [../base]\npatchesJson6902:\n"
        "- path: a.yaml\n  target: {kind: InferenceService, name: svc, namespace: ml}\n"
        "patches: [{path: b.yaml}]\n",
        "env/a.yaml": "OPERATION s3://a/",
        "env/b.yaml": "MODEL s3://b/",
    },
    "patchesJson6902 of several services": {
        "env/kustomization.yaml": "resources: [inner]\n",
        "env/inner/kustomization.yaml": "resources: [../../base]\npatchesJson6902:\n"
        "- path: p.yaml\n  target: {kind: InferenceService, name: s.*}\n",
        "env/inner/p.yaml": "OPERATION s3://operation/",
    },
    "a base in a file below": {
        "env/kustomization.yaml": "resources: [sub/x.yaml]\n",
        "env/sub/x.yaml": "MODEL s3://below/",
    },
}
BASE = {
    "base/kustomization.yaml": "resources: [isvc.yaml]\n",
    "base/isvc.yaml": "MODEL s3://base/",
}
HEAD = "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n  name: svc\n"


def _expanded(text: str) -> str:
    if text.startswith("OPERATION "):
        return f"- op: replace\n  path: /spec/predictor/model/storageUri\n  value: {text[10:]}\n"
    if text.startswith("MODEL "):
        return f"{HEAD}spec:\n  predictor:\n    model:\n      storageUri: {text[6:]}\n"
    return (
        f'{HEAD}  labels:\n    model-version: "{text[6:]}"\n' if text.startswith("LABEL") else text
    )


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_read_as_kustomize_renders_them_and_edited(name: str, tmp_path: Path) -> None:
    files = {path: _expanded(text) for path, text in (BASE | LAYOUTS[name]).items()}
    environments = {"env": Environment("env", ENVIRONMENTS["staging"].select, "env")}
    tree = MemoryTree(files)
    for step in ("as it is", "edited"):
        folder = write_tree(tmp_path / step, {path: tree.read(path) for path in tree.paths()})
        (rendered,) = objects(build(folder / "env"))
        committed = Manifests(tree, environments).committed("env", "svc")
        assert committed == _as_rendered(rendered)
        if step == "as it is":
            wanted = spec("5", "svc")
            tree = tree.with_changes(
                Manifests(tree, environments).set_service("env", "svc", wanted, PREDICTOR)
            )
            assert tree.read("base/isvc.yaml") == files["base/isvc.yaml"]
    assert committed == spec("5", "svc")
