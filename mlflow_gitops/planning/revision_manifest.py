"""The two documents that make a path write-once: the claim before the copy, the manifest after.

A claim says whose path it is. A manifest says what is there, and is written last: what it names is
complete. Both lie beside the version's prefix, never in it, where KServe would load them. PURE.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.checksums import Checksum, Sums, sha256_text
from mlflow_gitops.planning.fields import Fields, UnreadableError, read_object
from mlflow_gitops.planning.file_names import check_address, check_path
from mlflow_gitops.planning.sources import printable, shown
from mlflow_gitops.state import Identity, Publication

__all__ = [
    "FOLDER",
    "MOST_CHARACTERS",
    "Claim",
    "File",
    "Manifest",
    "Place",
    "claim_of",
    "claim_text",
    "digest_of",
    "manifest_of",
    "manifest_text",
    "parse_claim",
    "parse_manifest",
    "place_of",
]

FORMAT = 1
MOST_CHARACTERS = 64 * 1024 * 1024  # some 400,000 files
FOLDER = "_manifests"
URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.+)/")
SHA256 = re.compile(r"[0-9a-f]{64}")
STORED = {
    "crc32": re.compile(r"[A-Za-z0-9+/]{6}=="),
    "etag": re.compile(r"[0-9a-f]{32}-[1-9][0-9]{0,4}"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a revision's objects are. `prefix` ends in "/"; the others are keys."""

    bucket: str
    prefix: str
    claim: str
    manifest: str
    signature: str

    def uri(self, key: str) -> str:
        """The key's address, for people."""
        return f"s3://{self.bucket}/{printable(key)}"


@dataclass(frozen=True, slots=True)
class File:
    """One published file, with its size in bytes and at least one checksum of all its bytes.

    `sha256` is 64 lower-case hexadecimal digits, computed by this tool from the bytes that it
    copied; "" where the storage copied by itself. `stored` is what the storage keeps of the object,
    where that is no SHA-256, so that asking it later proves the object without reading it.
    """

    path: str
    size: int
    sha256: str
    stored: Checksum | None = None

    @property
    def part_size(self) -> int:
        """What `Sums` need to know for `is_of`."""
        return self.stored.part_size if self.stored else 0

    def is_of(self, sums: Sums) -> bool:
        """Whether bytes that were read are this file's."""
        if self.sha256:
            return self.sha256 == sums.sha256
        return self.stored is not None and sums.has(self.stored)

    def agrees(self, kept: Checksum) -> bool | None:
        """Whether what the storage keeps now is of this file; None where that cannot be told, as
        of another ETag: the same bytes have it when they are uploaded in other parts.
        """
        if self.stored is not None and self.stored.algorithm == kept.algorithm:
            is_same = self.stored == kept
            return None if kept.algorithm == "etag" and not is_same else is_same
        if self.sha256 and kept.algorithm == "sha256":
            return kept.value == sha256_text(self.sha256)
        return None


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose path it is: what a version is, and where its files come from."""

    uri: str
    model: str
    number: str
    name: str
    identity: Identity
    layout: str
    source: str

    def __str__(self) -> str:
        made = f"created {self.identity.created}"
        run = f", run {self.identity.run_id}" if self.identity.run_id else ""
        model = f", model id {self.identity.model_id}" if self.identity.model_id else ""
        text = (
            f"version {self.number} of {self.model} ({made}{run}{model}) from {shown(self.source)}"
        )
        return "".join(c if c.isprintable() else "�" for c in text)

    def is_of(self, publication: Publication) -> bool:
        """Whether it is the same version in the same layout; a model can have been renamed."""
        return (self.identity, self.layout) == (publication.identity, publication.layout)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was published: the claim, every file, when (ISO 8601 in UTC) and by which tool."""

    claim: Claim
    files: tuple[File, ...]
    created: str
    tool: str

    @property
    def digest(self) -> str:
        return digest_of(self.files)


def place_of(uri: str) -> Place:
    """The keys of a publication's URI. Raises PublishError for one that KServe would misread."""
    found = URI.fullmatch(uri)
    if found is None:
        raise PublishError(
            "a version cannot be published to this address",
            where=uri,
            hint="it has to be s3://<bucket>/<service>/v<version>/: correct `artifacts` and "
            "`services` in mlflow-gitops.yaml",
        )
    bucket, path = found[1], found[2]
    check_address(path)
    folder, _, name = path.rpartition("/")
    if name.endswith(".claim") or FOLDER in path.split("/"):
        raise PublishError(
            f"`{FOLDER}` and names that end in `.claim` are kept for the manifests",
            where=uri,
            hint="give the version or the service another name",
        )
    beside = f"{folder}/{FOLDER}/{name}" if folder else f"{FOLDER}/{name}"
    return Place(bucket, f"{path}/", f"{beside}.claim.json", f"{beside}.json", f"{beside}.sig")


