"""Signs the files of a version and checks such signatures, by the library `model-signing`.

The library hashes folders; here it is given the SHA-256s that publishing computed. What it writes
is a plain signature of the format: the library alone verifies a downloaded folder with it. It is an
extra, imported when it is first needed: that takes longer than a signature.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mlflow_gitops.adapters.key_files import KEPT_OPEN, open_to_others
from mlflow_gitops.errors import ConfigError, PublishError
from mlflow_gitops.planning.fields import UnreadableError
from mlflow_gitops.planning.model_signature import Signed, Statement, is_covered, read_statement
from mlflow_gitops.planning.sources import shown
from mlflow_gitops.state import SignedBy

if TYPE_CHECKING:
    from model_signing import hashing

__all__ = ["ModelSigner"]

KEY_FILE = "MLFLOW_GITOPS_MODEL_KEY_FILE"
CERTIFICATE_FILE = "MLFLOW_GITOPS_MODEL_CERTIFICATE_FILE"
SETTING = "artifacts.signed-by"
CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----", re.DOTALL)
HINT_SHOWN = 12  # hexadecimal digits of a key's hash


@dataclass(frozen=True, slots=True)
class ModelSigner:
    """`ports.SignatureReader`; signs with a key and its certificates, each in a file.

    The files and the passphrase are read at each use, so that they may be rotated. Safe for
    threads. No error shows what is in them.
    """

    key_file: str = ""
    certificate_file: str = ""
    passphrase: Callable[[], str] = field(default=lambda: "", repr=False)

    def check(self, trusted: SignedBy) -> None:
        """Sign something, and see whether it counts."""
        try:
            self.verified(self.sign("check", {"check": hashlib.sha256(b"").hexdigest()}), trusted)
        except PublishError as error:
            raise ConfigError(
                f"what this key signs would not be accepted: {error.what}",
                where=CERTIFICATE_FILE if self.certificate_file else KEY_FILE,
                hint=f"name a key that `{SETTING}` in mlflow-gitops.yaml trusts, or add this one "
                "there",
            ) from None

    def sign(self, name: str, files: Mapping[str, str]) -> bytes:
        if not self.key_file:
            raise ConfigError(
                f"`{SETTING}` wants signed versions, and this process has no key to sign with",
                where=KEY_FILE,
                hint="set it to a file with the private key: docs/signed-models.md",
            )
        with self._told():
            told = open_to_others(Path(self.key_file).stat())
        if told:
            raise ConfigError(told, where=KEY_FILE, hint=KEPT_OPEN)
        config = _library().signing.Config().set_hashing_config(_known(name, files))
        with TemporaryDirectory(prefix="mlflow-gitops-") as folder, self._told():
            path = Path(folder, "signature")
            if self.certificate_file:
                self._use_certificate(config, Path(folder))
            else:
                # Its hint says text, and what it does takes bytes: version 1.1.
                password = self.passphrase().encode() or None
                config.use_elliptic_key_signer(private_key=self.key_file, password=password)
            config.sign(name, path)
            return path.read_bytes()

    def verified(self, content: bytes, trusted: SignedBy) -> Signed:
        try:
            statement = read_statement(content)
        except UnreadableError as error:
            raise _refused(f"the signature cannot be read: {error}") from None
        config = (
            _library()
            .verifying.Config()
            .set_hashing_config(_known(statement.name, statement.files))
        )
        with TemporaryDirectory(prefix="mlflow-gitops-") as folder:
            signature, trust = Path(folder, "signature"), Path(folder, "trust.pem")
            signature.write_bytes(content)
            trust.write_text(_trust(statement, trusted), encoding="ascii")
            try:
                if statement.key:
                    config.use_elliptic_key_verifier(public_key=trust)
                else:
                    config.use_certificate_verifier(certificate_chain=[trust])
            except Exception as error:
                raise ConfigError(
                    f"what is trusted cannot be used ({type(error).__name__})",
                    where=SETTING,
                    hint="give public keys of elliptic curves and root certificates, in PEM form",
                ) from None
            try:
                config.verify(statement.name, signature)
                return Signed(_signer_of(statement), statement.files)
            except Exception as error:  # anything may come of what anybody may have written
                why = f"the signature is not right ({type(error).__name__})"
                raise _refused(why) from None

    def _use_certificate(self, config: Any, folder: Path) -> None:
        found = CERTIFICATE.findall(Path(self.certificate_file).read_bytes())
        if not found:
            raise ConfigError(
                "there is no certificate in the file",
                where=CERTIFICATE_FILE,
                hint="put the certificate of the key there in PEM form, then those between it and "
                "the root",
            )
        own, chain = folder / "own.pem", folder / "chain.pem"
        own.write_bytes(found[0])
        chain.write_bytes(b"\n".join(found[1:] or found))  # the library wants one at least
        config.use_certificate_signer(
            private_key=self.key_file, signing_certificate=own, certificate_chain=[chain]
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The library's errors as ours. Theirs are not shown: they are about secrets."""
        try:
            yield
        except OSError as error:
            is_certificate = str(error.filename) == self.certificate_file
            raise ConfigError(
                f"the file cannot be read: {error.strerror}",
                where=CERTIFICATE_FILE if is_certificate else KEY_FILE,
                hint="name a file that this process can read",
            ) from None
        except (TypeError, ValueError) as error:
            is_passphrase = isinstance(error, TypeError)
            if is_passphrase and self.certificate_file:
                hint = "the library takes no passphrase where there is a certificate: use a key "
                hint += "without, in a file that only this process can read"
            elif is_passphrase:
                hint = "set MLFLOW_GITOPS_MODEL_KEY_PASSPHRASE for a key that has a passphrase, "
                hint += "and only for such a one"
            else:
                hint = "give a private key of an elliptic curve (P-256, P-384, P-521) in PEM form, "
                hint += "its right passphrase, and no certificate but its own"
            raise ConfigError("the key cannot be used to sign", where=KEY_FILE, hint=hint) from None


