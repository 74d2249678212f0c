"""Which pending request is taken up, which was overtaken, and which nobody here can answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlflow_gitops.planning.pending import imagine, pending, strays
from mlflow_gitops.planning.records import REQUESTS, pending_for, request_text
from mlflow_gitops.state import Action, Delivered, Request, Snapshot
from tests.support import planning
from tests.support.planning import MODEL, PRODUCTION, SETTINGS, delivery_of, row, snapshot


def asked(number: str, second: int, *, waits: bool = True, action: Action = "deploy") -> Request:
    return replace(planning.asked(number, second, action), pending=waits)


def holding(*requests: Request, key: str = "production") -> Snapshot:
    """Versions 1 to 3 in no stage, with the records."""
    tag = REQUESTS + key
    texts = {r.version: {tag: request_text(r, model=MODEL, tag=tag)} for r in requests}
    return snapshot(*(row(n, "None", tags=texts.get(n, {})) for n in ("1", "2", "3")))


def answered(request: Request) -> Delivered:
    return delivery_of(replace(request, pending=False))


EARLY, LATE = asked("2", 1), asked("3", 2)


@pytest.mark.parametrize(
    ("records", "before", "due", "overtaken", "done"),
    [
        ((), None, None, (), ()),
        ((asked("2", 1, waits=False),), None, None, (), ()),
        ((EARLY,), None, EARLY, (), ()),
        ((EARLY, LATE), None, LATE, (EARLY,), ()),
        ((EARLY, asked("3", 2, waits=False)), None, None, (EARLY,), ()),
        ((EARLY, asked("3", 0, waits=False)), None, EARLY, (), ()),
        ((EARLY,), answered(asked("1", 0)), EARLY, (), ()),
        ((EARLY,), answered(asked("1", 5)), None, (EARLY,), ()),
        ((EARLY,), answered(EARLY), None, (), (EARLY,)),
    ],
    ids=[
        "nothing",
        "an ordinary record",
        "one",
        "two: the later one",
        "a later one came by the selector",
        "an earlier one came by the selector",
        "later than what was delivered",
        "earlier than what was delivered",
        "delivered, and the mark was left",
    ],
)
def test_what_waits(
    records: tuple[Request, ...],
    before: Delivered | None,
    due: Request | None,
    overtaken: tuple[Request, ...],
    done: tuple[Request, ...],
) -> None:
    found = pending(holding(*records), PRODUCTION, {r.version: r for r in records}, before)
    assert (found.due, found.overtaken, found.answered) == (due, overtaken, done)
    assert bool(found) == bool(due or overtaken or done)


def test_what_cannot_be_read_does_not_wait() -> None:
    for text in ("", "{", '{"pending":1}', '{"pending":true}', '{"pending":true,"id":""}'):
        made = snapshot(row("1", "None", tags={REQUESTS + "production": text}))
        assert pending(made, PRODUCTION, {}, None) == pending(holding(), PRODUCTION, {}, None)


def test_once_taken_up_its_version_is_selected_and_nothing_waits() -> None:
    after = imagine(holding(EARLY), PRODUCTION, [EARLY])
    two = after.version("2")
    assert two is not None
    assert PRODUCTION.select.matches(two)
    assert pending_for(two, "production") is None
    assert not pending(after, PRODUCTION, {"2": replace(EARLY, pending=False)}, None)


def test_a_request_to_retire_selects_nothing() -> None:
    after = imagine(holding(), PRODUCTION, [asked("2", 1, action="retire")])
    assert not any(PRODUCTION.select.matches(v) for v in after.versions)


def test_requests_for_what_is_not_there_are_named() -> None:
    (stray,) = strays(holding(EARLY, key="prodution"), SETTINGS)
    assert (stray.environment, stray.request, stray.version.number) == ("prodution", EARLY, "2")
    assert "no environment `prodution`" in stray.why
    assert "production" in stray.hint
    assert not list(strays(holding(EARLY), SETTINGS))
    answered_long_ago = asked("2", 1, waits=False)
    assert not list(strays(holding(answered_long_ago, key="gone"), SETTINGS))
    assert not list(strays(holding(answered_long_ago, key="stage.Production"), SETTINGS))
