"""Keys and certificates to sign models with, or to serve over TLS, made for one test run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

YEAR = timedelta(days=365)
LOOPBACK = IPv4Address("127.0.0.1")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """`file` has the private key, `public` is the PEM text of the other."""

    file: str
    public: str
    key: ec.EllipticCurvePrivateKey


def key_pair(
    folder: Path, name: str, curve: ec.EllipticCurve | None = None, passphrase: str = ""
) -> KeyPair:
    key = ec.generate_private_key(curve or ec.SECP256R1())
    kept = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    path = folder / f"{name}.pem"
    path.touch(0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, kept))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(str(path), public.decode(), key)


def certificate(
    name: str, pair: KeyPair, issuer: tuple[str, KeyPair] | None = None, *, is_ca: bool = False
) -> str:
    """In PEM form; by itself where nobody issues it. A server on loopback may show it."""
    by, signing = issuer or (name, pair)
    usage = x509.KeyUsage(not is_ca, False, False, False, False, is_ca, is_ca, False, False)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(by))
        .public_key(pair.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + YEAR)
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOOPBACK)]), False)
        .sign(signing.key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
