"""`artifacts.signed-by`: who may sign what is published. Only the form of the keys is read."""

from __future__ import annotations

import re

from mlflow_gitops.config.document import Findings, Value
from mlflow_gitops.config.reference_settings import SETTINGS
from mlflow_gitops.state import SignedBy

__all__ = ["read_signed_by"]

FORMS = {row.key: row.form for row in SETTINGS}
KEYS = ("public-keys", "certificates")


def read_signed_by(value: Value | None, found: Findings) -> SignedBy:
    fields = found.fields(value, KEYS) if value else None
    if not fields:
        return SignedBy()  # `{}` is what stands for nobody
    keys, certificates = (fields.get(name) for name in KEYS)
    form = FORMS["artifacts.signed-by.public-keys"]
    texts = [
        _pem(each, "PUBLIC KEY", form, found)
        for each in (found.items(keys, form) or () if keys else ())
    ]
    form = FORMS["artifacts.signed-by.certificates"]
    roots = _pem(certificates, "CERTIFICATE", form, found, most=None) if certificates else ""
    return SignedBy(tuple(dict.fromkeys(filter(None, texts))), roots)


def _pem(value: Value, label: str, form: str, found: Findings, most: int | None = 1) -> str:
    """The text, "" where it was told as wrong. A private key is never repeated."""
    block = rf"-----BEGIN {label}-----\s[A-Za-z0-9+/=\s]+-----END {label}-----\s*"
    times = f"{{1,{most or ''}}}"

    def complaint(text: str) -> str:
        if "PRIVATE KEY" in text:
            return "is a private key: take it out of Git, and out of its history"
        return "" if re.fullmatch(rf"(?:{block}){times}", text.strip()) else "is no such text"

    text = found.text(value, complaint, form, quote=False, is_block=True)
    return f"{text.strip()}\n" if text else ""
