"""The pull request says what nobody can tell of the runtime, and what the change leaves behind."""

from __future__ import annotations

from tests.support.memory_repository import MemoryRepository
from tests.support.memory_session import FILES, Parts

SETTINGS = """artifacts: {bucket: models}
environments:
  production:
    select: {stage: Production}
    path: production
    delivery: pull-request
"""
SERVICE = """apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: fraud
  labels:
    model-version: "1"
spec:
  predictor:
    model:
      modelFormat:
        name: my-format
      storageUri: s3://models/fraud/v1/
"""
RUNTIME = """apiVersion: serving.kserve.io/v1alpha1
kind: ServingRuntime
metadata: {name: ours}
spec:
  supportedModelFormats: [{name: my-format, autoSelect: true}]
---
apiVersion: serving.kserve.io/v1alpha1
kind: LocalModelCache
metadata: {name: "cache-`@rita`"}
spec: {sourceModelUri: s3://models/fraud/v1/}
"""


def test_the_pull_request_says_both() -> None:
    files = {"production/a.yaml": SERVICE, "production/b.yaml": RUNTIME}
    repository = MemoryRepository({"main": {"mlflow-gitops.yaml": SETTINGS, **files}})
    parts = Parts(repository=repository)
    parts.register("fraud", files=FILES)
    parts.registry.transition("fraud", parts.register("fraud", files=FILES), "Production")
    (outcome,) = parts.session().reconciler.reconcile("fraud")
    assert outcome.error is None
    (pull,) = parts.forge.pulls.values()
    assert "Gates: none failed, runtime not known." in pull.body
    assert "| runtime | not known | ``the runtime `ours` will run (production/b.yaml)" in pull.body
    assert (
        "### What this leaves behind in Git\n\n- ```LocalModelCache `cache-`@ rita``" in pull.body
    )
    assert "(production/b.yaml:10) does not match the new URI" in pull.body
    statuses = {each.name: (each.verdict, each.text) for each in parts.forge.statuses[pull.head]}
    verdict, text = statuses["mlflow-gitops/runtime"]
    assert verdict == "success"
    assert text.startswith("not known: the runtime")
    assert statuses["mlflow-gitops/artifact"][1].startswith("the files are whole, sha256:")
