"""Files that others publish in a package, for tests: pinned, checked, and kept in the user's cache.

They come through the registry's own client, and are never committed. Where that client is missing
or reaches no registry there is no file, and who needs it skips with the reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from filelock import FileLock

__all__ = ["Published", "fetched"]

SECONDS = 300


@dataclass(frozen=True)
class Published:
    """`member` is the file's path in the package, `sha256` that of the file itself."""

    registry: Literal["npm", "go"]
    package: str
    version: str
    member: str
    sha256: str


@cache
def fetched(wanted: Published) -> Path | None:
    """The file, or None where no registry can be asked for it. Raises AssertionError for another
    file than the pinned one.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "mlflow-gitops-tests"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{wanted.sha256[:16]}-{Path(wanted.member).name}"
    with FileLock(f"{path}.lock"):  # several workers ask at once
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                try:
                    data = CLIENTS[wanted.registry](wanted, Path(scratch))
                except (OSError, subprocess.SubprocessError):
                    return None
                found = Path(scratch) / "file"
                found.write_bytes(data)
                digest = hashlib.sha256(data).hexdigest()
                assert digest == wanted.sha256, f"{wanted} is another file: {digest}"
                found.replace(path)
    return path


def _npm(wanted: Published, scratch: Path) -> bytes:
    tries = ["--fetch-retries", "1", "--silent"]
    _run(["npm", "pack", f"{wanted.package}@{wanted.version}", *tries], scratch)
    (archive,) = scratch.glob("*.tgz")
    return _member(archive, f"package/{wanted.member}")


def _go(wanted: Published, scratch: Path) -> bytes:
    """Go keeps the whole module in its own cache; that of the scratch folder goes with it."""
    what = f"{wanted.package}@{wanted.version}"
    modules = {"GOMODCACHE": str(scratch / "go"), "GOFLAGS": "-modcacherw"}
    said = _run(["go", "mod", "download", "-json", what], scratch, modules)
    return _member(Path(json.loads(said)["Zip"]), f"{what}/{wanted.member}")


def _run(command: list[str], folder: Path, more: Mapping[str, str] | None = None) -> str:
    environ = {**os.environ, **(more or {})}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    return done.stdout


def _member(archive: Path, name: str) -> bytes:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            return opened.read(name)
    with tarfile.open(archive) as packed:
        found = packed.extractfile(name)
        assert found is not None, name
        return found.read()


CLIENTS: Mapping[str, Callable[[Published, Path], bytes]] = {
    "npm": _npm,
    "go": _go,
}
