"""Turns what PyGithub and the network raise into errors for people, without a secret in them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import github
import requests

from mlflow_gitops.errors import ForgeError, GitOpsError, TransientError
from mlflow_gitops.planning.messages import clean

__all__ = ["talking"]

LONGEST = 300  # characters of the forge's own words
SECOND_LIMIT_WAIT = 60.0  # seconds: what GitHub asks for where it does not say
RIGHTS = "give the token `contents`, `pull requests` and `commit statuses`: write"


@contextmanager
def talking(where: str) -> Iterator[None]:
    """Whatever is raised inside comes out as a GitOpsError."""
    try:
        yield
    except GitOpsError:
        raise
    except github.GithubException as error:
        raise _answered(error, where) from None
    except requests.exceptions.SSLError:
        raise ForgeError(
            "the forge's certificate is not accepted",
            where=where,
            hint="name its CA for this process, for example with REQUESTS_CA_BUNDLE",
        ) from None
    except requests.exceptions.Timeout:
        raise TransientError("the forge did not answer in time", where=where) from None
    except (requests.exceptions.RequestException, OSError):
        raise TransientError(
            "the forge cannot be reached", where=where, hint="it is tried again"
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError):
        raise ForgeError(
            "what answers there is not GitHub's API",
            where=where,
            hint="set `url` of `forge:` in the settings to the API's address",
        ) from None


def _answered(error: github.GithubException, where: str) -> GitOpsError:
    status, said = error.status, _said(error.data)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    wait = _wait(status, said, headers)
    if wait is not None:
        return TransientError(
            f"the forge's rate limit is reached, for {wait:.0f} seconds",
            where=where,
            hint="it is tried again then",
            retry_after=wait,
        )
    if status == 401:
        return ForgeError(
            "the forge refuses the token: it is wrong, or it has expired",
            where=where,
            hint="set MLFLOW_GITOPS_FORGE_TOKEN, or the file of MLFLOW_GITOPS_FORGE_TOKEN_FILE",
        )
    if status == 403:
        return ForgeError(f"the forge does not allow it: {said}", where=where, hint=RIGHTS)
    if status == 404:
        return ForgeError(
            "the forge has no such thing, or the token may not see it", where=where, hint=RIGHTS
        )
    if status >= 500:
        return TransientError(f"the forge failed (HTTP {status})", where=where)
    return ForgeError(
        f"the forge does not take it (HTTP {status}): {said}",
        where=where,
        hint="correct what it names, then ask for the version again",
    )


def _wait(status: int, said: str, headers: Mapping[str, str]) -> float | None:
    """Seconds, where it is a rate limit: the primary one, or the second that guards the writes."""
    if status not in (403, 429):
        return None
    if headers.get("retry-after", "").isdecimal():
        return float(headers["retry-after"])
    if headers.get("x-ratelimit-remaining") == "0":
        reset = headers.get("x-ratelimit-reset", "")
        return max(1.0, float(reset) - time.time()) if reset.isdecimal() else SECOND_LIMIT_WAIT
    return SECOND_LIMIT_WAIT if status == 429 or "rate limit" in said.lower() else None


def _said(data: object) -> str:
    """The message and those below it; never a page that is not the API's."""
    if not isinstance(data, Mapping):
        return "it does not say why"
    texts = [str(data.get("message", ""))]
    errors = data.get("errors")
    for each in errors if isinstance(errors, list) else ():
        texts.append(str(each.get("message", "")) if isinstance(each, Mapping) else str(each))
    return clean("; ".join(text for text in texts if text), LONGEST) or "it does not say why"
