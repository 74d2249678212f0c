"""Builders for the planning tests, and a world in memory that only `planning` decides in.

`World` keeps what is stored between two looks, and nothing else: the registry's rows and records,
Git's commits, and the `delivered` tag. Everything the product decides goes through the pure
functions; this only applies it, as `observe` and `reconcile` do with the real things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from mlflow_gitops.planning.deliveries import delivered_text, parse_delivered
from mlflow_gitops.planning.desired import Desired, desired_service
from mlflow_gitops.planning.messages import commit_message, parse_trailers
from mlflow_gitops.planning.naming import spec_of
from mlflow_gitops.planning.plan import Kind, Place, Plan, make_plan, next_delivered, reports
from mlflow_gitops.planning.recover import adopted, recovered
from mlflow_gitops.state import (
    Action,
    Delivered,
    Delivery,
    Environment,
    Identity,
    ModelVersion,
    Request,
    Selector,
    ServiceKey,
    ServiceSpec,
    Settings,
    Snapshot,
    Status,
)

MODEL = "fraud"
REPOSITORY = "git.example/team/manifests"
START = 1_795_390_000  # seconds since the epoch
STAGING = Environment("staging", Selector("stage", "Staging"), "overlays/staging")
PRODUCTION = Environment("production", Selector("stage", "Production"), "overlays/production")
BY_ALIAS = replace(PRODUCTION, select=Selector("alias", "champion"))
BY_TAG = replace(PRODUCTION, select=Selector("tag", "serve", "yes"))
SETTINGS = Settings(environments={"staging": STAGING, "production": PRODUCTION}, bucket="models")
PLACE = Place(REPOSITORY, "main", MODEL)
KEY = ServiceKey("production", MODEL)


def at(second: int) -> str:
    moment = datetime.fromtimestamp(START + second, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def spec(version: str, rollout: str = "", *, service: str = MODEL, prefix: str = "") -> ServiceSpec:
    path = "/".join(part for part in ("models", prefix, service) if part)
    return ServiceSpec(f"s3://{path}/v{version}/", version, rollout)


def row(number: str, stage: str = "Production", **fields: object) -> ModelVersion:
    """A registered version, in Production if nothing else is said."""
    identity = Identity(created=START * 1000 + int(number), run_id=f"run{number}")
    version = ModelVersion(MODEL, number, identity, stage=stage)
    return replace(version, **fields)  # type: ignore[arg-type]


def snapshot(*versions: ModelVersion, model: str = MODEL) -> Snapshot:
    return Snapshot(model, tuple(replace(v, model=model) for v in versions))


def asked(version: str, second: int, action: Action = "deploy", by: str = "") -> Request:
    return Request(f"r{second}", version, action, at(second), by=by)


def seen(version: str, second: int) -> Request:
    return Request(f"seen:{version}:{START * 1000 + int(version)}", version, time=at(second))


def delivery_of(
    request: Request,
    matched: Mapping[str, str] | None = None,
    *,
    refused: tuple[str, ...] = (),
    left: str = "",
) -> Delivered:
    """What is recorded once the request was answered by a commit of ours."""
    return Delivered(
        request=request,
        identity=row(request.version).identity,
        model=MODEL,
        service=MODEL,
        repository=REPOSITORY,
        branch="main",
        head="h1",
        spec=None if request.action == "retire" else spec(request.version),
        commit="c1",
        digest="sha256:1",
        matched={request.version: request.id} if matched is None else matched,
        refused=refused,
        left=left,
    )


@dataclass(frozen=True, slots=True)
class Commit:
    """`spec` maps a service to what stands after the commit; `message` is ours or a person's."""

    name: str
    spec: Mapping[str, ServiceSpec]
    message: str
    time: str
    is_ours: bool


