"""What goes wrong with real Git: races, refusals, lost connections, kills, damaged clones."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlflow_gitops.adapters.repository import GitRepository
from mlflow_gitops.errors import (
    ConfigError,
    GitOpsError,
    HeadMovedError,
    RepositoryError,
    TransientError,
)
from mlflow_gitops.state import Edit
from tests.support.git import GitHttpServer, Person, git, install_hook, make_bare

SECRET = "s3cret-t0ken"
FIRST = {"mlflow-gitops.yaml": "environments: {}\n", "a.yaml": "a: 1\n"}
EDIT = Edit({"a.yaml": "a: 2\n"}, "two\n\nGitops-Service: production/a\n")

Open = Callable[..., GitRepository]


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return make_bare(tmp_path / "remote" / "manifests.git", FIRST)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens repositories on one state folder, and closes them."""
    made: list[GitRepository] = []

    def make(url: object, **options: object) -> GitRepository:
        made.append(GitRepository(str(url), tmp_path / "state", **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.close()


def head(bare: Path, branch: str = "main") -> str:
    return git("rev-parse", branch, cwd=bare)


def cache_of(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "state" / "repositories").glob("*.git")
    return found


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.01)


# Races


def test_two_that_start_from_one_head(bare: Path, tmp_path: Path, opened: Open) -> None:
    ours = opened(bare)
    theirs = GitRepository(str(bare), tmp_path / "elsewhere")
    base = ours.tree("main").head
    (change,) = theirs.push("main", theirs.tree("main").head, [EDIT])
    theirs.close()
    with pytest.raises(HeadMovedError):
        ours.push("main", base, [Edit({"b.yaml": "b: 1\n"}, "b")])
    assert head(bare) == change.commit
    assert ours.tree("main").head == base
    assert git("rev-parse", "main", cwd=cache_of(tmp_path)) == base


def test_a_push_that_comes_in_while_the_server_takes_ours(bare: Path, opened: Open) -> None:
    """The server's own check: the branch moves after it told us where it is."""
    other = head(bare)
    moved = git("commit-tree", "-m", "x", "-p", other, f"{other}^{{tree}}", cwd=bare)
    unset = "unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY"
    install_hook(bare, "pre-receive", f"{unset}; git update-ref refs/heads/main {moved}")
    repository = opened(bare)
    with pytest.raises(HeadMovedError):
        repository.push("main", other, [EDIT])
    assert head(bare) == moved


@pytest.mark.parametrize("shared", [True, False])
def test_many_repositories_lose_nothing(bare: Path, tmp_path: Path, shared: bool) -> None:
    """Each as a process of its own has it: one state folder for all, or one for each."""

    def deliver(number: int) -> None:
        state = tmp_path / ("state" if shared else f"state-{number}")
        repository = GitRepository(str(bare), state)
        while True:
            tree = repository.tree("main")
            try:
                repository.push("main", tree.head, [Edit({f"s/{number}": "x"}, f"{number}")])
                break
            except HeadMovedError:
                repository.fetch()
        repository.close()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(deliver, range(6)))
    names = git("ls-tree", "-r", "--name-only", "main", "s/", cwd=bare).split()
    assert names == [f"s/{n}" for n in range(6)]
    assert git("rev-list", "--count", "main", cwd=bare) == "7"


def test_waiting_callers_share_a_fetch(bare: Path, opened: Open) -> None:
    with GitHttpServer(bare.parent) as server:
        repository = opened(server.url(bare.name))
        repository.fetch()
        once = len(server.requests)
        repository.fetch()
        each = len(server.requests) - once
        del server.requests[:]
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(lambda _: repository.fetch(), range(16)))
        assert each <= len(server.requests) < 16 * each


# Refusals


@pytest.mark.parametrize("hook", ["pre-receive", "update"])
def test_a_protected_branch_says_how_to_go_on(bare: Path, opened: Open, hook: str) -> None:
    install_hook(bare, hook, f"echo 'GH006: main is protected {'x' * 5000}' >&2; exit 1")
    repository = opened(bare)
    base = repository.tree("main").head
    with pytest.raises(RepositoryError) as caught:
        repository.push("main", base, [EDIT])
    assert "GH006: main is protected" in caught.value.what
    assert len(str(caught.value)) < 1500
    assert "bypass" in caught.value.hint
    assert repository.tree("main").head == base == head(bare)
    (bare / "hooks" / hook).unlink()
    repository.push("main", base, [EDIT])


