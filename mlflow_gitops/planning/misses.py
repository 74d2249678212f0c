"""Selectors and patterns that match nothing, and what they probably mean. PURE.

Everything is compared as MLflow compares it: aliases, tags and the names of models by letter case,
stages without. (MLflow's page writes aliases in lower case, its client as they are given.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from mlflow_gitops.planning.messages import clean
from mlflow_gitops.state import Environment, Selector, Settings, Snapshot

__all__ = ["misses", "near_miss"]

NAMED = 3


def near_miss(select: Selector, snapshot: Snapshot) -> str:
    """What is almost the selector, in words with the next step; "" where nothing is."""
    if any(select.matches(version) for version in snapshot.versions):
        return ""
    if select.kind == "alias":
        return _near_alias(select, snapshot)
    return _near_tag(select, snapshot) if select.kind == "tag" else ""


def _near_alias(select: Selector, snapshot: Snapshot) -> str:
    number = snapshot.aliases.get(select.name)
    if number is not None:
        return (
            f"the alias `{select.name}` of {clean(snapshot.model)} is on version {clean(number)}, "
            "which does not exist any more: set the alias on another version"
        )
    for alias, number in sorted(snapshot.aliases.items()):
        if _is_near(alias, select.name) and snapshot.version(number):
            return (
                f"the alias `{clean(alias)}` is on version {number} of {clean(snapshot.model)}, "
                f"and letter case counts in aliases: write `select: {{alias: {clean(alias)}}}` in "
                f"the settings, or set the alias `{select.name}` with MLflow's client (its page "
                "writes aliases in lower case)"
            )
    return ""


def _near_tag(select: Selector, snapshot: Snapshot) -> str:
    for version in reversed(snapshot.versions):
        for key, value in version.tags.items():
            if _is_near(key, select.name) and _is_near(value, select.value):
                return (
                    f"version {version.number} of {clean(snapshot.model)} has the tag "
                    f"`{clean(key)}` with the value {clean(repr(value))}, and letter case and "
                    f"spaces count in tags: correct the tag, or `select` in the settings"
                )
    return ""


def _is_near(one: str, two: str) -> bool:
    return one.strip().casefold() == two.strip().casefold()


def misses(
    settings: Settings, environments: Collection[str], snapshots: Iterable[Snapshot]
) -> list[str]:
    """What matches nothing in the whole registry, one line each."""
    found = list(snapshots)
    chosen = [e for e in settings.environments.values() if e.name in environments]
    return [line for each in chosen for line in _of_environment(each, found)]


def _of_environment(environment: Environment, snapshots: Sequence[Snapshot]) -> Iterator[str]:
    names = [snapshot.model for snapshot in snapshots]
    for pattern in environment.models:
        if pattern != "*" and not any(fnmatchcase(name, pattern) for name in names):
            yield _no_model(environment, pattern, names)
    near = [
        text
        for snapshot in snapshots
        if environment.takes(snapshot.model) and (text := near_miss(environment.select, snapshot))
    ]
    for text in near[:NAMED]:
        yield f"{environment.name}: no version is in {environment.select}, but {text}"
    if len(near) > NAMED:
        yield f"{environment.name}: the same is true of {len(near) - NAMED} more models"


def _no_model(environment: Environment, pattern: str, names: Sequence[str]) -> str:
    wanted = pattern.strip().casefold()
    near = [name for name in names if fnmatchcase(name.strip().casefold(), wanted)]
    where = f"`environments.{environment.name}.models`"
    if near:
        shown = ", ".join(f"`{clean(name)}`" for name in near[:NAMED])
        return (
            f"{environment.name}: no registered model matches `{pattern}`, but {shown} would "
            f"without letter case and spaces: correct {where}"
        )
    return (
        f"{environment.name}: no registered model matches `{pattern}`: correct {where}, or "
        "register the model"
    )
