"""A registry in memory: `ports.Registry` for unit tests, with the verbs of a user beside it.

The contract suite runs it and the real adapter through the same tests. Tags hold the same texts as
in MLflow, so records can be forged and broken here, too. Time is a counter: each change is a
second later than the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from mlflow_gitops.errors import GitOpsError, RequestError
from mlflow_gitops.planning.deliveries import DELIVERED, delivered_text, deliveries
from mlflow_gitops.planning.records import (
    REQUESTS,
    STATUS,
    canonical_stage,
    parse_status,
    request_text,
    same_news,
    selector_key,
    status_text,
)
from mlflow_gitops.runs import RunFacts
from mlflow_gitops.state import (
    Delivered,
    Identity,
    ModelVersion,
    Request,
    Selector,
    Snapshot,
    Status,
)

STAGES = ("None", "Staging", "Production", "Archived")
START = 1_795_390_000_000  # milliseconds since the epoch


@dataclass(slots=True)
class Row:
    number: str
    created: int
    updated: int
    source: str
    run_id: str = ""
    model_id: str = ""
    stage: str = "None"
    status: str = "READY"
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Model:
    versions: dict[str, Row] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    last: int = 0


@dataclass(slots=True)
class MemoryRegistry:
    """`roots` are the artifact roots. `writes` counts what reached the registry, by kind of tag;
    `reads` are the versions whose run was read, and `runs` the runs, by id. `failure` is raised by
    every read of models.
    """

    roots: tuple[str, ...] = ("mlflow-artifacts:/",)
    models: dict[str, Model] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    runs: dict[str, RunFacts] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    now: int = START
    failure: GitOpsError | None = None

    # ports.Registry

    def snapshot(self, model: str) -> Snapshot:
        self._answers()
        if model not in self.models:
            raise RequestError(
                f"there is no registered model `{model}`",
                where="memory",
                hint="register it, or correct the name",
            )
        return self._snapshot(model)

    def snapshots(self) -> Iterator[Snapshot]:
        self._answers()
        for model in sorted(self.models, key=lambda name: (not self.models[name].versions, name)):
            yield self._snapshot(model)

    def names(self) -> frozenset[str]:
        self._answers()
        return frozenset(self.models)

    def _answers(self) -> None:
        if self.failure is not None:
            raise self.failure

    def artifact_location(self, version: ModelVersion) -> str:
        source = self._row(version.model, version.number).source
        if source.startswith("models:/m-"):
            return f"{self.roots[0]}0/models/{source.removeprefix('models:/')}/artifacts"
        return source

    def artifact_roots(self) -> tuple[str, ...]:
        return self.roots

    def facts(self, version: ModelVersion) -> RunFacts:
        self.reads.append(version.number)
        return self.runs.get(version.identity.run_id, RunFacts(missing="the version has no run"))

    def ask(self, version: ModelVersion, key: str, request: Request) -> None:
        row = self._row(version.model, version.number)
        asked = replace(request, version=version.number)
        tag = REQUESTS + key
        row.tags[tag] = request_text(asked, model=version.model, tag=tag)
        self.writes.append(tag)

    def select(
        self,
        version: ModelVersion,
        selector: Selector,
        request: Request | None = None,
        *,
        relayed: bool = False,
    ) -> None:
        model, number = version.model, version.number
        if request is not None:
            tag = REQUESTS + selector_key(selector)
            asked = replace(request, version=number, pending=False)
            text = request_text(asked, model=model, tag=tag, moving=True, relayed=relayed)
            self._row(model, number).tags[tag] = text
        if selector.kind == "stage":
            self.transition(model, number, selector.name)
        elif selector.kind == "alias":
            self.set_alias(model, selector.name, number)
        else:
            self.set_tag(model, number, selector.name, selector.value)
        self.writes.append(str(selector))

    def record(self, model: str, environment: str, delivered: Delivered) -> None:
        tag = DELIVERED + environment
        self._model(model).tags[tag] = delivered_text(delivered)
        self.writes.append(tag)

    def report(self, model: str, number: str, environment: str, status: Status) -> None:
        row = self.models[model].versions.get(number) if model in self.models else None
        if row is None:
            return
        tag = STATUS + environment
        told = parse_status(row.tags[tag]) if tag in row.tags else None
        if not same_news(told, status):
            row.tags[tag] = status_text(status)
            self.writes.append(tag)

    # What a user does

    def create_model(self, model: str, tags: Mapping[str, str] | None = None) -> None:
        assert model not in self.models, f"{model} is there"
        self.models[model] = Model(tags=dict(tags or {}))

    def create_version(
        self,
        model: str,
        *,
        source: str = "s3://bucket/somewhere",
        tags: Mapping[str, str] | None = None,
        status: str = "READY",
        run_id: str = "",
        model_id: str = "",
    ) -> str:
        """A version of the model, which is made where it is not there. Returns the number."""
        made = self.models.setdefault(model, Model())
        made.last += 1
        number, now = str(made.last), self._tick()
        made.versions[number] = Row(
            number, now, now, source, run_id, model_id, status=status, tags=dict(tags or {})
        )
        return number

    def transition(
        self, model: str, number: str, stage: str, *, archive_existing: bool = False
    ) -> None:
        stage = canonical_stage(stage)
        row, now = self._row(model, number), self._tick()
        if stage not in STAGES:
            raise RequestError(f"there is no stage `{stage}`", where="memory")
        for other in self.models[model].versions.values() if archive_existing else ():
            if other.stage == stage and other is not row:
                other.stage, other.updated = "Archived", now
        row.stage, row.updated = stage, now

    def set_alias(self, model: str, alias: str, number: str) -> None:
        self._row(model, number)
        self._model(model).aliases[alias] = number

    def delete_alias(self, model: str, alias: str) -> None:
        self._model(model).aliases.pop(alias, None)

    def set_tag(self, model: str, number: str, key: str, value: str) -> None:
        self._row(model, number).tags[key] = value

    def delete_tag(self, model: str, number: str, key: str) -> None:
        self._row(model, number).tags.pop(key, None)

    def set_model_tag(self, model: str, key: str, value: str) -> None:
        self._model(model).tags[key] = value

    def delete_model_tag(self, model: str, key: str) -> None:
        self._model(model).tags.pop(key, None)

    def describe(self, model: str, number: str, text: str) -> None:
        """A description is not kept; writing one bumps the version's time."""
        self._row(model, number).updated = self._tick()

    def rename(self, model: str, to: str) -> None:
        assert to not in self.models, f"{to} is there"
        self.models[to] = self.models.pop(model)

    def delete_version(self, model: str, number: str) -> None:
        self._row(model, number)
        made = self._model(model)
        del made.versions[number]
        made.aliases = {alias: n for alias, n in made.aliases.items() if n != number}

    def delete_model(self, model: str) -> None:
        del self.models[model]

    def tags(self, model: str, number: str) -> Mapping[str, str]:
        return dict(self._row(model, number).tags)

    def request_of_server(
        self, model: str, number: str, key: str, *, by: str = "", secret: bytes | None = None
    ) -> Request:
        """What a server with our plugin would record now, for a test that plays its part."""
        moment = datetime.fromtimestamp(self._tick() / 1000, UTC).replace(tzinfo=None)
        request = Request(
            id=f"server-{self.now}",
            version=number,
            time=f"{moment.isoformat(timespec='milliseconds')}Z",
            by=by,
        )
        tag = REQUESTS + key
        self._row(model, number).tags[tag] = request_text(request, model=model, tag=tag, key=secret)
        return request

    # Inside

    def _tick(self) -> int:
        self.now += 1_000
        return self.now

    def _model(self, model: str) -> Model:
        if model not in self.models:
            raise RequestError(f"there is no registered model `{model}`", where="memory")
        return self.models[model]

    def _row(self, model: str, number: str) -> Row:
        row = self._model(model).versions.get(number)
        if row is None:
            raise RequestError(f"there is no version {number} of `{model}`", where="memory")
        return row

    def _snapshot(self, name: str) -> Snapshot:
        model = self.models[name]
        delivered, unreadable = deliveries(model.tags)
        return Snapshot(
            model=name,
            versions=tuple(
                _version(name, row, model.aliases)
                for row in sorted(model.versions.values(), key=lambda row: int(row.number))
            ),
            aliases=dict(model.aliases),
            tags=dict(model.tags),
            delivered=delivered,
            unreadable=unreadable,
        )


def _version(name: str, row: Row, aliases: Mapping[str, str]) -> ModelVersion:
    return ModelVersion(
        model=name,
        number=row.number,
        identity=Identity(row.created, row.run_id, row.model_id),
        stage=row.stage,
        status=row.status,
        source=row.source,
        updated=row.updated,
        aliases=tuple(sorted(alias for alias, number in aliases.items() if number == row.number)),
        tags=dict(row.tags),
    )
