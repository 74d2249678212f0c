"""Holds by hand: `# mlflow-gitops: hold [why]` on the line of what a service serves.

Exactly this form holds. What comes near it is told, never guessed: a hold that is not seen would
be a version in production.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.located import Spot, scalar_at
from mlflow_gitops.manifests.markers import after_marker
from mlflow_gitops.manifests.nodes import parse
from mlflow_gitops.manifests.notes import FileNotes, Note, Noted, read_notes
from mlflow_gitops.manifests.patches import Setter
from mlflow_gitops.state import Hold

__all__ = ["hold_at", "hold_of", "misses"]

_HOLD = re.compile(r"# mlflow-gitops: hold(?: +(?P<why>[^ ].*))?")
_MEANT = re.compile(  # and what `notes` asks for
    r"#+\s*mlflow[-_ ]?gitops|#[^\r\n]*mlflow[-_ ]?gitops\W{1,3}hold\b", re.IGNORECASE
)
LONGEST = 200


def hold_of(catalog: Catalog, setters: Iterable[Setter]) -> Hold | None:
    """The hold on any of the URIs that are set for a service, its base's included."""
    for setter in setters:
        if not setter.uris:
            continue
        notes, line = _notes(catalog, setter)
        for note in notes.notes:
            document = 0 if line else setter.document
            if any(v.document == document and v.value in setter.uris for v in note.values):
                hold = _hold(note, setter.file, line)
                if hold is not None:
                    return hold
    return None


def _notes(catalog: Catalog, setter: Setter) -> tuple[FileNotes, int]:
    """Those of the file, or of a patch that stands inside it, and the line above that one."""
    inline = setter.entry.inline if setter.entry else ""
    if not inline:
        return catalog.notes(setter.file), 0
    notes = read_notes(inline, setter.file)
    if not notes.notes:
        return notes, 1
    first = next(line for line in inline.splitlines() if line.strip()).strip()
    lines = catalog.text(setter.file).splitlines()
    return notes, next((i for i, line in enumerate(lines) if line.strip() == first), 1)


def hold_at(catalog: Catalog, file: str, spot: Spot) -> Hold | None:
    """The hold on one value."""
    notes, document, above = catalog.notes(file), spot.document, 0
    if spot.text is not None:
        root = parse(catalog.text(file), file)
        text = scalar_at(root, spot.document, spot.text)
        notes, document, above = read_notes(str(text.value), file), 0, text.start_mark.line + 1
    for note in notes.notes:
        if any((v.document, v.path) == (document, spot.path) for v in note.values):
            hold = _hold(note, file, above)
            if hold is not None:
                return hold
    return None


def _hold(note: Note, file: str, above: int) -> Hold | None:
    found = _HOLD.fullmatch(after_marker(note.comment))
    if found is None:
        return None
    why = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in found["why"] or "")
    return Hold(why if len(why) <= LONGEST else f"{why[: LONGEST - 1]}…", file, above + note.line)


def _may_be_held(noted: Noted) -> bool:
    """Whether it may be what a service serves: a URI, or a path in a storage."""
    return "://" in (noted.value or "://") or noted.path[-2:] == ("storage", "path")


def misses(files: Mapping[str, FileNotes]) -> Iterator[ManifestError]:
    """Comments that look like a hold and are none, or hold nothing."""
    for file, notes in sorted(files.items()):
        for note in notes.notes:
            comment = after_marker(note.comment)
            is_hold = _HOLD.fullmatch(comment) is not None
            if is_hold and any(_may_be_held(value) for value in note.values):
                continue
            if is_hold:
                what = "the hold does not stand on the line of a URI, and holds nothing"
            elif _MEANT.match(comment):
                what = f"the comment `{comment[:60]}` holds nothing"
            else:
                continue
            yield ManifestError(
                what,
                where=f"{file}:{note.line}",
                hint="write `# mlflow-gitops: hold <why>`, so spelled, behind the URI on its line",
            )