def _library() -> ModuleType:
    """With its modules `signing` and `verifying`."""
    try:
        import model_signing.signing
        import model_signing.verifying
    except ImportError:
        raise ConfigError(
            f"`{SETTING}` needs the library model-signing, which is not installed",
            where=SETTING,
            hint="install it: pip install 'mlflow-gitops[signing]'",
        ) from None
    return model_signing


def _known(name: str, files: Mapping[str, str]) -> hashing.Config:
    """Answers the library with SHA-256s that are known, where it would hash a folder."""
    from model_signing import hashing, manifest
    from model_signing._hashing.hashing import Digest

    form = manifest.SerializationType.from_args(
        {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
    )
    items = [
        form.new_item(path, Digest("sha256", bytes.fromhex(sha256)))
        for path, sha256 in files.items()
        if is_covered(path)
    ]

    class Known(hashing.Config):
        def hash(self, *_: object, **__: object) -> manifest.Manifest:
            return manifest.Manifest(name, items, form)

    return Known()  # type: ignore[no-untyped-call]  # as the library's own


def _trust(statement: Statement, trusted: SignedBy) -> str:
    """The one key that the signature names, or all trusted certificates, as PEM."""
    if not statement.key:
        if not trusted.certificates:
            raise _refused("the signature is by a certificate, and none is trusted")
        return trusted.certificates
    keys = {_hint(text): text for text in trusted.public_keys}
    if statement.key not in keys:
        raise _refused(
            f"the signature is by the key {statement.key[:HINT_SHOWN]}, which is not trusted"
        )
    return keys[statement.key]


def _hint(public_key: str) -> str:
    """As the format names a key: the SHA-256 of its PEM text."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_public_key,
    )

    try:
        key = load_pem_public_key(public_key.encode())
    except Exception as error:
        raise ConfigError(
            f"a public key cannot be read ({type(error).__name__})",
            where=f"{SETTING}.public-keys",
            hint="give public keys in PEM form, as `openssl ec -pubout` prints them",
        ) from None
    text = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(text).hexdigest()


def _signer_of(statement: Statement) -> str:
    if statement.key:
        return f"key {statement.key[:HINT_SHOWN]}"
    from cryptography.x509 import load_der_x509_certificate

    certificate = load_der_x509_certificate(statement.certificate)
    return f"certificate {shown(certificate.subject.rfc4514_string())}"


def _refused(what: str) -> PublishError:
    return PublishError(
        what,
        where=SETTING,
        hint="find out who signed it, and whether somebody replaced it: docs/signed-models.md",
    )
