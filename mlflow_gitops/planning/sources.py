"""Which places a version's files may come from. PURE.

Anybody who may register a version chooses its source, so a location is taken apart strictly and
compared by scheme, host and whole path segments. Symbolic links need a disk: the adapter's part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from mlflow_gitops.errors import PublishError

__all__ = [
    "USE_ALIAS",
    "Location",
    "check_source",
    "hides_another",
    "parse_location",
    "printable",
    "shown",
]

URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/]*))?(.*)", re.DOTALL)
HIDDEN = re.compile(r"%(?:2e|2f|5c|25|[01][0-9a-f]|7f)", re.IGNORECASE)
CREDENTIALS = re.compile(r"(?<=//)[^/]*@")
CONTAINERS = ("abfs", "abfss", "wasb", "wasbs")  # they write <container>@<account> before the path
NO_PLACES = ("models", "runs")
SHOWN = 300  # characters
LONGEST_KEPT = 4096  # characters; longer ones are not kept in memory

USE_ALIAS = (
    "name the bucket, or the access point by its alias, which ends in `-s3alias` "
    "(`aws s3control get-access-point` shows it)"
)
REGISTER = "register the version again, with its artifact location as the source"


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
    line = printable(bare)
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


def printable(text: str) -> str:
    """The text as one line that no terminal acts on."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def hides_another(path: str) -> bool:
    """Whether whoever decodes it gets dots, slashes, control characters or another `%`."""
    return HIDDEN.search(path) is not None


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
    if scheme == "s3" and host.startswith("arn:"):
        raise PublishError(
            "the source cannot be used: it has an ARN in place of the bucket",
            where=shown(location),
            hint=f"register the version again: {USE_ALIAS}",
        )
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
    if hides_another(location):
        raise _refused("it hides dots, slashes or control characters behind `%`", location)
    if any(part in (".", "..") for part in re.split(r"[/:]", location)):
        raise _refused("it has `.` or `..` in its path", location)


def _refused(why: str, location: str) -> PublishError:
    return PublishError(f"the source cannot be used: {why}", where=shown(location), hint=REGISTER)
