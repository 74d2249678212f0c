"""A pull request of ours that was merged in any way is our delivery; a revert, of any form, is one.

Each forge's server merges on real Git as the real one does. A squash has none of our trailers; the
refs of the pull requests are there without a token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_forges import FIRST, SERVERS
from tests.support.forge_host import How, LocalForge
from tests.support.git import git
from tests.support.gitea_server import GiteaServer
from tests.support.gitea_server import Pull as GiteaPull
from tests.support.github_server import GitHubServer, Pull
from tests.support.gitlab_server import GitLabServer, MergeRequest
from tests.support.past_world import LEAF, PastWorld, make_past_world

BRANCH = "mlflow-gitops/production/fraud"
TITLE = "production: fraud v1 -> v2"
NO_FORGE = "--no-forge"
URL = "https://forge.example.com/ml/manifests.git"
LATER = datetime(2030, 1, 10, 12, tzinfo=UTC)


@dataclass
class Merging:
    """Version 1 of a service runs; version 2 is proposed as pull request 1."""

    host: LocalForge
    past: PastWorld
    proposed: str = ""

    def propose(self, branch: str, title: str, number: int) -> None:
        """Open a pull request for a branch that is there."""
        host = self.host
        if isinstance(host, GitHubServer):
            host.pulls.append(Pull(number, title, "", branch, "main", head=host.head(branch)))
        elif isinstance(host, GiteaServer):
            host.pulls.append(GiteaPull(number, title, "", branch, "main", host.now()))
        elif isinstance(host, GitLabServer):
            host.requests.append(MergeRequest(number, title, "", branch, "main", host.now()))
            host._listed(host.requests[-1])

    def branches(self, branch: str, files: Any, message: str) -> str:
        git("update-ref", f"refs/heads/{branch}", "refs/heads/main", cwd=self.past.bare)
        return self.host.person(branch).commits(files, message)

    def says(self, number: int, text: str) -> None:
        if isinstance(self.host, GitLabServer):
            self.host.requests[number - 1].description = text
        elif isinstance(self.host, GitHubServer | GiteaServer):
            self.host.pulls[number - 1].body = text

    def moves_on(self) -> None:
        """The base gets another commit, beside ours in the same file, and our branch is gone."""
        text = git("show", f"main:{LEAF.format('fraud')}", cwd=self.past.bare)
        self.past.person.commits({LEAF.format("fraud"): f"# owned by risk\n{text}\n"}, "Own it")

    def loses_branch(self) -> None:
        git("update-ref", "-d", f"refs/heads/{BRANCH}", cwd=self.past.bare)


@pytest.fixture(params=FIRST)
def merging(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Merging]:
    monkeypatch.setattr("mlflow_gitops.adapters.forge.gitea.BETWEEN", 0.0)
    world = make_past_world(tmp_path / "ml")
    world.deliver("1")
    with SERVERS[request.param](world.bare, tmp_path / "people") as host:
        text = git("show", "main:mlflow-gitops.yaml", cwd=world.bare)
        forge = f"\nforge: {{kind: {host.kind}, url: '{host.url}'}}\n"
        world.person.commits({"mlflow-gitops.yaml": f"{text}\n{forge}"}, "Name the forge")
        made = Merging(host, world)
        files, message = world.delivery("2", before="1")
        made.proposed = made.branches(BRANCH, files, message)
        made.propose(BRANCH, TITLE, 1)
        host.approve(1, by="rita")
        world.environ["MLFLOW_GITOPS_FORGE_TOKEN"] = host.token
        world.environ["MLFLOW_GITOPS_REPOSITORY"] = URL
        elsewhere = tmp_path / "gitconfig"
        elsewhere.write_text(f'[url "{world.bare}"]\n\tinsteadOf = {URL}\n')
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(elsewhere))
        yield made


def one(kind: str) -> pytest.MarkDecorator:
    found = [each for each in FIRST if each.values[0] == kind]
    return pytest.mark.parametrize("merging", found, indirect=True)


WAYS = pytest.mark.parametrize("how", ["merge", "squash", "rebase", "fast-forward"])


@WAYS
def test_it_is_our_delivery_however_it_was_merged(merging: Merging, how: How) -> None:
    world = merging.past
    if how in ("squash", "rebase"):
        merging.moves_on()
    made = merging.host.merge(1, by="raj", how=how)
    merging.loses_branch()
    if how == "squash":
        assert "Gitops-Service" not in git("log", "-1", "--format=%B", made, cwd=world.bare)
    found = world.why()
    for answer in (found, world.why(NO_FORGE)):
        change = answer["change"]
        assert (change["commit"], change["change"]) == (made, "delivery")
        assert (change["run-id"], change["digest"]) == ("run2", "sha256:2")
        assert (change["asked-by"], change["request"], answer["hold"]) == ("ada", "r2", "")
        assert change["after"]["version"] == "2"
        assert how not in ("squash", "merge") or change["made"] == merging.proposed
        assert how not in ("squash", "merge") or change["pull-request"].endswith("1")
    change = found["change"]
    assert change["merger"] == "raj"
    if (merging.host.kind, how) == ("gitlab", "rebase"):  # its head is another one by then
        assert "rita approved an older commit of it" in change["notes"]
    else:
        assert change["approvers"][0] == "rita"
    assert change["pull-request"] in ("#1", "!1")
    assert world.changes()[0] == change
    (newest, *_) = world.json("audit", "--from", "1 day ago", "--to", "0 days ago")["changes"]
    assert newest == change
    world.pins("9")
    assert made[:12] in world.why(NO_FORGE)["hold"]


@one("gitlab")
def test_a_squash_without_a_number_is_found_by_our_branch_or_by_the_forge(
    merging: Merging,
) -> None:
    """GitLab's squash with a fast-forward: its message is the title alone."""
    assert isinstance(merging.host, GitLabServer)
    merging.host.has_merge_commits = False
    made = merging.host.merge(1, how="squash")
    assert git("log", "-1", "--format=%B", made, cwd=merging.past.bare) == TITLE
    alone = merging.past.why(NO_FORGE)["change"]
    assert (alone["commit"], alone["run-id"], alone["made"]) == (made, "run2", merging.proposed)
    assert alone["pull-request"] == ""
    merging.loses_branch()
    for index in merging.past.indexes:
        index.unlink()
    asked = merging.past.why()["change"]
    assert (asked["run-id"], asked["pull-request"]) == ("run2", "!1")


