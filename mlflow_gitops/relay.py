"""Asking through the registry alone, where Git cannot be reached from here.

Who asks cannot read the settings, so nothing moves here: the request record is written with the
mark `pending`, and the webhook service moves the selector, publishes, commits and answers in the
version's status tag. This waits for that answer.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from mlflow_gitops.ask import Answer, check_flavor
from mlflow_gitops.errors import RequestError, TransientError
from mlflow_gitops.planning.records import record_of, request_times, status_of
from mlflow_gitops.ports import Clock, Registry
from mlflow_gitops.state import Action, ModelFiles, ModelVersion, Request, Snapshot, State, Status
from mlflow_gitops.wish import Wish, choose, later_than, no_version, parse_model_uri, split_name

__all__ = ["Relay"]

PAUSE = 1.0  # seconds between looks
UNDER_WAY = frozenset({State.REQUESTED, State.PUBLISHING})
DONE = frozenset({State.COMMITTED, State.RETIRED, State.PROPOSED, State.SYNCED, State.LIVE})


@dataclass(frozen=True, slots=True)
class Relay:
    """`say` is told what happens while it waits. `inspect` reads a source's names and MLmodel.

    `pause` sleeps, in seconds.
    """

    registry: Registry
    clock: Clock
    inspect: Callable[[str], ModelFiles]
    say: Callable[[str], None]
    pause: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())

    def ask(self, wish: Wish, *, wait: float) -> Answer:
        """Ask for a version; wait up to `wait` seconds for the answer, 0 for not at all.

        Raises RequestError for bad input, which writes nothing, and for an answer that is a
        refusal; TransientError where no answer came: the request then stays.
        """
        ref = parse_model_uri(wish.model_uri)
        snapshot = self.registry.snapshot(ref.model)
        environment = _environment(wish.name, snapshot)
        version = choose(snapshot, ref)
        check_flavor(version, wish.flavor, self.registry, self.inspect)
        return self._ask(wish, environment, snapshot, version, "deploy", wait)

    def retire(self, wish: Wish, *, wait: float) -> Answer:
        """Ask to take a service out of Git; otherwise as `ask`."""
        _, model = split_name(wish.name)
        snapshot = self.registry.snapshot(model)
        environment = _environment(wish.name, snapshot)
        delivered = snapshot.delivered.get(environment)
        if delivered is None or delivered.spec is None:
            raise RequestError(
                "the registry knows of no service that was delivered there",
                where=wish.name,
                hint=_places(snapshot) or "ask in a place that can read the manifests repository",
            )
        version = snapshot.version(delivered.request.version)
        if version is None and not snapshot.versions:
            raise no_version(model)
        version = version or snapshot.versions[-1]
        return self._ask(wish, environment, snapshot, version, "retire", wait)

    def _ask(
        self,
        wish: Wish,
        environment: str,
        snapshot: Snapshot,
        version: ModelVersion,
        action: Action,
        wait: float,
    ) -> Answer:
        delivered = snapshot.delivered.get(environment)
        times = [time for each in snapshot.versions for time in request_times(each)]
        times += [delivered.request.time] if delivered else []
        now = later_than(self.clock(), times)  # whichever of them is of this environment
        made = replace(wish, action=action).request(self.new_id(), version.number, now)
        request = replace(made, pending=True)
        self.registry.ask(version, environment, request)
        answer = Answer(
            environment=environment,
            model=snapshot.model,
            service="",
            version=version,
            state=State.REQUESTED,
            message="the webhook service takes it from here",
            branch="",
            before=delivered.spec if delivered else None,
            request=request,
            relayed=True,
        )
        return self._answered(answer, request, wait) if wait else answer

    def _answered(self, answer: Answer, request: Request, wait: float) -> Answer:
        end = self.monotonic() + wait
        told = ""
        self.say(f"{answer.name}: asked; waiting up to {wait:g} s for the service's answer")
        while True:
            snapshot = self.registry.snapshot(answer.model)
            status = _status(snapshot, answer, request)
            if status is not None and status.state not in UNDER_WAY:
                return _told(answer, snapshot, status)
            if status is not None and status.message != told:
                told = status.message
                self.say(f"{answer.name}: {told}")
            if status is None and not _is_held(snapshot, answer, request):
                raise RequestError(
                    "the same version was asked for again before the service looked, and the later "
                    "request is the one that it answers",
                    where=answer.name,
                    hint=f"see `mlflow deployments get -t gitops --name {answer.name}`",
                )
            left = end - self.monotonic()
            if left <= 0:
                raise _no_answer(answer, snapshot, wait)
            self.pause(min(PAUSE, left))


def _environment(name: str, snapshot: Snapshot) -> str:
    """The name's environment; the settings would say it, but they cannot be read here."""
    environment, model = split_name(name)
    if model != snapshot.model:
        raise RequestError(
            f"the name says `{model}` and the model's URI says `{snapshot.model}`",
            where="--name",
            hint=f"name the deployment {environment}/{snapshot.model}",
        )
    return environment


def _status(snapshot: Snapshot, answer: Answer, request: Request) -> Status | None:
    version = snapshot.version(answer.version.number)
    status = status_of(version, answer.environment) if version else None
    return status if status is not None and status.request == request.id else None


def _is_held(snapshot: Snapshot, answer: Answer, request: Request) -> bool:
    """Whether the record is still ours: another request for the version takes its place."""
    version = snapshot.version(answer.version.number)
    record = record_of(version, answer.environment) if version else None
    return record is not None and record.id == request.id


def _told(answer: Answer, snapshot: Snapshot, status: Status) -> Answer:
    if status.state not in DONE:
        raise RequestError(
            f"the service answered `{status.state.value}`: {status.message}", where=answer.name
        )
    delivered = snapshot.delivered.get(answer.environment)
    return replace(
        answer,
        service=delivered.service if delivered else "",
        branch=delivered.branch if delivered else "",
        state=status.state,
        message=status.message,
        after=delivered.spec if delivered else None,
        commit=status.commit,
        pull=status.pull,
        digest=status.digest,
    )


def _no_answer(answer: Answer, snapshot: Snapshot, wait: float) -> TransientError:
    return TransientError(
        f"the service has not answered within {wait:g} s; the request stays, and is answered when "
        "the service looks",
        where=answer.name,
        hint=f"look at the tag `gitops.status.{answer.environment}` of version "
        f"{answer.version.number}, and ask who runs `mlflow-gitops serve`"
        + (f"; {_places(snapshot)}" if _places(snapshot) else ""),
    )


def _places(snapshot: Snapshot) -> str:
    known = sorted(name for name, each in snapshot.delivered.items() if each.spec)
    return f"the model was delivered to: {', '.join(known)}" if known else ""
