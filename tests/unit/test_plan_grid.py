"""Every row of the three-state rule at one glance: what is asked, what Git has, what was delivered.

Version 2 was asked for and delivered, unless a block says another. A line is what the registry asks
for now, a column what Git has:

    2: what was delivered      1: another version     hand: another place, by hand
    -: no service              10%: the delivered version with a canary by hand

A cell is what follows, and for a hold whose it is:

    .        as it is, nothing is written             record   as it is, the answer is recorded
    promote  a commit or pull request                 retire   the same, without the service
    drift    the settings changed: with the next one  adopted  as it was taken over
    nothing  no version is selected                   unclear  several are, none asked for last
    waits    a pull request is open                   pinned, retired, canary, comment, renamed,
                                                      rejected: a person's decision holds it

`promote!` ends a hold, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from mlflow_gitops.planning.decisions import how_to_end, in_force
from mlflow_gitops.planning.desired import desired_service
from mlflow_gitops.planning.plan import Kind, Place, Plan, make_plan
from mlflow_gitops.pull_requests import WITHDRAWN, PullRequest
from mlflow_gitops.state import (
    Delivered,
    Hold,
    ModelVersion,
    Request,
    ServiceKey,
    ServiceSpec,
    Settings,
    State,
)
from tests.support.planning import (
    KEY,
    PRODUCTION,
    REPOSITORY,
    SETTINGS,
    asked,
    at,
    delivery_of,
    row,
    snapshot,
    spec,
)

TWO = delivery_of(asked("2", 20), {"1": "r10", "2": "r20"})
RETIRED = delivery_of(asked("2", 20, "retire"), {"1": "r10", "2": "r20"})
PROPOSED = replace(TWO, commit="", pull=7)
PULL = PullRequest(
    7,
    "https://git.example/7",
    "open",
    "mlflow-gitops/production/fraud",
    "main",
    "h2",
    mergeable=True,
    decided_by="rita",
    comment="not on a Friday",
)

GIT: dict[str, ServiceSpec | None] = {
    "2": spec("2"),
    "1": spec("1"),
    "hand": ServiceSpec("s3://elsewhere/by-hand", ""),
    "-": None,
    "10%": spec("2", '{"canaryTrafficPercent":10}'),
}
BOTH = (row("1"), row("2"))
ONE = asked("1", 10)
ASKS: dict[str, tuple[tuple[ModelVersion, ...], tuple[Request, ...]]] = {
    "nothing new": (BOTH, (ONE, asked("2", 20))),
    "version 3": ((*BOTH, row("3")), (ONE, asked("2", 20), asked("3", 30))),
    "version 2 again": (BOTH, (ONE, asked("2", 40))),
    "back to version 1": (BOTH, (asked("1", 40, "rollback"), asked("2", 20))),
    "to retire it": (BOTH, (ONE, asked("2", 40, "retire"))),
    "no version": ((row("1", "Archived"), row("2", "Archived")), ()),
    "any of two": ((*BOTH, row("3"), row("4")), ()),
}


@dataclass(frozen=True, slots=True)
class World:
    """What is the same in a whole block."""

    delivered: Delivered | None = TWO
    hold: Hold | None = None
    key: ServiceKey = KEY
    settings: Settings = SETTINGS
    branch: str = "main"
    pull: PullRequest | None = None


WORLDS = {
    "delivered": World(),
    "never delivered": World(None),
    "retired": World(RETIRED),
    "adopted": World(replace(TWO, commit="", adopted=True)),
    "a comment in Git": World(hold=Hold("audit", "overlays/production/fraud.yaml", 9)),
    "the model was renamed": World(key=ServiceKey("production", "fraud-new")),
    "the prefix changed in the settings": World(settings=replace(SETTINGS, prefix="elsewhere")),
    "the branch changed in the settings": World(branch="next"),
    "proposed, and open": World(PROPOSED, pull=PULL),
    "proposed, and in conflict": World(PROPOSED, pull=replace(PULL, mergeable=False)),
    "proposed, and closed by a person": World(PROPOSED, pull=replace(PULL, state="closed")),
    "proposed, and closed by us": World(
        PROPOSED, pull=replace(PULL, state="closed", labels=(WITHDRAWN,))
    ),
    "proposed, and merged": World(PROPOSED, pull=replace(PULL, state="merged")),
    "proposed, and the forge was not asked": World(PROPOSED),
}

TABLE = """
delivered
    nothing new       | .        | pinned   | pinned   | retired  | canary
    version 3         | promote  | promote! | promote! | promote! | canary
    version 2 again   | record   | promote! | promote! | promote! | canary
    back to version 1 | promote  | record   | promote! | promote! | canary
    to retire it      | retire   | retire!  | retire!  | record   | canary
    no version        | nothing  | nothing  | nothing  | nothing  | nothing
    any of two        | unclear  | unclear  | unclear  | unclear  | unclear