def digest_of(files: Iterable[File]) -> str:
    """SHA-256 over the text that `sha256sum` prints for the files, sorted by name (LC_ALL=C).

    A file of which only the storage's checksum is known has `<algorithm>:<value>` in its line.
    """
    lines = (f"{_sum_text(file)}  {file.path}\n" for file in sorted(files, key=_path))
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def claim_of(publication: Publication) -> Claim:
    return Claim(
        uri=publication.uri,
        model=publication.model,
        number=publication.number,
        name=publication.name,
        identity=publication.identity,
        layout=publication.layout,
        source=publication.source,
    )


def manifest_of(
    publication: Publication, files: Iterable[File], *, created: str, tool: str
) -> Manifest:
    return Manifest(claim_of(publication), tuple(sorted(files, key=_path)), created, tool)


def claim_text(claim: Claim) -> str:
    """The same claim gives the same text."""
    return _text({"kind": "claim", **_claim_values(claim)})


def manifest_text(manifest: Manifest) -> str:
    files = [_file_values(file) for file in manifest.files]
    return _text(
        {
            "kind": "revision",
            **_claim_values(manifest.claim),
            "digest": manifest.digest,
            "created": manifest.created,
            "tool": manifest.tool,
            "files": files,
        }
    )


def parse_claim(text: str) -> Claim:
    """Raises UnreadableError."""
    return _claim(_fields(text, "claim"))


def parse_manifest(text: str) -> Manifest:
    """Raises UnreadableError, also where the digest is not that of the files."""
    fields = _fields(text, "revision")
    listed = fields.values.get("files")
    if not isinstance(listed, list) or not listed:
        raise UnreadableError("`files` has to be a list that is not empty")
    files = tuple(_file(value, f"files[{index}].") for index, value in enumerate(listed))
    if len({file.path for file in files}) != len(files):
        raise UnreadableError("`files` names a file twice")
    manifest = Manifest(
        _claim(fields), tuple(sorted(files, key=_path)), fields.text("created"), fields.text("tool")
    )
    if fields.text("digest") != manifest.digest:
        raise UnreadableError("`digest` is not the digest of `files`")
    return manifest


def _claim_values(claim: Claim) -> dict[str, object]:
    identity = claim.identity
    return {
        "format": FORMAT,
        "uri": claim.uri,
        "model": claim.model,
        "number": claim.number,
        "name": claim.name,
        "identity": {
            "created": identity.created,
            "run_id": identity.run_id,
            "model_id": identity.model_id,
        },
        "layout": claim.layout,
        "source": claim.source,
    }


def _file_values(file: File) -> dict[str, object]:
    values: dict[str, object] = {"path": file.path, "size": file.size}
    if file.sha256:
        values["sha256"] = file.sha256
    if file.stored is not None:
        kept = {"algorithm": file.stored.algorithm, "value": file.stored.value}
        parts = {"part_size": file.part_size} if file.part_size else {}
        values["stored"] = {**kept, **parts, "by": "storage"}
    return values


def _sum_text(file: File) -> str:
    if file.sha256 or file.stored is None:
        return file.sha256
    return f"{file.stored.algorithm}:{file.stored.value}"


def _path(file: File) -> str:
    return file.path


def _text(values: dict[str, object]) -> str:
    return json.dumps(values, indent=1, ensure_ascii=True) + "\n"


def _fields(text: str, kind: str) -> Fields:
    fields = Fields(read_object(text, MOST_CHARACTERS))
    if fields.number("format") != FORMAT:
        raise UnreadableError(f"its format is not {FORMAT}: a newer version of this tool wrote it")
    fields.choice("kind", (kind,))
    return fields


def _claim(fields: Fields) -> Claim:
    identity = fields.object("identity")
    return Claim(
        uri=fields.text("uri"),
        model=fields.text("model"),
        number=fields.text("number"),
        name=fields.text("name"),
        identity=Identity(
            identity.number("created"), identity.text("run_id"), identity.text("model_id")
        ),
        layout=fields.text("layout"),
        source=fields.text("source"),
    )


def _file(value: object, path: str) -> File:
    if not isinstance(value, dict):
        raise UnreadableError(f"`{path[:-1]}` has to be an object")
    fields = Fields(value, path)
    size = fields.number("size")
    stored = _stored(fields, size) if "stored" in fields.values else None
    sha256 = fields.text("sha256") if stored is None or "sha256" in fields.values else ""
    file = File(fields.text("path"), size, sha256, stored)
    if file.size < 0 or not (SHA256.fullmatch(sha256) or (stored and not sha256)):
        raise UnreadableError(f"`{path[:-1]}` has no right size and sha256")
    try:
        check_path(file.path)
    except PublishError as error:
        raise UnreadableError(f"`{path}path`: {error.what}") from None
    return file


def _stored(fields: Fields, size: int) -> Checksum:
    stored = fields.object("stored")
    algorithm, value = stored.choice("algorithm", tuple(STORED)), stored.text("value")
    part_size = 0
    if algorithm == "etag":
        part_size = stored.number("part_size")
        parts = -(-size // part_size) if part_size > 0 else 0  # whole numbers of any size
        if not value.endswith(f"-{parts}"):
            raise UnreadableError("`stored` is of other parts than the file has")
    if not STORED[algorithm].fullmatch(value):
        raise UnreadableError("`stored` has no right value")
    return Checksum(algorithm, value, part_size)
