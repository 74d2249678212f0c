"""Signed commits: real keys, real ssh-keygen and gpg, and what Git itself says of them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlflow_gitops.adapters.commit_signing import CommitSigner
from mlflow_gitops.adapters.private_folder import PrivateFolder
from mlflow_gitops.adapters.repository import GitRepository
from mlflow_gitops.errors import ConfigError
from mlflow_gitops.state import Edit, People, Person
from tests.support.git import git, make_bare

PASSPHRASE = "correct horse, battery"
BOT = Person("Bot", "bot@example.com")
ADA = Person("Ada", "ada@example.com")


def needs(program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


@pytest.fixture
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A short path: gpg-agent's sockets lie below it."""
    folder = tmp_path_factory.mktemp("s")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def ssh_key(folder: Path, passphrase: str = "") -> Path:
    needs("ssh-keygen")
    key = folder / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", str(key))
    return key


def gpg_key(
    folder: Path, passphrase: str = "", expires: str = "never", made: str = ""
) -> tuple[Path, Path]:
    """The exported private key, and the keyring that it is from."""
    needs("gpg")
    home = folder / "ring"
    home.mkdir(mode=0o700)
    gpg = ("gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback")
    then = ("--faked-system-time", made) if made else ()
    secret = ("--passphrase", passphrase)
    try:
        name = f"{BOT.name} <{BOT.address}>"
        run(*gpg, *then, *secret, "--quick-gen-key", name, "ed25519", "sign", expires)
        text = run(*gpg, *secret, "--armor", "--export-secret-keys")
    finally:
        run("gpgconf", "--homedir", str(home), "--kill", "gpg-agent")
    key = folder / "key.asc"
    key.write_text(text)
    key.chmod(0o600)
    return key, home


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def signer(
    state: Path, key: Path, passphrase: str = "", change: Callable[[Path], object] | None = None
) -> CommitSigner:
    if change:
        change(key)
    return CommitSigner(str(key), "", state, lambda: passphrase)


def repository(bare: Path, state: Path, by: CommitSigner) -> GitRepository:
    return GitRepository(str(bare), state, people=lambda: People(ADA, BOT), signer=by)


def pushes(bare: Path, state: Path, by: CommitSigner) -> list[str]:
    """Two commits in one push, onto what somebody else committed."""
    manifests = repository(bare, state, by)
    try:
        base = manifests.tree("main").head
        edits = [
            Edit({"a": "1\n"}, "First\n\nÜber: <all>\n"),
            Edit({"a": "1\n"}, "nothing"),
            Edit({"b": "2\n"}, "Second"),
        ]
        assert manifests.diff(base, edits[:1])
        changes = manifests.push("main", base, edits)
    finally:
        manifests.close()
    assert [bool(change.commit) for change in changes] == [True, False, True]
    assert changes[2].parent == changes[0].commit
    assert "+2" in changes[2].diff
    return [changes[0].commit, changes[2].commit]


@pytest.mark.parametrize(("passphrase", "hash_name"), [("", "sha1"), (PASSPHRASE, "sha256")])
def test_git_verifies_what_an_ssh_key_signed(
    tmp_path: Path, state: Path, passphrase: str, hash_name: str
) -> None:
    key = ssh_key(tmp_path, passphrase)
    bare = tmp_path / "m.git"
    git("init", "-q", "--bare", f"--object-format={hash_name}", str(bare), cwd=tmp_path)
    make_bare(bare, {"x": "0\n"})
    commits = pushes(bare, state, signer(state, key, passphrase))
    allowed = tmp_path / "allowed"
    allowed.write_text(f"{BOT.address} {key.with_suffix('.pub').read_text()}")
    trust = f"gpg.ssh.allowedSignersFile={allowed}"
    for commit in commits:
        git("-c", trust, "verify-commit", commit, cwd=bare)
    shown = git("log", "-1", "--format=%an %ae %cn %ce %B", commits[0], cwd=bare)
    assert shown.strip() == "Ada ada@example.com Bot bot@example.com First\n\nÜber: <all>"
    git("fsck", "--strict", cwd=bare)


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
def test_git_verifies_what_a_gpg_key_signed(
    tmp_path: Path, state: Path, passphrase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, home = gpg_key(tmp_path, passphrase)
    bare = make_bare(tmp_path / "m.git", {"x": "0\n"})
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(own))
    by = signer(state, key, passphrase)
    commits = pushes(bare, state, by)
    assert list(own.iterdir()) == []  # the user's own keyring is not touched
    (private,) = state.glob("signing-*")
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    by.close()
    assert not private.exists()
    verify = ["env", f"GNUPGHOME={home}", "git", "-C", str(bare), "verify-commit", *commits]
    run(*verify)