never delivered
    nothing new       | record   | promote  | promote  | promote  | canary
    version 3         | promote  | promote  | promote  | promote  | canary
    version 2 again   | record   | promote  | promote  | promote  | canary
    back to version 1 | promote  | record   | promote  | promote  | canary
    to retire it      | retire   | retire   | retire   | record   | canary
    no version        | nothing  | nothing  | nothing  | nothing  | nothing
    any of two        | unclear  | unclear  | unclear  | unclear  | unclear
retired
    nothing new       | pinned   | pinned   | pinned   | .        | pinned
    version 3         | promote! | promote! | promote! | promote  | canary
    version 2 again   | record   | promote! | promote! | promote  | canary
    back to version 1 | promote! | record   | promote! | promote  | canary
    to retire it      | retire!  | retire!  | retire!  | record   | canary
    no version        | pinned   | pinned   | pinned   | .        | pinned
    any of two        | unclear  | unclear  | unclear  | unclear  | unclear
adopted
    nothing new       | .        | pinned   | pinned   | retired  | canary
    version 3         | promote  | promote! | promote! | promote! | canary
    version 2 again   | record   | promote! | promote! | promote! | canary
    back to version 1 | promote  | record   | promote! | promote! | canary
    to retire it      | retire   | retire!  | retire!  | record   | canary
    no version        | nothing  | nothing  | nothing  | nothing  | nothing
    any of two        | unclear  | unclear  | unclear  | unclear  | unclear
a comment in Git
    nothing new       | .        | comment  | comment  | comment  | comment
    version 3         | comment  | comment  | comment  | comment  | comment
    version 2 again   | record   | comment  | comment  | comment  | comment
    back to version 1 | comment  | record   | comment  | comment  | comment
    to retire it      | comment  | comment  | comment  | record   | comment
    no version        | nothing  | nothing  | nothing  | nothing  | nothing
    any of two        | unclear  | unclear  | unclear  | unclear  | unclear
the model was renamed
    nothing new       | renamed  | renamed  | renamed  | renamed  | renamed
    version 3         | renamed  | renamed  | renamed  | renamed  | renamed
    version 2 again   | renamed  | renamed  | renamed  | renamed  | renamed
    back to version 1 | renamed  | renamed  | renamed  | renamed  | renamed
    to retire it      | renamed  | renamed  | renamed  | renamed  | renamed
    no version        | nothing  | nothing  | nothing  | nothing  | nothing
    any of two        | unclear  | unclear  | unclear  | unclear  | unclear
the prefix changed in the settings
    nothing new       | drift    | pinned   | pinned   | retired  | canary
    version 3         | promote  | promote! | promote! | promote! | canary
    version 2 again   | promote  | promote! | promote! | promote! | canary
    back to version 1 | promote  | promote! | promote! | promote! | canary
    to retire it      | retire   | retire!  | retire!  | record   | canary
    no version        | nothing  | nothing  | nothing  | nothing  | nothing
    any of two        | unclear  | unclear  | unclear  | unclear  | unclear
the branch changed in the settings
    nothing new       | record   | drift    | drift    | drift    | drift
    version 3         | promote  | promote  | promote  | promote  | canary
    version 2 again   | record   | promote  | promote  | promote  | canary
    back to version 1 | promote  | record   | promote  | promote  | canary
    to retire it      | retire   | retire   | retire   | record   | canary
    no version        | nothing  | nothing  | nothing  | nothing  | nothing
    any of two        | unclear  | unclear  | unclear  | unclear  | unclear
proposed, and open
    nothing new       | record   | waits    | waits    | waits    | waits
    version 3         | promote  | promote  | promote  | promote  | canary
    version 2 again   | record   | promote  | promote  | promote  | canary
    back to version 1 | promote  | record   | promote  | promote  | canary
    to retire it      | retire   | retire   | retire   | record   | canary
    no version        | nothing  | nothing  | nothing  | nothing  | nothing
    any of two        | unclear  | unclear  | unclear  | unclear  | unclear
proposed, and in conflict
    nothing new       | record   | promote  | promote  | promote  | canary
    version 3         | promote  | promote  | promote  | promote  | canary
    version 2 again   | record   | promote  | promote  | promote  | canary
    back to version 1 | promote  | record   | promote  | promote  | canary
    to retire it      | retire   | retire   | retire   | record   | canary
    no version        | nothing  | nothing  | nothing  | nothing  | nothing
    any of two        | unclear  | unclear  | unclear  | unclear  | unclear
