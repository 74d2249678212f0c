"""A base and its patches as one: a service's managed values, and whether they may be set."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.fields import FRAMEWORKS, Fields, label_field
from mlflow_gitops.state import LABEL, Predictor, ServiceSpec, layout_in

__all__ = ["check_supported", "frameworks", "merge", "predictor_of", "spec_of", "version_in"]

_VERSION = re.compile(r"/v([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)/?")


def merge(parts: Iterable[Fields]) -> dict[str, str]:
    """A base and its patches in order: later values win, None deletes."""
    merged: dict[str, str] = {}
    for part in parts:
        for key, value in part.items():
            if value is not None:
                merged[key] = value
                continue
            for gone in [each for each in merged if each == key or each.startswith(f"{key}.")]:
                del merged[gone]
    return merged


def frameworks(fields: Mapping[str, str]) -> list[str]:
    return [key for key in FRAMEWORKS if key in fields]


def check_supported(fields: Mapping[str, str], service: str, where: str) -> None:
    """Raises ManifestError for the forms whose URI this tool cannot change safely."""
    keys = frameworks(fields)
    if len(keys) > 1:
        raise ManifestError(
            f"`{service}` has {' and '.join(f'spec.predictor.{key}' for key in keys)}: KServe "
            f"serves one of them and ignores the other without a word",
            where=where,
            hint="keep one, and write patches to the same key as the base",
        )
    if any(key == "$patch" or key.endswith(".$patch") for key in fields):
        raise ManifestError(
            f"a `$patch` directive changes how `{service}` is merged, which is not supported yet",
            where=where,
            hint="write the values without the directive",
        )
    key = keys[0] if keys else "model"
    custom = fields.get("containers")
    unsupported = {
        "spec.predictor.storageUris": "storageUris" in fields,
        f"spec.predictor.{key}.storage": f"{key}.storage" in fields,
        "a custom container's STORAGE_URI": custom == "STORAGE_URI",
        "a custom container": custom is not None and not keys,
    }
    for what, used in unsupported.items():
        if used:
            raise ManifestError(
                f"`{service}` says what it serves in {what}, which is not supported yet",
                where=where,
                hint=f"write it as spec.predictor.{key}.storageUri",
            )


def version_in(uri: str) -> str:
    """The version that the last folder of a published URI names; "" for any other URI."""
    named = _VERSION.fullmatch(uri[uri.rstrip("/").rfind("/") :])
    name = named[1] if named else ""
    layout = layout_in(name)
    return name.removesuffix(f"-{layout}") if layout else name


def spec_of(fields: Mapping[str, str], label: str = LABEL) -> ServiceSpec:
    """The managed part. Without the label the version is that of the usual one, which older
    commits have; where the settings name none, it is the one in the URI.
    """
    key = next(iter(frameworks(fields)), "model")
    split = {name: fields[name] for name in ("canary", "canaryTrafficPercent") if name in fields}
    uri = fields.get(f"{key}.storageUri", "")
    labelled = fields.get(label_field(label), fields.get(label_field(LABEL), ""))
    version = labelled if label else version_in(uri)
    rollout = ",".join(f'"{name}":{_literal(value)}' for name, value in sorted(split.items()))
    return ServiceSpec(
        uri=uri,
        version=version,
        rollout=f"{{{rollout}}}" if rollout else "",
    )


def _literal(value: str) -> str:
    return value if value.isdigit() or value[:1] in "[{" else json.dumps(value)


def predictor_of(fields: Mapping[str, str]) -> Predictor:
    key = next(iter(frameworks(fields)), "model")
    return Predictor(
        model_format=fields.get(f"{key}.modelFormat", "") if key == "model" else key,
        protocol=fields.get(f"{key}.protocolVersion", ""),
        runtime=fields.get(f"{key}.runtime", ""),
        key=key,
    )
