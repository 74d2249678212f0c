"""Manifests repositories made by chance: kustomize up to three layers deep, or a plain folder.

Each is small and odd in a few ways: prefixes, transformers, components, replacements, lists, JSON,
second documents, legacy frameworks, patches of every kind that set the URI or something else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from posixpath import relpath
from random import Random
from typing import Any

import yaml

__all__ = ["OLD", "SERVICE", "ChanceWorld", "make_world"]

SERVICE = "svc"
OLD = "s3://models/svc/v1/"
OTHER = "s3://models/other/v7/"
API = "serving.kserve.io/v1beta1"


@dataclass
class ChanceWorld:
    """`is_plain` says that `production` is a folder without a kustomization."""

    files: dict[str, str] = field(default_factory=dict)
    is_plain: bool = False


def make_world(seed: int) -> ChanceWorld:
    rng = Random(seed)
    made = ChanceWorld(is_plain=rng.random() < 0.3)
    if made.is_plain:
        _plain(rng, made.files)
    else:
        _layers(rng, made.files)
    return made


def _service(
    rng: Random, name: str = SERVICE, *, uri: str | None = OLD, label: str | None = "1"
) -> dict[str, Any]:
    framework = rng.choice(["model", "model", "model", "sklearn"])
    model: dict[str, Any] = {"modelFormat": {"name": "mlflow"}} if framework == "model" else {}
    model["protocolVersion"] = "v2"
    if uri is not None:
        model["storageUri"] = uri
    metadata: dict[str, Any] = {"name": name}
    if label is not None or rng.random() < 0.5:
        metadata["labels"] = {"team": "risk", **({"model-version": label} if label else {})}
    return {
        "apiVersion": API,
        "kind": "InferenceService",
        "metadata": metadata,
        "spec": {"predictor": {"minReplicas": 1, framework: model}},
    }


def _config(name: str = "params", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": data or {"a": "b"},
    }


def _dump(*objects: dict[str, Any]) -> str:
    return "---\n".join(yaml.safe_dump(each, sort_keys=False) for each in objects)


def _manifest(rng: Random, service: dict[str, Any]) -> tuple[str, str]:
    """An ending and a text that hold the service in one of the forms that people write."""
    forms = ("yaml", "yaml", "yaml", "json", "list", "second", "yml")
    form = rng.choice(forms)
    if form == "json":
        return ".json", json.dumps(service, indent=rng.choice([None, 2]))
    if form == "list":
        found = {"apiVersion": "v1", "kind": "List", "items": [_config("in-list"), service]}
        return ".yaml", _dump(found)
    if form == "second":
        return ".yaml", _dump(_config("first"), service)
    return f".{form}", _dump(service)


def _plain(rng: Random, files: dict[str, str]) -> None:
    ending, text = _manifest(rng, _chosen(rng))
    if rng.random() < 0.2:
        ending = ending.upper()
    if rng.random() < 0.1:
        text = f"\ufeff{text}"
    folder = rng.choice(["production", "production", "production/below"])
    if rng.random() < 0.9:
        files[f"{folder}/isvc{ending}"] = text
    if rng.random() < 0.3:
        files["production/other.yaml"] = _dump(_service(rng, "other", uri=OTHER, label="7"))
    if rng.random() < 0.1:
        files["production/again.json"] = json.dumps(_service(rng))
    if rng.random() < 0.1:
        files["production/llm.yaml"] = _dump(
            {
                "apiVersion": "serving.kserve.io/v1alpha1",
                "kind": "LLMInferenceService",
                "metadata": {"name": SERVICE},
                "spec": {"model": {"uri": OLD, "name": SERVICE}},
            }
        )
    files["production/config.yaml"] = _dump(_config())


def _chosen(rng: Random) -> dict[str, Any]:
    uri = rng.choices([OLD, None, "${model_uri}", "s3://pinned/else/"], [8, 2, 1, 1])[0]
    return _service(rng, uri=uri, label=rng.choice(["1", "1", None]))


def _layers(rng: Random, files: dict[str, str]) -> None:
    depth = rng.randint(1, 3)
    folders = ["production", *rng.choice([["mid", "base"], ["production/mid", "production/base"]])]
    folders = folders[:depth]
    name = SERVICE
    for level in reversed(range(depth)):
        folder, kustomization = folders[level], {}
        if level == depth - 1:
            _innermost(rng, folder, kustomization, files)
        else:
            below = folders[level + 1]
            kustomization["resources"] = [relpath(below, folder)]
        if rng.random() < 0.15:
            kustomization[rng.choice(["namePrefix", "nameSuffix"])] = rng.choice(["a-", "-b", "x"])
        for _ in range(rng.choice([0, 0, 1, 1, 2])):
            rng.choice(ODDITIES)(rng, folder, kustomization, files, name)
        files[f"{folder}/kustomization.yaml"] = yaml.safe_dump(kustomization, sort_keys=False)
        name = kustomization.get("namePrefix", "") + name + kustomization.get("nameSuffix", "")


def _innermost(
    rng: Random, folder: str, kustomization: dict[str, Any], files: dict[str, str]
) -> None:
    listed = ["config.yaml"]
    files[f"{folder}/config.yaml"] = _dump(_config(uri="s3://models/from/config/"))
    if rng.random() < 0.93:
        ending, text = _manifest(rng, _chosen(rng))
        files[f"{folder}/isvc{ending}"] = text
        listed.append(f"isvc{ending}")
    if rng.random() < 0.3:
        files[f"{folder}/other.yaml"] = _dump(_service(rng, "other", uri=OTHER, label="7"))
        listed.append("other.yaml")
    kustomization["resources"] = listed


def _change(rng: Random) -> dict[str, Any]:
    """What a patch sets."""
    uri = {"model": {"storageUri": rng.choice([OLD, "s3://patched/value/"])}}
    label = {"metadata": {"labels": {"model-version": rng.choice(["1", "0"])}}}
    replicas = {"spec": {"predictor": {"minReplicas": 2}}}
    return rng.choice(
        [
            {"spec": {"predictor": uri}},
            {"spec": {"predictor": uri}, **label},
            label,
            replicas,
        ]
    )


def _patch(rng: Random, name: str) -> dict[str, Any]:
    change = _change(rng)
    metadata = {"name": name, **change.pop("metadata", {})}
    return {"apiVersion": API, "kind": "InferenceService", "metadata": metadata, **change}


def _named(rng: Random, name: str) -> str:
    return name if rng.random() < 0.9 else SERVICE


def smp_file(
    rng: Random, folder: str, kustomization: dict[str, Any], files: dict[str, str], name: str
) -> None:
    file = f"patch-{rng.randint(0, 99)}.{rng.choice(['yaml', 'json'])}"
    patch = _patch(rng, _named(rng, name))
    files[f"{folder}/{file}"] = json.dumps(patch) if file.endswith("json") else _dump(patch)
    if rng.random() < 0.2:
        kustomization.setdefault("patchesStrategicMerge", []).append(file)
        return
    entry: dict[str, Any] = {"path": file}
    if rng.random() < 0.3:
        entry["target"] = {"kind": "InferenceService", "name": rng.choice([name, "s.*", "nobody"])}
    kustomization.setdefault("patches", []).append(entry)


def inline(
    rng: Random, folder: str, kustomization: dict[str, Any], files: dict[str, str], name: str
) -> None:
    operation = {
        "op": rng.choice(["add", "replace"]),
        "path": rng.choice(
            [
                "/spec/predictor/model/storageUri",
                "/metadata/labels/model-version",
                "/spec/predictor/minReplicas",
            ]
        ),
        "value": "s3://patched/inline/",
    }
    if operation["path"].endswith("minReplicas"):
        operation["value"] = 2
    patch = rng.choice([yaml.safe_dump([operation]), json.dumps([operation])])
    target = {"kind": "InferenceService", "name": rng.choice([name, name, ".*"])}
    kustomization.setdefault("patches", []).append({"patch": patch, "target": target})


def transformer(
    rng: Random, folder: str, kustomization: dict[str, Any], files: dict[str, str], name: str
) -> None:
    value = rng.choice(["s3://transformed/v0/", OLD])
    operations = [{"op": "replace", "path": "/spec/predictor/model/storageUri", "value": value}]
    if rng.random() < 0.4:
        operations = [{"op": "add", "path": "/spec/predictor/minReplicas", "value": 3}]
    made = {
        "apiVersion": "builtin",
        "kind": "PatchTransformer",
        "metadata": {"name": "set"},
        "target": {"kind": "InferenceService"},
        "patch": json.dumps(operations),
    }
    if rng.random() < 0.3:
        made = {
            "apiVersion": "builtin",
            "kind": "NamespaceTransformer",
            "metadata": {"name": "set", "namespace": "ml"},
            "fieldSpecs": [{"path": "metadata/namespace", "create": True}],
        }
    files[f"{folder}/transformer.yaml"] = _dump(made)
    kustomization["transformers"] = ["transformer.yaml"]


def component(
    rng: Random, folder: str, kustomization: dict[str, Any], files: dict[str, str], name: str
) -> None:
    files["component/kustomization.yaml"] = yaml.safe_dump(
        {
            "apiVersion": "kustomize.config.k8s.io/v1alpha1",
            "kind": "Component",
            "patches": [{"path": "patch.yaml"}],
        }
    )
    files["component/patch.yaml"] = _dump(_patch(rng, _named(rng, name)))
    up = "/".join([".."] * (folder.count("/") + 1))
    kustomization["components"] = [f"{up}/component"]


def replacement(
    rng: Random, folder: str, kustomization: dict[str, Any], files: dict[str, str], name: str
) -> None:
    field_path = rng.choice(["spec.predictor.model.storageUri", "metadata.annotations.from"])
    kustomization["replacements"] = [
        {
            "source": {"kind": "ConfigMap", "name": "params", "fieldPath": "data.uri"},
            "targets": [
                {
                    "select": {"kind": "InferenceService", "name": name},
                    "fieldPaths": [field_path],
                    "options": {"create": True},
                }
            ],
        }
    ]


def labels(
    rng: Random, folder: str, kustomization: dict[str, Any], files: dict[str, str], name: str
) -> None:
    key = rng.choice(["team", "app", "model-version"])
    kustomization["labels"] = [{"pairs": {key: "x"}}]


def namespace(
    rng: Random, folder: str, kustomization: dict[str, Any], files: dict[str, str], name: str
) -> None:
    kustomization["namespace"] = "ml"


def generator(
    rng: Random, folder: str, kustomization: dict[str, Any], files: dict[str, str], name: str
) -> None:
    kustomization["configMapGenerator"] = [{"name": "made", "literals": ["model-version=1"]}]


ODDITIES = (
    smp_file,
    smp_file,
    smp_file,
    inline,
    transformer,
    component,
    replacement,
    labels,
    namespace,
    generator,
)
