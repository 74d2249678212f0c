"""What may be written to a path, and what has to be there: the checks of write-once. PURE.

Every error says what is there and how to go on. Nothing is ever overwritten or deleted here, so a
person has to look where a path holds something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.fields import UnreadableError
from mlflow_gitops.planning.file_names import RENAME, named
from mlflow_gitops.planning.revision_manifest import Claim, Manifest, Place
from mlflow_gitops.planning.sources import shown
from mlflow_gitops.state import Publication

__all__ = [
    "changed",
    "check_claim",
    "check_complete",
    "check_keys",
    "check_known",
    "check_manifest",
    "check_same_content",
    "ignores_conditions",
    "not_as_sealed",
    "read_document",
]

T = TypeVar("T")
LONGEST_KEY = 1024  # bytes, says S3


def read_document(content: bytes, parse: Callable[[str], T], uri: str) -> T:
    """A claim or manifest as found in the storage. Raises PublishError."""
    try:
        return parse(content.decode())
    except (UnicodeDecodeError, UnreadableError) as error:
        why = error if isinstance(error, UnreadableError) else "it is no UTF-8 text"
        raise PublishError(
            f"this is not what the tool writes there: {why}",
            where=uri,
            hint="find out who wrote it; restore the object, or remove it with the version's files",
        ) from None


def check_claim(claim: Claim, publication: Publication, place: Place) -> None:
    """Raise PublishError unless the claim is of this very publication."""
    if not claim.is_of(publication):
        raise _taken("claimed", claim, place)
    if claim.source != publication.source:
        raise PublishError(
            f"this version was claimed with its files at {shown(claim.source)}, and is now at "
            f"{shown(publication.source)}",
            where=place.uri(place.prefix),
            hint=f"if nothing publishes it now, remove {place.uri(place.claim)} and the files "
            "below the path, and run it again",
        )


def check_manifest(manifest: Manifest, publication: Publication, place: Place) -> None:
    """Raise PublishError unless the sealed revision is of the same version."""
    if not manifest.claim.is_of(publication):
        raise _taken("sealed", manifest.claim, place)


def check_same_content(sealed: Manifest, ours: Manifest, place: Place) -> None:
    """Another publisher of the same version sealed first: it has to have sealed the same bytes."""
    if sealed.digest != ours.digest:
        different = sorted({f.path for f in set(sealed.files) ^ set(ours.files)})
        raise PublishError(
            f"it was sealed with other content meanwhile ({named(different)})",
            where=place.uri(place.prefix),
            hint="the source changed between two readings: what was sealed first stands",
        )


def check_complete(manifest: Manifest, listed: Mapping[str, int], place: Place) -> None:
    """Raise PublishError unless exactly the sealed files are there. `listed` has relative names."""
    sealed = {file.path: file.size for file in manifest.files}
    missing = sorted(sealed.keys() - listed.keys())
    wrong = sorted(p for p in sealed.keys() & listed.keys() if sealed[p] != listed[p])
    foreign = sorted(listed.keys() - sealed.keys())
    told = [
        f"{what}: {named(names)}"
        for what, names in (("missing", missing), ("other size", wrong), ("not sealed", foreign))
        if names
    ]
    if told:
        raise PublishError(
            f"the sealed files are not as they were published ({'; '.join(told)})",
            where=place.uri(place.prefix),
            hint="find out who writes there; restore the objects (the manifest beside the path "
            "names every file and its SHA-256), or remove what does not belong there",
        )


def check_keys(files: Iterable[str], place: Place) -> None:
    """Raise PublishError where a file's key would be longer than S3 takes."""
    for path in files:
        size = len(f"{place.prefix}{path}".encode())
        if size > LONGEST_KEY:
            raise PublishError(
                f"S3 takes keys of {LONGEST_KEY} bytes, and the file's would have {size}",
                where=place.uri(place.prefix + path),
                hint=f"set a shorter `artifacts.prefix`, or {RENAME}",
            )


def check_known(files: Mapping[str, int], listed: Mapping[str, int], place: Place) -> None:
    """Raise PublishError where the claimed path holds what the source does not."""
    foreign = sorted(listed.keys() - files.keys())
    if foreign:
        raise PublishError(
            f"there are objects that are not the version's ({named(foreign)})",
            where=place.uri(place.prefix),
            hint="KServe would load them too. Remove them if nothing needs them, or set another "
            "`artifacts.prefix` in mlflow-gitops.yaml",
        )
    for path in sorted(files.keys() & listed.keys()):
        if files[path] != listed[path]:
            raise changed(place.uri(place.prefix + path), place)


def changed(uri: str, place: Place) -> PublishError:
    """An object of an unfinished copy differs from its file."""
    return PublishError(
        "the object that is there has other bytes than the version's file",
        where=uri,
        hint="the source changed since a first attempt, or somebody else wrote it. Nothing was "
        "overwritten: find out which; then remove the objects below "
        f"{place.uri(place.prefix)} and run it again",
    )


def not_as_sealed(uri: str) -> PublishError:
    return PublishError(
        "the object has other bytes than were sealed",
        where=uri,
        hint="find out who wrote it, and restore the object",
    )


def ignores_conditions(uri: str, what: str) -> PublishError:
    return PublishError(
        f"the storage ignores the condition `If-None-Match` of {what}, so a version could be "
        "overwritten; nothing of it was written",
        where=uri,
        hint="take a storage, or a newer release of it, that honours conditional writes; or, where "
        "only one process publishes, `artifacts.write-once: checked` in mlflow-gitops.yaml",
    )


def _taken(how: str, claim: Claim, place: Place) -> PublishError:
    return PublishError(
        f"the path is {how} by another: {claim}",
        where=place.uri(place.prefix),
        hint="nothing was overwritten. Publish under another name with `version-name: {tag: …}`, "
        "or under another `artifacts.prefix` in mlflow-gitops.yaml; or, if nothing serves it any "
        f"more, remove its files, {place.uri(place.manifest)} and {place.uri(place.claim)}",
    )
