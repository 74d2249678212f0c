"""Takes up requests of callers who cannot read the settings: moves the selector for them.

What is to be done is decided in `planning.pending`; here are the effects in their order. The
selector is moved first and the mark `pending` is taken off last, so a crash between them repeats
a move that is there already. A request that cannot be delivered moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mlflow_gitops.errors import RequestError, TerminalError, TransientError
from mlflow_gitops.planning.naming import check_ready
from mlflow_gitops.planning.pending import Pending, imagine, pending, rival, strays
from mlflow_gitops.planning.records import pending_for
from mlflow_gitops.ports import Clock, Registry
from mlflow_gitops.state import (
    Environment,
    ModelVersion,
    Request,
    Settings,
    Snapshot,
    State,
    Status,
)

__all__ = ["Desk", "RefusedError"]

OVERTAKEN = "something else was asked for later"

Check = Callable[[Snapshot, Request], object]


class RefusedError(Exception):
    """A pending request that cannot be delivered; it was answered with `error`."""

    def __init__(self, error: TerminalError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class Desk:
    """Where such requests arrive. `requests` gives each version's newest record."""

    registry: Registry
    clock: Clock
    requests: Callable[[Snapshot, Environment], Mapping[str, Request]]

    def foreseen(self, snapshot: Snapshot, environment: Environment) -> Snapshot | None:
        """The registry as it will be when what waits was taken up; None where nothing waits."""
        waiting = self._waiting(snapshot, environment)
        if not waiting:
            return None
        return imagine(snapshot, environment, [waiting.due]) if waiting.due else snapshot

    def take_up(self, snapshot: Snapshot, environment: Environment, check: Check) -> Snapshot:
        """The snapshot with the due request's version selected, as the registry then is.

        `check` raises where the version, once selected, would not be delivered. If that is
        terminal, it is the request's answer, the selector stays, and RefusedError is raised.
        """
        waiting = self._waiting(snapshot, environment)
        for request in waiting.overtaken:
            self._tell(snapshot, environment.name, request, State.SUPERSEDED, OVERTAKEN)
            self._settle(snapshot, environment.name, request, closed=True)
        for request in waiting.answered:
            self._settle(snapshot, environment.name, request)
        if waiting.due is None:
            return snapshot
        request, after = waiting.due, imagine(snapshot, environment, [waiting.due])
        try:
            self._check_clear(snapshot, environment, request)
            check(after, request)
            self._move(snapshot, environment, request)
        except TerminalError as error:
            self._tell(snapshot, environment.name, request, State.FAILED, str(error))
            self._settle(snapshot, environment.name, request, closed=True)
            raise RefusedError(error) from error
        self._settle(snapshot, environment.name, request)
        return after

    def has_strays(self, snapshot: Snapshot, settings: Settings) -> bool:
        """Whether something is asked of an environment that is not there, without an answer."""
        return any(True for _ in strays(snapshot, settings))

    def turn_away(self, snapshot: Snapshot, settings: Settings) -> None:
        """Answer what is asked of environments that are not there: somebody may wait for it."""
        for stray in strays(snapshot, settings):
            error = RequestError(stray.why, where="mlflow-gitops.yaml", hint=stray.hint)
            self._tell(snapshot, stray.environment, stray.request, State.FAILED, str(error))
            self._settle(snapshot, stray.environment, stray.request, closed=True)

    def _check_clear(self, snapshot: Snapshot, environment: Environment, request: Request) -> None:
        if request.action != "retire":
            check_ready(_version(snapshot, request))
        delivered = snapshot.delivered.get(environment.name)
        other = rival(
            snapshot, environment, request, self.requests(snapshot, environment), delivered
        )
        if other:
            raise RequestError(
                f"version {other} has the {environment.select}, and nothing says whether it was "
                f"given it before or after version {request.version} was asked for",
                where=f"{environment.name}/{snapshot.model}",
                hint="take the alias off it, or ask for the version that you want again",
            )

    def _move(self, snapshot: Snapshot, environment: Environment, request: Request) -> None:
        """Raises TransientError where something newer was asked for meanwhile."""
        version = _version(snapshot, request)
        if not self._is_there(request, environment.name, snapshot.model):
            raise TransientError(
                "something newer was asked for meanwhile",
                where=f"{environment.name}/{snapshot.model}",
            )
        if request.action != "retire" and not environment.select.matches(version):
            self.registry.select(version, environment.select, request, relayed=True)

    def _waiting(self, snapshot: Snapshot, environment: Environment) -> Pending:
        if not any(pending_for(v, environment.name) for v in snapshot.versions if v.tags):
            return Pending()  # a resync asks this of every service
        delivered = snapshot.delivered.get(environment.name)
        return pending(snapshot, environment, self.requests(snapshot, environment), delivered)

    def _settle(
        self, snapshot: Snapshot, environment: str, request: Request, *, closed: bool = False
    ) -> None:
        """Take the mark off, unless a newer request took the record's place."""
        if self._is_there(request, environment, snapshot.model):
            settled = replace(request, pending=False, closed=closed)
            self.registry.ask(_version(snapshot, request), environment, settled)

    def _is_there(self, request: Request, environment: str, model: str) -> bool:
        version = self.registry.snapshot(model).version(request.version)
        found = pending_for(version, environment) if version else None
        return found is not None and found.id == request.id

    def _tell(
        self, snapshot: Snapshot, environment: str, request: Request, state: State, message: str
    ) -> None:
        status = Status(state, message, time=self.clock(), request=request.id)
        self.registry.report(snapshot.model, request.version, environment, status)


def _version(snapshot: Snapshot, request: Request) -> ModelVersion:
    version = snapshot.version(request.version)
    assert version is not None  # the record is this version's tag
    return version
