"""Markers: comments that say which value is a model's URI or version in an environment.

`# {"$mlflow": "fraud-detector:production"}` marks the URI on its line, and with `:version` behind
it the version. Only files below the environment's folder are searched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.notes import FileNotes, Note, Noted

__all__ = ["Markers", "Place", "after_marker", "read_markers"]

_START = re.compile(r"#\s*(?:\{\s*)?[\"']?\$mlflow", re.IGNORECASE)
FORM = '# {"$mlflow": "<model>:<environment>"}'
HINT = f"write `{FORM}`, or `:version` behind the environment, at the end of the value's line"


@dataclass(frozen=True, slots=True)
class Place:
    """A marked value and where it is."""

    file: str
    line: int
    noted: Noted

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Stray:
    """A comment that marks nothing here. `model` is "" where it cannot be read."""

    comment: str
    model: str
    error: ManifestError

    def is_about(self, model: str) -> bool:
        if self.model:
            return self.model == model
        return re.search(rf"(?<![\w-]){re.escape(model)}(?![\w-])", self.comment) is not None


@dataclass(slots=True)
class Markers:
    """Those of one environment: model to the places of its URI and of its version."""

    uris: dict[str, list[Place]] = field(default_factory=dict)
    versions: dict[str, list[Place]] = field(default_factory=dict)
    strays: list[Stray] = field(default_factory=list)

    def problems(self) -> Iterator[ManifestError]:
        yield from (stray.error for stray in self.strays)
        for what, places in (("URI", self.uris), ("version", self.versions)):
            for model, found in places.items():
                if len(found) > 1:
                    yield twice(what, model, found)
        for model in self.versions.keys() - self.uris.keys():
            yield ManifestError(
                f"the version of `{model}` is marked, and its URI is not",
                where=str(self.versions[model][0]),
                hint="mark the URI too, in the same file",
            )


def twice(what: str, model: str, places: list[Place]) -> ManifestError:
    return ManifestError(
        f"the {what} of `{model}` is marked twice, at {places[0]} and at {places[1]}",
        where=str(places[0]),
        hint="remove one of the two markers",
    )


def read_markers(
    files: Mapping[str, FileNotes], environment: str, environments: Mapping[str, str]
) -> Markers:
    """`environments` maps each name to its folder."""
    found = Markers()
    for file, notes in sorted(files.items()):
        if notes.broken:
            error = ManifestError(
                f"it may hold a comment for mlflow-gitops and cannot be read: {notes.broken}",
                where=file,
                hint="correct the file",
            )
            found.strays.append(Stray("", "", error))
        for note in notes.notes:
            _read(note, file, environment, environments, found)
    return found


def _read(
    note: Note, file: str, environment: str, environments: Mapping[str, str], found: Markers
) -> None:
    if not _START.match(note.comment):
        return
    where = f"{file}:{note.line}"

    parts = _parts(note.comment)
    model, name, *rest = parts or ("", "")

    def stray(what: str, hint: str = HINT) -> None:
        error = ManifestError(what, where=where, hint=hint)
        found.strays.append(Stray(note.comment, model, error))

    if parts is None:
        stray(f"the marker `{_short(note.comment)}` cannot be read")
        return
    if name not in environments:
        known = ", ".join(f"`{each}`" for each in environments)
        stray(f"it marks `{model}` for `{_short(name)}`, which is no environment", f"take {known}")
    elif name != environment:
        folder = environments[name] or "the root"
        stray(
            f"it marks `{model}` for `{name}`, whose folder is {folder}: it is not looked for here",
            f"move the value below {folder}",
        )
    elif len(note.values) != 1:
        many = "several values" if note.values else "no value"
        stray(f"the marker of `{model}` stands on the line of {many}")
    elif not isinstance((0, *note.values[0].path)[-1], str):
        stray(f"the marker of `{model}` stands on an item of a list, not on the value of a key")
    else:
        places = found.versions if rest else found.uris
        places.setdefault(model, []).append(Place(file, note.line, note.values[0]))


def _parts(comment: str) -> list[str] | None:
    """Model and environment, and the word `version`; None for what is no marker."""
    value = _decoded(comment)[0]
    text = value.get("$mlflow") if isinstance(value, dict) and len(value) == 1 else None
    parts = text.split(":") if isinstance(text, str) else []
    is_good = len(parts) == 2 or (len(parts) == 3 and parts[2] == "version")
    return parts if is_good and all(parts) else None


def _decoded(comment: str) -> tuple[object, str]:
    """The JSON at the comment's start, and what stands behind it."""
    text = comment.removeprefix("#").lstrip()
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None, comment
    rest = text[end:].strip()
    return (value, rest) if not rest or rest.startswith("#") else (None, comment)


def after_marker(comment: str) -> str:
    """The comment without a marker at its start: another may follow."""
    return _decoded(comment)[1] if _START.match(comment) else comment


def _short(text: str) -> str:
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return line if len(line) <= 80 else f"{line[:79]}…"
