"""Every metric is named, explained and shown."""

from __future__ import annotations

import pytest

from webhook.counters import METRICS, STATES, Counters, PublishedCounts, exposition
from webhook.queue import Row


def row(key: str, state: str) -> Row:
    return Row(key, state, "event", "", 0, "", None, None, None, None)


def test_counts_start_at_zero_and_grow() -> None:
    counters = Counters()
    assert set(counters.read().values()) == {0}
    counters.add("runs")
    counters.add("runs")
    assert counters.read()["runs"] == 2


def test_an_unknown_name_is_a_mistake_in_the_program() -> None:
    with pytest.raises(KeyError):
        Counters().add("walks")


def test_the_exposition_explains_each_metric_once() -> None:
    counters = Counters()
    counters.add("events")
    text = exposition(counters.read(), [row("a", "idle"), row("b", "idle"), row("c", "dead")])
    lines = text.splitlines()
    assert text.endswith("\n")
    assert "mlflow_gitops_events_total 1" in lines
    assert 'mlflow_gitops_models{state="idle"} 2' in lines
    assert 'mlflow_gitops_models{state="dead"} 1' in lines
    assert 'mlflow_gitops_models{state="running"} 0' in lines
    assert sum(line.startswith("# TYPE ") for line in lines) == len(METRICS) + 1
    assert len(lines) == 3 * len(METRICS) + 2 + len(STATES)


def test_what_is_published_is_counted() -> None:
    counters = Counters()
    progress = PublishedCounts(counters)
    progress.start("s3://bucket/fraud/v1/", 2, 30)
    progress.advance(10, file="a")
    progress.advance(20, file="b")
    progress.done("a")
    progress.finish()
    counts = counters.read()
    assert (counts["published_bytes"], counts["published_files"]) == (30, 1)