def test_a_person_who_makes_the_same_change_is_no_delivery(merging: Merging) -> None:
    """The pull request is open: nothing says that this is its merge."""
    files, _ = merging.past.delivery("2", before="1")
    merging.past.person.commits(files, "Do it by hand")
    change = merging.past.why()["change"]
    assert (change["change"], change["run-id"], change["pull-request"]) == ("hand edit", "", "")


def test_a_number_with_another_diff_proves_nothing(merging: Merging) -> None:
    merging.host.keeps_head(1, BRANCH)
    merging.past.pins("7", "Something else (#1)")
    change = merging.past.why(NO_FORGE)["change"]
    assert (change["change"], change["run-id"], change["pull-request"]) == ("hand edit", "", "")


def test_refs_that_the_forge_drops_are_kept(merging: Merging) -> None:
    """GitLab drops them two weeks after the merge."""
    merging.host.merge(1, how="squash")
    merging.loses_branch()
    found = merging.past.why(NO_FORGE)["change"]
    ref = f"refs/{merging.host.refs}/1/head"
    git("update-ref", "-d", ref, cwd=merging.past.bare)
    assert found["run-id"] == "run2"
    assert merging.past.why(NO_FORGE)["change"] == found


def test_the_time_is_that_of_the_merge(merging: Merging) -> None:
    """A fast-forward keeps the time of the proposal, weeks before."""
    world, host = merging.past, merging.host
    host.clock = LATER
    host.merge(1, how="fast-forward")
    assert world.why()["change"]["time"][:13] == "2030-01-10T12"
    for until, version in (("2030-01-10T11:59", "1"), ("2030-01-10T12:01", "2")):
        assert world.why("--at", until)["stands"]["version"] == version
    assert world.why("--at", "2030-01-09", NO_FORGE)["stands"]["version"] == "1"  # it was told
    for index in world.indexes:
        index.unlink()
    assert world.why("--at", "2030-01-09", NO_FORGE)["stands"]["version"] == "2"
    then = ("audit", "--from", "2030-01-10", "--to", "2030-01-11", "-e", "production")
    assert [row["after"]["version"] for row in world.json(*then)["changes"]] == ["2"]
    before = ("audit", "--from", "2020-01-01", "--to", "2030-01-09", "-e", "production")
    assert [row["after"]["version"] for row in world.json(*before)["changes"]] == ["1"]


