"""A base and its patches as one: a service's managed values, and whether they may be set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.fields import CONTAINER_URI, FRAMEWORKS, LLM, Fields, label_field
from mlflow_gitops.manifests.replaceable import version_in
from mlflow_gitops.state import EMPTY, LABEL, Predictor, ServiceSpec

__all__ = [
    "check_supported",
    "merge",
    "patched_container",
    "predictor_of",
    "serves_nothing",
    "spec_of",
    "uri_field",
    "written_uri",
]


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
    return [key for key in (*FRAMEWORKS, LLM) if key in fields]


def key_of(fields: Mapping[str, str]) -> str:
    """The field that says what is served and how: `model`, a legacy framework's, or `llm`."""
    return next(iter(frameworks(fields)), "model")


def uri_field(fields: Mapping[str, str]) -> str:
    """The field that says which files are served."""
    key = key_of(fields)
    if f"{key}.storage" in fields:
        return f"{key}.storage.path"
    is_container = fields.get("containers") == "STORAGE_URI" and key not in fields
    return CONTAINER_URI if is_container else f"{key}.storageUri"


def check_supported(
    fields: Mapping[str, str], service: str, where: str, buckets: Mapping[str, str] = EMPTY
) -> None:
    """Raises ManifestError for the forms whose URI this tool cannot change safely.

    `buckets` maps the key of a storage's connection to its bucket.
    """
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
    if "storageUris" in fields:
        raise ManifestError(
            f"`{service}` says what it serves in spec.predictor.storageUris, which is not "
            "supported yet",
            where=where,
            hint=f"write it as spec.predictor.{key_of(fields)}.storageUri",
        )
    if not keys and "containers" in fields:
        _check_container(fields["containers"], service, where)
    if f"{key_of(fields)}.storage" in fields:
        _check_storage(fields, service, where, buckets)


def _check_container(form: str, service: str, where: str) -> None:
    """A custom container's model is in its image, unless STORAGE_URI names it."""
    problems = {
        "set": (
            f"`{service}` is a custom container without a model's URI: its model is in the image, "
            "and there is nothing to promote",
            "take the model out of the environment's `models` in the settings; or give the "
            "container the variable STORAGE_URI, and load the model from /mnt/models",
        ),
        "valueFrom": (
            f"the custom container of `{service}` takes STORAGE_URI from elsewhere (`valueFrom`)",
            "write the URI as the variable's `value`",
        ),
        "twice": (
            f"the custom containers of `{service}` have the variable STORAGE_URI more than once",
            "keep one: KServe downloads one model",
        ),
        "patched": (
            f"a JSON 6902 patch changes the custom container of `{service}`, which is not "
            "supported yet",
            "write the container's variables where the container is",
        ),
    }
    if form in problems:
        what, hint = problems[form]
        raise ManifestError(what, where=where, hint=hint)


def patched_container(service: str, where: str) -> ManifestError:
    """The error for a custom container whose STORAGE_URI only a patch could set."""
    return ManifestError(
        f"the STORAGE_URI of `{service}` is in a file that is not only its own, and a patch would "
        "replace the whole list of containers",
        where=where,
        hint="give each environment its own InferenceService",
    )


def _check_storage(
    fields: Mapping[str, str], service: str, where: str, buckets: Mapping[str, str]
) -> None:
    """`storage` names a connection, and only the settings can say which bucket is behind it."""
    key = key_of(fields)
    place, connection = f"spec.predictor.{key}.storage", fields.get(f"{key}.storage.key", "")
    instead = f"write spec.predictor.{key}.storageUri instead of `storage`"
    if f"{key}.storageUri" in fields:
        what = f"`{service}` has both {place} and storageUri, and KServe takes one of them only"
        hint = "remove one of the two"
    elif f"{key}.storage.parameters" in fields:
        what = f"`{service}` has {place}.parameters, which may name another bucket"
        hint = f"remove them; or {instead}"
    elif not connection:
        what = f"`{service}` has {place} without a `key`: which bucket it reads is not known"
        hint = f"name the connection in `key`, and its bucket under `storage-keys`; or {instead}"
    elif connection not in buckets:
        what = (
            f"`{service}` reads its files through the connection `{connection}` ({place}), and no "
            "file says which bucket that is"
        )
        hint = f"name it in the settings, `storage-keys: {{{connection}: <bucket>}}`; or {instead}"
    else:
        return
    raise ManifestError(what, where=where, hint=hint)


def _bucket_root(fields: Mapping[str, str], buckets: Mapping[str, str]) -> str:
    """What comes before the path in a URI; "" where the URI itself is written."""
    key = key_of(fields)
    if f"{key}.storage" not in fields:
        return ""
    return f"s3://{buckets.get(fields.get(f'{key}.storage.key', ''), '')}/"


def serves_nothing(fields: Mapping[str, str]) -> bool:
    """Return whether no model is named, in any way: KServe then runs a multi-model server."""
    keys = frameworks(fields)
    return bool(keys) and not (
        fields.get(uri_field(fields)) or any(f"{key}.own" in fields for key in keys)
    )


def spec_of(
    fields: Mapping[str, str], buckets: Mapping[str, str] = EMPTY, label: str = LABEL
) -> ServiceSpec:
    """The managed part. Without the label the version is that of the usual one, which older
    commits have; where the settings name none, it is the one in the URI.
    """
    split = {name: fields[name] for name in ("canary", "canaryTrafficPercent") if name in fields}
    rollout = ",".join(f'"{name}":{_literal(value)}' for name, value in sorted(split.items()))
    written = fields.get(uri_field(fields), "")
    uri = f"{_bucket_root(fields, buckets)}{written}" if written else ""
    labelled = fields.get(label_field(label), fields.get(label_field(LABEL), ""))
    return ServiceSpec(
        uri=uri,
        version=labelled if label else version_in(uri),
        rollout=f"{{{rollout}}}" if rollout else "",
    )


def written_uri(
    spec: ServiceSpec, fields: Mapping[str, str], buckets: Mapping[str, str], where: str
) -> str:
    """The spec's URI as the service has to write it: whole, or as a path in its bucket."""
    root = _bucket_root(fields, buckets)
    if not spec.uri.startswith(root):
        key = fields.get(f"{key_of(fields)}.storage.key", "")
        raise ManifestError(
            f"the connection `{key}` leads to the bucket `{buckets.get(key, '')}`, and the version "
            f"is published to {spec.uri}",
            where=where,
            hint="point the connection at that bucket and correct `storage-keys`; or write "
            "`storageUri` instead of `storage`",
        )
    return spec.uri.removeprefix(root)


def _literal(value: str) -> str:
    return value if value.isdigit() or value[:1] in "[{" else json.dumps(value)


def predictor_of(fields: Mapping[str, str]) -> Predictor:
    key = key_of(fields)
    if key == LLM:  # vLLM, with the files that the Hugging Face server takes too
        return Predictor("huggingface", "v2", key=LLM)
    return Predictor(
        model_format=fields.get(f"{key}.modelFormat", "") if key == "model" else key,
        protocol=fields.get(f"{key}.protocolVersion", ""),
        runtime=fields.get(f"{key}.runtime", ""),
        key=key,
        format_version=fields.get(f"{key}.modelFormat.version", "") if key == "model" else "",
    )
