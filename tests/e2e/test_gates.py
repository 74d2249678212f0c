"""A metric below its threshold holds a promotion back, and never the way back. All of it real."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.stack import Stack

pytestmark = pytest.mark.slow

GATES = "    gates: {metrics: {accuracy: {min: 0.9, worse-by: 2%}}}\n"


def trained(stack: Stack, model: str, accuracy: float) -> tuple[str, str]:
    """A version in Production and its run."""
    client = stack.registry.client
    run = client.create_run("0").info.run_id
    client.log_metric(run, "accuracy", accuracy)
    number = stack.registry.register(model, run_id=run)
    stack.registry.transition(model, number, "Production", archive_existing=True)
    return number, run


def test_a_metric_below_its_threshold_and_the_way_back(
    stack: Stack, names: Callable[[str], str]
) -> None:
    model = names("fraud")
    stack.edit_settings("  production:\n", f"  production:\n{GATES}")
    trained(stack, model, 0.95)
    assert stack.reconcile(model)["production"].commit == stack.head()

    number, run = trained(stack, model, 0.8)
    head, published = stack.head(), set(stack.objects())
    assert stack.reconcile(model)["production"].error is not None
    assert (stack.head(), set(stack.objects())) == (head, published)
    told = stack.status(model, number, "production")
    assert told["state"] == "failed"
    assert "accuracy is 0.8 (committed: 0.95), and has to be at least 0.9" in told["message"]
    assert "may be worse by 2% at most" in told["message"]
    planned = json.loads(stack.cli("plan", model, "-e", "production", "--json").stdout)
    assert planned["services"][0]["gates"][3]["verdict"] == "failed"

    stack.registry.client.log_metric(run, "accuracy", 0.94)
    assert stack.reconcile(model)["production"].error is None
    assert stack.version("production", model) == number

    stack.registry.client.delete_run(stack.registry.client.get_model_version(model, "1").run_id)
    back = stack.cli("rollback", model, "-e", "production")
    assert back.returncode == 0, back.stderr
    assert stack.version("production", model) == "1"
