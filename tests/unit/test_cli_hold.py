"""`hold list` and `hold clear` over parts in memory: who holds what, and what a request ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlflow_gitops import decided
from tests.support.memory_session import Parts

LEAF = "models/overlays/production/fraud/model-version.yaml"
TOP = "models/overlays/production/kustomization.yaml"
WHY = "alarms all night"


@pytest.fixture
def parts() -> Parts:
    """fraud 1, then 2, in production; 3 is registered."""
    made = Parts()
    for _ in range(3):
        made.register("fraud")
    for version in ("1", "2"):
        made.registry.transition("fraud", version, "Production")
        assert made.cli("reconcile").exit_code == 0
    return made


def delivered(parts: Parts) -> str:
    return parts.repository.remote["main"]


def reverted(parts: Parts) -> str:
    commit = parts.repository.revert(delivered(parts))
    made = parts.repository.commits[commit]
    message = f"{made.message}\n{WHY}\n"
    parts.repository.force("main", made.parent)
    return parts.repository.person_commits(made.files, message)


def holds(parts: Parts, *args: str) -> list[dict[str, Any]]:
    result = parts.cli("hold", "list", "--json", *args)
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["holds"]
    return found


def told(parts: Parts, version: str) -> dict[str, Any]:
    tags = parts.registry.snapshot("fraud").version(version)
    assert tags is not None
    found: dict[str, Any] = json.loads(tags.tags["gitops.status.production"])
    return found


def test_a_revert_is_listed_with_who_when_and_why(parts: Parts) -> None:
    ours = delivered(parts)
    commit = reverted(parts)
    (found,) = holds(parts)
    assert found["kind"] == "reverted"
    assert (found["wanted"], found["stands"]["version"]) == ("2", "1")
    assert (found["by"], found["commit"], found["why"]) == ("Grace", commit, WHY)
    assert found["undoes"] == ours
    assert found["at"].startswith("2026-01-01T00:")
    line = parts.cli("hold", "list").stdout.splitlines()[1]
    for text in ("production/fraud", "version 2", "version 1", "Grace", WHY, commit[:12]):
        assert text in line
    assert "mlflow-gitops hold clear fraud -e production" in line
    assert holds(parts, "-e", "staging") == []


def test_both_versions_are_told_and_nothing_is_written_twice(parts: Parts) -> None:
    commit = reverted(parts)
    parts.cli("reconcile")
    after = parts.written()
    for _ in range(10):
        result = parts.cli("reconcile")
        assert (result.exit_code, parts.written()) == (0, after)
    assert delivered(parts) == commit
    said = f'reverted by Grace at {holds(parts)[0]["at"]} in {commit[:12]}: "{WHY}"'
    assert (told(parts, "2")["state"], told(parts, "1")["state"]) == ("held", "held")
    assert told(parts, "2")["message"].endswith(f"; {said}")
    assert told(parts, "1")["message"] == f"it stands in Git, since version 2 was {said}"
    assert "\n" not in told(parts, "2")["message"]


def test_clear_delivers_what_was_held_and_the_commit_says_so(parts: Parts) -> None:
    commit = reverted(parts)
    before = parts.written()
    foreseen = parts.cli("hold", "clear", "fraud", "-e", "production", "--dry-run")
    assert (foreseen.exit_code, parts.written()) == (0, before), foreseen.output
    assert '+    model-version: "2"' in foreseen.stdout
    words = ("hold", "clear", "fraud", "-e", "production", "--reason", "fixed", "--json")
    result = parts.cli(*words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["commit"] == delivered(parts)
    assert parts.version("production", "fraud") == "2"
    message = " ".join(parts.repository.log()[0].split())
    assert "> fixed" in message
    assert "A hold was in force: version 2 was reverted by Grace at 2026-01-01T00:" in message
    assert f'in {commit[:12]}: "{WHY}"; version 1 stood since.' in message
    assert holds(parts) == []
    assert (told(parts, "2")["state"], told(parts, "1")["state"]) == ("committed", "superseded")


def test_a_later_version_says_that_a_hold_was_in_force_once(parts: Parts) -> None:
    reverted(parts)
    parts.register("fraud")
    for version, count in (("3", 1), ("4", 0)):
        parts.registry.transition("fraud", version, "Production")
        assert parts.cli("reconcile").exit_code == 0
        assert parts.version("production", "fraud") == version
        assert parts.repository.log()[0].count("A hold was in force") == count
    after = parts.written()
    assert parts.cli("reconcile").exit_code == 0
    assert parts.written() == after


def test_a_pin_and_a_retirement_by_hand(parts: Parts) -> None:
    text = parts.repository.files()[LEAF]
    pinned = text.replace("v2/", "v3/").replace('"2"', '"3"')
    parts.repository.person_commits({LEAF: pinned}, "Try 3 for the demo\n\nOnly today.")
    (found,) = holds(parts)
    assert (found["kind"], found["why"]) == ("pinned", "Try 3 for the demo")
    listed = parts.repository.files()[TOP]
    rest = "".join(x for x in listed.splitlines(keepends=True) if "fraud" not in x)
    folder = LEAF.rpartition("/")[0]
    files = {path: None for path in parts.repository.files() if path.startswith(f"{folder}/")}
    parts.repository.person_commits({**files, TOP: rest}, "Stop it")
    (found,) = holds(parts)
    assert (found["kind"], found["stands"], found["why"]) == ("retired", None, "Stop it")
    assert parts.cli("hold", "clear", "fraud", "-e", "production").exit_code == 0
    assert parts.version("production", "fraud") == "2"


def test_commits_beside_the_service_and_broken_ones_are_not_the_decision(parts: Parts) -> None:
    text = parts.repository.files()[LEAF]
    pinned = text.replace("v2/", "v1/").replace('"2"', '"1"')
    commit = parts.repository.person_commits({LEAF: pinned}, "Pin 1")
    parts.repository.person_commits({LEAF: pinned + "  }: broken"}, "Break it")
    parts.repository.person_commits({LEAF: pinned}, "Mend it")
    parts.repository.person_commits({LEAF: "# why not\n" + pinned, "README.md": "x"}, "Comment")
    (found,) = holds(parts)
    assert (found["commit"], found["why"]) == (commit, "Pin 1")


def with_comment(parts: Parts, reason: str) -> str:
    text = parts.repository.files()[LEAF]
    uri = next(line for line in text.splitlines() if "storageUri:" in line)
    held = text.replace(uri, f"{uri} # mlflow-gitops: hold {reason}")
    return parts.repository.person_commits({LEAF: held}, f"Hold it: {reason}")


def test_a_comment_is_ended_where_it_stands(parts: Parts) -> None:
    commit = with_comment(parts, "audit")
    (found,) = holds(parts)  # it holds against what is not asked for yet
    assert (found["kind"], found["wanted"], found["commit"]) == ("comment", "2", commit)
    parts.registry.transition("fraud", "3", "Production")
    parts.cli("reconcile")
    (found,) = holds(parts)
    assert (found["wanted"], found["by"], found["why"]) == ("3", "Grace", "Hold it: audit")
    line = found["comment"]["line"]
    assert found["comment"] == {"file": LEAF, "line": line, "reason": "audit"}
    before = parts.written()
    result = parts.cli("hold", "clear", "fraud", "-e", "production")
    assert (result.exit_code, parts.written()) == (1, before)
    assert f"remove the comment `mlflow-gitops: hold` at {LEAF}:{line}" in result.stderr
    assert told(parts, "1")["state"] == "superseded", "what stands is as it was delivered"


def test_a_canary_is_ended_in_git(parts: Parts) -> None:
    text = parts.repository.files()[LEAF]
    canary = text.replace("  predictor:\n", "  predictor:\n    canaryTrafficPercent: 10\n")
    commit = parts.repository.person_commits({LEAF: canary}, "A tenth of it")
    (found,) = holds(parts)
    assert (found["kind"], found["commit"], found["wanted"]) == ("canary", commit, "2")
    result = parts.cli("hold", "clear", "fraud", "-e", "production")
    assert result.exit_code == 1
    assert "finish or remove the canary in Git" in result.stderr


def test_what_is_not_held_cannot_be_cleared(parts: Parts) -> None:
    before = parts.written()
    result = parts.cli("hold", "clear", "fraud", "-e", "production", "--json")
    assert result.exit_code == 1
    error = json.loads(result.stdout)["error"]
    assert (error["what"], error["where"]) == ("nothing is held", "production/fraud")
    assert parts.written() == before
    assert parts.cli("hold", "list").stdout == "Nothing is held.\n"


@pytest.mark.parametrize(
    ("args", "code", "what"),
    [
        (["clear", "fraud"], 2, "--environment"),
        (["clear", "-e", "production"], 2, "MODEL"),
        (["clear", "fraud", "-e", "prodution"], 1, "did you mean `production`?"),
        (["clear", "frad", "-e", "production"], 1, "frad"),
        (["clear", "fraud", "-e", "production", "--reason", "a\x1bb"], 1, "control character"),
        (["list", "-e", "prodution"], 1, "did you mean `production`?"),
        (["end"], 2, "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_use_is_a_clear_message(parts: Parts, args: list[str], code: int, what: str) -> None:
    reverted(parts)
    before = parts.written()
    result = parts.cli("hold", *args)
    assert result.exit_code == code, result.output
    assert what in result.stderr
    assert parts.written() == before


def test_texts_of_people_stay_texts(parts: Parts) -> None:
    commit = parts.repository.revert(delivered(parts))
    made = parts.repository.commits[commit]
    parts.repository.force("main", made.parent)
    evil = f"{made.message}\n\ncloses #1 @all <img src=x>\u202e\n[x](http://evil)\n"
    parts.repository.person_commits(made.files, evil)
    parts.registry.transition("fraud", "3", "Production")
    assert parts.cli("reconcile").exit_code == 0
    message = parts.repository.log()[0]
    assert "A hold was in force" in message
    for act in ("#1", "@all", "<img", "](", "://evil", "\u202e"):
        assert act not in message
    for key in ("Gitops-Service", "Model-Version"):
        assert message.count(f"\n{key}: ") == 1


def test_a_rejected_pull_request_is_a_hold_and_the_next_one_says_so(parts: Parts) -> None:
    parts.by_pull_requests()
    parts.registry.transition("fraud", "3", "Production")
    parts.cli("reconcile")
    (pull,) = parts.forge.opened()
    assert holds(parts) == []
    parts.forge.close(pull.number, by="rita", comment="not on a Friday @all")
    parts.cli("reconcile")
    (found,) = holds(parts)
    assert (found["kind"], found["wanted"], found["stands"]["version"]) == ("rejected", "3", "2")
    assert (found["by"], found["why"]) == ("rita", "not on a Friday @ all")
    assert found["pull-request"] == f"#{pull.number}"
    result = parts.cli("hold", "clear", "fraud", "-e", "production", "--reason", "it is Monday")
    assert result.exit_code == 0, result.output
    (again,) = parts.forge.opened()
    assert again.number != pull.number
    assert "A hold was in force: version 3 was rejected by rita" in again.body
    message = " ".join(parts.repository.commits[again.head].message.split())
    assert f'(pull request # {pull.number}): "not on a Friday @ all"; version 2 stood' in message
    assert holds(parts) == []


def test_a_merged_pull_request_that_is_reverted_is_a_hold(parts: Parts) -> None:
    parts.by_pull_requests()
    parts.registry.transition("fraud", "3", "Production")
    parts.cli("reconcile")
    (pull,) = parts.forge.opened()
    merge = parts.forge.merge(pull.number)
    commit = parts.repository.revert(merge)
    parts.cli("reconcile")
    (found,) = holds(parts)
    assert (found["kind"], found["commit"], found["undoes"]) == ("reverted", commit, merge)
    assert (told(parts, "3")["state"], told(parts, "2")["state"]) == ("held", "held")


def test_a_walk_that_ends_too_early_says_so(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    reverted(parts)
    for number in range(2):
        parts.repository.person_commits({"README.md": str(number)})
    monkeypatch.setattr(decided, "COMMITS_READ", 2)
    (found,) = holds(parts)
    assert (found["kind"], found["by"], found["commit"]) == ("pinned", "", "")
    parts.cli("reconcile")
    assert told(parts, "2")["message"].endswith(
        "changed by hand: who did it was not found in the last 2 commits"
    )


def test_who_holds_it_is_looked_for_again_only_where_its_files_changed(parts: Parts) -> None:
    """In a process that goes on: another person's same decision is told, too."""
    observer = parts.session().observer

    def found() -> tuple[str, str]:
        settings, snapshot = observer.read("fraud")
        environment = settings.environments["production"]
        plan = observer.view(snapshot, environment, settings, recover=True).plan
        assert plan.decision is not None
        return plan.decision.commit, plan.decision.why

    text = parts.repository.files()[LEAF]
    pinned = text.replace("v2/", "v1/").replace('"2"', '"1"')
    first = parts.repository.person_commits({LEAF: pinned}, "Pin 1")
    assert found() == found() == (first, "Pin 1")
    parts.repository.person_commits({"README.md": "more"}, "Beside it")
    assert found() == (first, "Pin 1")
    parts.repository.person_commits({LEAF: "# a note\n" + pinned}, "A note")
    assert found() == (first, "Pin 1")
    parts.repository.person_commits({LEAF: text}, "Back to 2")
    second = parts.repository.person_commits({LEAF: pinned}, "Pin 1 again")
    assert found() == (second, "Pin 1 again")
