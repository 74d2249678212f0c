"""What every `ports.Repository` does: the fake and real Git, over a path and over HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mlflow_gitops.adapters.repository import GitRepository
from mlflow_gitops.branches import Ahead
from mlflow_gitops.errors import ConfigError, HeadMovedError, RepositoryError
from mlflow_gitops.ports import Repository
from mlflow_gitops.state import BranchPush, Change, Edit
from tests.support.git import GitHttpServer, Person, make_bare
from tests.support.memory_repository import MemoryRepository

Commits = Callable[..., str]
UNKNOWN = "f" * 40
FIRST = {
    "mlflow-gitops.yaml": "environments: {}\n",
    "overlays/production/a.yaml": "uri: 1\nkeep: me\n",
    "overlays/staging/a b/ü.yaml": "uri: 1\r\nkeep: me\r\n",
}


@dataclass
class World:
    """A repository, and somebody else who pushes to it."""

    repository: Repository
    commits: Commits
    reverts: Callable[[str], str]
    commits_to: Callable[[str, Mapping[str, str]], str]
    merges: Callable[[str, Mapping[str, str] | None], str]
    """Merges `main` into a branch; the texts are what a person makes of it."""


def git_world(tmp_path: Path, url: str, files: Mapping[str, str]) -> Iterator[World]:
    repository = GitRepository(url, tmp_path / "state")
    person = Person(tmp_path / "person", url)

    def commits_to(branch: str, files: Mapping[str, str]) -> str:
        return Person(tmp_path / "other", url, branch).commits(files)

    def merges(branch: str, files: Mapping[str, str] | None) -> str:
        return Person(tmp_path / uuid.uuid4().hex, url, branch).merges(files=files)

    yield World(repository, person.commits, person.reverts, commits_to, merges)
    repository.close()


def make_world(kind: str, tmp_path: Path, files: Mapping[str, str]) -> Iterator[World]:
    if kind == "memory":
        memory = MemoryRepository({"main": files} if files else {})

        def commits_to(branch: str, files: Mapping[str, str]) -> str:
            return memory.person_commits(files, branch=branch)

        def merges(branch: str, files: Mapping[str, str] | None) -> str:
            return memory.person_merges(branch, files=files)

        yield World(memory, memory.person_commits, memory.revert, commits_to, merges)
        return
    bare = make_bare(tmp_path / "remote" / "manifests.git", files)
    if kind == "file":
        yield from git_world(tmp_path, str(bare), files)
        return
    with GitHttpServer(bare.parent) as server:
        yield from git_world(tmp_path, server.url(bare.name), files)


@pytest.fixture(params=["memory", "file", "http"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    yield from make_world(request.param, tmp_path, FIRST)


@pytest.fixture(params=["memory", "file", "http"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    yield from make_world(request.param, tmp_path, {})


def message(service: str, *more: str) -> str:
    return "\n".join(["title", "", f"Gitops-Service: {service}", *more]) + "\n"


def test_a_tree_is_the_files_of_one_commit(world: World) -> None:
    tree = world.repository.tree("main")
    assert list(tree.paths()) == sorted(FIRST)
    assert tree.read("overlays/staging/a b/ü.yaml") == "uri: 1\r\nkeep: me\r\n"
    assert dict(tree.read_all(tree.paths())) == FIRST
    assert "mlflow-gitops.yaml" in tree
    assert "overlays" not in tree
    assert "nope.yaml" not in tree
    assert world.repository.settings_text() == FIRST["mlflow-gitops.yaml"]


@pytest.mark.parametrize("missing", ["nope.yaml", "overlays", ""])
def test_a_missing_file_is_a_key_error(world: World, missing: str) -> None:
    tree = world.repository.tree("main")
    with pytest.raises(KeyError):
        tree.read(missing)
    with pytest.raises(KeyError):
        tree.blob(missing)


def test_a_narrow_tree_has_what_was_named(world: World) -> None:
    head = world.commits({"a": "1", "b/c": "2", "d": "3"})
    world.repository.fetch()
    tree = world.repository.narrow(head, ["b/c", "a", "not there", ""])
    assert list(tree.paths()) == ["a", "b/c"]
    assert (tree.read("b/c"), "d" in tree) == ("2", False)


def test_equal_content_has_an_equal_blob(world: World) -> None:
    before = world.repository.tree("main")
    edit = Edit({"copy.yaml": FIRST["overlays/production/a.yaml"]}, "copy")
    world.repository.push("main", before.head, [edit])
    after = world.repository.tree("main")
    assert after.blob("copy.yaml") == before.blob("overlays/production/a.yaml")
    assert after.blob("copy.yaml") != after.blob("mlflow-gitops.yaml")


def test_what_others_push_is_seen_after_a_fetch(world: World) -> None:
    before = world.repository.tree("main")
    pushed = world.commits({"new.yaml": "n: 1\n", "overlays/production/a.yaml": None})
    assert world.repository.tree("main").head == before.head
    world.repository.fetch()
    after = world.repository.tree("main")
    assert after.head == pushed
    assert "new.yaml" in after
    assert "overlays/production/a.yaml" not in after
    assert "new.yaml" not in before


def test_edits_become_a_commit_each(world: World) -> None:
    repository = world.repository
    base = repository.tree("main").head
    edits = [
        Edit({"overlays/production/a.yaml": "uri: 2\nkeep: me\n"}, "one\n"),
        Edit({"overlays/staging/a b/ü.yaml": None, "deep/er/new.yaml": "x: 1\r\n"}, "two\n"),
    ]
    first, second = repository.push("main", base, edits)
    assert (first.parent, second.parent) == (base, first.commit)
    tree = repository.tree("main")
    assert tree.head == second.commit
    assert tree.read("overlays/production/a.yaml") == "uri: 2\nkeep: me\n"
    assert tree.read("deep/er/new.yaml") == "x: 1\r\n"
    assert "overlays/staging/a b/ü.yaml" not in tree
    assert repository.tree_at(first.commit).read("overlays/staging/a b/ü.yaml").startswith("uri")
    repository.fetch()
    assert repository.tree("main").head == second.commit


def test_a_change_has_the_diff_of_its_own_commit(world: World) -> None:
    repository = world.repository
    edits = [
        Edit({"overlays/production/a.yaml": "uri: 2\nkeep: me\n"}, "one"),
        Edit({"new.yaml": "x: 1\n"}, "two"),
        Edit({"mlflow-gitops.yaml": None}, "three"),
    ]
    base = repository.tree("main").head
    whole = repository.diff(base, edits)
    changed, made, gone = (c.diff for c in repository.push("main", base, edits))
    assert "\n--- a/overlays/production/a.yaml\n+++ b/overlays/production/a.yaml\n" in changed
    assert "\n-uri: 1\n+uri: 2\n keep: me\n" in changed
    assert "new.yaml" not in changed
    assert "\nnew file mode 100644\n" in made
    assert "\n--- /dev/null\n+++ b/new.yaml\n@@ -0,0 +1 @@\n+x: 1\n" in made
    assert "\ndeleted file mode 100644\n" in gone
    assert "\n--- a/mlflow-gitops.yaml\n+++ /dev/null\n@@ -1 +0,0 @@\n" in gone
    for each in (changed, made, gone):
        assert each in whole


def test_a_diff_changes_nothing(world: World) -> None:
    repository = world.repository
    head = repository.tree("main").head
    assert repository.diff(head, [Edit({"new.yaml": "no line end"}, "one")]).endswith(
        "+no line end\n\\ No newline at end of file\n"
    )
    assert (
        repository.diff(head, [Edit({"mlflow-gitops.yaml": FIRST["mlflow-gitops.yaml"]}, "")]) == ""
    )
    assert repository.diff(head, []) == ""
    repository.fetch()
    assert repository.tree("main").head == head


def test_an_edit_that_changes_nothing_makes_no_commit(world: World) -> None:
    repository = world.repository
    base = repository.tree("main").head
    same = Edit({"mlflow-gitops.yaml": FIRST["mlflow-gitops.yaml"], "nope": None}, "same")
    (alone,) = repository.push("main", base, [same])
    assert (alone.commit, alone.parent, alone.diff) == ("", base, "")
    assert repository.tree("main").head == base
    real = Edit({"new.yaml": "x\n"}, "real")
    first, made, last = repository.push("main", base, [same, real, same])
    assert (first.commit, first.parent) == ("", base)
    assert made.parent == base
    assert (last.commit, last.parent) == ("", made.commit)
    assert repository.tree("main").head == made.commit
    assert repository.push("main", made.commit, []) == []


def test_a_branch_that_moved_is_not_pushed_to(world: World) -> None:
    repository = world.repository
    base = repository.tree("main").head
    theirs = world.commits({"theirs.yaml": "t: 1\n"})
    with pytest.raises(HeadMovedError):
        repository.push("main", base, [Edit({"ours.yaml": "o: 1\n"}, "ours")])
    repository.fetch()
    tree = repository.tree("main")
    assert tree.head == theirs
    assert "ours.yaml" not in tree
    repository.push("main", tree.head, [Edit({"ours.yaml": "o: 1\n"}, "ours")])
    assert {"ours.yaml", "theirs.yaml"} <= set(repository.tree("main").paths())


def test_a_branch_of_ours_holds_what_was_proposed_last(world: World) -> None:
    repository = world.repository
    base = repository.tree("main").head
    assert repository.branch_head("mlflow-gitops/production/a") == ""
    heads = [""]
    for text in ("1", "2"):
        edits = (Edit({"ours.yaml": f"o: {text}\n"}, message("production/a")),)
        push = BranchPush("mlflow-gitops/production/a", base, edits, heads[-1])
        change = repository.propose([push])["mlflow-gitops/production/a"]
        assert isinstance(change, Change)
        assert change.parent == base
        assert f"+o: {text}" in change.diff
        heads.append(change.commit)
    repository.fetch()
    assert repository.branch_head("mlflow-gitops/production/a") == heads[-1]
    ahead = repository.ahead(base, heads[-1])
    assert [each.message for each in ahead.commits] == [message("production/a")]
    assert repository.tree("main").head == base


def test_what_others_pushed_to_a_branch_of_ours_stays(world: World) -> None:
    repository = world.repository
    base = repository.tree("main").head
    edits = (Edit({"ours.yaml": "o: 1\n"}, "ours"),)
    first = repository.propose([BranchPush("mlflow-gitops/a", base, edits)])["mlflow-gitops/a"]
    assert isinstance(first, Change)
    theirs = world.commits_to("mlflow-gitops/a", {"theirs.yaml": "t: 1\n"})
    pushes = [
        BranchPush("mlflow-gitops/a", base, (Edit({"x": "1"}, "again"),), first.commit),
        BranchPush("mlflow-gitops/b", base, (Edit({"x": "1"}, "other"),), UNKNOWN),
        BranchPush("mlflow-gitops/c", base, (Edit({"x": "1"}, "third"),)),
    ]
    results = repository.propose(pushes)
    assert isinstance(results["mlflow-gitops/a"], HeadMovedError)
    assert isinstance(results["mlflow-gitops/b"], HeadMovedError)
    assert isinstance(results["mlflow-gitops/c"], Change)
    repository.fetch()
    assert repository.branch_head("mlflow-gitops/a") == theirs
    assert repository.ahead(base, theirs).commits[-1].message.strip() == "ours"


OURS = "mlflow-gitops/production/a"


def ours_on(world: World) -> str:
    """A branch of ours that changes the URI. Returns its head."""
    base = world.repository.tree("main").head
    edits = (Edit({"overlays/production/a.yaml": "uri: 2\nkeep: me\n"}, message("production/a")),)
    (made,) = world.repository.propose([BranchPush(OURS, base, edits)]).values()
    assert isinstance(made, Change)
    return made.commit


def compared(world: World) -> Ahead:
    world.repository.fetch()
    base = world.repository.tree("main").head
    return world.repository.ahead(base, world.repository.branch_head(OURS))


def test_a_clean_merge_of_the_base_is_told_from_one_by_hand(world: World) -> None:
    ours_on(world)
    world.commits({"docs/x.md": "x"})
    alone = compared(world)
    assert ([each.kind for each in alone.commits], alone.conflicts) == (["commit"], False)
    world.merges(OURS, None)
    updated = compared(world)
    assert [each.kind for each in updated.commits] == ["update", "commit"]
    assert updated.commits[0].author == "Grace"
    assert (updated.diff, updated.conflicts) == (alone.diff, False)
    world.commits({"docs/y.md": "y"})
    world.merges(OURS, {"mine.txt": "mine"})
    by_hand = compared(world)
    assert [each.kind for each in by_hand.commits] == ["resolved", "update", "commit"]
    assert "+mine" in by_hand.diff


def test_a_conflict_is_found_and_its_resolution_is_by_hand(world: World) -> None:
    ours_on(world)
    world.commits({"overlays/production/a.yaml": "uri: 9\nkeep: me\n"})
    assert compared(world).conflicts is True
    world.merges(OURS, {"overlays/production/a.yaml": "uri: 2\nkeep: me\n"})
    resolved = compared(world)
    assert [each.kind for each in resolved.commits] == ["resolved", "commit"]
    assert resolved.conflicts is False
    assert ("-uri: 9" in resolved.diff, "+uri: 2" in resolved.diff) == (True, True)


def test_what_was_not_fetched_cannot_be_compared(world: World) -> None:
    base = world.repository.tree("main").head
    for pair in ((base, UNKNOWN), (UNKNOWN, base), (base, "main")):
        with pytest.raises(RepositoryError, match="no such commit"):
            world.repository.ahead(*pair)


def test_an_edit_is_made_again_on_top_of_what_the_branch_holds(world: World) -> None:
    """As a merge of the base, that holds the base and the edit; nothing is dropped."""
    repository, path = world.repository, "overlays/production/a.yaml"
    before = ours_on(world)
    world.commits({path: "# risk\nuri: 1\nkeep: me\n", "docs/x.md": "x"})
    assert compared(world).conflicts is True
    base = repository.tree("main").head
    assert repository.conflicts(base, before) is True
    edit = Edit({path: "# risk\nuri: 2\nkeep: me\n"}, message("production/a"))
    push = BranchPush(OURS, base, (edit,), before, is_merge=True)
    (made,) = repository.propose([push]).values()
    assert isinstance(made, Change)
    assert (made.parent, "+uri: 2" in made.diff) == (base, True)
    ahead = compared(world)
    assert [(each.kind, each.is_own) for each in ahead.commits] == [
        ("resolved", True),
        ("commit", True),
    ]
    assert (ahead.commits[0].commit, ahead.fork) == (made.commit, base)
    assert (ahead.conflicts, repository.conflicts(base, made.commit)) == (False, False)
    assert repository.is_ancestor(before, made.commit)
    tree = repository.tree_at(made.commit)
    assert (tree.read(path), tree.read("docs/x.md")) == (edit.files[path], "x")
    (stale,) = repository.propose([push]).values()
    assert isinstance(stale, HeadMovedError)
    nothing = replace(push, edits=(Edit({}, "x"),), expected=made.commit)
    assert repository.propose([nothing])[OURS] == Change("", base, "")


def test_a_commit_is_kept_under_another_name(world: World) -> None:
    head, name = ours_on(world), "mlflow-gitops/_kept/production/a/1"
    for _ in range(2):
        world.repository.keep(name, head)
        world.repository.fetch()
        assert world.repository.branches("mlflow-gitops/_kept/") == {name: head}
    with pytest.raises(HeadMovedError):
        world.repository.keep(name, world.repository.tree("main").head)


def test_a_branch_of_ours_without_edits_goes_away(world: World) -> None:
    repository = world.repository
    base = repository.tree("main").head
    name = "mlflow-gitops/a"
    (made,) = repository.propose([BranchPush(name, base, (Edit({"x": "1"}, "x"),))]).values()
    assert isinstance(made, Change)
    (stale,) = repository.propose([BranchPush(name, base, (), UNKNOWN)]).values()
    assert isinstance(stale, HeadMovedError)
    assert repository.branch_head(name) == made.commit
    (gone,) = repository.propose([BranchPush(name, base, (), made.commit)]).values()
    assert gone == Change("", base, "")
    assert repository.branch_head(name) == ""
    repository.fetch()
    assert repository.branch_head(name) == ""
    assert repository.tree("main").head == base


def test_what_others_pushed_to_a_branch_of_ours_is_not_deleted(world: World) -> None:
    repository = world.repository
    base = repository.tree("main").head
    name = "mlflow-gitops/a"
    (made,) = repository.propose([BranchPush(name, base, (Edit({"x": "1"}, "x"),))]).values()
    assert isinstance(made, Change)
    theirs = world.commits_to(name, {"theirs.yaml": "t: 1\n"})
    (gone,) = repository.propose([BranchPush(name, base, (), made.commit)]).values()
    assert isinstance(gone, HeadMovedError)
    repository.fetch()
    assert repository.branch_head(name) == theirs


def test_a_proposal_that_changes_nothing_is_no_branch(world: World) -> None:
    repository = world.repository
    base = repository.tree("main").head
    same = Edit({"mlflow-gitops.yaml": FIRST["mlflow-gitops.yaml"]}, "same")
    real = Edit({"new.yaml": "x: 1\n"}, "real")
    results = repository.propose(
        [BranchPush("mlflow-gitops/a", base, (same,)), BranchPush("b", base, (real, same))]
    )
    assert results["mlflow-gitops/a"] == Change("", base, "")
    made = results["b"]
    assert isinstance(made, Change)
    assert (made.parent, made.commit) == (base, repository.branch_head("b"))
    assert made.diff.count("diff --git") == 1
    assert repository.branch_head("mlflow-gitops/a") == ""


def test_one_bad_proposal_takes_no_other_down(world: World) -> None:
    repository = world.repository
    base = repository.tree("main").head
    edit = Edit({"x": "1"}, "x")
    results = repository.propose(
        [
            BranchPush("mlflow-gitops/a", base, (edit,)),
            BranchPush("mlflow-gitops/b", UNKNOWN, (edit,)),
            BranchPush("mlflow-gitops/c", base, (edit,)),
        ]
    )
    assert [type(each) for each in results.values()] == [Change, RepositoryError, Change]
    assert repository.propose([]) == {}


def test_an_old_base_is_refused(world: World) -> None:
    repository = world.repository
    base = repository.tree("main").head
    repository.push("main", base, [Edit({"a": "1"}, "a")])
    with pytest.raises(HeadMovedError):
        repository.push("main", base, [Edit({"b": "1"}, "b")])
    with pytest.raises(HeadMovedError):
        repository.push("main", UNKNOWN, [Edit({"b": "1"}, "b")])
    with pytest.raises(HeadMovedError):
        repository.push("nowhere", base, [Edit({"b": "1"}, "b")])


def test_deliveries_are_the_commits_with_our_trailer(world: World) -> None:
    repository = world.repository
    start = repository.tree("main").head
    edits = [
        Edit({"a": "1"}, message("production/a", "Model: A", "Gitops-Request: r1")),
        Edit({"b": "1"}, message("production/b")),
        Edit({"a": "2"}, message("production/a", "Gitops-Request: r2")),
        Edit({"c": "1"}, message("production/a-b")),
        Edit({"c": "2"}, "title\n\nGitops-Service: production/a\n\nno trailer: a body follows\n"),
        Edit({"c": "3"}, "Gitops-Service: production/a\n"),
        Edit({"c": "4"}, message("production/ab").replace("production", "xproduction")),
    ]
    changes = repository.push("main", start, edits)
    head = repository.tree("main").head
    newest, oldest = repository.deliveries("production/a", head)
    assert (newest.commit, newest.parent) == (changes[2].commit, changes[1].commit)
    assert (oldest.commit, oldest.parent) == (changes[0].commit, start)
    assert newest.trailers["Gitops-Request"] == "r2"
    assert oldest.trailers["Model"] == "A"
    assert oldest.time.endswith("Z")
    assert len(oldest.time) == len("2026-01-01T00:00:00.000Z")
    since = list(repository.deliveries("production/a", head, changes[0].commit))
    assert [d.commit for d in since] == [changes[2].commit]
    assert list(repository.deliveries("production/a", head, head)) == []
    assert len(list(repository.deliveries("production/a", head, UNKNOWN))) == 2
    assert list(repository.deliveries("production", head)) == []


def test_deliveries_follow_a_head_that_moves(world: World) -> None:
    repository = world.repository
    for number in range(4):
        head = repository.tree("main").head
        repository.push("main", head, [Edit({"a": str(number)}, message("production/a"))])
        head = repository.tree("main").head
        found = [d.commit for d in repository.deliveries("production/a", head)]
        assert len(found) == number + 1
        assert found[0] == head
        assert found == list(dict.fromkeys(found))


def test_a_squashed_commit_delivers_each_service_and_says_nothing_of_who(world: World) -> None:
    text = message("production/a", "Gitops-Request: r1", "Gitops-Service: production/b")
    pushed = world.commits({"a": "1"}, text)
    world.repository.fetch()
    for service in ("production/a", "production/b"):
        (found,) = world.repository.deliveries(service, pushed)
        assert dict(found.trailers) == {"Gitops-Service": service}


def test_a_revert_is_no_delivery(world: World) -> None:
    repository = world.repository
    base = repository.tree("main").head
    (change,) = repository.push("main", base, [Edit({"a": "1"}, message("production/a"))])
    reverted = world.reverts(change.commit)
    repository.fetch()
    assert repository.tree("main").head == reverted
    assert "a" not in repository.tree("main")
    found = [d.commit for d in repository.deliveries("production/a", reverted)]
    assert found == [change.commit]


def test_what_touched_a_file_is_found_newest_first_and_within_bounds(world: World) -> None:
    repository = world.repository
    first = repository.tree("main").head
    one = world.commits({"a": "1"}, "first\n\nbecause")
    world.commits({"b": "1"})
    two = world.commits({"a": "2", "c": "1"})
    head = world.commits({"a": None, "d": "1"})
    repository.fetch()

    def found(*paths: str, since: str = "", most: int = 100) -> list[str]:
        touching = repository.touching(paths, head, since, most=most)
        return [facts.commit for facts in touching]

    assert found("a") == [head, two, one]
    assert found("a", "b", since=one)[-1] != one
    assert found("c", "not there") == [two]
    assert found("a", since=two) == [head]
    assert found("a", since=UNKNOWN) == [head, two, one]
    assert found("a", most=3) == [head, two]
    assert found("a", since=head) == found() == found(":/") == []
    (facts,) = repository.touching(["a"], one, first, most=1)
    assert facts.message.split("\n")[:3] == ["first", "", "because"]
    assert facts.author.endswith(">")
    assert facts.parents == (first,)


def test_ancestors(world: World) -> None:
    repository = world.repository
    first = repository.tree("main").head
    second = world.commits({"a": "1"})
    repository.fetch()
    assert repository.is_ancestor(first, second)
    assert repository.is_ancestor(second, second)
    assert not repository.is_ancestor(second, first)
    for odd in (UNKNOWN, "main", "HEAD", "", "--all", first[:10]):
        assert not repository.is_ancestor(odd, second)
    heads = [first, second]
    for number in range(15):  # enough questions about each head, and heads, for every way
        heads.append(world.commits({"a": f"more {number}"}))
    repository.fetch()
    for each in heads:
        assert repository.is_ancestor(each, heads[-1])
        assert repository.is_ancestor(each, heads[-2]) == (each != heads[-1])
    assert not repository.is_ancestor(UNKNOWN, heads[-1])


@pytest.mark.parametrize("commit", [UNKNOWN, "main", "HEAD", "--help", "", "abc"])
def test_an_unknown_commit_is_an_error(world: World, commit: str) -> None:
    with pytest.raises(RepositoryError):
        world.repository.tree_at(commit)


def test_an_unknown_branch_is_an_error(world: World) -> None:
    with pytest.raises(RepositoryError):
        world.repository.tree("nope")


def test_settings_that_are_missing_are_told(world: World) -> None:
    world.commits({"mlflow-gitops.yaml": None})
    world.repository.fetch()
    with pytest.raises(ConfigError, match="init"):
        world.repository.settings_text()


def test_an_empty_repository_says_what_to_run(empty: World) -> None:
    empty.repository.fetch()
    with pytest.raises(ConfigError, match="mlflow-gitops init"):
        empty.repository.settings_text()
    with pytest.raises(ConfigError, match="mlflow-gitops init"):
        assert empty.repository.default_branch


def test_an_empty_repository_gets_its_first_commit(empty: World) -> None:
    edit = Edit({"mlflow-gitops.yaml": "environments: {}\n"}, "begin")
    whole = empty.repository.diff("", [edit])
    (change,) = empty.repository.push("main", "", [edit])
    assert change.parent == ""
    assert change.diff == whole
    empty.repository.fetch()
    assert empty.repository.default_branch == "main"
    assert empty.repository.settings_text() == "environments: {}\n"
    with pytest.raises(HeadMovedError):
        empty.repository.push("main", "", [edit])


def test_many_threads_lose_nothing(world: World) -> None:
    repository = world.repository

    def deliver(number: int) -> None:
        while True:
            tree = repository.tree("main")
            edit = Edit({f"services/{number}.yaml": f"n: {number}\n"}, f"service {number}\n")
            try:
                repository.push("main", tree.head, [edit])
            except HeadMovedError:
                repository.fetch()
            else:
                return

    with ThreadPoolExecutor(8) as threads:
        jobs = [threads.submit(deliver, number) for number in range(8)]
        for number in range(3):
            world.commits({f"theirs/{number}.yaml": "t\n"})
        for job in jobs:
            job.result()
    repository.fetch()
    paths = repository.tree("main").paths()
    assert [p for p in paths if p.startswith("services/")] == [
        f"services/{n}.yaml" for n in range(8)
    ]
    assert sum(p.startswith("theirs/") for p in paths) == 3


def test_what_names_a_text_is_found_on_every_branch_and_in_what_changed(world: World) -> None:
    world.commits({"a.yaml": "uri: s3://models/fraud/v1/\n"})
    world.commits({"a.yaml": "uri: s3://models/fraud/v2/\n"})
    world.commits_to("mlflow-gitops/production/fraud", {"a.yaml": "uri: s3://models/fraud/v3/\n"})
    world.repository.fetch()
    found = set(world.repository.mentions("fraud/v", "2020-01-01T00:00:00.000Z"))
    lines = {(line.split("/")[-2], where.split(" ")[0]) for line, where in found}
    assert {("v1", "commit"), ("v2", "branch"), ("v3", "branch")} <= lines
    later = set(world.repository.mentions("fraud/v", "2100-01-01T00:00:00.000Z"))
    assert {where.split(" ")[0] for _, where in later} == {"branch"}
    assert not any("v1" in line for line, _ in later)
    assert list(world.repository.mentions("not there", "2020-01-01T00:00:00.000Z")) == []
