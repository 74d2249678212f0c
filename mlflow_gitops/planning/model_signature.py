"""What a model's signature says, in the format of `model-signing`, and whether it is of a manifest.

A signature is a Sigstore bundle: a signed in-toto statement that names each file with its SHA-256.
Whether the signature itself is right is the library's to say; here its text is read, and compared.
PURE.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlflow_gitops.planning.checksums import Sums
from mlflow_gitops.planning.fields import Fields, UnreadableError, read_object
from mlflow_gitops.planning.file_names import named, shown_name
from mlflow_gitops.planning.revision_manifest import MOST_CHARACTERS, SHA256, File
from mlflow_gitops.planning.sources import shown

__all__ = ["Signed", "Statement", "disagreement", "is_covered", "read_statement"]

LEFT_OUT = (".git", ".gitattributes", ".github", ".gitignore")


@dataclass(frozen=True, slots=True)
class Statement:
    """A signature's text, not yet proven: the SHA-256 of each file by its path, in hexadecimal.

    `key` is the SHA-256 of the public key that it names; "" where it brings a `certificate`, whose
    DER form it has.
    """

    name: str
    files: Mapping[str, str]
    key: str = ""
    certificate: bytes = b""


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature that is right. `by` names the key or the certificate, for people."""

    by: str
    files: Mapping[str, str]


def is_covered(path: str) -> bool:
    """Whether the format signs the file: Git's own at the top of a model it leaves out."""
    return path.partition("/")[0] not in LEFT_OUT


def read_statement(content: bytes) -> Statement:
    """Raises UnreadableError."""
    try:
        bundle = Fields(read_object(content.decode(), MOST_CHARACTERS))
        payload = _decoded(bundle.object("dsseEnvelope"), "payload")
        statement = Fields(read_object(payload.decode(), MOST_CHARACTERS))
        material = bundle.object("verificationMaterial")
        key = material.object("publicKey").text("hint") if "publicKey" in material.values else ""
        certificate = b"" if key else _certificate(material)
    except (UnicodeDecodeError, binascii.Error):
        raise UnreadableError("it is no signature of a model") from None
    predicate = statement.object("predicate")
    method = predicate.object("serialization").text("method")
    if method != "files":
        raise UnreadableError(f"it signs {shown(method)}, and has to sign `files`")
    if not certificate and not SHA256.fullmatch(key):
        raise UnreadableError("it names no key")
    return Statement(_name(statement), _files(predicate), key, certificate)


def disagreement(
    signed: Mapping[str, str], sealed: Iterable[File], read: Mapping[str, Sums | None]
) -> str:
    """Why the signature is of other files than the sealed ones; "" where it is of these.

    `read` has the sums of what lies in the storage, where it was read. A file without SHA-256 in
    the manifest and not read is compared by its name alone.
    """
    known = {file.path: file.sha256 for file in sealed if is_covered(file.path)}
    found = {path: sums.sha256 for path, sums in read.items() if sums is not None}
    other = {
        path
        for path in known.keys() & signed.keys()
        for sha256 in (known[path], found.get(path, ""))
        if sha256 and sha256 != signed[path]
    }
    told = [
        ("not signed", known.keys() - signed.keys()),
        ("signed, but not sealed", signed.keys() - known.keys()),
        ("signed with another SHA-256", other),
    ]
    return "; ".join(f"{what}: {named(sorted(names))}" for what, names in told if names)


def _certificate(material: Fields) -> bytes:
    """Of whoever signed; the rest of the chain follows it."""
    if "x509CertificateChain" not in material.values:
        return b""
    chain = material.object("x509CertificateChain").values.get("certificates")
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], dict):
        raise UnreadableError("its certificates are no list")
    return _decoded(Fields(chain[0], "certificates[0]."), "rawBytes")


def _decoded(fields: Fields, name: str) -> bytes:
    return base64.b64decode(fields.text(name), validate=True)


def _name(statement: Fields) -> str:
    subjects = statement.values.get("subject")
    if not isinstance(subjects, list) or len(subjects) != 1 or not isinstance(subjects[0], dict):
        raise UnreadableError("`subject` has to name one model")
    return Fields(subjects[0], "subject.").text("name")


def _files(predicate: Fields) -> Mapping[str, str]:
    resources = predicate.values.get("resources")
    if not isinstance(resources, list):
        raise UnreadableError("`predicate.resources` has to be a list")
    files: dict[str, str] = {}
    for each in resources:
        if not isinstance(each, dict):
            raise UnreadableError("`predicate.resources` has to be a list of objects")
        fields = Fields(each, "predicate.resources.")
        fields.choice("algorithm", ("sha256",))
        path, digest = fields.text("name"), fields.text("digest")
        if path in files or not SHA256.fullmatch(digest):
            raise UnreadableError(f"it has no one SHA-256 of {shown_name(path)}")
        files[path] = digest
    return files
