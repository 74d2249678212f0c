"""What a change leaves behind in other objects is said, and stops nothing: with real Git."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from mlflow_gitops.ask import Asker
from mlflow_gitops.render import answer_text
from mlflow_gitops.wish import Wish
from tests.e2e.cases.test_runtimes import JOBLIB, promote, world
from tests.support.stack import Stack

pytestmark = pytest.mark.slow

CACHE = """apiVersion: serving.kserve.io/v1alpha1
kind: LocalModelCache
metadata:
  name: fraud-cache
spec:
  sourceModelUri: {uri}
  modelSize: 1Gi
  nodeGroups: [workers]
"""
COPY = """apiVersion: v1
kind: ConfigMap
metadata:
  name: for-the-dashboard
data:
  config.json: '{{"uri": "{uri}"}}'
"""
LABELLED = """apiVersion: v1
kind: Service
metadata:
  name: {model}-metrics
  labels: {{model-version: "0"}}
"""
GRAPH = """apiVersion: serving.kserve.io/v1alpha1
kind: InferenceGraph
metadata:
  name: checks
spec:
  nodes:
    root:
      routerType: Sequence
      steps:
        - serviceName: {model}
"""
SAID = {
    CACHE: "LocalModelCache `fraud-cache` (production/0.yaml:6) does not match the new URI",
    CACHE.replace("ModelCache", "ModelNamespaceCache"): "does not match the new URI",
    COPY: "ConfigMap `for-the-dashboard` (production/2.yaml:6) still has the URI",
    LABELLED: "-metrics` (production/3.yaml:5) still has `model-version: 0` for `",
}
SILENT = (
    CACHE.replace("{uri}", "s3://elsewhere/fraud/v0/"),
    COPY.replace("{uri}", "s3://models/elsewhere/"),
    GRAPH,  # it routes to the service, whichever version that has
)


def test_plan_diff_and_reconcile_say_it(stack: Stack, names: Callable[[str], str]) -> None:
    model = names("fraud")
    uri = f"s3://{stack.bucket}/{model}/v0/"
    others = {
        f"production/{number}.yaml": text.format(uri=uri, model=model)
        for number, text in enumerate((*SAID, *SILENT))
    }
    world(stack, model, others)
    number = stack.registry.register(model, JOBLIB)
    shown = json.loads(
        stack.cli("diff", model, "-e", "production", "--version", number, "--json").stdout
    )
    new, planned = promote(stack, model, JOBLIB)
    assert new == "v2/"  # nothing is held back
    for notes in (shown["evidence"]["notes"], planned["notes"]):
        assert len(notes) == len(SAID)
        assert all(said in note for said, note in zip(SAID.values(), notes, strict=True))
    assert all(said in planned["said"] for said in SAID.values())
    assert {path: f"{stack.file(path)}\n" for path in others} == others


def test_a_graph_is_told_of_a_service_that_is_retired(
    stack: Stack, names: Callable[[str], str]
) -> None:
    model = names("fraud")
    world(stack, model, {"production/graph.yaml": GRAPH.format(model=model)})
    promote(stack, model, JOBLIB)
    note = f"InferenceGraph `checks` (production/graph.yaml:10) refers to `{model}`"
    wish = Wish(f"production/{model}")
    dry = Asker(stack.session().reconciler).retire(wish, dry_run=True)
    assert note in "".join(dry.notes)
    done = Asker(stack.session().reconciler).retire(wish)
    assert note in answer_text(done)
    assert model not in stack.git("ls-tree", "-r", "--name-only", "main", "production/service.yaml")
    assert stack.file("production/graph.yaml")
