"""A service that is made at its first promotion follows the repository's version of KServe."""

from __future__ import annotations

import pytest

from mlflow_gitops.manifests import InitOptions, Manifests, scaffold_repository
from mlflow_gitops.state import Environment, Predictor, Selector, ServiceSpec
from tests.support.memory_session import Parts
from tests.support.memory_tree import MemoryTree

OPTIONS = InitOptions(bucket="models", repository_url="https://git.example.com/ml.git")
MODE = "serving.kserve.io/deploymentMode: {}\n"
ALONE = Environment("live", Selector("stage", "Production"), "live", "ml")
TREES = {
    "an overlay": (dict(scaffold_repository(OPTIONS)), OPTIONS.environments[1]),
    "a plain folder": ({"live/other.yaml": "kind: ConfigMap\n"}, ALONE),
    "an application for each folder": ({"live/x/kustomization.yaml": "resources: []\n"}, ALONE),
}


@pytest.mark.parametrize(
    ("kserve", "mode"), [("", "Standard"), ("0.15", "RawDeployment"), ("v0.20.1", "Standard")]
)
@pytest.mark.parametrize("name", TREES)
def test_every_form_of_a_new_service_has_the_mode(name: str, kserve: str, mode: str) -> None:
    files, environment = TREES[name]
    manifests = Manifests(MemoryTree(files), {environment.name: environment}, kserve=kserve)
    spec = ServiceSpec("s3://models/fraud/v1/", "1")
    changes = manifests.set_service(environment.name, "fraud", spec, Predictor("mlflow", "v2"))
    assert [MODE.format(mode) in (text or "") for text in changes.values()].count(True) == 1


def test_a_promotion_reads_the_setting() -> None:
    parts = Parts()
    text = parts.repository.files()["mlflow-gitops.yaml"]
    parts.repository.person_commits({"mlflow-gitops.yaml": f'{text}\nkserve: "0.15"\n'})
    parts.register("fraud")
    parts.registry.transition("fraud", "1", "Production")
    parts.session().reconciler.reconcile("fraud")
    base = parts.repository.files()["models/base/fraud/inference-service.yaml"]
    assert MODE.format("RawDeployment") in base
