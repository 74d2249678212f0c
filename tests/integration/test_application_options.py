"""A folder's kustomization with an Application's or Flux's options, built by kustomize."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlflow_gitops.manifests import Manifests
from tests.support.kubectl import build, objects, write_tree
from tests.support.memory_tree import MemoryTree
from tests.unit.manifests.helpers import environment, service
from tests.unit.manifests.test_applications import application, flux

DEPLOYMENT = (
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
    "spec: {template: {spec: {containers: [{name: a, image: nginx}]}}}\n"
)
PATCH = '[{"op": "replace", "path": "/spec/predictor/model/storageUri", "value": "s3://x/"}]'
COMMON = f"""\
namePrefix: a-
nameSuffix: -z
components: [../more]
patches: [{{target: {{kind: InferenceService}}, patch: '{PATCH}'}}]
"""
ARGO = """\
namespace: ml
images: ['nginx=h:5000/n:2']
replicas: [{name: web, count: 3}]
commonLabels: {team: risk}
commonAnnotations: {owner: ml}
labelWithoutSelector: true
"""
FLUX = """\
targetNamespace: ml
images: [{name: nginx, newName: 'h:5000/n', newTag: "2"}]
commonMetadata: {labels: {team: risk}, annotations: {owner: ml}}
"""
MORE = (
    "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
    "replicas: [{name: web, count: 3}]\n"
)


@pytest.mark.parametrize(
    ("tool", "kustomization"), [("argo", True), ("flux", True), ("flux", False)]
)
def test_the_options_are_built(tool: str, kustomization: bool, tmp_path: Path) -> None:
    options = COMMON + (ARGO if tool == "argo" else FLUX)
    nested = "kustomize:\n  " + options.replace("\n", "\n  ")
    files = {
        "argo/a.yaml": application(nested) if tool == "argo" else flux(options),
        "env/a.yaml": service(),
        "env/b.yml": DEPLOYMENT,
        "more/kustomization.yaml": MORE,
    }
    if kustomization:
        files["env/kustomization.yaml"] = "resources: [a.yaml, b.yml]\n"
    manifests = Manifests(MemoryTree(files), {"env": environment("env")})
    ((match, changes),) = manifests.with_options("env")
    assert match.application.is_flux == (tool == "flux")
    assert list(changes) == ["env/kustomization.yaml"]
    built = objects(build(write_tree(tmp_path, {**files, **changes}) / "env"))
    found: dict[str, dict[str, Any]] = {each["kind"]: each for each in built}
    served = found["InferenceService"]
    assert served["spec"]["predictor"]["model"]["storageUri"] == "s3://x/"
    assert served["metadata"]["name"] == "a-svc-z"
    assert served["metadata"]["namespace"] == "ml"
    assert served["metadata"]["labels"] == {"model-version": "12", "team": "risk"}
    assert served["metadata"]["annotations"] == {"owner": "ml"}
    spec = found["Deployment"]["spec"]
    assert spec["replicas"] == 3
    assert spec["template"]["spec"]["containers"][0]["image"] == "h:5000/n:2"