def test_where_only_git_is_asked_a_doubtful_time_is_said(merging: Merging) -> None:
    text = git("show", "main:mlflow-gitops.yaml", cwd=merging.past.bare)
    place = "    path: models/overlays/production\n"
    proposing = text.replace(place, f"{place}    delivery: pull-request\n")
    proposing = proposing.replace("    delivery: commit\n", "", 2)
    merging.past.person.commits({"mlflow-gitops.yaml": f"{proposing}\n"})
    git("update-ref", f"refs/heads/{BRANCH}", "refs/heads/main", cwd=merging.past.bare)
    files, message = merging.past.delivery("2", before="1")
    merging.host.person(BRANCH).commits(files, message)
    merging.host.merge(1, how="fast-forward")
    (note,) = merging.past.why(NO_FORGE)["change"]["notes"]
    assert "its time may be that of the proposal" in note
    assert note not in merging.past.why()["change"]["notes"]


# Reverts

WORDS = "false alarms all night"


def with_git(merging: Merging, landed: str) -> None:
    merging.past.person.updates()
    mainline = ("-m", "1") if is_merge(merging, landed) else ()
    merging.past.person.run("revert", "--no-edit", *mainline, landed)
    said = merging.past.person.run("log", "-1", "--format=%B")
    merging.past.person.run("commit", "--quiet", "--amend", "-m", f"{said}\n\n{WORDS}")
    merging.past.person.pushes()


def back(merging: Merging, landed: str) -> dict[str, str]:
    """The files as they were before."""
    path = LEAF.format("fraud")
    return {path: git("show", f"{landed}^1:{path}", cwd=merging.past.bare) + "\n"}


def by_button(merging: Merging, landed: str) -> None:
    """A commit on the branch, as GitLab and Gitea offer it."""
    if merging.host.kind == "gitea":
        message = git("log", "-1", "--format=%B", landed, cwd=merging.past.bare)
        said = f"revert {landed}\n\n{WORDS}\n\nrevert {message}"
    elif merging.host.kind == "gitlab":
        said = f"Revert \"Merge branch '{BRANCH}' into 'main'\"\n\nThis reverts merge request !1"
        said += f"\n\n{WORDS}"
    else:
        said = f'Revert "{TITLE} (#1)"\n\nReverts ml/manifests#1\n\n{WORDS}'
    merging.past.person.commits(back(merging, landed), said)


def by_pull_request(merging: Merging, landed: str, how: How) -> None:
    """The button opens a pull request; the reason is in its text, or in its commit."""
    title = f'Revert "{TITLE}"'
    said = f"{title}\n\nThis reverts commit {landed}."
    if merging.host.kind == "github":
        merging.branches("revert-1-fraud", back(merging, landed), said)
        merging.propose("revert-1-fraud", title, 2)
        merging.says(2, f"Reverts ml/manifests#1\n\n{WORDS}")
    else:
        merging.branches("revert-1-fraud", back(merging, landed), f"{said}\n\n{WORDS}")
        merging.propose("revert-1-fraud", title, 2)
    merging.host.merge(2, by="raj", how=how)


def merged_again(merging: Merging, landed: str) -> None:
    by_pull_request(merging, landed, "merge")


def squashed_again(merging: Merging, landed: str) -> None:
    by_pull_request(merging, landed, "squash")


def is_merge(merging: Merging, commit: str) -> bool:
    return " " in git("log", "-1", "--format=%P", commit, cwd=merging.past.bare)


@pytest.mark.parametrize(
    ("how", "revert"),
    [
        ("merge", with_git),
        ("merge", by_button),
        ("merge", squashed_again),
        ("squash", by_button),
        ("squash", merged_again),
    ],
)
def test_a_revert_is_one_thing_in_every_form(
    merging: Merging, how: How, revert: Callable[[Merging, str], None]
) -> None:
    landed = merging.host.merge(1, how=how)
    revert(merging, landed)
    found = merging.past.why()
    for answer in (found, merging.past.why(NO_FORGE)):
        change = answer["change"]
        assert (change["change"], change["after"]["version"]) == ("revert", "1")
        assert change["undoes"] in (landed, merging.proposed)
        assert (answer["undone"] or {}).get("commit") == landed
        assert landed[:12] in answer["hold"]
        assert change["notes"] == []
    assert found["change"]["reason"] == WORDS
    assert merging.past.changes()[0] == found["change"]
