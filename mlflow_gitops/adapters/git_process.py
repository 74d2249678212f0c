"""Runs git through GitPython: its environment, its time limit, and secrets for one child only.

Nothing of an outer Git leaks in (`GIT_DIR` and its like, set when a hook runs us), nothing asks
for a password, and a token is only ever in the environment of the process that needs it.
"""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlflow_gitops.adapters.git_address import Address
from mlflow_gitops.adapters.git_failures import redact
from mlflow_gitops.errors import ConfigError, TransientError

try:
    from git.cmd import Git
    from git.exc import GitCommandNotFound
except ImportError as missing:  # GitPython looks for the binary when it is imported
    raise ConfigError(
        "the program `git` cannot be run", where="PATH", hint="install Git 2.31 or later"
    ) from missing

__all__ = ["Answer", "Credentials", "GitProcess"]

Credentials = Callable[[], tuple[str, str] | None]
"""User name and token, read again for each use; None where Git's own helpers have them."""

# Of the process's GIT_* variables only these reach git: they say how to connect.
KEPT = frozenset(
    {"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_EXEC_PATH", "GIT_PROXY_COMMAND"}
    | {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_HTTP_USER_AGENT"}
)
KEPT_PREFIXES = ("GIT_SSL_", "GIT_HTTP_PROXY", "GIT_PROXY_SSL_", "GIT_HTTP_LOW_SPEED_")
KILL_WAIT = 5.0  # seconds, for what a process outside the group still holds open
DEFAULT_USER = "x-access-token"


@dataclass(frozen=True, slots=True)
class Answer:
    """What git said; `words` is its standard error, redacted."""

    code: int
    out: bytes
    words: str


@dataclass(frozen=True, slots=True)
class GitProcess:
    """Git in one repository folder, `git_dir`. `timeout` is seconds for one command."""

    git_dir: Path
    address: Address
    timeout: float = 120.0
    credentials: Credentials | None = field(default=None, repr=False)

    def run(self, *arguments: str, stdin: bytes = b"", remote: bool = False) -> Answer:
        """Run to the end; an exit code is an answer. Raises TransientError after `timeout`.

        Only with `remote` are credentials given to the process.
        """
        env, secrets = self._environment(remote)
        process = self._start(arguments, env)
        try:
            out, words = process.communicate(stdin, timeout=self.timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise TransientError(
                f"git {arguments[0]} did not end within {self.timeout:g} seconds",
                where=self.address.identity,
                hint="it is tried again; check that the Git server can be reached from here",
            ) from None
        except BaseException:
            _kill(process)
            raise
        return Answer(process.returncode, out, redact(words.decode("utf-8", "replace"), secrets))

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A local process to talk with; the caller ends it."""
        return self._start(arguments, self._environment(remote=False)[0])

    def _start(self, arguments: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        program = str(Git.GIT_PYTHON_GIT_EXECUTABLE)
        try:
            running = Git(self.git_dir.parent).execute(
                [*_without_outer_git(env), program, *arguments],
                istream=subprocess.PIPE,
                as_process=True,
                shell=False,
                env=env,
                start_new_session=True,  # no terminal can be asked, and all of it can be killed
            )
        except GitCommandNotFound:
            raise ConfigError(
                f"the program `{program}` cannot be run", where="PATH", hint="install Git"
            ) from None
        except OSError as error:
            raise TransientError(
                f"git {arguments[0]} cannot be started: {error.strerror}", hint="it is tried again"
            ) from error
        process: subprocess.Popen[bytes] | None = running.proc
        assert process is not None
        running.proc = None  # GitPython would end it when `running` is forgotten
        return process

    def _environment(self, remote: bool) -> tuple[dict[str, str], tuple[str, ...]]:
        env = {
            "GIT_DIR": str(self.git_dir),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "SSH_ASKPASS_REQUIRE": "never",
            "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
        }
        config = {
            "gc.auto": "0",
            "gc.autoDetach": "false",
            "gc.packRefs": "false",
            "maintenance.auto": "false",
            "core.hooksPath": os.devnull,
            "core.quotePath": "false",
            "push.pushOption": "",
            "trailer.separators": ":",
            "http.lowSpeedLimit": "1",  # bytes a second: an orphan ends itself as well
            "http.lowSpeedTime": str(max(1, round(self.timeout))),
        }
        secrets: tuple[str, ...] = ()
        if remote and self.address.scheme == "ssh":
            env |= self._ssh()
        if remote and self.address.takes_token:
            header, secrets = self._header()
            if self.address.user and not header:  # for Git's own credential helpers
                config[f"credential.{self.address.origin}.username"] = self.address.user
            if header:
                config[f"http.{self.address.origin}.extraHeader"] = header
                config["http.followRedirects"] = "false"  # the header would go along
        return env | _config_environment(config), secrets

    def _header(self) -> tuple[str, tuple[str, ...]]:
        found = self.credentials() if self.credentials else None
        user, token = found or ("", "")
        token = token.strip()
        if not token:
            return "", ()
        pair = f"{user.strip() or DEFAULT_USER}:{token}"
        encoded = base64.b64encode(pair.encode()).decode()
        return f"Authorization: Basic {encoded}", (encoded, token)

    def _ssh(self) -> dict[str, str]:
        """SSH that never asks, with what the user configured; other programs stay as they are."""
        command = os.environ.get("GIT_SSH_COMMAND", "")
        if "GIT_SSH" in os.environ and not command:
            return {}
        if not command:
            answer = self.run("config", "--get", "core.sshCommand")
            command = answer.out.decode("utf-8", "replace").strip() or "ssh"
        program = os.path.basename(command.split(" ", 1)[0])
        options = " -oBatchMode=yes -oConnectTimeout=30" if program == "ssh" else ""
        return {"GIT_SSH_COMMAND": command + options}


def _without_outer_git(ours: Mapping[str, str]) -> list[str]:
    """`env -u NAME …` for what an outer Git, or its user, set for itself."""
    outer = sorted(name for name in os.environ if name.startswith("GIT_"))
    gone = [n for n in outer if n not in ours and n not in KEPT and not n.startswith(KEPT_PREFIXES)]
    return ["env", *(word for name in gone for word in ("-u", name))] if gone else []


def _config_environment(config: Mapping[str, str]) -> dict[str, str]:
    env = {"GIT_CONFIG_COUNT": str(len(config))}
    for index, (key, value) in enumerate(config.items()):
        env[f"GIT_CONFIG_KEY_{index}"] = key
        env[f"GIT_CONFIG_VALUE_{index}"] = value
    return env


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With its children: git-remote-https and ssh would hold the pipes open."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    with suppress(ValueError, OSError, subprocess.TimeoutExpired):
        process.communicate(timeout=KILL_WAIT)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
