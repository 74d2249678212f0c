"""Names for Kubernetes made from names that people chose freely. PURE.

KServe appends `-predictor` to an InferenceService's name, and the result has to fit into the 63
characters of a DNS label.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import sha256

__all__ = ["MOST", "is_name", "slug"]

MOST = 63 - len("-predictor")
"""The longest name of an InferenceService that KServe can serve."""

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_OTHER = re.compile(r"[^a-z0-9]+")


def is_name(text: str) -> bool:
    """Whether Kubernetes takes the text as the name of an InferenceService."""
    return _NAME.fullmatch(text) is not None


def slug(text: str, most: int = MOST) -> str:
    """Return a name of an InferenceService for the text: the same one each time.

    Accents are dropped, and every other character becomes `-`. What is cut off, or leaves no
    letter or digit, is replaced by a short hash, so that two long names rarely become one.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = _OTHER.sub("-", plain).strip("-")
    if name and not name[0].isalpha():
        name = f"m-{name}"
    if name and len(name) <= most:
        return name
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    head = (name or "model")[: max(1, most - 7)].rstrip("-")
    return f"{head}-{digest}"
