"""MLflow's entities to our values, and the join of its two listings. No request is made here.

A listing of versions has no aliases and no registered-model tags, and a listing of models has
not all versions: `joined` puts the two together, holding no more than one model's versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mlflow_gitops.planning.deliveries import deliveries
from mlflow_gitops.state import EMPTY, Identity, ModelVersion, Snapshot

__all__ = ["Model", "joined", "model_of", "name_filter", "snapshot_of"]

NO_NAMES: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """What a registered model has beside its versions. `aliases` maps each to a number."""

    aliases: Mapping[str, str]
    tags: Mapping[str, str]


def model_of(entity: Any) -> Model:
    aliases = {alias: str(number) for alias, number in (entity.aliases or {}).items()}
    return Model(aliases, dict(entity.tags or {}))


def snapshot_of(name: str, model: Model, rows: Iterable[Any]) -> Snapshot:
    """`rows` are MLflow's versions; one that was listed twice counts once."""
    aliases: dict[str, tuple[str, ...]] = {}
    for alias in sorted(model.aliases):
        number = model.aliases[alias]
        aliases[number] = (*aliases.get(number, ()), alias)
    numbered = {int(row.version): row for row in rows}
    delivered, unreadable = deliveries(model.tags) if model.tags else ({}, {})
    return Snapshot(
        model=name,
        versions=tuple(_version(row, aliases) for _, row in sorted(numbered.items())),
        aliases=model.aliases,
        tags=model.tags,
        delivered=delivered,
        unreadable=unreadable,
    )


def joined(models: dict[str, Model], rows: Iterable[Any]) -> Iterator[Snapshot]:
    """Every model once; `rows` have to be ordered by name. Models without versions come last.

    The database decides what the order is, so names are never compared here. The two listings
    are not one moment's: a model that only one of them knows was made, renamed or deleted in
    between. It is left out, or comes without versions; the next look has it right.
    """
    for name, group in groupby(rows, key=lambda row: row.name):
        if name in models:
            yield snapshot_of(name, models.pop(name), group)
    for name, model in models.items():
        yield snapshot_of(name, model, ())


def name_filter(name: str) -> str:
    """A search filter for one name. MLflow's filters know quotes, and no way to escape them.

    Where the name holds both kinds, quotes match any character: compare the names found.
    """
    for quote in ("'", '"'):
        if quote not in name:
            return f"name = {quote}{name}{quote}"
    pattern = name.replace("'", "_")
    return f"name LIKE '{pattern}'"


def _version(row: Any, aliases: Mapping[str, tuple[str, ...]]) -> ModelVersion:
    number, source = str(row.version), row.source or ""
    return ModelVersion(
        model=row.name,
        number=number,
        identity=Identity(
            created=int(row.creation_timestamp or 0),
            run_id=row.run_id or "",
            model_id=getattr(row, "model_id", None) or _model_id(source),
        ),
        stage=row.current_stage or "None",
        status=row.status,
        source=source,
        updated=int(row.last_updated_timestamp or 0),
        aliases=aliases.get(number, NO_NAMES),
        tags=row.tags or EMPTY,
    )


def _model_id(source: str) -> str:
    """MLflow 3 logs a model first and registers it by its id, which a listing does not tell."""
    return source.removeprefix("models:/") if source.startswith("models:/m-") else ""
