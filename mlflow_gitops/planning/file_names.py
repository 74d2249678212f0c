"""Which names the files of a version may have, and how messages show them. PURE.

KServe's storage initializer brings back every key below the version's prefix byte for byte, so a
name is refused only where the storage, the file system or that download would change or lose it.
The address above the file names is strict: KServe reads `#`, `?` and `%` in a URI as syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.sources import printable, shown

__all__ = ["RENAME", "check_address", "check_path", "check_paths", "named", "shown_name"]

ADDRESS = re.compile(r"[A-Za-z0-9._/-]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
NOT_UTF8 = re.compile(r"[\ud800-\udfff]")  # how Python shows bytes that are not UTF-8
MOST_PARTS = 51
LONGEST_PART = 255  # bytes, of the file systems that KServe's volumes have
TEMPORARY_SUFFIX = 9  # bytes; boto3 downloads to `<first 246 characters>.<8 digits>`, then renames
SHOWN = 300  # characters
SHOWN_NAMES = 5

RENAME = "log the model again with another name for this file"


def shown_name(path: str) -> str:
    """A file's name for a message: one line, not too long."""
    line = printable(path)
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


def named(names: Iterable[str], most: int = SHOWN_NAMES, between: str = ", ") -> str:
    """Names for a message, the first of many."""
    listed = [shown_name(name) for name in names]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return between.join(listed[:most]) + more


def check_address(path: str) -> None:
    """Raise PublishError unless the path of a version's URI is read by KServe as it is written."""
    why = _parts_complaint(path.split("/"))
    if not ADDRESS.fullmatch(path):
        why = "has characters other than letters, digits, `.`, `_`, `-` and `/`"
    if why:
        raise PublishError(
            f"the version's path {why}",
            where=shown_name(path),
            hint="correct `artifacts.prefix`, `services` or the version's name: KServe reads "
            "other characters of a URI as syntax",
        )


def check_path(path: str) -> None:
    """Raise PublishError unless the file's name can be a key that KServe brings back."""
    why = _complaint(path)
    if why:
        raise PublishError(f"the file's name {why}", where=shown_name(path), hint=RENAME)


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
                    f"`{shown_name('/'.join(parents[:count]))}` is a file and a folder",
                    where=shown(location),
                    hint=RENAME,
                )


def _complaint(path: str) -> str:
    """Why the name cannot be used, "" if it can."""
    if not path:
        return "is empty"
    if found := CONTROL.search(path):
        return f"has a control character (U+{ord(found[0]):04X}), which lists of files cannot carry"
    if NOT_UTF8.search(path):
        return "is not UTF-8 text, as the keys of S3 are"
    if "\\" in path:
        return "has a backslash, which some storages change to `/`"
    parts = path.split("/")
    return _parts_complaint(parts) or _length_complaint(parts)


def _parts_complaint(parts: Sequence[str]) -> str:
    if len(parts) > MOST_PARTS:
        return f"has {len(parts)} parts; at most {MOST_PARTS} folders lie in one another"
    if "." in parts or ".." in parts:
        return "leads out of its folder: it has a part that is `.` or `..`"
    if "" in parts:
        return "has an empty part (`/` at an end, or twice), which file systems drop"
    return ""


def _length_complaint(parts: Sequence[str]) -> str:
    longest = max(len(part.encode()) for part in parts)
    if longest > LONGEST_PART:
        return f"has a part of {longest} bytes; a file system takes {LONGEST_PART}"
    kept = LONGEST_PART - TEMPORARY_SUFFIX
    if len(parts[-1][:kept].encode()) > kept:
        return (
            f"has {len(parts[-1].encode())} bytes after the last `/`; KServe's download adds "
            f"{TEMPORARY_SUFFIX}, and a file system takes {LONGEST_PART}"
        )
    return ""
