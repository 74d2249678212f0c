"""Real Git: exact bytes and modes, odd repositories, and what a fetch makes of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_gitops import state
from mlflow_gitops.adapters.repository import GitRepository
from mlflow_gitops.errors import (
    ConfigError,
    GitOpsError,
    HeadMovedError,
    ManifestError,
    RepositoryError,
)
from mlflow_gitops.state import Edit, People
from tests.support.git import Person, git, make_bare

FIRST: dict[str, str | bytes] = {
    "mlflow-gitops.yaml": "environments: {}\n",
    "a b/ü.yaml": "uri: 1\r\nkeep: \ttab\r\n\r\n",
    "binary.dat": b"\xff\xfe\x00\x01",
}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return make_bare(tmp_path / "remote" / "manifests.git", FIRST)


@pytest.fixture
def repository(bare: Path, tmp_path: Path) -> Iterator[GitRepository]:
    repository = GitRepository(str(bare), tmp_path / "state")
    yield repository
    repository.close()


@pytest.fixture
def person(bare: Path, tmp_path: Path) -> Person:
    return Person(tmp_path / "person", str(bare))


def cache_of(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "state" / "repositories").glob("*.git")
    return found


def test_bytes_are_exactly_those_meant(repository: GitRepository, bare: Path) -> None:
    git("config", "core.autocrlf", "true", cwd=bare)
    text = "a: 1\r\nb: ü\n\r\n\ufeffno end"
    head = repository.tree("main").head
    repository.push("main", head, [Edit({'q"u\\o te/ñ.yaml': text}, "bytes")])
    assert repository.tree("main").read('q"u\\o te/ñ.yaml') == text
    stored = git("cat-file", "blob", 'main:q"u\\o te/ñ.yaml', cwd=bare)
    assert stored == text.strip()
    size = git("cat-file", "-s", 'main:q"u\\o te/ñ.yaml', cwd=bare)
    assert int(size) == len(text.encode())


def test_the_executable_bit_is_kept(repository: GitRepository, person: Person, bare: Path) -> None:
    person.updates()
    script = person.folder / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    person.run("add", "run.sh")
    person.run("commit", "--quiet", "-m", "script")
    head = person.pushes()
    repository.fetch()
    repository.push("main", head, [Edit({"run.sh": "#!/bin/sh\ntrue\n", "plain": "x"}, "edit")])
    assert git("ls-tree", "main", "run.sh", cwd=bare).startswith("100755 ")
    assert git("ls-tree", "main", "plain", cwd=bare).startswith("100644 ")


def test_the_commit_says_who_and_what(bare: Path, tmp_path: Path) -> None:
    bot = state.Person("Bot <x>\nevil", "bot@example.com")
    repository = GitRepository(
        str(bare),
        tmp_path / "state",
        people=lambda: People(bot, bot),
        clock=lambda: 1_700_000_123.9,
    )
    message = "títle # kept\n\n# not a comment\n\nKey: value\n"
    repository.push("main", repository.tree("main").head, [Edit({"a": "1"}, message)])
    repository.close()
    shown = git("log", "-1", "--format=%an|%ae|%cn|%ct|%ad%n%B", "--date=iso", "main", cwd=bare)
    assert shown.startswith(
        "Bot xevil|bot@example.com|Bot xevil|1700000123|2023-11-14 22:15:23 +0000"
    )
    assert shown.endswith(message.strip())


def test_a_file_that_is_no_text_is_listed_and_not_read(repository: GitRepository) -> None:
    tree = repository.tree("main")
    assert "binary.dat" in tree
    with pytest.raises(ManifestError, match=r"binary\.dat"):
        tree.read("binary.dat")
    assert set(tree.read_all(tree.paths())) == {"mlflow-gitops.yaml", "a b/ü.yaml"}


def test_a_huge_file_does_no_harm(repository: GitRepository, person: Person) -> None:
    person.commits({"huge.bin": b"x" * (9 * 2**20), "small": "s"})
    repository.fetch()
    tree = repository.tree("main")
    assert tree.read_all(["huge.bin", "small"]) == {"small": "s"}


def test_links_and_submodules_are_no_files(repository: GitRepository, person: Person) -> None:
    person.updates()
    (person.folder / "link.yaml").symlink_to("mlflow-gitops.yaml")
    (person.folder / "folder").symlink_to("a b")
    person.run("add", "link.yaml", "folder")
    head = git("rev-parse", "HEAD", cwd=person.folder)
    person.run("update-index", "--add", "--cacheinfo", f"160000,{head},module")
    person.run("commit", "--quiet", "-m", "odd")
    head = person.pushes()
    repository.fetch()
    tree = repository.tree("main")
    assert not {"link.yaml", "folder", "module"} & set(tree.paths())
    assert "link.yaml" not in tree
    for path in ("link.yaml", "folder/x.yaml", "module", "module/x.yaml"):
        with pytest.raises(ManifestError):
            repository.push("main", head, [Edit({path: "x"}, "no")])
        assert git("rev-parse", "main", cwd=person.url) == head


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/x",
        "../x",
        "a/../x",
        "a//b",
        "a/",
        ".git/config",
        "a/.GIT/x",
        "./x",
        "a\nb",
        "a\0b",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(repository: GitRepository, path: str) -> None:
    head = repository.tree("main").head
    with pytest.raises(RepositoryError):
        repository.push("main", head, [Edit({path: "x"}, "no")])


@pytest.mark.parametrize("path", ["a b", "mlflow-gitops.yaml/x"])
def test_a_file_and_a_folder_are_not_at_one_path(repository: GitRepository, path: str) -> None:
    head = repository.tree("main").head
    with pytest.raises(ManifestError):
        repository.push("main", head, [Edit({path: "x"}, "no")])


def test_a_file_may_become_a_folder(repository: GitRepository) -> None:
    head = repository.tree("main").head
    edits = [
        Edit({"mlflow-gitops.yaml": None, "mlflow-gitops.yaml/x": "1"}, "folder"),
        Edit({"mlflow-gitops.yaml/x": None, "mlflow-gitops.yaml": "back"}, "file"),
    ]
    repository.push("main", head, edits)
    assert repository.tree("main").read("mlflow-gitops.yaml") == "back"
    assert "mlflow-gitops.yaml/x" not in repository.tree("main")


def test_a_text_that_is_no_unicode_is_refused(repository: GitRepository) -> None:
    head = repository.tree("main").head
    with pytest.raises(ManifestError):
        repository.push("main", head, [Edit({"x": "lone \ud800"}, "no")])


@pytest.mark.parametrize("branch", ["", "-f", "a:refs/heads/main", "a b", "a..b", "x.lock"])
def test_a_branch_name_cannot_be_something_else(
    repository: GitRepository, bare: Path, branch: str
) -> None:
    before = git("for-each-ref", cwd=bare)
    with pytest.raises(RepositoryError):
        repository.push(branch, "", [Edit({"x": "1"}, "no")])
    assert git("for-each-ref", cwd=bare) == before


def test_a_new_branch_starts_from_nothing(repository: GitRepository, bare: Path) -> None:
    repository.push("mlflow-gitops/own", "", [Edit({"x": "1"}, "first")])
    assert git("rev-list", "--count", "mlflow-gitops/own", cwd=bare) == "1"


def test_the_default_branch_is_the_remotes(tmp_path: Path) -> None:
    bare = make_bare(tmp_path / "r.git", FIRST, branch="trunk")
    repository = GitRepository(f"file://{bare}", tmp_path / "state")
    assert repository.default_branch == "trunk"
    git("branch", "other", "trunk", cwd=bare)
    git("symbolic-ref", "HEAD", "refs/heads/other", cwd=bare)
    repository.fetch()
    assert repository.default_branch == "other"
    git("symbolic-ref", "HEAD", "refs/heads/nowhere", cwd=bare)
    repository.fetch()
    with pytest.raises(RepositoryError, match=r"other, trunk"):
        assert repository.default_branch
    named = GitRepository(str(bare), tmp_path / "state", branch_default="trunk")
    assert named.default_branch == "trunk"
    repository.close()
    named.close()


def test_refs_follow_the_remote_whatever_happened(
    repository: GitRepository, person: Person, bare: Path, tmp_path: Path
) -> None:
    first = repository.tree("main").head
    person.commits({"a": "1"})
    git("branch", "topic", "main", cwd=bare)
    repository.fetch()
    assert repository.tree("topic").head != first
    git("branch", "-D", "topic", cwd=bare)
    git("branch", "topic/deep", "main", cwd=bare)  # `topic` is in its way
    git("update-ref", "refs/heads/main", first, cwd=bare)  # somebody force-pushed
    repository.fetch()
    assert repository.tree("main").head == first
    assert repository.tree("topic/deep").paths()
    with pytest.raises(RepositoryError):
        repository.tree("topic")
    shown = "--format=%(objectname) %(refname)"
    assert git("for-each-ref", shown, cwd=cache_of(tmp_path)) == git(
        "for-each-ref", shown, cwd=bare
    )


def test_a_dropped_commit_is_not_brought_back(
    repository: GitRepository, person: Person, bare: Path
) -> None:
    first = repository.tree("main").head
    dropped = person.commits({"bad": "1"})
    repository.fetch()
    git("update-ref", "refs/heads/main", first, cwd=bare)  # ours would fast-forward from here
    with pytest.raises(HeadMovedError):
        repository.push("main", dropped, [Edit({"x": "1"}, "on top of what was dropped")])
    assert git("rev-parse", "main", cwd=bare) == first
    git("update-ref", "-d", "refs/heads/main", cwd=bare)
    with pytest.raises(HeadMovedError):
        repository.push("main", dropped, [Edit({"x": "1"}, "on a branch that is gone")])
    assert git("for-each-ref", cwd=bare) == ""


def test_an_outer_git_does_not_leak_in(
    repository: GitRepository, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a hook, or in `git rebase --exec`."""
    other = make_bare(tmp_path / "other.git", {"other": "x"})
    before = git("for-each-ref", cwd=other)
    for name, value in {
        "GIT_DIR": str(other),
        "GIT_WORK_TREE": str(tmp_path),
        "GIT_INDEX_FILE": str(tmp_path / "index"),
        "GIT_OBJECT_DIRECTORY": str(other / "objects"),
        "GIT_NAMESPACE": "space",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "user.name",
        "GIT_CONFIG_VALUE_0": "outer",
        "GIT_CONFIG_PARAMETERS": "'core.bare=false'",
        "GIT_AUTHOR_NAME": "outer",
        "GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z",
        "GIT_TRACE": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_EXTERNAL_DIFF": "false",
    }.items():
        monkeypatch.setenv(name, value)
    (change,) = repository.push("main", repository.tree("main").head, [Edit({"x": "1"}, "one")])
    repository.fetch()
    assert "other" not in repository.tree("main")
    assert "+1" in change.diff
    assert git("log", "-1", "--format=%an", "main", cwd=bare) == "mlflow-gitops"
    assert git("for-each-ref", cwd=other) == before