def test_a_branch_that_is_checked_out_is_refused_by_the_server(
    tmp_path: Path, bare: Path, opened: Open
) -> None:
    clone = tmp_path / "clone"
    git("clone", "--quiet", str(bare), str(clone), cwd=tmp_path)
    repository = opened(clone)
    with pytest.raises(RepositoryError, match="checked out"):
        repository.push("main", repository.tree("main").head, [EDIT])


def test_a_repository_that_is_not_there(tmp_path: Path, bare: Path, opened: Open) -> None:
    with pytest.raises(RepositoryError, match="no such repository"):
        opened(tmp_path / "nope.git").fetch()
    with GitHttpServer(bare.parent) as server, pytest.raises(RepositoryError, match="no such"):
        opened(server.url("nope.git")).fetch()


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_server_in_trouble_is_tried_again(bare: Path, opened: Open, status: int) -> None:
    with GitHttpServer(bare.parent) as server:
        repository = opened(server.url(bare.name))
        base = repository.tree("main").head
        server.status = status
        for act in (repository.fetch, lambda: repository.push("main", base, [EDIT])):
            with pytest.raises(TransientError) as caught:
                act()
            assert not isinstance(caught.value, HeadMovedError)
        server.status = 403
        with pytest.raises(RepositoryError, match="permit"):
            repository.push("main", base, [EDIT])
        server.status = 0
        repository.push("main", base, [EDIT])
        assert repository.tree("main").head == head(bare)


def test_nobody_listens(opened: Open) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/x.git"
        with pytest.raises(TransientError):
            opened(url).fetch()


def test_a_server_that_never_answers_costs_the_timeout_only(opened: Open) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.git"
        with pytest.raises(TransientError, match=r"did not end within 0\.5 seconds"):
            opened(url, timeout=0.5).fetch()


def test_a_push_whose_answer_is_lost_is_seen_by_the_next_fetch(
    bare: Path, tmp_path: Path, opened: Open
) -> None:
    repository = opened(bare, timeout=3)
    base = repository.tree("main").head
    install_hook(bare, "post-receive", f"touch {tmp_path}/received; exec sleep 30 >&- 2>&-")
    with pytest.raises(TransientError) as caught:
        repository.push("main", base, [EDIT])
    assert not isinstance(caught.value, HeadMovedError)
    assert (tmp_path / "received").exists()
    assert repository.tree("main").head == base
    repository.fetch()
    now = repository.tree("main").head
    assert now == head(bare) != base
    (found,) = repository.deliveries("production/a", now, base)
    assert found.commit == now


# Secrets


@pytest.fixture
def guarded(bare: Path) -> Iterator[GitHttpServer]:
    with GitHttpServer(bare.parent, users={"bot": SECRET}) as server:
        yield server


def test_a_token_is_read_again_for_each_use(
    bare: Path, guarded: GitHttpServer, opened: Open
) -> None:
    tokens = {"now": ("bot", f"{SECRET}\n")}
    repository = opened(guarded.url(bare.name), credentials=lambda: tokens["now"])
    base = repository.tree("main").head
    guarded.users = {"bot": "rotated"}
    with pytest.raises(RepositoryError, match="credentials"):
        repository.push("main", base, [EDIT])
    tokens["now"] = ("bot", "rotated")
    repository.push("main", base, [EDIT])
    assert repository.tree("main").head == head(bare)


