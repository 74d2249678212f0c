"""A Git server whose hooks check the commits' messages: the command, on real Git."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.git import install_hook
from tests.support.stack import Stack

pytestmark = pytest.mark.slow

EACH = 'while read old new ref; do case $old in 0000*) range=$new;; *) range="$old..$new";; esac\n'
SUBJECT = (
    f"{EACH}git log --format=%s $range | grep -qE '^(feat|fix|chore)(\\(.+\\))?: .*[A-Z]+-[0-9]+' "
    '|| { echo "GL-HOOK-ERR: commit message does not follow the pattern"; exit 1; }; done'
)
SIGNED_OFF = (
    f"{EACH}git log --format=%B $range | grep -q '^Signed-off-by: .* <.*@.*>$' "
    '|| { echo "every commit needs a Signed-off-by line (DCO)" >&2; exit 1; }; done'
)
TICKET = (
    f"{EACH}git log --format='%(trailers:key=Ticket,valueonly)' $range | grep -qE '^[A-Z]+-[0-9]+' "
    '|| { echo "GitLab: Commit message needs the trailer Ticket" >&2; exit 1; }; done'
)
FROZEN = "echo 'GitLab: You are not allowed to push code to protected branches.' >&2; exit 1"
MESSAGE = "a hook of the Git server refused the commit's message"


@pytest.fixture
def model(stack: Stack, names: Callable[[str], str]) -> str:
    """Version 1 is asked for, with a ticket."""
    name = names("fraud")
    stack.registry.register(name)
    stack.registry.set_tag(name, "1", "ticket", "ABC-1")
    stack.registry.transition(name, "1", "Production")
    return name


@pytest.mark.parametrize(
    ("hook", "words", "commits", "line"),
    [
        (
            SUBJECT,
            "GL-HOOK-ERR: commit message does not follow the pattern",
            '{subject: "feat({environment}): {tag:ticket} {action} {model} {version}"}',
            "feat(production): ABC-1 deploy {model} 1",
        ),
        (
            SIGNED_OFF,
            "every commit needs a Signed-off-by line (DCO)",
            "{sign-off: true, committer: Deploy Bot <bot@example.com>}",
            "Signed-off-by: Deploy Bot <bot@example.com>",
        ),
        (
            TICKET,
            "Commit message needs the trailer Ticket",
            '{trailers: {Ticket: "{tag:ticket}"}}',
            "Ticket: ABC-1",
        ),
    ],
)
def test_a_hook_is_quoted_and_a_setting_satisfies_it(
    stack: Stack, model: str, hook: str, words: str, commits: str, line: str
) -> None:
    install_hook(stack.bare, "pre-receive", hook)
    refused = stack.cli("reconcile", model)
    assert refused.returncode == 1
    assert MESSAGE in refused.stderr + refused.stdout
    told = stack.status(model, "1", "production")["message"]
    for text in (words, MESSAGE, "commits.subject", "commits.trailers", "commits.sign-off"):
        assert text in told
    assert "bypass" not in told
    (stack.bare / "hooks/pre-receive").unlink()
    settings = stack.file("mlflow-gitops.yaml")
    stack.person_writes({"mlflow-gitops.yaml": f"{settings}\ncommits: {commits}\n"})
    install_hook(stack.bare, "pre-receive", hook)
    done = stack.cli("reconcile", model)
    assert done.returncode == 0, done.stderr
    assert stack.version("production", model) == "1"
    message = stack.git("log", "-1", "--format=%B", "main")
    assert line.format(model=model) in message.splitlines()
    assert "Gitops-Service" in stack.git("log", "-1", "--format=%(trailers:only)", "main")


def test_history_does_not_read_the_subject(stack: Stack, model: str) -> None:
    settings = stack.file("mlflow-gitops.yaml")
    style = 'commits: {subject: "chore: {tag:ticket}", sign-off: true}'
    stack.person_writes({"mlflow-gitops.yaml": f"{settings}\n{style}\n"})
    assert stack.cli("reconcile", model).returncode == 0
    made, where = stack.head(), ("-e", "production")
    why = stack.cli("why", model, *where)
    assert made in why.stdout, why.stderr
    history = json.loads(stack.cli("history", model, *where, "--json").stdout)
    assert [(c["commit"], c["change"]) for c in history["changes"]] == [(made, "delivery")]
    audit = stack.cli("audit", "--from", "2020-01-01", "--to", "2100-01-01", *where)
    assert made[:12] in audit.stdout, audit.stderr
    stack.person_reverts()
    assert stack.cli("reconcile", model).returncode == 0
    assert stack.version("production", model) == ""
    assert stack.status(model, "1", "production")["state"] == "held"


def test_a_protected_branch_keeps_its_next_step(stack: Stack, model: str) -> None:
    install_hook(stack.bare, "pre-receive", FROZEN)
    assert stack.cli("reconcile", model).returncode == 1
    told = stack.status(model, "1", "production")["message"]
    assert "let this tool's identity bypass the protection of the branch" in told
    assert "commits.subject" not in told


def test_an_update_hook_counts_too_and_its_words_are_bounded(stack: Stack, model: str) -> None:
    install_hook(
        stack.bare, "update", "seq -f 'line %g: no issue key in the message' 900 >&2; exit 1"
    )
    assert stack.cli("reconcile", model).returncode == 1
    told = stack.status(model, "1", "production")["message"]
    assert MESSAGE in told
    assert len(told) < 1500


def test_what_the_registry_says_makes_no_trailer(stack: Stack, model: str) -> None:
    stack.registry.set_tag(model, "1", "ticket", "x\n\nSigned-off-by: Eve <e@x>\nfixes ABC-9 @all")
    settings = stack.file("mlflow-gitops.yaml")
    style = 'commits: {subject: "{tag:ticket}", trailers: {Ticket: "{tag:ticket}"}}'
    stack.person_writes({"mlflow-gitops.yaml": f"{settings}\n{style}\n"})
    install_hook(stack.bare, "pre-receive", SIGNED_OFF)
    assert stack.cli("reconcile", model).returncode == 1
    (stack.bare / "hooks/pre-receive").unlink()
    assert stack.cli("reconcile", model).returncode == 0
    subject = stack.git("log", "-1", "--format=%s", "main")
    trailers = stack.git("log", "-1", "--format=%(trailers:only,unfold)", "main")
    assert subject == "x Signed-off-by: Eve < e@x> fixes ABC- 9 @ all"
    assert "Ticket: x Signed-off-by: Eve < e@x> fixes ABC- 9 @ all" in trailers.splitlines()
    assert not [line for line in trailers.splitlines() if line.startswith("Signed-off-by")]
