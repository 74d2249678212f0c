"""Which places a version's files may come from, and which names they may have. PURE.

Anybody who may register a version chooses its source, so a location is taken apart strictly and
compared by scheme, host and whole path segments. Symbolic links need a disk: the adapter's part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from mlflow_gitops.errors import PublishError

__all__ = [
    "Location",
    "check_path",
    "check_paths",
    "check_source",
    "named",
    "parse_location",
    "shown",
]

NAME = re.compile(r"[A-Za-z0-9._/-]+")
LONGEST_NAME = 700  # characters; S3 allows 1,024 bytes for the whole key
URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/]*))?(.*)", re.DOTALL)
HIDDEN = re.compile(r"%(?:2e|2f|5c|25|[01][0-9a-f]|7f)", re.IGNORECASE)
CREDENTIALS = re.compile(r"(?<=//)[^/]*@")
CONTAINERS = ("abfs", "abfss", "wasb", "wasbs")  # they write <container>@<account> before the path
NO_PLACES = ("models", "runs")
SHOWN = 300  # characters
LONGEST_KEPT = 4096  # characters; longer ones are not kept in memory
MOST_FOLDERS = 50  # in one another
SHOWN_NAMES = 5

REGISTER = "register the version again, with its artifact location as the source"
RENAME = "log the model again with another name for this file"


@dataclass(frozen=True, slots=True)
class Location:
    """A place, taken apart. `scheme` is "file" for a local path, `host` is then "".

    `path` has no slash at its end, and none at its start but for a local path, which is absolute.
    """

    scheme: str
    host: str
    path: str

    @property
    def segments(self) -> tuple[str, ...]:
        path = self.path.removeprefix("/") if self.scheme == "file" else self.path
        return tuple(path.split("/")) if path else ()

    def holds(self, other: Location) -> bool:
        """Whether `other` is this place, or below it."""
        is_same_store = (self.scheme, self.host) == (other.scheme, other.host)
        return is_same_store and other.segments[: len(self.segments)] == self.segments


def shown(location: str) -> str:
    """The location for a message: one line, without credentials, query and fragment."""
    return _shown(location) if len(location) <= LONGEST_KEPT else _shown.__wrapped__(location)


@lru_cache(maxsize=256)
def _shown(location: str) -> str:
    bare = re.split(r"[?#]", CREDENTIALS.sub("", location), maxsplit=1)[0]
    line = "".join(c if c.isprintable() else "�" for c in bare)
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


def named(names: Iterable[str], most: int = SHOWN_NAMES, between: str = ", ") -> str:
    """Names for a message, the first of many."""
    listed = [shown(name) for name in names]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return between.join(listed[:most]) + more


def parse_location(location: str) -> Location:
    """Take a location apart. Raises PublishError for what hides where it leads."""
    _check_text(location)
    found = URI.fullmatch(location)
    if found is None:
        return _local(location, location)
    scheme, host, path = found[1].lower(), found[2] or "", found[3]
    if scheme in NO_PLACES:
        raise _refused(f"`{scheme}:` names no place", location)
    if scheme == "file":
        if host not in ("", "localhost"):
            raise _refused("it is a file of another machine", location)
        return _local(unquote(path), location)
    if "@" in host and (scheme not in CONTAINERS or ":" in host.partition("@")[0]):
        raise _refused("it holds credentials", location)
    if scheme == "s3" and not host:
        raise _refused("it names no bucket", location)
    path = path.removeprefix("/").rstrip("/")  # a second slash at the start is part of an S3 key
    return Location(scheme, host if scheme == "s3" else host.lower(), path)


def check_source(location: str, allowed: Sequence[str]) -> None:
    """Raise PublishError unless the location is one of the allowed places, or below one."""
    place = parse_location(location)
    for entry in allowed:
        try:
            root = parse_location(entry)
        except PublishError:
            continue  # what cannot be read allows nothing
        if root.holds(place):
            return
    raise PublishError(
        "the version's files are at a place that the settings do not allow",
        where=shown(location),
        hint="if they may come from there, add the place to `artifacts.sources` in "
        "mlflow-gitops.yaml; else register the version with files of the artifact root",
    )


def check_path(path: str) -> None:
    """Raise PublishError unless the file's name can be a key that KServe finds again."""
    if not path:
        raise PublishError("a file has an empty name", hint=RENAME)
    where = shown(path)
    if not NAME.fullmatch(path):
        raise PublishError(
            "the file's name has characters other than letters, digits, `.`, `_`, `-` and `/`",
            where=where,
            hint=f"{RENAME}: KServe would not find all others again",
        )
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise PublishError("the file's name leads out of its folder", where=where, hint=RENAME)
    if path.count("/") > MOST_FOLDERS:
        raise PublishError("the file lies too deep", where=where, hint=RENAME)
    if len(path) > LONGEST_NAME:
        raise PublishError(
            f"the file's name has {len(path)} characters, and may have {LONGEST_NAME}",
            where=where,
            hint=RENAME,
        )


def check_paths(paths: Iterable[str], location: str) -> None:
    """Check every name, and that there are files, and that none is also a folder of another."""
    names = set(paths)
    if not names:
        raise PublishError(
            "the source holds no files",
            where=shown(location),
            hint="check that the model was logged completely, and log it again",
        )
    for name in sorted(names):
        check_path(name)
        parents = name.split("/")[:-1]
        for count in range(1, len(parents) + 1):
            if "/".join(parents[:count]) in names:
                raise PublishError(
                    f"`{'/'.join(parents[:count])}` is a file and a folder",
                    where=shown(location),
                    hint=RENAME,
                )


def _local(path: str, location: str) -> Location:
    if not path.startswith("/"):
        raise _refused("it is neither an absolute path nor a URI", location)
    return Location("file", "", "/" + "/".join(part for part in path.split("/") if part))


def _check_text(location: str) -> None:
    if not location:
        raise PublishError("the version has no source", hint=REGISTER)
    if not location.isprintable() or "\\" in location:
        raise _refused("it has control characters or backslashes", location)
    if "?" in location or "#" in location:
        raise _refused("it has a query or a fragment", location)
    if HIDDEN.search(location):
        raise _refused("it hides dots, slashes or control characters behind `%`", location)
    if any(part in (".", "..") for part in re.split(r"[/:]", location)):
        raise _refused("it has `.` or `..` in its path", location)


def _refused(why: str, location: str) -> PublishError:
    return PublishError(f"the source cannot be used: {why}", where=shown(location), hint=REGISTER)
