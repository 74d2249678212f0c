"""Turns what MLflow's client raises into errors for people, and never lets a secret into one.

MLflow says most things with one exception class and a text. What tells the cases apart is its
error code, the exception underneath (MLflow's HTTP client keeps it), and, where an answer was not
MLflow's at all, the text. An answer's body is never shown: a sign-in page may hold tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3
from mlflow.exceptions import MlflowException, RestException

from mlflow_gitops.adapters.causes import causes
from mlflow_gitops.errors import GitOpsError, RegistryError, RequestError, TransientError

__all__ = ["is_unknown", "one_line", "place", "talking"]

UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
REFUSED = ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED")
BUSY = (
    "ABORTED",
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "INTERNAL_ERROR",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_CONFLICT",
    "RESOURCE_EXHAUSTED",
    "TEMPORARILY_UNAVAILABLE",
)
ASKED_WRONGLY = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE")
HTTP_STATUS = re.compile(r"failed with error code (\d{3})")
FOREIGN = ("not in a valid JSON format", "API request to endpoint")
LONGEST = 300  # characters of a server's message

CHECK_ADDRESS = "check MLFLOW_TRACKING_URI (and MLFLOW_REGISTRY_URI), and that the server runs"
CHECK_LOGIN = (
    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, of a "
    "user who may read the registry and write tags"
)


def place(uri: str) -> str:
    """The address without credentials, query and fragment."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return "the MLflow server"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def is_unknown(error: Exception) -> bool:
    """Whether MLflow itself, and not something in between, says that there is no such thing."""
    return getattr(error, "error_code", "") in UNKNOWN and not _is_foreign(error)


@contextmanager
def talking(where: str) -> Iterator[None]:
    """Whatever MLflow raises inside comes out as a GitOpsError."""
    try:
        yield
    except GitOpsError:
        raise
    except Exception as error:
        raise _told(error, where) from None


def _told(error: Exception, where: str) -> GitOpsError:
    for cause in causes(error):
        if isinstance(cause, requests.exceptions.RequestException):
            return _not_answered(cause, where)
    if isinstance(error, MlflowException):
        return _answered(error, where)
    if isinstance(error, OSError):
        return TransientError(
            f"the registry cannot be used now ({type(error).__name__})",
            where=where,
            hint=CHECK_ADDRESS,
        )
    return RegistryError(
        f"MLflow's client failed with {type(error).__name__}: {one_line(str(error))}",
        where=where,
        hint="check that this MLflow version and the server's fit each other",
    )


def _not_answered(error: requests.exceptions.RequestException, where: str) -> GitOpsError:
    if isinstance(error, requests.exceptions.SSLError):
        return RegistryError(
            "the server's certificate is not accepted",
            where=where,
            hint="set MLFLOW_TRACKING_SERVER_CERT_PATH to the CA that signed it",
        )
    if isinstance(error, requests.exceptions.Timeout) or _ran_out_of_time(error):
        return TransientError("the registry did not answer in time", where=where)
    if isinstance(error, requests.exceptions.RetryError):
        return TransientError(
            "the registry keeps answering with an error of its own",
            where=where,
            hint="look at the MLflow server's log",
        )
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
        return RegistryError("this is no address of a server", where=where, hint=CHECK_ADDRESS)
    return TransientError("the registry cannot be reached", where=where, hint=CHECK_ADDRESS)


def _ran_out_of_time(error: requests.exceptions.RequestException) -> bool:
    """With retries in play, a timeout comes wrapped as the reason for giving up."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    is_refused = isinstance(reason, urllib3.exceptions.NewConnectionError)  # it is one, there
    return isinstance(reason, urllib3.exceptions.TimeoutError) and not is_refused


def _answered(error: MlflowException, where: str) -> GitOpsError:
    code, message = error.error_code, one_line(error.message)
    if code in REFUSED:
        return RegistryError(
            "the registry refuses it: the user is unknown or may not do this",
            where=where,
            hint=CHECK_LOGIN,
        )
    if _is_foreign(error):
        return _foreign(error, where)
    if code in UNKNOWN:
        return RequestError(message, where=where, hint="check the model's name and the version")
    if code in ASKED_WRONGLY:
        return RequestError(
            f"the registry does not take it: {message}", where=where, hint="correct it, ask again"
        )
    if code in BUSY:
        return TransientError(
            f"the registry failed: {message}", where=where, hint="look at the MLflow server's log"
        )
    return RegistryError(
        f"the registry answered {code}: {message}",
        where=where,
        hint="look at the MLflow server's log",
    )


def _is_foreign(error: Exception) -> bool:
    """MLflow's own answers come as a RestException, or from a store in this process."""
    return not isinstance(error, RestException) and any(text in str(error) for text in FOREIGN)


def _foreign(error: MlflowException, where: str) -> GitOpsError:
    """The answer is not MLflow's: a proxy's, another server's, or a failing server's page."""
    status = HTTP_STATUS.search(error.message)
    if status and int(status[1]) >= 500:
        return TransientError(
            "the registry answers with an error page", where=where, hint=CHECK_ADDRESS
        )
    return RegistryError(
        "what answers there is not an MLflow registry",
        where=where,
        hint=f"{CHECK_ADDRESS}; a sign-in page in front of it would answer like this, too",
    )


def one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
