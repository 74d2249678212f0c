"""The lines of a kustomization that list others, so that a part of it can be built. PURE.

A large environment lists thousands of services. Lines are left out of its text, so that all else
stays as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mlflow_gitops.errors import CannotBuildError
from mlflow_gitops.manifests.kustomization import PATCHES, plain_form
from mlflow_gitops.manifests.nodes import Node, child, entries, is_mapping, is_scalar, items, parse

__all__ = ["Entry", "Listing", "read_listing"]

LISTS = ("resources", "bases")
CONNECTING = ("replacements", "vars")


@dataclass(frozen=True, slots=True)
class Entry:
    """A path in a list. `line` counts from 0; None where the entry has no line of its own."""

    reference: str
    line: int | None


@dataclass(frozen=True, slots=True)
class Listing:
    """`listed` are the entries of resources, `patches` those of patch files without a target.

    `connects` says that values of one object may come from another.
    """

    text: str
    listed: tuple[Entry, ...] = ()
    patches: tuple[Entry, ...] = ()
    connects: bool = False

    def narrowed(
        self, path: str, is_wanted: Callable[[str], bool], is_wanted_patch: Callable[[str], bool]
    ) -> str:
        """The text without the entries that are not wanted.

        Raises CannotBuildError where such an entry has no line of its own.
        """
        dropped = {entry.line for entry in self.listed if not is_wanted(entry.reference)}
        if None in dropped:
            raise CannotBuildError(
                "the environment is too large to be built as a whole, and its list has more than "
                "one entry on a line",
                where=path,
                hint="give each entry a line of its own",
            )
        patches = (entry for entry in self.patches if entry.line is not None)
        dropped |= {entry.line for entry in patches if not is_wanted_patch(entry.reference)}
        if not dropped:
            return self.text
        lines = self.text.split("\n")
        return "\n".join(line for number, line in enumerate(lines) if number not in dropped)


def read_listing(text: str, where: str) -> Listing:
    plain = plain_form(text)
    if plain is not None:
        return _from_plain_form(text, *plain.span("resources"), plain["path"] or "")
    lines, roots = text.split("\n"), parse(text, where)
    return Listing(
        text,
        tuple(_entry(item, item, lines) for item in _scalars(roots, LISTS)),
        tuple(_patches(roots, lines)),
        any(child(root, key) is not None for root in roots for key in CONNECTING),
    )


def _from_plain_form(text: str, start: int, end: int, patch: str) -> Listing:
    first = text.count("\n", 0, start)
    listed = tuple(
        Entry(line.strip()[2:], first + number)
        for number, line in enumerate(text[start:end].splitlines())
    )
    if not patch:
        return Listing(text, listed)
    last = len(text.rstrip("\n").split("\n")) - 1  # the form ends with its only patch
    return Listing(text, listed, (Entry(patch, last),))


def _scalars(roots: list[Node], keys: tuple[str, ...]) -> Iterator[Node]:
    for root in roots:
        for key, value in entries(root):
            if key in keys:
                yield from (item for item in items(value) if is_scalar(item))


def _patches(roots: list[Node], lines: list[str]) -> Iterator[Entry]:
    """With a target it is no error to match nothing: those may stay."""
    for root in roots:
        for key, value in entries(root):
            for item in items(value) if key in PATCHES else ():
                reference = child(item, "path") if is_mapping(item) else item
                if is_scalar(reference) and not (is_mapping(item) and len(item.value) > 1):
                    yield _entry(item, reference, lines)


def _entry(item: Node, reference: Node, lines: list[str]) -> Entry:
    number, text = item.start_mark.line, str(reference.value)
    line = lines[number].partition(" #")[0].strip() if number < len(lines) else ""
    words = line.removeprefix("- ").strip().removeprefix("path:").strip().strip("'\"")
    return Entry(text, number if line.startswith("- ") and words == text else None)