def test_the_users_own_configuration_does_not_bend_it(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "gitconfig"
    settings.write_text(
        "[log]\n showSignature = true\n[diff]\n noprefix = true\n external = false\n"
        "[color]\n ui = always\n[core]\n autocrlf = true\n quotePath = true\n"
        "[commit]\n gpgSign = true\n[push]\n gpgSign = true\n followTags = true\n"
        "[trailer]\n separators = =\n"
        "[i18n]\n commitEncoding = latin1\n logOutputEncoding = latin1\n"
        "[fetch]\n prune = false\n[transfer]\n hideRefs = refs/heads/other\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    repository = GitRepository(str(bare), tmp_path / "state")
    message = "tïtle\n\nGitops-Service: production/a\nClaimed-By: ä\n"
    head = repository.tree("main").head
    (change,) = repository.push("main", head, [Edit({"a b/ü.yaml": "uri: 2\r\n"}, message)])
    assert change.diff.startswith("diff --git a/a b/ü.yaml b/a b/ü.yaml\n")
    (found,) = repository.deliveries("production/a", change.commit)
    assert found.trailers["Claimed-By"] == "ä"
    repository.close()


def test_a_repository_with_sha256(tmp_path: Path) -> None:
    bare = tmp_path / "r.git"
    git(
        "init", "--quiet", "--bare", "-b", "main", "--object-format=sha256", str(bare), cwd=tmp_path
    )
    stream = b"commit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 1\nx\n"
    stream += b"M 100644 inline a\ndata 1\ny\n"
    git("fast-import", "--quiet", cwd=bare, stdin=stream)
    repository = GitRepository(str(bare), tmp_path / "state")
    base = repository.tree("main").head
    assert len(base) == 64
    edits = [Edit({"a": "y"}, "same"), Edit({"a": "z"}, "one\n\nGitops-Service: p/a\n")]
    _, change = repository.push("main", base, edits)
    repository.fetch()
    assert repository.tree("main").head == change.commit
    assert [d.commit for d in repository.deliveries("p/a", change.commit, base)] == [change.commit]
    assert repository.is_ancestor(base, change.commit)
    repository.close()


def test_dates_encodings_and_signatures_of_others_are_read(
    repository: GitRepository, bare: Path
) -> None:
    head = git("rev-parse", "main", cwd=bare)
    tree = git("rev-parse", "main^{tree}", cwd=bare)
    body = b"t\xeftle\n\nGitops-Service: production/a\nClaimed-By: \xe4\n"
    lines = [
        f"tree {tree}\nparent {head}\nauthor A <a@b> 1 +0000\n",
        "committer > odd <\u00e4@b> 1700000000 -0730\nencoding ISO-8859-1\n",
        "gpgsig -----BEGIN PGP SIGNATURE-----\n \n abc\n -----END PGP SIGNATURE-----\n\n",
    ]
    made = git(
        "hash-object",
        *("-t", "commit", "-w", "--stdin", "--literally"),
        cwd=bare,
        stdin="".join(lines).encode() + body,
    )
    git("update-ref", "refs/heads/main", made, cwd=bare)
    repository.fetch()
    (found,) = repository.deliveries("production/a", made)
    assert found.trailers["Claimed-By"] == "ä"
    assert found.parent == head
    assert found.time == "2023-11-14T22:13:20.000Z"


def test_deliveries_on_merged_branches_are_found_once_newest_first(
    repository: GitRepository, person: Person
) -> None:
    text = "x\n\nGitops-Service: production/a\n"
    base = person.commits({"a": "0"}, text)
    person.run("checkout", "--quiet", "-b", "side")
    person.run("commit", "--quiet", "--allow-empty", "-m", text)
    side = person.run("rev-parse", "HEAD")
    main = person.commits({"a": "1"}, text)
    repository.fetch()
    assert [d.commit for d in repository.deliveries("production/a", main)] == [main, base]
    person.run("merge", "--quiet", "--no-ff", "-m", "merge", "side")
    merged = person.pushes()
    repository.fetch()
    found = [d.commit for d in repository.deliveries("production/a", merged)]
    assert sorted(found) == sorted([main, side, base])
    assert found[-1] == base
    assert [d.commit for d in repository.deliveries("production/a", merged, main)] == [side]


def test_a_state_folder_that_cannot_be_written_is_told(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file is in the way")
    repository = GitRepository(str(bare), tmp_path / "state")
    with pytest.raises(ConfigError, match="state"):
        repository.fetch()


def test_every_error_has_a_next_step(tmp_path: Path) -> None:
    repository = GitRepository(str(tmp_path / "nowhere"), tmp_path / "state")
    for act in (repository.fetch, repository.settings_text, lambda: repository.tree("main")):
        with pytest.raises(GitOpsError) as caught:
            act()
        assert caught.value.hint
        assert caught.value.where
