"""Who approved and merged, and what is proposed: from the forge, and what Git alone has of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.git import git
from tests.support.github_server import TOKEN, GitHubServer, Pull, github_server
from tests.support.past_world import PastWorld, make_past_world

BRANCH = "mlflow-gitops/production/fraud"
AUDIT = ("audit", "--from", "1 day ago", "--to", "0 days ago")


@pytest.fixture
def world(tmp_path: Path) -> PastWorld:
    world = make_past_world(tmp_path / "ml")
    world.deliver("1")
    return world


@pytest.fixture
def github(
    world: PastWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GitHubServer]:
    """Version 2 is proposed as #1, and Rita approved it."""
    with github_server(world.bare, tmp_path / "people") as server:
        text = git("show", "main:mlflow-gitops.yaml", cwd=world.bare)
        forge = f"\nforge: {{kind: github, url: {server.url}}}\n"
        world.person.commits({"mlflow-gitops.yaml": f"{text}\n{forge}"}, "Name the forge")
        git("update-ref", f"refs/heads/{BRANCH}", "refs/heads/main", cwd=world.bare)
        files, message = world.delivery("2", before="1")
        head = server.person(BRANCH).commits(files, message)
        server.pulls.append(Pull(1, "production: fraud v1 -> v2", "", BRANCH, "main", head=head))
        server.review(1, "APPROVED", by="rita")
        world.environ["MLFLOW_GITOPS_FORGE_TOKEN"] = TOKEN
        yield server


def test_what_is_proposed_is_told(world: PastWorld, github: GitHubServer) -> None:
    proposed = world.why()["proposed"]
    assert (proposed["version"], proposed["pull-request"], proposed["approvers"]) == (
        "2",
        1,
        ["rita"],
    )
    assert world.run("why", "fraud", "--no-forge").exit_code == 0
    alone = world.why("--no-forge")["proposed"]
    assert (alone["version"], alone["commit"], alone["pull-request"]) == (
        "2",
        proposed["commit"],
        None,
    )
    text = world.run("why", "fraud", "-e", "production").stdout
    assert "version 2 by pull request 1, approved by rita: https://" in text
    github.close(1)
    assert world.why()["proposed"] is None
    assert world.why("--no-forge")["proposed"]["version"] == "2"


@pytest.mark.parametrize("how", ["merge", "squash"])
def test_who_approved_and_merged_is_told(world: PastWorld, github: GitHubServer, how: str) -> None:
    made = github.merge(1, by="raj", how=how)
    found = world.why()
    change = found["change"]
    assert (change["commit"], change["merger"], change["approvers"]) == (made, "raj", ["rita"])
    assert (change["pull-request"], change["pull-request-url"][-7:]) == ("#1", "/pull/1")
    assert found["proposed"] is None
    assert world.why("--no-forge")["proposed"] is None
    (newest, *_) = world.json(*AUDIT)["changes"]
    assert newest == change == world.changes()[0]
    assert "rita,raj" in world.run(*AUDIT, "--csv").stdout


def test_the_forge_is_asked_once(world: PastWorld, github: GitHubServer) -> None:
    github.merge(1, by="raj")
    world.why()
    asked = len(github.seen)
    assert world.changes("--limit", "1")[0]["merger"] == "raj"
    assert len(github.seen) == asked


def test_an_approval_of_an_older_commit_is_no_approval(
    world: PastWorld, github: GitHubServer
) -> None:
    github.person(BRANCH).commits({"notes.md": "one more\n"}, "Add a note")
    github.merge(1, by="raj", how="squash")
    change = world.why()["change"]
    assert (change["approvers"], change["merger"]) == ([], "raj")
    assert "rita approved an older commit of it" in change["notes"]


@pytest.mark.parametrize("how", ["merge", "squash"])
def test_an_approval_counts_where_only_the_base_came_since(
    world: PastWorld, github: GitHubServer, how: str
) -> None:
    world.person.commits({"docs/x.md": "x"}, "Write")
    github.update_branch(1)
    assert world.why()["proposed"]["approvers"] == ["rita"]
    github.merge(1, by="raj", how=how)
    assert (world.why()["change"]["approvers"], world.why()["change"]["notes"]) == (["rita"], [])


def test_git_answers_where_the_forge_does_not(world: PastWorld, github: GitHubServer) -> None:
    github.merge(1, by="raj")
    github.answers += [(401, {}, '{"message": "Bad credentials"}')] * 3
    result = world.run("why", "fraud", "-e", "production")
    assert result.exit_code == 0
    assert "Warning: the forge cannot be asked: the forge refuses the token" in result.stderr
    assert TOKEN not in result.output
    assert "#1" in result.stdout  # the merge commit's words
    assert len(github.answers) == 2
    without = world.json("why", "fraud", "-e", "production", "--no-forge")["services"][0]["change"]
    assert (without["merger"], without["approvers"]) == ("Grace <grace@example.com>", [])
    away = world.run(*AUDIT, MLFLOW_GITOPS_FORGE_TOKEN="")
    assert (away.exit_code, away.stderr) == (0, "")
