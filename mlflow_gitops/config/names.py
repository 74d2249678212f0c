"""Whether one value is well formed: a name, a path, a URI. Each answers "" or what is wrong.

The rules are those of S3, Git, Kubernetes and MLflow, so that a wrong value is found when the
settings are checked, and not by a server in the middle of a promotion.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from urllib.parse import unquote, urlsplit

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.sources import USE_ALIAS, parse_location

__all__ = [
    "alias_complaint",
    "branch_complaint",
    "bucket_complaint",
    "endpoint_complaint",
    "host_complaint",
    "kserve_complaint",
    "label_complaint",
    "model_complaint",
    "path_complaint",
    "pattern_complaint",
    "prefix_complaint",
    "service_complaint",
    "source_complaint",
    "tag_key_complaint",
    "unprintable",
    "url_user",
]

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
BUCKET_STARTS = ("xn--", "sthree-")
BUCKET_ENDS = ("--ol-s3", ".mrap", "--x-s3", "--table-s3")
PREFIX = re.compile(r"[A-Za-z0-9._/-]{0,512}")
ALIAS = re.compile(r"[A-Za-z0-9_-]{1,255}")
TAG_KEY = re.compile(r"[\w./ :-]{1,200}")  # a request record's key is longer, and has to fit in 250
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?")
SUBDOMAIN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
)
PLACEHOLDER = re.compile(r"\{(service|model|namespace)\}")
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:")
OURS = "mlflow-gitops"
KSERVE = re.compile(r"v?0\.([0-9]{1,3})(\.[0-9]{1,3})?")
KSERVE_MINORS = range(14, 22)  # the versions whose deployment modes are known


def unprintable(text: str) -> bool:
    return any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text)


def kserve_complaint(text: str) -> str:
    """Check a version of KServe, as in `0.15` or `v0.15.2`."""
    found = KSERVE.fullmatch(text)
    if not found:
        return "is no version of KServe"
    return "" if int(found[1]) in KSERVE_MINORS else "is a version of KServe that is not known here"


def url_user(url: str) -> str:
    """Return the user name of an HTTP(S) URL, "" where it has none or is no such URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return unquote(parts.username or "") if parts.scheme.lower() in ("http", "https") else ""


def label_complaint(text: str) -> str:
    return "" if LABEL.fullmatch(text) else "is no DNS label"


def subdomain_complaint(text: str) -> str:
    return "" if SUBDOMAIN.fullmatch(text) else "is no name of a Kubernetes object"


def service_complaint(text: str) -> str:
    return "" if SERVICE.fullmatch(text) else "cannot be the name of an InferenceService"


def bucket_complaint(text: str) -> str:
    if text.startswith("arn:"):
        return f"is an ARN; {USE_ALIAS}"
    if "/" in text or ":" in text:
        return "is more than a bucket's name; what comes after the bucket goes to artifacts.prefix"
    if not BUCKET.fullmatch(text) or ".." in text or _is_address(text):
        return "is no name for an S3 bucket"
    if text.startswith(BUCKET_STARTS) or text.endswith(BUCKET_ENDS):
        return "is a name that S3 keeps for itself"
    return ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def prefix_complaint(text: str) -> str:
    if not PREFIX.fullmatch(text):
        return "has characters that are not safe in a key, or more than 512 of them"
    return _segments_complaint(text) if text else ""


def path_complaint(text: str) -> str:
    if not text:
        return "is empty"
    if text != text.strip() or any(c in '\\:*?[]"<>|' for c in text):
        return 'has a space at an end, or one of the characters \\ : * ? [ ] " < > |'
    if any(part.startswith("-") for part in text.split("/")):
        return "has a part that begins with `-`"
    if any(part.lower() == ".git" for part in text.split("/")):
        return "lies in `.git`, which is Git's own"
    if text == ".":
        return ""
    return _segments_complaint(text)


def _segments_complaint(text: str) -> str:
    if text.startswith("/"):
        return "begins with `/`"
    if text.endswith("/"):
        return "ends with `/`"
    parts = text.split("/")
    if ".." in parts or "." in parts:
        return "has a part that is `.` or `..`"
    return "has two `/` in a row" if "" in parts else ""


def branch_complaint(text: str) -> str:
    """Git's own rules (`git check-ref-format --branch`), and two of ours."""
    if text.startswith("refs/") or text == "HEAD":
        return "is no bare name of a branch"
    if text == OURS or text.startswith(f"{OURS}/"):
        return f"is below `{OURS}/`, where this tool keeps its own branches"
    wrong = (
        text.startswith("-")
        or text.endswith((".", "/"))
        or text == "@"
        or any(c in " ~^:?*[\\" or ord(c) < 0x20 or ord(c) == 0x7F for c in text)
        or any(part in text for part in ("..", "@{", "//"))
        or any(p.startswith(".") or p.endswith(".lock") for p in text.split("/"))
        or text.startswith("/")
    )
    return "is no name for a branch" if wrong else ""


def source_complaint(text: str) -> str:
    """As strict as the check of a version's source. Never quotes it: it can hold a password."""
    if text != text.strip() or any(c in text for c in "*?[]"):
        return "is no prefix: patterns and spaces at an end are not allowed"
    if not text.startswith("/") and not SCHEME.match(text):
        return "is neither an absolute path nor a URI with a scheme in lower case"
    try:
        place = parse_location(text)
    except PublishError as error:
        return error.what.removeprefix("the source cannot be used: ")
    return "" if place.host or place.segments else "would allow everything"


def endpoint_complaint(text: str) -> str:
    """A template of an inference server's base URL. Never quotes it: it can hold a password."""
    filled, wrong = _filled(text)
    if wrong:
        return wrong
    try:
        parts = urlsplit(filled)
        is_url = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or " " in text:
        return "is no URL of a server"
    return "holds credentials, a query or a fragment" if any(c in text for c in "@?#") else ""


def host_complaint(text: str) -> str:
    """A template of a Host header."""
    filled, wrong = _filled(text)
    return wrong or ("" if HOST.fullmatch(filled) else "is no host name")


def _filled(text: str) -> tuple[str, str]:
    """The template with its names filled in, and what is wrong with them."""
    filled = PLACEHOLDER.sub("name", text)
    if "{" in filled or "}" in filled:
        return filled, "has a `{…}` that is none of {service}, {model} and {namespace}"
    return filled, ""


def alias_complaint(text: str) -> str:
    if not ALIAS.fullmatch(text):
        return "is no alias: letters, digits, `_` and `-` only"
    if text.lower() == "latest" or re.fullmatch(r"[vV]\d+", text):
        return "is a word that MLflow keeps for itself"
    return ""


def tag_key_complaint(text: str) -> str:
    if text.startswith("gitops."):
        return "begins with `gitops.`, which this tool writes itself"
    if not TAG_KEY.fullmatch(text) or text != text.strip():
        return "is no key for a tag: 1 to 200 letters, digits and any of `_` `-` `.` `/` `:`"
    return "" if _segments_complaint(text) == "" else "is no key for a tag: it looks like a path"


def model_complaint(text: str) -> str:
    if not text.strip() or "/" in text or ":" in text or text in (".", ".."):
        return "cannot be the name of a registered model"
    return ""


def pattern_complaint(text: str) -> str:
    if not text.strip() or "/" in text or ":" in text or len(text) > 256:
        return "matches no name that MLflow allows"
    return ""
