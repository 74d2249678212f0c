"""Builds manifests with `kustomize build` or `kubectl kustomize`, and with nothing else.

The program gets a private folder with the files it is given, and an environment without our
secrets. Nothing is fetched: what refers to another place is refused before, Git is not on its PATH,
and its only proxy takes no connection (Go asks no proxy for this machine's own addresses, so that
alone would not do). Plugins, Helm and functions are off where no flag turns them on. Aliases and
bases can make a small file as large as they like, so memory is bounded where the system can do it.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Timer
from typing import IO

from mlflow_gitops.adapters.build_cache import BuildCache, Built, key_of
from mlflow_gitops.errors import CannotBuildError, ManifestError, RenderError
from mlflow_gitops.manifests.addresses import without_secrets
from mlflow_gitops.manifests.building import check_stands_alone
from mlflow_gitops.manifests.schema import without_schema

__all__ = ["KustomizeRenderer"]

PROGRAMS = (("kustomize", "build"), ("kubectl", "kustomize"))  # the faster one first
VERSION = {"kustomize": ("version",), "kubectl": ("version", "--client")}
NOWHERE = "http://127.0.0.1:9"  # discard: nothing listens there
MOST_OUTPUT = 8 * 1024 * 1024  # bytes
MOST_MEMORY = 512 * 1024 * 1024  # bytes; thousands of objects take 100 MB
GO = {"GOGC": "400", "GOMEMLIMIT": f"{MOST_MEMORY * 3 // 4 >> 20}MiB"}
"""A build is short: collecting its garbage seldom takes a third of its time away."""

MOST_READ = 64 * 1024  # bytes of what it says is wrong
MOST_WORDS = 600  # characters of what it says is wrong
WARNING = "# Warning:"
ADDRESS = re.compile(r"0x[0-9a-f]+")
PANIC = re.compile(r"^panic: (.*)$", re.MULTILINE)
CRASH = re.compile(r"^(?:fatal error|runtime|panic|SIG[A-Z]+): ", re.MULTILINE)
"""Go's own words; what follows are threads and addresses, others each time."""


