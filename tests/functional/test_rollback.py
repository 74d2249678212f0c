"""Going back to an older version on real parts: checked first, then one commit."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.stack import Stack

Names = Callable[[str], str]


def promote(stack: Stack, model: str, number: str) -> str:
    stack.registry.transition(model, number, "Production", archive_existing=True)
    commit = stack.reconcile(model)["production"].commit
    assert commit == stack.head()
    return commit


@pytest.mark.slow
def test_back_to_the_version_before_and_no_further(stack: Stack, names: Names) -> None:
    model = names("fraud")
    for number in ("1", "2"):
        stack.registry.register(model)
        bad = promote(stack, model, number)
    ask = ("rollback", model, "-e", "production")

    dry = stack.cli(*ask, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "2 -> 1: would be committed to main" in dry.stdout
    assert stack.head() == bad

    done = stack.cli(*ask, "--reason", "false alarms", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["before"], answer["after"], answer["commit"]) == ("2", "1", stack.head())
    message = stack.git("log", "-1", "--format=%B", "main")
    assert f"Undoes: {bad}" in message
    assert "false alarms" in message
    assert stack.version("production", model) == "1"
    head = stack.head()
    assert stack.cli("reconcile", model).returncode == 0
    assert stack.head() == head, "it stays"

    for more, says in (
        ((), "Git has no version of"),
        (("--to", "9"), "no version 9"),
        (("--to", "3"), "no version 3"),
    ):
        refused = stack.cli(*ask, *more)
        assert refused.returncode == 1
        assert says in refused.stderr
        assert "next: " in refused.stderr
        assert "Traceback" not in refused.stderr
    assert stack.head() == head
    misspelt = stack.cli("rollback", f"{model}x", "-e", "production")
    assert f"did you mean `production/{model}`" in misspelt.stderr


def test_a_version_whose_bytes_changed_is_not_gone_back_to(stack: Stack, names: Names) -> None:
    model = names("fraud")
    for number in ("1", "2"):
        stack.registry.register(model)
        head = promote(stack, model, number)
    key = f"{model}/v1/model.pkl"
    content = stack.objects()[key]
    client = stack.s3.client()
    client.delete_object(Bucket=stack.bucket, Key=key)
    client.put_object(Bucket=stack.bucket, Key=key, Body=bytes(reversed(content)))
    refused = stack.cli("rollback", model, "-e", "production")
    assert refused.returncode == 1
    assert "other bytes than were sealed" in refused.stderr
    assert stack.head() == head
    assert "gitops.request.production" not in stack.registry.tags(model, "1")