@pytest.mark.parametrize("credentials", [None, ("bot", ""), ("bot", f"{SECRET}x"), ("", SECRET)])
def test_wrong_credentials_are_told_and_nothing_asks_for_others(
    bare: Path,
    guarded: GitHttpServer,
    opened: Open,
    credentials: tuple[str, str] | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    asked = tmp_path / "asked"
    ask = tmp_path / "ask"
    ask.write_text(f"#!/bin/sh\ntouch {asked}\necho x\n")
    ask.chmod(0o755)
    monkeypatch.setenv("GIT_ASKPASS", str(ask))
    monkeypatch.setenv("SSH_ASKPASS", str(ask))
    with pytest.raises(RepositoryError, match="credentials") as caught:
        opened(guarded.url(bare.name), credentials=lambda: credentials).fetch()
    assert SECRET not in str(caught.value)
    assert "token" in caught.value.hint
    assert not asked.exists()


def test_a_token_is_nowhere_to_be_found(
    bare: Path,
    guarded: GitHttpServer,
    opened: Open,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    install_hook(bare, "pre-receive", f"echo 'your token is {SECRET}' >&2; exit 1")
    caplog.set_level("DEBUG")
    repository = opened(guarded.url(bare.name), credentials=lambda: ("bot", SECRET))
    with pytest.raises(RepositoryError) as caught:
        repository.push("main", repository.tree("main").head, [EDIT])
    encoded = guarded.requests[-1][2].removeprefix("Basic ")
    assert encoded
    shown = [str(caught.value), repr(caught.value), repr(vars(repository)), caplog.text]
    files = [p.read_bytes() for p in (tmp_path / "state").rglob("*") if p.is_file()]
    for secret in (SECRET, encoded):
        assert not any(secret in text for text in shown)
        assert not any(secret.encode() in data for data in files)


def test_a_token_is_not_in_the_arguments_of_any_process(
    bare: Path, guarded: GitHttpServer, opened: Open, tmp_path: Path
) -> None:
    listing = tmp_path / "processes"
    install_hook(bare, "pre-receive", f"cat /proc/[0-9]*/cmdline 2>/dev/null > {listing}; exit 0")
    repository = opened(guarded.url(bare.name), credentials=lambda: ("bot", SECRET))
    repository.push("main", repository.tree("main").head, [EDIT])
    seen = listing.read_bytes()
    assert b"--force-with-lease" in seen
    assert SECRET.encode() not in seen
    assert guarded.requests[-1][2].removeprefix("Basic ").encode() not in seen


def test_a_token_does_not_follow_a_redirect(
    bare: Path, guarded: GitHttpServer, opened: Open
) -> None:
    with GitHttpServer(bare.parent) as elsewhere:
        guarded.moved_to = elsewhere.url("").rstrip("/")
        repository = opened(guarded.url(bare.name), credentials=lambda: ("bot", SECRET))
        with pytest.raises(RepositoryError, match="redirects"):
            repository.fetch()
        assert elsewhere.requests == []


def test_a_url_with_a_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        GitRepository(f"https://bot:{SECRET}@git.example.com/x.git", tmp_path)
    assert SECRET not in str(caught.value)
    assert "environment" in caught.value.hint


# Kills and damage

CHILD = """
import sys
from mlflow_gitops.adapters.repository import GitRepository
from mlflow_gitops.state import Edit
repository = GitRepository(sys.argv[1], sys.argv[2])
head = repository.tree("main").head
message = "two\\n\\nGitops-Service: production/a\\n"
repository.push("main", head, [Edit({"a.yaml": "a: 2\\n"}, message)])
"""


@pytest.mark.parametrize(("hook", "taken"), [("pre-receive", False), ("post-receive", True)])
def test_killed_while_the_server_is_at_it(
    bare: Path, tmp_path: Path, opened: Open, hook: str, taken: bool
) -> None:
    """The child and its git are killed; the server's hook decides what became of the push."""
    there = tmp_path / "there"
    install_hook(bare, hook, f"touch {there}; sleep 2; exit {0 if taken else 1}")
    before = head(bare)
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(bare), str(tmp_path / "state")])
    wait_for(there)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    (bare / "hooks" / hook).unlink()

    repository = opened(bare)
    tree = repository.tree("main")
    assert tree.head == head(bare)
    assert (tree.head != before) == taken
    if not taken:
        repository.push("main", tree.head, [EDIT])
    now = repository.tree("main").head
    assert repository.tree("main").read("a.yaml") == "a: 2\n"
    assert len(list(repository.deliveries("production/a", now))) == 1


def test_locks_that_a_killed_git_left_are_removed(bare: Path, tmp_path: Path, opened: Open) -> None:
    opened(bare).fetch()
    cache = cache_of(tmp_path)
    for name in ("packed-refs.lock", "HEAD.lock", "refs/heads/main.lock", "config.lock"):
        (cache / name).write_text("")
    Person(tmp_path / "person", str(bare)).commits({"b.yaml": "b: 1\n"})
    repository = opened(bare)
    repository.fetch()
    assert repository.tree("main").head == head(bare)
    assert not list(cache.glob("*.lock"))


