"""Turns what a source raises into errors for people: the disk's, MLflow's, and its stores'."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from botocore.exceptions import BotoCoreError, ClientError

from mlflow_gitops.adapters.causes import causes
from mlflow_gitops.adapters.s3_errors import talking
from mlflow_gitops.errors import GitOpsError, PublishError, TransientError
from mlflow_gitops.planning.sources import shown

__all__ = ["reading"]

MISSING = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
REFUSED = ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED")
BUSY = (429, 500, 502, 503, 504)

CHECK_THERE = "check that the version's artifacts were not deleted; else log the model again"
CHECK_ACCESS = "let this tool's user read the version's artifacts"
CHECK_SERVER = "check MLFLOW_TRACKING_URI, and that the server with the artifacts runs"


@contextmanager
def reading(location: str) -> Iterator[None]:
    """Whatever is raised while a source is read comes out as a GitOpsError."""
    try:
        yield
    except GitOpsError:
        raise
    except (ClientError, BotoCoreError):
        with talking(shown(location)):
            raise
    except Exception as error:
        raise _told(error, shown(location)) from None


def _told(error: Exception, where: str) -> GitOpsError:
    if isinstance(error, ImportError):
        return PublishError(
            f"this store needs a package that is not installed ({error.name})",
            where=where,
            hint="install MLflow's extra for the store",
        )
    for cause in causes(error):
        if isinstance(cause, requests.RequestException):
            return _http(cause, where)
    if isinstance(error, OSError):
        return _disk(error, where)
    code = getattr(error, "error_code", "")
    if code in MISSING:
        return PublishError("there are no such artifacts", where=where, hint=CHECK_THERE)
    if code in REFUSED:
        return PublishError("reading it is not permitted", where=where, hint=CHECK_ACCESS)
    return PublishError(
        f"the artifacts cannot be read ({type(error).__name__})", where=where, hint=CHECK_SERVER
    )


def _http(error: requests.RequestException, where: str) -> GitOpsError:
    status = error.response.status_code if error.response is not None else 0
    if status == 404:
        return PublishError("there are no such artifacts", where=where, hint=CHECK_THERE)
    if status in (401, 403):
        return PublishError("reading it is not permitted", where=where, hint=CHECK_ACCESS)
    if isinstance(error, requests.exceptions.SSLError):
        return PublishError(
            "the certificate of the server with the artifacts is not accepted",
            where=where,
            hint="set MLFLOW_TRACKING_SERVER_CERT_PATH to the CA that signed it",
        )
    if status == 0 or status in BUSY:
        return TransientError("the artifacts cannot be reached", where=where, hint=CHECK_SERVER)
    return PublishError(
        f"the server with the artifacts answers {status}", where=where, hint=CHECK_SERVER
    )


def _disk(error: OSError, where: str) -> GitOpsError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return PublishError("there is no such folder or file", where=where, hint=CHECK_THERE)
    if isinstance(error, PermissionError):
        return PublishError("reading it is not permitted", where=where, hint=CHECK_ACCESS)
    if error.errno == errno.ELOOP:
        return PublishError("it is a symbolic link", where=where, hint="log the file itself")
    return TransientError(
        f"it cannot be read now ({error.strerror or type(error).__name__})",
        where=where,
        hint="it is tried again; if it stays so, look at the disk or the store",
    )
