"""`mlflow-gitops diff`: the evidence without a forge, for every state that a service can be in."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.memory_session import FILES, Parts

MODEL = "fraud-detector"


@pytest.fixture
def parts() -> Parts:
    """Version 1 runs in production, by commits; version 2 has another dependency."""
    made = Parts()
    made.register(MODEL)
    made.register(MODEL, files={**FILES, "requirements.txt": b"mlflow==3.17\n"})
    made.registry.transition(MODEL, "1", "Production")
    made.session().reconciler.reconcile(MODEL)
    return made


def test_a_version_is_compared_with_the_committed_one(parts: Parts) -> None:
    before = parts.written()
    result = parts.cli("diff", MODEL, "-e", "production", "--version", "2")
    assert result.exit_code == 0, result.output
    assert "version  1" in result.stdout
    assert '-    model-version: "1"' in result.stdout
    assert "rollback fraud-detector -e production --to 1" in result.stdout
    found = json.loads(
        parts.cli("diff", MODEL, "-e", "production", "--version", "2", "--json").stdout
    )
    assert (found["stands"], found["evidence"]["after"]["version"]) == ("1", "2")
    assert found["evidence"]["dependencies"]["unknown"] == "of the committed version: it names none"
    text = parts.cli("diff", MODEL, "-e", "production", "--version", "2", "--markdown").stdout
    assert text.startswith("**`fraud-detector` in `production`: version `1` -> `2`.")
    assert parts.written() == before


def test_of_a_first_version_everything_is_shown(parts: Parts) -> None:
    signature = b'signature:\n  inputs: \'[{"name": "amount", "type": "double"}]\'\n'
    files = {
        **FILES,
        "MLmodel": FILES["MLmodel"] + signature,
        "requirements.txt": b"mlflow==3.17\n",
    }
    parts.register(MODEL, files=files)
    shown = parts.cli("diff", MODEL, "-e", "staging", "--version", "3")
    assert shown.exit_code == 0, shown.output
    assert "inputs and outputs: 1 in all" in shown.stdout
    assert re.search(r"input amount +- +double", shown.stdout)
    assert re.search(r"mlflow +- +==3.17", shown.stdout)
    text = parts.cli("diff", MODEL, "-e", "staging", "--version", "3", "--markdown").stdout
    assert "| `input amount` | `double` |" in text
    assert "| `mlflow` | `==3.17` |" in text
    assert "the service is then removed" in text


@pytest.mark.parametrize("content", [b"a" * 70_000, b"mlflow==3.17 # \xff\n"])
def test_dependencies_that_cannot_be_shown_are_not_said_to_be_none(
    parts: Parts, content: bytes
) -> None:
    parts.register(MODEL, files={**FILES, "requirements.txt": content})
    shown = parts.cli("diff", MODEL, "-e", "production", "--version", "3", "--json").stdout
    assert (
        "no text or have more than 64 KiB"
        in json.loads(shown)["evidence"]["dependencies"]["unknown"]
    )


def test_what_is_selected_is_compared_by_default(parts: Parts) -> None:
    same = parts.cli("diff", MODEL, "-e", "production")
    assert (same.exit_code, "nothing would change" in same.stdout) == (0, True)
    nothing = json.loads(parts.cli("diff", MODEL, "-e", "production", "--json").stdout)
    assert (nothing["stands"], nothing["evidence"]) == ("1", None)
    parts.registry.transition(MODEL, "1", "Archived")
    parts.registry.transition(MODEL, "2", "Production")
    assert 'model-version: "2"' in parts.cli("diff", MODEL, "-e", "production").stdout


def test_what_waits_or_is_held_is_compared_too(parts: Parts) -> None:
    parts.by_pull_requests()
    parts.registry.transition(MODEL, "1", "Archived")
    parts.registry.transition(MODEL, "2", "Production")
    parts.session().reconciler.reconcile(MODEL)
    waiting = parts.cli("diff", MODEL, "-e", "production").stdout
    assert "pull request #1 is open" in waiting
    assert 'model-version: "2"' in waiting
    parts.forge.close(1, comment="not now")
    parts.session().reconciler.reconcile(MODEL)
    rejected = json.loads(parts.cli("diff", MODEL, "-e", "production", "--json").stdout)
    assert rejected["state"] == "rejected"
    assert rejected["evidence"]["after"]["version"] == "2"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("nope", "-e", "production"), "no registered model `nope`"),
        ((MODEL, "-e", "prod"), "no environment `prod`"),
        ((MODEL, "-e", "production", "--version", "9"), "no version 9"),
        ((MODEL,), "Missing option"),
        ((MODEL, "-e", "production", "--json", "--markdown"), "--markdown or --json"),
    ],
)
def test_what_is_wrong_is_told(parts: Parts, args: tuple[str, ...], words: str) -> None:
    result = parts.cli("diff", *args)
    assert result.exit_code in (1, 2)
    assert words in result.stderr
    assert "Traceback" not in result.output
