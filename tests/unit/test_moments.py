"""Times that people type."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlflow_gitops.errors import RequestError
from mlflow_gitops.planning.moments import moment

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-11-20", "2026-11-20T00:00:00+00:00"),
        ("2026-11-20T14:30", "2026-11-20T14:30:00+00:00"),
        ("2026-11-20 14:30:05", "2026-11-20T14:30:05+00:00"),
        ("2026-11-20t14:30z", "2026-11-20T14:30:00+00:00"),
        ("2026-11-20T14:30:00.250Z", "2026-11-20T14:30:00.250000+00:00"),
        ("2026-11-20T14:30+01:00", "2026-11-20T13:30:00+00:00"),
        ("2026-11-20T14:30-0230", "2026-11-20T17:00:00+00:00"),
        (" 2 days ago ", "2026-11-21T10:00:00+00:00"),
        ("1 hour ago", "2026-11-23T09:00:00+00:00"),
        ("0 minutes ago", "2026-11-23T10:00:00+00:00"),
    ],
)
def test_a_time_is_read_in_utc(text: str, found: str) -> None:
    assert moment(text, NOW, option="--at").isoformat() == found


def test_a_date_can_mean_its_end() -> None:
    end = moment("2026-11-20", NOW, option="--to", end_of_day=True)
    assert end.isoformat() == "2026-11-20T23:59:59.999999+00:00"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-01",
        "2026-02-30",
        "20/11/2026",
        "2026-11-20T25:00",
        "1763634600",
        "2026-11-20T14:30+25:00",
        "-2 days ago",
        "two days ago",
        "\u0662 days ago",
        "999999 weeks ago",
        "99999 weeks ago and more",
        "2026-W47",
        "9999-12-31T23:59-01:00",
        "0001-01-01T00:00+01:00",
        "2026-11-20\n; x",
    ],
)
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(RequestError, match="is no time") as caught:
        moment(text, NOW, option="--at")
    assert caught.value.where == "--at"


def test_the_error_shows_what_was_typed_in_short() -> None:
    with pytest.raises(RequestError) as caught:
        moment("\x1b[31m" + "9" * 500, NOW, option="--at")
    assert len(caught.value.what) < 100
    assert "\x1b" not in caught.value.what
