"""kustomize's `transformers` run after every patch: what may set our values is refused by name."""

from __future__ import annotations

import pytest

from tests.unit.manifests.helpers import PREDICTOR, SPEC, manifests, refused, service

OP = '[{"op": "replace", "path": "/spec/predictor/model/storageUri", "value": "s3://old/"}]'
SCALE = '[{"op": "replace", "path": "/spec/predictor/minReplicas", "value": 2}]'
MERGE = "kind: InferenceService\n  metadata: {name: svc, labels: {model-version: '1'}}"


def transformer(kind: str, rest: str) -> str:
    return f"apiVersion: builtin\nkind: {kind}\nmetadata: {{name: t}}\n{rest}\n"


def files(text: str, reference: str = "t.yaml") -> dict[str, str]:
    return {
        "env/kustomization.yaml": f"resources: [svc.yaml]\ntransformers: [{reference}]\n",
        "env/svc.yaml": service(),
        "env/t.yaml": text,
        "env/folder/t.yaml": text,
        "env/folder/kustomization.yaml": "resources: [t.yaml]",
        "env/p.yaml": MERGE.replace("\n  ", "\n"),
    }


@pytest.mark.parametrize(
    "text",
    [
        transformer("PatchTransformer", f"target: {{kind: InferenceService}}\npatch: '{OP}'"),
        transformer("PatchTransformer", f"patch: |-\n  {MERGE}"),
        transformer("PatchTransformer", "path: p.yaml"),
        transformer("PatchTransformer", "path: gone.yaml"),
        transformer("PatchStrategicMergeTransformer", "paths: [p.yaml]"),
        transformer("PatchStrategicMergeTransformer", f"patches: |-\n  {MERGE}"),
        transformer("PatchJson6902Transformer", f"target: {{name: svc}}\njsonOp: '{OP}'"),
        transformer("LabelTransformer", "labels: {model-version: '1'}"),
        transformer("SedTransformer", "args: [s/old/new/]"),
        transformer("NamespaceTransformer", "x: 1") + "---\n" + transformer("Own", "x: 1"),
    ],
)
def test_a_transformer_that_may_set_our_values_is_refused_by_name(text: str) -> None:
    assert "env/t.yaml: a transformer of env/kustomization.yaml" in refused(files(text))
    assert "env/folder/t.yaml: a transformer of" in refused(files(text, "folder"))


@pytest.mark.parametrize(
    "text",
    [
        transformer("NamespaceTransformer", "namespace: ml"),
        transformer("PrefixTransformer", "prefix: a-"),
        transformer("AnnotationsTransformer", "annotations: {a: b}"),
        transformer("LabelTransformer", "labels: {team: risk}"),
        transformer("PatchTransformer", f"target: {{kind: Deployment}}\npatch: '{OP}'"),
        transformer("PatchTransformer", f"target: {{name: other}}\npatch: '{OP}'"),
        transformer("PatchTransformer", f"target: {{kind: InferenceService}}\npatch: '{SCALE}'"),
    ],
)
def test_other_transformers_stop_nothing(text: str) -> None:
    found = manifests(files(text)).set_service("env", "svc", SPEC, PREDICTOR)
    assert list(found) == ["env/svc.yaml"]


def test_an_inline_transformer_and_one_elsewhere() -> None:
    text = transformer("PatchTransformer", f"target: {{kind: InferenceService}}\npatch: '{OP}'")
    inline = "|-\n  " + text.replace("\n", "\n  ")
    written = files("") | {
        "env/kustomization.yaml": f"resources: [svc.yaml]\ntransformers:\n- {inline}\n"
    }
    assert "env/kustomization.yaml: a transformer of" in refused(written)
    remote = files("", "'https://example.com/t.yaml'")
    assert "is not in this repository" in refused(remote)