def break_head(cache: Path) -> None:
    (cache / "HEAD").unlink()


def break_config(cache: Path) -> None:
    (cache / "config").write_text("[core\n")


def break_ref(cache: Path) -> None:
    (cache / "refs" / "heads" / "main").write_text("")


def break_objects(cache: Path) -> None:
    for folder in (cache / "objects").iterdir():
        shutil.rmtree(folder)


def break_one_object(cache: Path) -> None:
    blob = git("rev-parse", "main:a.yaml", cwd=cache)
    place = cache / "objects" / blob[:2] / blob[2:]
    place.chmod(0o600)
    place.write_bytes(b"rubbish")


def remove_all(cache: Path) -> None:
    shutil.rmtree(cache)


def put_a_file_there(cache: Path) -> None:
    shutil.rmtree(cache)
    cache.mkdir()
    (cache / "half").write_text("of a clone")


DAMAGES = [
    break_head,
    break_config,
    break_ref,
    break_objects,
    break_one_object,
    remove_all,
    put_a_file_there,
]


def read_in_the_end(repository: GitRepository) -> str:
    """As the queue does it: what may pass is tried again, after a fetch."""
    for _ in range(3):
        try:
            repository.fetch()
            return repository.tree("main").read("a.yaml")
        except TransientError:
            continue
    return repository.tree("main").read("a.yaml")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("running", [True, False], ids=["running", "started again"])
def test_a_damaged_clone_is_made_again(
    bare: Path, tmp_path: Path, opened: Open, damage: Callable[[Path], None], running: bool
) -> None:
    repository = opened(bare)
    repository.fetch()
    damage(cache_of(tmp_path))
    if not running:
        repository = opened(bare)
    assert read_in_the_end(repository) == "a: 1\n"
    repository.push("main", repository.tree("main").head, [EDIT])
    Person(tmp_path / "person", str(bare)).commits({"a.yaml": "a: 3\n"})
    assert read_in_the_end(repository) == "a: 3\n"
    assert len(list(repository.deliveries("production/a", repository.tree("main").head))) == 1


def test_another_process_making_the_clone_again_disturbs_nobody(
    bare: Path, tmp_path: Path, opened: Open
) -> None:
    first, second = opened(bare), opened(bare)
    first.fetch()
    second.fetch()
    shutil.rmtree(cache_of(tmp_path))
    assert read_in_the_end(first) == "a: 1\n"
    made = os.stat(cache_of(tmp_path)).st_ino
    assert read_in_the_end(second) == "a: 1\n"
    assert os.stat(cache_of(tmp_path)).st_ino == made
    second.push("main", second.tree("main").head, [EDIT])
    assert read_in_the_end(first) == "a: 2\n"


def test_reading_goes_on_while_others_fetch_and_push(
    bare: Path, tmp_path: Path, opened: Open
) -> None:
    repository = opened(bare)
    person = Person(tmp_path / "person", str(bare))
    tree = repository.tree("main")

    def read(_: int) -> set[str]:
        repository.fetch()
        return {tree.read("a.yaml"), repository.tree("main").read("a.yaml")}

    with ThreadPoolExecutor(4) as threads:
        reads = threads.map(read, range(40))
        for number in range(5):
            person.commits({"a.yaml": f"a: {number}\n"})
        seen = set().union(*reads)
    assert "a: 1\n" in seen
    assert seen <= {f"a: {number}\n" for number in range(5)}


def test_git_that_is_missing_is_told(
    bare: Path, tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitOpsError) as caught:
        opened(bare).fetch()
    assert "Git" in caught.value.hint


def test_ssh_never_asks_and_keeps_what_is_configured(
    bare: Path, tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for ssh that runs the command here, as the server would."""
    said = tmp_path / "said"
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\necho "$@" >> {said}\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[core]\n sshCommand = {ssh} -i key\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    repository = opened(f"ssh://git@git.example.com{bare}")
    repository.push("main", repository.tree("main").head, [EDIT])
    assert repository.tree("main").head == head(bare)
    assert all(
        "-i key" in line and "BatchMode=yes" in line for line in said.read_text().split("\n")[:-1]
    )
