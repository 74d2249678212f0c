"""What an ApplicationSet makes for one folder: its generators and the placeholders of its template.

Git directory and list generators are followed, with simple placeholders (`{{path}}`,
`{{.path.basename}}`, `{{env}}`). All else is a `NotKnown` with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mlflow_gitops.manifests.applications import (
    TEMPLATE_PATCH,
    Application,
    ApplicationSet,
    NotKnown,
    application_of,
    folder_of,
)
from mlflow_gitops.manifests.globs import matches
from mlflow_gitops.manifests.plain import list_at, mapping_at, text_at

__all__ = ["applications_at", "may_match_below"]

_PLACEHOLDER = re.compile(r"\{\{-?\s*\.?([A-Za-z_][\w.-]*(?:\[\d+\])?)\s*-?\}\}")
_INDEX = re.compile(r"\{\{-?\s*index\s+\.(path\.segments)\s+(\d+)\s*-?\}\}")


def applications_at(made_by: ApplicationSet, folder: str) -> Iterator[Application | NotKnown]:
    """Yield the Applications that deploy the folder, and what may deploy it."""
    for index, generator in enumerate(made_by.generators):
        place = f"spec.generators[{index}]"
        try:
            rows = list(_parameters(generator, folder, place))
        except _NotFollowedError as error:
            yield NotKnown(made_by.file, made_by.name, str(error))
            continue
        for row in rows:
            document = _filled(made_by.template, row)
            unclear = TEMPLATE_PATCH if made_by.patched else ""
            found = application_of(document, made_by.file, unclear or _placeholder_in(document))
            if any(source.path == folder for source in found.sources):
                yield found
            elif any(source.path and "{{" in source.path for source in found.sources):
                why = f"the template's path is not understood: {found.sources[0].path}"
                yield NotKnown(made_by.file, made_by.name, why)


def may_match_below(made_by: ApplicationSet, folder: str) -> bool:
    """Whether its directory generators may match a folder below this one."""
    start = [part for part in folder.split("/") if part]
    for generator in made_by.generators:
        for each in _directories(generator):
            parts = folder_of(text_at(each, "path")).split("/")
            above = parts[: len(start)]
            if len(parts) > len(start) and all(
                _path_matches(pattern, part) for pattern, part in zip(above, start, strict=True)
            ):
                return True
    return False


class _NotFollowedError(Exception):
    """A generator that is not followed."""


def _directories(generator: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [mapping_at(each) for each in list_at(generator, "git", "directories")]


def _parameters(
    generator: Mapping[str, Any], folder: str, place: str
) -> Iterator[Mapping[str, str]]:
    """Yield the parameters of each Application that may be of this folder."""
    elements = mapping_at(generator, "list").get("elements")
    directories = _directories(generator)
    if isinstance(elements, list):
        yield from (_flat(mapping_at(element)) for element in elements)
    elif directories:
        matching = [d for d in directories if _path_matches(text_at(d, "path"), folder)]
        if matching and not any(text_at(d, "exclude") == "true" for d in matching):
            prefix = text_at(generator, "git", "pathParamPrefix")
            values = _flat({"values": mapping_at(generator, "git", "values")})
            yield {**values, **_of_path(folder, f"{prefix}." if prefix else "")}
    else:
        kind = next((key for key in generator if key != "selector"), "an empty generator")
        raise _NotFollowedError(f"{place}: `{kind}` is not followed")


def _of_path(folder: str, prefix: str) -> dict[str, str]:
    base = folder.rpartition("/")[2]
    normal = re.sub(r"[^a-z0-9.-]", "-", base.lower().replace("_", "-"))
    found = {
        "path": folder,
        "path.path": folder,
        "path.basename": base,
        "path.basenameNormalized": normal,
    }
    for index, part in enumerate(folder.split("/")):
        found |= {f"path[{index}]": part, f"path.segments[{index}]": part}
    return {f"{prefix}{key}": value for key, value in found.items()}


def _flat(value: Mapping[str, Any], above: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key in value:
        inner = value[key]
        if isinstance(inner, dict):
            found |= _flat(inner, f"{above}{key}.")
        elif not isinstance(inner, list):
            found[f"{above}{key}"] = text_at(value, key)
    return found


def _filled(value: Any, row: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(each, row) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, row) for each in value]
    if not isinstance(value, str) or "{{" not in value:
        return value
    value = _INDEX.sub(lambda found: row.get(f"{found[1]}[{found[2]}]", found[0]), value)
    return _PLACEHOLDER.sub(lambda found: row.get(found[1], found[0]), value)


def _placeholder_in(value: Any) -> str:
    """Return the first text in which a placeholder is left."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = next((text for each in inner if (text := _placeholder_in(each))), "")
    return value if isinstance(value, str) and "{{" in value else found


def _path_matches(pattern: str, folder: str) -> bool:
    """Whether Go's path.Match takes it: a `*` is within one part of the path."""
    wanted = pattern.replace("{", r"\{").replace("[^", "[!").split("/")
    parts = folder.split("/")
    return len(wanted) == len(parts) and all(map(matches, wanted, parts))
