"""Whether what Git serves is what the registry has: link by link, the first broken one named. PURE.

Git names a path and a version; the claim and the manifest beside the path say whose it is and what
was sealed; the storage says what is there now; the registry says what the version is. A link that
could not be looked at is not checked, and never taken for right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.fields import UnreadableError
from mlflow_gitops.planning.file_names import named
from mlflow_gitops.planning.kept import Examined, Kept
from mlflow_gitops.planning.model_signature import Signed, disagreement, is_covered
from mlflow_gitops.planning.revision_manifest import (
    Claim,
    File,
    Manifest,
    parse_claim,
    parse_manifest,
    place_of,
)
from mlflow_gitops.planning.sources import shown
from mlflow_gitops.state import EMPTY, Delivered, Identity, ServiceKey, ServiceSpec, Snapshot

__all__ = ["Chain", "Committed", "Link", "Verdict", "address_problem", "read_manifest", "verify"]

T = TypeVar("T")


class Verdict(StrEnum):
    OK = "ok"
    BROKEN = "broken"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Link:
    """One comparison, and why it came out so."""

    name: str
    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True)
class Committed:
    """A service as Git has it. `commit` is our newest one that delivered this path, and `digest`
    what it names; "" where there is none.
    """

    key: ServiceKey
    service: str
    spec: ServiceSpec
    commit: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """Every link of one service. `digest` is the manifest's, "" where it cannot be read.

    `found` are SHA-256 that were computed now, of files of which the manifest has none.
    """

    committed: Committed
    links: tuple[Link, ...]
    digest: str = ""
    found: Mapping[str, str] = field(default_factory=lambda: EMPTY)

    @property
    def broken(self) -> Link | None:
        return next((each for each in self.links if each.verdict is Verdict.BROKEN), None)


def verify(
    committed: Committed,
    examined: Examined | None,
    snapshot: Snapshot | None,
    *,
    signed: Signed | str | None = None,
    unasked: str = "",
) -> Chain:
    """`examined` is None where the address says no path to look at; `snapshot` is None where the
    registry has no such model, or was not asked, which `unasked` says the reason of. `signed` is
    what the signature says, or why it does not count, and None where nobody is trusted to sign.
    """
    if examined is None:
        rest = ("claim", "manifest", "signature", "files", "registry")
        links = (
            _git(committed, None),
            *(_unchecked(name, "the address is wrong") for name in rest),
        )
        return Chain(committed, links)
    manifest, problem = read_manifest(examined.manifest)
    links = (
        _git(committed, manifest),
        _claim(committed, examined, manifest),
        _manifest(committed, manifest, problem),
        _signature(examined, manifest, signed),
        _files(examined, manifest),
        _registry(committed, manifest, snapshot, unasked),
    )
    if manifest is None:
        return Chain(committed, links)
    return Chain(committed, links, manifest.digest, _found(examined, manifest))


def read_manifest(content: bytes | None) -> tuple[Manifest | None, str]:
    """The manifest, or why it is none."""
    return _read(content, parse_manifest)


def address_problem(spec: ServiceSpec) -> str:
    """Why the URI and the label are of no one published version; "" where they agree."""
    try:
        place_of(spec.uri)
    except PublishError as error:
        return f"the URI {shown(spec.uri)} is no published path: {error.what}"
    if not spec.version:
        return "the service has no label that says its version"
    last = spec.uri.rstrip("/").rpartition("/")[2]
    if last != f"v{spec.version}" and not last.startswith(f"v{spec.version}-"):
        return f"the label says version {shown(spec.version)}, the URI {shown(spec.uri)}"
    return ""


def _git(committed: Committed, manifest: Manifest | None) -> Link:
    problem = address_problem(committed.spec)
    if problem:
        return _broken("git", problem)
    agree = "URI and label agree"
    commit = f"commit {committed.commit[:12]}"
    if not committed.digest:
        return _ok("git", f"{agree}; no commit of ours names a digest")
    if manifest is None:
        return _ok("git", f"{agree}; no manifest to compare the digest of {commit} with")
    if committed.digest != manifest.digest:
        return _broken(
            "git",
            f"{commit} names the digest {shown(committed.digest)}, the manifest has "
            f"{manifest.digest}",
        )
    return _ok("git", f"{agree}; {commit} names this digest")


def _claim(committed: Committed, examined: Examined, manifest: Manifest | None) -> Link:
    claim, problem = _read(examined.claim, parse_claim)
    if claim is None:
        return _broken("claim", f"the claim {problem}")
    told = _misplaced(committed, claim)
    if told:
        return _broken("claim", f"the claim {told}")
    if manifest is None:
        return _ok("claim", str(claim))
    ours, sealed = (claim.identity, claim.layout), (manifest.claim.identity, manifest.claim.layout)
    if ours != sealed:
        return _broken("claim", f"the path is claimed for {claim}, and sealed for {manifest.claim}")
    return _ok("claim", str(claim))


def _manifest(committed: Committed, manifest: Manifest | None, problem: str) -> Link:
    if manifest is None:
        return _broken("manifest", f"the manifest {problem}")
    told = _misplaced(committed, manifest.claim)
    if told:
        return _broken("manifest", f"the manifest {told}")
    return _ok("manifest", f"{_count(len(manifest.files))}, digest {manifest.digest}")


def _signature(examined: Examined, manifest: Manifest | None, signed: Signed | str | None) -> Link:
    if signed is None:
        there = "there is none" if examined.signature is None else "there is one"
        return _unchecked("signature", f"`artifacts.signed-by` names nobody; {there}")
    if isinstance(signed, str):
        return _broken("signature", signed)
    if manifest is None:
        return _unchecked("signature", "there is no manifest to compare with")
    read = {path: kept.sums for path, kept in examined.objects.items()}
    told = disagreement(signed.files, manifest.files, read)
    if told:
        return _broken("signature", told)
    left_out = [file.path for file in manifest.files if not is_covered(file.path)]
    rest = f"; not covered: {named(left_out)}" if left_out else ""
    return _ok("signature", f"{_count(len(signed.files))} signed by {signed.by}{rest}")


def _misplaced(committed: Committed, claim: Claim) -> str:
    if claim.uri != committed.spec.uri:
        return f"is of another path, {shown(claim.uri)}"
    if claim.name != committed.spec.version:
        return f"is of version {shown(claim.name)}, not of {shown(committed.spec.version)}"
    return ""


def _files(examined: Examined, manifest: Manifest | None) -> Link:
    if manifest is None:
        return _unchecked("files", "there is no manifest to compare with")
    sealed, objects = {file.path: file for file in manifest.files}, examined.objects
    both = sorted(sealed.keys() & objects.keys())
    told = [
        ("missing", sorted(sealed.keys() - objects.keys())),
        ("not sealed", sorted(objects.keys() - sealed.keys())),
        ("other size", [path for path in both if sealed[path].size != objects[path].size]),
        (
            "cannot be read",
            [_unread(path, objects[path]) for path in both if objects[path].problem],
        ),
        ("other bytes", [path for path in both if _differs(sealed[path], objects[path])]),
        (
            "written again since (--deep compares the bytes)",
            [path for path in both if _is_rewritten(sealed[path], objects[path])],
        ),
    ]
    if any(names for _, names in told):
        amiss = "; ".join(f"{what}: {named(names)}" for what, names in told if names)
        return _broken("files", amiss)
    return _ok("files", _proof(both, sealed, objects))


def _unread(path: str, kept: Kept) -> str:
    return f"{path} ({kept.problem})"


def _differs(file: File, kept: Kept) -> bool:
    """Bytes of the right size that are others, as far as they were looked at."""
    if file.size != kept.size:
        return False
    if kept.sums is not None and not file.is_of(kept.sums):
        return True
    return kept.checksum is not None and file.agrees(kept.checksum) is False


def _is_rewritten(file: File, kept: Kept) -> bool:
    """The storage keeps a checksum of another kind than publishing left there."""
    if file.size != kept.size or kept.sums is not None or kept.checksum is None:
        return False
    if kept.checksum.algorithm == "etag" and not file.part_size:
        return False  # every object has one
    return file.agrees(kept.checksum) is None


def _proof(paths: Iterable[str], sealed: Mapping[str, File], objects: Mapping[str, Kept]) -> str:
    """How the files were compared, so that nobody takes a size for a proof."""
    read = checked = sized = 0
    for path in paths:
        kept = objects[path]
        if kept.sums is not None:
            read += 1
        elif kept.checksum is not None and sealed[path].agrees(kept.checksum):
            checked += 1
        else:
            sized += 1
    parts = [
        (read, "read, the bytes are the sealed ones"),
        (checked, "by the storage's checksum"),
        (sized, "by name and size only: --deep reads the bytes"),
    ]
    return "; ".join(f"{_count(number)} {how}" for number, how in parts if number)


def _found(examined: Examined, manifest: Manifest) -> Mapping[str, str]:
    pairs = ((file, examined.objects.get(file.path)) for file in manifest.files)
    return {
        file.path: kept.sums.sha256
        for file, kept in pairs
        if kept is not None and kept.sums is not None and not file.sha256
    }


def _registry(
    committed: Committed, manifest: Manifest | None, snapshot: Snapshot | None, unasked: str
) -> Link:
    if unasked:
        return _unchecked("registry", unasked)
    if manifest is None:
        return _unchecked("registry", "there is no manifest to compare with")
    if snapshot is None:
        return _broken("registry", f"there is no model {shown(committed.key.model)} any more")
    claim = manifest.claim
    version = snapshot.version(claim.number)
    if version is None:
        return _broken("registry", f"there is no version {shown(claim.number)} any more")
    if version.identity != claim.identity:
        return _broken(
            "registry",
            f"version {version.number} is another than the one that was sealed: "
            f"{_differences(version.identity, claim.identity)}",
        )
    delivered = snapshot.delivered.get(committed.key.environment)
    if _contradicts(delivered, committed, manifest):
        assert delivered is not None
        return _broken(
            "registry",
            f"the record of the delivery has the digest {shown(delivered.digest)}, the manifest "
            f"{manifest.digest}",
        )
    return _ok("registry", f"version {version.number} is the one that was sealed")


def _contradicts(delivered: Delivered | None, committed: Committed, manifest: Manifest) -> bool:
    if delivered is None or delivered.spec is None or not delivered.digest:
        return False
    is_of_this = delivered.spec.uri == committed.spec.uri
    return is_of_this and delivered.digest != manifest.digest


def _differences(now: Identity, sealed: Identity) -> str:
    pairs = (
        ("created", str(now.created), str(sealed.created)),
        ("run", now.run_id, sealed.run_id),
        ("model id", now.model_id, sealed.model_id),
    )
    return ", ".join(
        f"{what} {shown(one) or 'none'}, sealed {shown(two) or 'none'}"
        for what, one, two in pairs
        if one != two
    )


def _read(content: bytes | None, parse: Callable[[str], T]) -> tuple[T | None, str]:
    if content is None:
        return None, "is not there"
    try:
        return parse(content.decode()), ""
    except UnicodeDecodeError:
        return None, "cannot be read: it is no UTF-8 text"
    except UnreadableError as error:
        return None, f"cannot be read: {error}"


def _count(files: int) -> str:
    return f"{files} file{'' if files == 1 else 's'}"


def _ok(name: str, why: str) -> Link:
    return Link(name, Verdict.OK, why)


def _broken(name: str, why: str) -> Link:
    return Link(name, Verdict.BROKEN, why)


def _unchecked(name: str, why: str) -> Link:
    return Link(name, Verdict.NOT_CHECKED, why)
