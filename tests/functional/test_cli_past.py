"""`why` and `drift` beside a registry: the tool's own commits, and whether it asks for more."""

from __future__ import annotations

import json
from typing import Any

from tests.support.stack import Stack


def why(stack: Stack, model: str, *args: str) -> Any:
    done = stack.cli("why", model, "-e", "staging", "--json", *args)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["services"]
    return found


def test_a_real_delivery_is_answered_whole(stack: Stack, names: Any) -> None:
    model = names("why")
    stack.registry.register(model)
    stack.registry.transition(model, "1", "Staging")
    made = stack.reconcile(model)["staging"]
    found = why(stack, model)
    change = found["change"]
    assert (change["commit"], change["change"], change["notes"]) == (made.commit, "delivery", [])
    assert made.revision is not None
    assert (change["digest"], change["after"]["uri"]) == (made.revision.digest, made.revision.uri)
    assert change["request"]
    assert found["drift"]["kind"] == "none"

    stack.person_reverts()
    found = why(stack, model)
    assert (found["stands"], found["change"]["change"]) == (None, "revert")
    assert found["drift"]["kind"] == "held"
    assert made.commit[:12] in found["hold"]
    alone = why(stack, model, "--no-registry")
    assert (alone["drift"], alone["change"]) == (None, found["change"])

    nowhere = stack.cli("why", model, "--json", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert nowhere.returncode == 0
    assert "the registry cannot be asked" in nowhere.stderr
    assert {each["drift"] for each in json.loads(nowhere.stdout)["services"]} == {None}