proposed, and closed by a person
    nothing new       | record   | rejected | rejected | rejected | rejected
    version 3         | promote  | promote! | promote! | promote! | canary
    version 2 again   | record   | promote! | promote! | promote! | canary
    back to version 1 | promote  | record   | promote! | promote! | canary
    to retire it      | retire   | retire!  | retire!  | record   | canary
    no version        | nothing  | nothing  | nothing  | nothing  | nothing
    any of two        | unclear  | unclear  | unclear  | unclear  | unclear
proposed, and closed by us
    nothing new       | record   | promote  | promote  | promote  | canary
    version 3         | promote  | promote  | promote  | promote  | canary
    version 2 again   | record   | promote  | promote  | promote  | canary
    back to version 1 | promote  | record   | promote  | promote  | canary
    to retire it      | retire   | retire   | retire   | record   | canary
    no version        | nothing  | nothing  | nothing  | nothing  | nothing
    any of two        | unclear  | unclear  | unclear  | unclear  | unclear
proposed, and merged
    nothing new       | record   | pinned   | pinned   | retired  | canary
    version 3         | promote  | promote! | promote! | promote! | canary
    version 2 again   | record   | promote! | promote! | promote! | canary
    back to version 1 | promote  | record   | promote! | promote! | canary
    to retire it      | retire   | retire!  | retire!  | record   | canary
    no version        | nothing  | nothing  | nothing  | nothing  | nothing
    any of two        | unclear  | unclear  | unclear  | unclear  | unclear
proposed, and the forge was not asked
    nothing new       | record   | waits    | waits    | waits    | waits
    version 3         | promote  | promote  | promote  | promote  | canary
    version 2 again   | record   | promote  | promote  | promote  | canary
    back to version 1 | promote  | record   | promote  | promote  | canary
    to retire it      | retire   | retire   | retire   | record   | canary
    no version        | nothing  | nothing  | nothing  | nothing  | nothing
    any of two        | unclear  | unclear  | unclear  | unclear  | unclear
"""


def plan_of(world: World, asks: str, git: str) -> Plan:
    versions, records = ASKS[asks]
    look = snapshot(*versions, model=world.key.model)
    requests = {request.version: request for request in records}
    wish = desired_service(look, PRODUCTION, world.delivered, requests, world.settings, at(90))
    service = world.settings.service(world.key.model, PRODUCTION)
    place = Place(REPOSITORY, world.branch, service)
    return make_plan(world.key, place, wish, GIT[git], world.delivered, world.hold, world.pull)


WORDS = {
    State.COMMITTED: ".",
    State.RETIRED: ".",
    State.ADOPTED: "adopted",
    State.UNSELECTED: "nothing",
    State.AMBIGUOUS: "unclear",
    State.PROPOSED: "waits",
}


def word(plan: Plan) -> str:
    if plan.changes_git:
        return plan.kind.value + ("!" if plan.decision else "")
    if plan.decision is not None:
        return plan.decision.kind.value
    if plan.kind is Kind.RECORD:
        return "record"
    return "drift" if "settings drift" in plan.reason else WORDS[plan.state]


def lines() -> Iterator[tuple[str, str, list[str]]]:
    world = ""
    for line in filter(None, TABLE.splitlines()):
        if line[0] != " ":
            world = line
            continue
        asks, *cells = (cell.strip() for cell in line.split("|"))
        yield world, asks, cells


LINES = [pytest.param(*line, id=f"{line[0]}: {line[1]}") for line in lines()]


@pytest.mark.parametrize(("world", "asks", "cells"), LINES)
def test_what_follows(world: str, asks: str, cells: list[str]) -> None:
    found = [word(plan_of(WORLDS[world], asks, git)) for git in GIT]
    assert found == cells


def test_the_table_is_whole() -> None:
    assert [(world, asks) for world, asks, _ in lines()] == [(w, a) for w in WORLDS for a in ASKS]


@pytest.mark.parametrize("name", WORLDS)
def test_a_hold_names_what_it_holds_and_what_stands(name: str) -> None:
    for asks in ASKS:
        for git, stands in GIT.items():
            decision = plan_of(WORLDS[name], asks, git).decision
            if decision is not None:
                assert decision.stands == stands
                assert decision.wanted in ("", "1", "2", "3")
                assert how_to_end(decision)
                assert "\n" not in in_force(decision)
