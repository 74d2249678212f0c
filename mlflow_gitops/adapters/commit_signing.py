"""Signs commits as Git does, with ssh-keygen or gpg: bytes in, an armoured signature out.

The key is never copied into a user's keyring, and the key's file and passphrase are read again
for each use, so that they may be rotated. No error shows either.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mlflow_gitops.adapters.key_files import KEPT_OPEN, open_to_others
from mlflow_gitops.adapters.private_folder import PrivateFolder
from mlflow_gitops.adapters.signing_failures import failure, refused
from mlflow_gitops.errors import TransientError

__all__ = ["CommitSigner", "kind_of"]

SECONDS: Final = 30.0
LONGEST_FOLDER: Final = 72  # gpg-agent's sockets lie below it; a socket's path ends at 107
LARGEST: Final = 1024 * 1024
GPG_BINARY: Final = frozenset({0x94, 0x95, 0x96, 0x97, 0xC5})  # a secret key's packet
SSH_PUBLIC: Final = re.compile(rb"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/]")
ASKPASS: Final = "#!/bin/sh\nprintf '%s\\n' \"$ASKED_PASSPHRASE\"\n"
IMPORTED: Final = re.compile(rb"^\[GNUPG:\] IMPORT_OK (\d+) ([0-9A-F]{40,64})\s*$", re.MULTILINE)
SECRET: Final = 16  # IMPORT_OK's flag: a private key was in the file


@dataclass
class CommitSigner:
    """Signs with the key in `key_file` (SSH or GPG), or with the user's GPG key `key_id`.

    `folder` is for what has to lie on disk meanwhile. Safe for threads. Both methods raise
    ConfigError where a person must change something, and then nothing was signed.
    """

    key_file: str
    key_id: str
    folder: Path
    passphrase: Callable[[], str] = field(default=lambda: "", repr=False)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._private: PrivateFolder | None = None
        self._imported = ("", "")  # digest of the key file, and the key's fingerprint

    def check(self) -> None:
        """Make a signature and forget it."""
        self.sign(b"mlflow-gitops\n")

    def close(self) -> None:
        """Forget the key: end GPG's agent and remove what lies on disk."""
        with self._lock:
            private, self._private, self._imported = self._private, None, ("", "")
            if private is not None:
                private.close()

    def sign(self, payload: bytes) -> bytes:
        passphrase = self.passphrase()
        with self._lock:
            if self.key_id:
                return self._gpg(payload, self.key_id, passphrase, dict(os.environ))
            data = _read(self.key_file)
            if kind_of(data) == "ssh":
                return self._ssh(payload, passphrase)
            env = {**os.environ, "GNUPGHOME": str(self._home())}
            return self._gpg(payload, self._import(data, env), passphrase, env)

    def _ssh(self, payload: bytes, passphrase: str) -> bytes:
        env = {**os.environ, "SSH_ASKPASS_REQUIRE": "never"}
        if passphrase:
            env |= {
                "SSH_ASKPASS": str(self._askpass()),
                "SSH_ASKPASS_REQUIRE": "force",
                "ASKED_PASSPHRASE": passphrase,
            }
        command = ("ssh-keygen", "-Y", "sign", "-n", "git", "-f", self.key_file)
        return _run(command, payload, env, self.key_file)

    def _gpg(self, payload: bytes, key: str, passphrase: str, env: Mapping[str, str]) -> bytes:
        options = ["gpg", "--batch", "--no-tty", "--status-fd", "2"]
        if not passphrase:
            return _run((*options, "-bsau", key), payload, env, self.key_file)
        reading, writing = os.pipe()
        try:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(passphrase.encode())
            options += ["--pinentry-mode", "loopback", "--passphrase-fd", str(reading)]
            return _run((*options, "-bsau", key), payload, env, self.key_file, reading)
        finally:
            os.close(reading)

    def _import(self, data: bytes, env: Mapping[str, str]) -> str:
        digest = hashlib.sha256(data).hexdigest()
        if self._imported[0] != digest:
            command = ("gpg", "--batch", "--no-tty", "--status-fd", "1", "--import")
            out = _run(command, data, env, self.key_file)
            keys = [key.decode() for flags, key in IMPORTED.findall(out) if int(flags) & SECRET]
            if not keys:
                raise refused("the file holds no private GPG key")
            self._imported = (digest, keys[0])
        return self._imported[1]

    def _home(self) -> Path:
        if len(str(self.folder)) > LONGEST_FOLDER:
            raise refused(
                f"the state directory's path has more than {LONGEST_FOLDER} characters, too many "
                "for gpg-agent",
                "let MLFLOW_GITOPS_STATE_DIR name a folder with a shorter path",
            )
        return self._private_folder().path

    def _askpass(self) -> Path:
        """ssh-keygen asks no other way than through a program."""
        script = self._private_folder().path / "askpass"
        if not script.exists():
            script.write_text(ASKPASS, encoding="utf-8")
            script.chmod(0o700)
        return script

    def _private_folder(self) -> PrivateFolder:
        if self._private is None:
            self._private = PrivateFolder(self.folder, "signing", _end_agent)
        return self._private


def kind_of(data: bytes) -> str:
    """`ssh` or `gpg`. Raises ConfigError for what is no key to sign with."""
    start = data.lstrip()[:200]
    if b"-----BEGIN PGP PRIVATE KEY BLOCK" in start or (data and data[0] in GPG_BINARY):
        return "gpg"
    if b"-----BEGIN PGP PUBLIC KEY BLOCK" in start:
        raise refused("the file holds a public GPG key")
    if re.match(rb"-----BEGIN ([A-Z]+ )?(ENCRYPTED )?PRIVATE KEY-----", start):
        return "ssh"
    if SSH_PUBLIC.match(start):  # the private half is in an SSH agent
        return "ssh"
    raise refused("the file holds no SSH or GPG key")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(LARGEST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        raise refused(f"the key file cannot be read: {reason}") from None
    told = open_to_others(status)
    if told and not SSH_PUBLIC.match(data):
        raise refused(told, KEPT_OPEN)
    return data


def _run(
    command: Sequence[str], stdin: bytes, env: Mapping[str, str], key_file: str, *pipes: int
) -> bytes:
    try:
        done = subprocess.run(
            command,
            input=stdin,
            env={**env, "LC_ALL": "C", "LANGUAGE": "C"},
            capture_output=True,
            timeout=SECONDS,
            pass_fds=pipes,
            start_new_session=True,  # no terminal can be asked
        )
    except FileNotFoundError:
        package = "openssh-client" if command[0] == "ssh-keygen" else "gnupg"
        raise refused(
            f"the program `{command[0]}` is not there", f"install it (Debian: {package})"
        ) from None
    except subprocess.TimeoutExpired:
        raise TransientError(
            f"{command[0]} did not end within {SECONDS:g} seconds",
            where="the signature of a commit",
            hint="it is tried again; check that the key asks for nobody's touch or PIN",
        ) from None
    except (OSError, ValueError) as error:
        raise TransientError(
            f"{command[0]} cannot be started: {getattr(error, 'strerror', None) or 'bad argument'}",
            where="the signature of a commit",
            hint="it is tried again",
        ) from None
    if done.returncode:
        raise failure(done.stderr.decode("utf-8", "replace"), key_file)
    return done.stdout


def _end_agent(home: Path) -> None:
    if (home / "pubring.kbx").exists():
        command = ("gpgconf", "--homedir", str(home), "--kill", "gpg-agent")
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, timeout=SECONDS)
