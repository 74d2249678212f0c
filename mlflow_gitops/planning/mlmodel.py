"""Reads MLflow's `MLmodel`, which anybody who may log a model can write as they like. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from mlflow_gitops.errors import PublishError

__all__ = ["Flavors", "parse_flavors"]

Flavors = Mapping[str, Mapping[str, object]]

DEEPEST = 100  # levels; libyaml's composer ends the whole process somewhere below 100,000
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
STARTS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


def parse_flavors(text: str) -> Flavors:
    """The flavors by name, each with what it says of itself. Raises PublishError."""
    try:
        _check_depth(text)
        values = yaml.load(text, Loader=LOADER)  # noqa: S506 - it is a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _unreadable(f"is no YAML ({type(error).__name__})") from None
    flavors = values.get("flavors") if isinstance(values, dict) else None
    if not isinstance(flavors, dict) or not flavors:
        raise _unreadable("names no flavors")
    if not all(isinstance(key, str) and isinstance(each, dict) for key, each in flavors.items()):
        raise _unreadable("has flavors that are no mappings")
    return flavors


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        depth += isinstance(event, STARTS) - isinstance(event, ENDS)
        if depth > DEEPEST:
            raise ValueError


def _unreadable(what: str) -> PublishError:
    return PublishError(
        f"the version's MLmodel {what}",
        where="MLmodel",
        hint="log the model again with MLflow, and register that as a new version",
    )