@dataclass(slots=True)
class World:
    """One environment of one model: what is stored, what people do, and one look of the tool."""

    environment: Environment = PRODUCTION
    settings: Settings = SETTINGS
    model: str = MODEL
    rows: dict[str, ModelVersion] = field(default_factory=dict)
    records: dict[str, Request] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)
    tag: str = ""
    told: dict[str, Status] = field(default_factory=dict)
    clock: int = 0

    # What people do in the registry

    def register(self, *numbers: str) -> None:
        for number in numbers:
            created = (START + self._tick()) * 1000
            identity = Identity(created, run_id=f"run{number}-{created}")
            self.rows[number] = ModelVersion(self.model, number, identity)

    def move(
        self, number: str, stage: str = "Production", *, record: bool = True, archive: bool = False
    ) -> None:
        """Set the stage; `record` says whether the server records requests for it."""
        if archive:
            for other in [v for v in self.rows.values() if v.stage == stage]:
                self.rows[other.number] = replace(other, stage="Archived")
        if record and self._selects(stage):
            self.ask(number)
        updated = self._tick()
        self.rows[number] = replace(self.rows[number], stage=stage, updated=updated)

    def ask(self, number: str, action: Action = "deploy") -> None:
        """Write the record only."""
        self.records[number] = asked(number, self._tick(), action)

    def recreate(self, *numbers: str) -> None:
        """Delete the model and register it again: rows, records and tags are gone."""
        self.rows, self.records, self.tag = {}, {}, ""
        self.clock += 3600
        self.register(*numbers)

    def rename(self, model: str) -> None:
        """The tags travel with a rename."""
        self.model = model
        self.rows = {n: replace(v, model=model) for n, v in self.rows.items()}

    # What people do in Git

    def write(self, found: ServiceSpec | None, message: str = "By hand") -> None:
        self._commit(found, message, is_ours=False)

    def revert(self) -> None:
        """Take back the newest commit."""
        before = self.commits[-2].spec.get(self.service) if len(self.commits) > 1 else None
        self.write(before, f'Revert "{self.commits[-1].message.splitlines()[0]}"')

    # The tool

    def tick(self, *, record: bool = True, recover: bool = True) -> Plan:
        """One look: read, plan, commit, record. Without `record` it died after the push."""
        delivered = self.delivered
        plan = self.plan(delivered)
        if recover and (delivered is None or plan.changes_git):
            found = self._recover(delivered)
            if found is not None:
                delivered = found
                plan = self.plan(found)
        commit = ""
        if plan.changes_git:
            commit = self._commit(plan.after, self._message(plan), is_ours=True)
        if record:
            self._record(plan, delivered, commit)
        return plan

    def adopt(self) -> None:
        record = adopted(
            self.committed,
            place=self.place,
            snapshot=self.snapshot,
            selected=[v for v in self.rows.values() if self.environment.select.matches(v)],
            requests=self.records,
            head=self.head,
            settings=self.settings,
            now=at(self._tick()),
        )
        self.tag = delivered_text(record)

    def settle(self, most: int = 4) -> Plan:
        """Look until nothing is written any more."""
        for _ in range(most):
            before = self.state
            plan = self.tick()
            if self.state == before:
                return plan
        raise AssertionError(f"it does not settle: {plan}")

    def plan(self, delivered: Delivered | None) -> Plan:
        desired = self._desired(delivered)
        key = ServiceKey(self.environment.name, self.model)
        return make_plan(key, self.place, desired, self.committed, delivered)

    # What stands

    @property
    def delivered(self) -> Delivered | None:
        """The tag, where it can be ours: of a commit that the branch has."""
        if not self.tag:
            return None
        delivered = parse_delivered(self.tag)
        known = {"", *(c.name for c in self.commits)}
        return delivered if delivered.head in known else None

    @property
    def committed(self) -> ServiceSpec | None:
        return self.commits[-1].spec.get(self.service) if self.commits else None

    @property
    def version(self) -> str:
        return self.committed.version if self.committed else ""

    @property
    def head(self) -> str:
        return self.commits[-1].name if self.commits else ""

    @property
    def ours(self) -> int:
        """How many commits the tool made."""
        return sum(c.is_ours for c in self.commits)

    @property
    def state(self) -> tuple[object, ...]:
        """All that the tool can write, without the time of a status."""
        told = {n: replace(s, time="") for n, s in self.told.items()}
        return self.head, self.tag, told

    @property
    def snapshot(self) -> Snapshot:
        ordered = sorted(self.rows.values(), key=lambda v: int(v.number))
        return Snapshot(self.model, tuple(ordered))

    @property
    def service(self) -> str:
        return self.settings.service(self.model, self.environment)

    @property
    def place(self) -> Place:
        return Place(REPOSITORY, "main", self.service)

    # Behind it

    def _desired(self, delivered: Delivered | None) -> Desired:
        now = at(self._tick())
        return desired_service(
            self.snapshot, self.environment, delivered, self.records, self.settings, now
        )

    def _recover(self, delivered: Delivered | None) -> Delivered | None:
        names = [c.name for c in self.commits]
        since = names.index(delivered.head) if delivered and delivered.head in names else -1
        for index in range(len(self.commits) - 1, since, -1):
            commit = self.commits[index]
            before = self.commits[index - 1].spec.get(self.service) if index else None
            after = commit.spec.get(self.service)
            trailers = parse_trailers(commit.message)
            name = f"{self.environment.name}/{self.service}"
            if trailers.get("Gitops-Service") != name or after == before:
                continue
            return recovered(
                Delivery(commit.name, names[index - 1] if index else "", commit.time, trailers),
                after,
                place=self.place,
                snapshot=self.snapshot,
                selected=[v for v in self.snapshot.versions if self.environment.select.matches(v)],
                requests=self.records,
                delivered=delivered,
                settings=self.settings,
            )
        return None

    def _record(self, plan: Plan, delivered: Delivered | None, commit: str) -> None:
        digest = "" if plan.kind is Kind.NONE else f"sha256:{plan.after}"
        head = commit or self.head
        record = next_delivered(plan, delivered, head=head, commit=commit, digest=digest)
        if record is not None:
            text = delivered_text(record)
            assert parse_delivered(text) == record, "what is recorded can be read back"
            self.tag = text
        told = {n: status.state for n, status in self.told.items() if n in self.rows}
        news = reports(
            plan, delivered, told=told, commit=commit, digest=digest, time=at(self.clock)
        )
        self.told = {n: s for n, s in {**self.told, **news}.items() if n in self.rows}

    def _message(self, plan: Plan) -> str:
        assert plan.request is not None
        return commit_message(
            environment=self.environment.name,
            service=self.service,
            model=self.model,
            action=plan.request.action,
            before=plan.before,
            after=plan.after,
            version=plan.version,
            request=plan.request,
        )

    def _commit(self, found: ServiceSpec | None, message: str, *, is_ours: bool) -> str:
        services = dict(self.commits[-1].spec) if self.commits else {}
        services.pop(self.service, None)
        if found is not None:
            services[self.service] = found
        name = f"c{len(self.commits) + 1}"
        self.commits.append(Commit(name, services, message, at(self._tick()), is_ours))
        return name

    def _selects(self, stage: str) -> bool:
        select = self.environment.select
        return select.kind == "stage" and select.name == stage

    def _tick(self) -> int:
        self.clock += 1
        return self.clock

    def spec(self, number: str) -> ServiceSpec:
        return spec_of(self.settings, self.rows[number], self.environment)