def test_a_key_of_the_users_own_keyring_signs(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, home = gpg_key(tmp_path)
    monkeypatch.setenv("GNUPGHOME", str(home))
    try:
        assert b"BEGIN PGP SIGNATURE" in CommitSigner("", BOT.address, state).sign(b"x")
        with pytest.raises(ConfigError, match="no such private GPG key"):
            CommitSigner("", "nobody@example.com", state).sign(b"x")
    finally:
        run("gpgconf", "--homedir", str(home), "--kill", "gpg-agent")


def test_a_new_key_in_the_file_is_taken_at_once(tmp_path: Path, state: Path) -> None:
    key, _ = gpg_key(tmp_path)
    by = signer(state, key)
    by.check()
    other = tmp_path / "other"
    other.mkdir()
    key.write_bytes(ssh_key(other).read_bytes())
    assert b"BEGIN SSH SIGNATURE" in by.sign(b"x")
    by.close()


def open_to_all(key: Path) -> None:
    key.chmod(0o644)


def cut_off(key: Path) -> None:
    key.write_bytes(key.read_bytes()[:90] + b"\n")


def no_key(key: Path) -> None:
    key.write_text("hunter2\n")


def gone(key: Path) -> None:
    key.unlink()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (open_to_all, "others than its owner"),
        (cut_off, "cannot be read as a private key"),
        (no_key, "holds no SSH or GPG key"),
        (gone, "No such file"),
    ],
)
def test_a_key_that_cannot_sign_pushes_nothing(
    tmp_path: Path, state: Path, change: Callable[[Path], object], what: str
) -> None:
    by = signer(state, ssh_key(tmp_path), change=change)
    bare = make_bare(tmp_path / "m.git", {"x": "0\n"})
    manifests = repository(bare, state, by)
    base = manifests.tree("main").head
    with pytest.raises(ConfigError, match=what) as caught:
        manifests.check_signing()
    with pytest.raises(ConfigError, match=what):
        manifests.push("main", base, [Edit({"a": "1\n"}, "one")])
    manifests.close()
    assert git("rev-parse", "main", cwd=bare).strip() == base
    assert str(tmp_path) not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("made", [ssh_key, lambda *args: gpg_key(*args)[0]], ids=["ssh", "gpg"])
def test_a_missing_or_wrong_passphrase_is_told(
    tmp_path: Path, state: Path, made: Callable[[Path, str], Path]
) -> None:
    key = made(tmp_path, PASSPHRASE)
    for given in ("", "wrong one"):
        by = signer(state, key, given)
        with pytest.raises(ConfigError, match="passphrase is missing or wrong") as caught:
            by.check()
        by.close()
        assert "wrong one" not in str(caught.value)


def test_an_expired_key_is_told(tmp_path: Path, state: Path) -> None:
    key, _ = gpg_key(tmp_path, expires="1d", made="20200101T000000!")
    by = signer(state, key)
    with pytest.raises(ConfigError, match="expired or revoked"):
        by.check()
    by.close()


def test_a_missing_program_is_told(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = signer(state, ssh_key(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="`ssh-keygen` is not there"):
        by.check()


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    dead = tmp_path / "signing-dead"
    dead.mkdir()
    (dead / "lock").touch()
    (dead / "key").touch()
    first = PrivateFolder(tmp_path, "signing", lambda _: None)
    second = PrivateFolder(tmp_path, "signing", lambda _: None)
    assert not dead.exists()
    assert first.path.exists()
    assert os.listdir(second.path) == ["lock"]
    first.close()
    second.close()
    assert list(tmp_path.glob("signing-*")) == []