@dataclass(frozen=True, slots=True)
class KustomizeRenderer:
    """`timeout` is seconds for one build; `path` is where the programs are looked for, "" for
    the process's own PATH and beside Python, where pip puts them.
    """

    timeout: float = 30.0
    path: str = ""
    _known: BuildCache = field(default_factory=BuildCache, compare=False)

    def render(self, files: Mapping[str, str], folder: str) -> str | None:
        command = self._command()
        if command is None:
            return None
        key = key_of(files, folder)
        with self._known.building(key):
            built = self._known.get(key)
            if built is None:
                built = self._tried(command, files, folder)
                self._known.put(key, built)
        if isinstance(built, RenderError):
            raise _again(built)
        return built

    def version(self) -> str | None:
        command = self._command()
        if command is None:
            return None
        program = Path(command[0])
        try:
            with TemporaryDirectory(prefix="mlflow-gitops-build-") as made:
                return self._version(program, Path(made).resolve())
        except OSError as error:
            raise _does_not_run(program, error.strerror or type(error).__name__) from None

    def _version(self, program: Path, root: Path) -> str:
        command = [str(program), *VERSION[program.name]]
        code, output, words = self._ended(command, root)
        if code is None:
            raise _does_not_run(program, f"it did not end within {self.timeout:g} seconds")
        said = " ".join(output.read_text("utf-8", "replace").split())
        if code != 0 or not said:
            why = _said(words.read_text("utf-8", "replace"), root) or f"exit code {code}"
            raise _does_not_run(program, why)
        return f"{program.name}: {said[:MOST_WORDS]}"

    def _tried(self, command: Sequence[str], files: Mapping[str, str], folder: str) -> Built:
        """What came of it, for all who ask about these files. Raises what is only so now."""
        try:
            check_stands_alone(files)
            return self._built_fast(command, files, folder) or self._built(command, files, folder)
        except (RenderError, ManifestError) as error:
            return _again(error)
        except OSError as error:
            raise CannotBuildError(
                f"it cannot be run here: {error.strerror}",
                where=folder,
                hint="look at the program, and at the space for temporary files",
            ) from None

    def _command(self) -> Sequence[str] | None:
        places = (os.environ.get("PATH"), os.path.dirname(sys.executable))
        path = self.path or os.pathsep.join(filter(None, places))
        for name, verb in PROGRAMS:
            program = shutil.which(name, path=path)
            if program is not None:
                return [os.path.abspath(program), verb]
        return None

    def _built_fast(
        self, command: Sequence[str], files: Mapping[str, str], folder: str
    ) -> str | None:
        """The build without the schema of Kubernetes' own kinds; None where that does not do."""
        lean = without_schema(files, folder)
        try:
            return None if lean is None else self._built(command, lean, folder)
        except CannotBuildError:
            raise
        except RenderError:  # the words of the build as it is are the ones to show
            return None

    def _built(self, command: Sequence[str], files: Mapping[str, str], folder: str) -> str:
        with TemporaryDirectory(prefix="mlflow-gitops-build-") as made:
            root = Path(made).resolve()
            _write(root / "files", files)
            return self._built_in(root, command, folder)

    def _built_in(self, root: Path, command: Sequence[str], folder: str) -> str:
        code, output, words = self._ended([*command, str(root / "files" / folder)], root)
        where = folder or "the repository's root"
        if code is None:
            what = f"the build did not end within {self.timeout:g} seconds"
            raise CannotBuildError(what, where=where, hint="build it by hand")
        if output.stat().st_size > MOST_OUTPUT:
            raise CannotBuildError("more than 8 MB are built", where=where, hint="build it by hand")
        if code != 0:
            with words.open("rb") as said_bytes:
                text = said_bytes.read(MOST_READ).decode("utf-8", "replace")
            if (panic := PANIC.search(text)) and "out of memory" not in text:
                said = without_secrets(ADDRESS.sub("...", panic[1]))[:MOST_WORDS]
                what = f"the program broke off: {said}"
                raise RenderError(what, where=where, hint="build it by hand")
            if CRASH.search(text):
                what = f"the program broke off; it gets {MOST_MEMORY >> 20} MB of memory"
                raise CannotBuildError(what, where=where, hint="build it by hand")
            said = _said(text, root / "files")
            what = said or f"the build ended with exit code {code}"
            hint = f"`{Path(command[0]).name} {command[1]} {folder or '.'}` tells the same"
            raise RenderError(what, where=where, hint=hint)
        return output.read_text("utf-8", "replace")

    def _ended(self, command: Sequence[str], root: Path) -> tuple[int | None, Path, Path]:
        """Run the command; return its exit code, and the files with what it wrote and said."""
        home, output, words = root / "home", root / "output", root / "words"
        home.mkdir()
        with output.open("wb") as out, words.open("wb") as err:
            return self._run(command, home, out, err), output, words

    def _run(
        self, command: Sequence[str], home: Path, out: IO[bytes], err: IO[bytes]
    ) -> int | None:
        """The exit code; None where it took too long."""
        process = subprocess.Popen(
            command,
            cwd=home,
            env=_environment(home),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        late = Event()

        def give_up() -> None:
            late.set()
            _kill(process)

        timer = Timer(self.timeout, give_up)  # a wait with a timeout polls, up to 50 ms too long
        timer.daemon = True
        try:
            _bound(process)
            timer.start()
            code = process.wait()
            return None if late.is_set() else code
        finally:
            timer.cancel()
            _end(process)


def _does_not_run(program: Path, why: str) -> RenderError:
    return RenderError(
        f"`{program.name}` does not run: {why}",
        where=str(program),
        hint="install it again, or take it off PATH",
    )


def _again(error: RenderError | ManifestError) -> RenderError:
    """A new one: one that was raised holds on to what was going on then."""
    kind = CannotBuildError if isinstance(error, CannotBuildError) else RenderError
    return kind(error.what, where=error.where, hint=error.hint)


def _bound(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "linux":
        with suppress(OSError):  # it ended, or the system's own limit is lower
            resource.prlimit(process.pid, resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (2 * MOST_OUTPUT, 2 * MOST_OUTPUT))


def _environment(home: Path) -> dict[str, str]:
    """No more than this: kubectl has a file of defaults in HOME, and reads none from there."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE)
    own = dict.fromkeys(("HOME", "PATH", "TMPDIR"), str(home))
    return {**own, **GO, "KUBERC": "off", **proxies}


def _write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        if not _is_inside(name):
            raise RenderError("no file can have this name", where=name, hint="rename it")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def _is_inside(name: str) -> bool:
    parts = name.split("/")
    return "\0" not in name and not {"", ".", ".."}.intersection(parts)


def _said(words: str, root: Path) -> str:
    """Its last words, in one line, without the folder that differs each time."""
    lines = (line for line in words.splitlines() if not line.startswith(WARNING))
    said = " ".join(" ".join(lines).replace(f"{root}/", "").replace(str(root), ".").split())
    said = without_secrets(said.removeprefix("error: "))
    return said if len(said) <= MOST_WORDS else f"{said[:MOST_WORDS]}..."


def _end(process: subprocess.Popen[bytes]) -> None:
    """With its children, also when we are interrupted."""
    if process.poll() is None:
        _kill(process)
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
