"""The failures that every forge has, in the same words: from an answer's status and headers. PURE.

What a client library or the network raises is told apart where that library is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from mlflow_gitops.errors import ConfigError, ForgeError, GitOpsError, TransientError
from mlflow_gitops.planning.messages import clean, exact

__all__ = [
    "AnswerError",
    "NotTakenError",
    "busy",
    "failed",
    "just_opened",
    "lacks_scopes",
    "may_not_write",
    "moved",
    "no_answer",
    "no_token",
    "not_the_api",
    "read_only",
    "unreachable",
    "untrusted",
]

LONGEST = 300  # characters of the forge's own words
LIMIT_WAIT = 60.0  # seconds: what GitHub asks for where it does not say
AGAIN = "it is tried again"
API_URL = "set `url` of `forge:` in the settings to the API's address"
SIGN_IN = re.compile(r"(?i)/(_?sign[-_]?in|log[-_]?in|sso|saml2?|oauth2?|adfs|idp)(?=[/.]|$)")


class AnswerError(ForgeError):
    """The forge answered with a 4xx that is no rate limit."""

    def __init__(self, status: int, what: str, *, where: str, hint: str) -> None:
        super().__init__(what, where=where, hint=hint)
        self.status = status


class NotTakenError(AnswerError):
    """What was sent is not as the forge wants it, or something is in its way."""


def failed(
    status: int, headers: Mapping[str, str], said: object, *, where: str, rights: str
) -> GitOpsError:
    """For a status of 300 or more. `said` are the forge's own words, never a page of it; `rights`
    says which ones the token needs. `where` is the request: its verb and address.
    """
    where = f"{where} (HTTP {status})"
    known = {name.lower(): value for name, value in headers.items()}
    words = clean(str(said or ""), LONGEST) or "it does not say why"
    if status < 400:
        return moved(known.get("location", ""), where=where)
    if status in (403, 404, 405) and known.get("content-type", "").startswith("text/html"):
        return AnswerError(
            status,
            "a page for people answers there, not the forge's API",
            where=where,
            hint=f"{API_URL}, and let no proxy ask this machine to sign in",
        )
    wait = _asked_wait(known)
    if _is_limit(status, known, words):
        wait = LIMIT_WAIT if wait is None else wait
        return TransientError(
            f"the forge's rate limit is reached, for {wait:.0f} seconds",
            where=where,
            hint="it is tried again then",
            retry_after=wait,
        )
    if status >= 500:
        return TransientError(
            f"the forge failed (HTTP {status})", where=where, hint=AGAIN, retry_after=wait
        )
    if status == 401:
        return AnswerError(
            status,
            "the forge refuses the token: it is wrong, or it has expired",
            where=where,
            hint="set MLFLOW_GITOPS_FORGE_TOKEN, or the file of MLFLOW_GITOPS_FORGE_TOKEN_FILE",
        )
    if status == 403:
        return AnswerError(
            status, f"the forge does not allow it: {words}", where=where, hint=rights
        )
    if status == 404:
        return AnswerError(
            status,
            "the forge has no such thing, or the token may not see it",
            where=where,
            hint=rights,
        )
    return NotTakenError(
        status,
        f"the forge does not take it (HTTP {status}): {words}",
        where=where,
        hint="correct what it names, then ask for the version again",
    )


def moved(location: str, *, where: str) -> ForgeError:
    """A redirect: what is asked elsewhere may be another repository, and a write may be lost."""
    try:
        parts = urlsplit(location)
        host = parts.netloc.rpartition("@")[2]
        shown = f"{parts.scheme}://{host}{parts.path}" if host else parts.path
    except ValueError:
        shown = ""
    if SIGN_IN.search(shown):
        return ForgeError(
            f"the API is behind a page to sign in: {exact(shown)}",
            where=where,
            hint=f"let the proxy pass what this machine asks the API, or {API_URL}",
        )
    to = f", to {exact(shown)}" if shown else ""
    return ForgeError(
        f"the repository has moved or was renamed{to}",
        where=where,
        hint="set MLFLOW_GITOPS_REPOSITORY to its address of now, and `url` of `forge:` in the "
        "settings where the API has moved",
    )


def no_token() -> ConfigError:
    return ConfigError(
        "there is no token for the forge",
        where="MLFLOW_GITOPS_FORGE_TOKEN",
        hint="set it, or MLFLOW_GITOPS_FORGE_TOKEN_FILE, to a token that may write pull requests "
        "and commit statuses (on GitHub, an app may do it: MLFLOW_GITOPS_GITHUB_APP_ID)",
    )


def may_not_write(*, where: str, rights: str) -> ForgeError:
    return ForgeError("the token may not write to the repository", where=where, hint=rights)


def lacks_scopes(scopes: Iterable[str], *, where: str, rights: str) -> ForgeError:
    given = clean(", ".join(scopes), LONGEST) or "none"
    return ForgeError(
        f"the token may not write to the repository: its scopes are {given}",
        where=where,
        hint=rights,
    )


def read_only(*, where: str) -> ForgeError:
    return ForgeError(
        "nobody can write to the repository: it is archived, disabled or a mirror",
        where=where,
        hint="set MLFLOW_GITOPS_REPOSITORY to the repository that people write to",
    )


def just_opened(branch: str, *, where: str) -> TransientError:
    return TransientError(
        f"somebody opened a pull request for {branch} just now",
        where=where,
        hint="it is looked at again",
    )


def busy(*, where: str) -> TransientError:
    return TransientError("the forge is busy with another such change", where=where, hint=AGAIN)


def untrusted(*, where: str) -> ForgeError:
    return ForgeError(
        "the forge's certificate is not accepted",
        where=where,
        hint="name its CA for this process, for example with REQUESTS_CA_BUNDLE",
    )


def no_answer(*, where: str) -> TransientError:
    return TransientError("the forge did not answer in time", where=where, hint=AGAIN)


def unreachable(*, where: str) -> TransientError:
    return TransientError("the forge cannot be reached", where=where, hint=AGAIN)


def not_the_api(forge: str, *, where: str) -> ForgeError:
    return ForgeError(
        f"what answers there is not {forge}'s API",
        where=where,
        hint=API_URL,
    )


def _is_limit(status: int, headers: Mapping[str, str], words: str) -> bool:
    """The primary limit, or a second one that guards the writes."""
    if status == 429:
        return True
    told = "retry-after" in headers or _of_limit(headers, "remaining") == "0"
    return status == 403 and (told or "rate limit" in words.lower())


def _asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds, by the forge's own clock; None where it does not say."""
    after, reset = headers.get("retry-after", ""), _of_limit(headers, "reset")
    if _is_number(after):
        return float(after)
    now = _time(headers.get("date", ""))
    then = _time(after)
    if now and then:
        return max(1.0, (then - now).total_seconds())
    if now and _is_number(reset) and _of_limit(headers, "remaining") == "0":
        return max(1.0, float(reset) - now.timestamp())
    return None


def _of_limit(headers: Mapping[str, str], name: str) -> str:
    return headers.get(f"x-ratelimit-{name}", headers.get(f"ratelimit-{name}", ""))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 12


def _time(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else None
