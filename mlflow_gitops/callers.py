"""Who makes a request to the MLflow server, as its authentication knows.

MLflow's basic-auth is recognised. For any other authentication the operator says where the name is
(`MLFLOW_GITOPS_USER_FROM`): nothing else is believed, since anybody can send a header. A name that
cannot be told is "", never a guess.
"""

from __future__ import annotations

import importlib
import logging
from contextlib import suppress
from functools import cache

import flask

__all__ = ["caller"]

VARIABLE = "MLFLOW_GITOPS_USER_FROM"
BASIC_AUTH = "mlflow.server.auth:authenticate_request_basic_auth"
LONGEST = 200  # characters

_log = logging.getLogger(__name__)


def caller(source: str) -> str:
    """Return the user's name, "" where it is not known. `source` is the variable's value."""
    if not flask.has_request_context():
        return ""
    if not source:
        return _basic_auth_user()
    try:
        name = _clean(_read(source))
    except Exception as error:  # whatever the operator's own function raises
        _warn_once(f"action=user_unknown: `{source}` failed with {type(error).__name__}")
        return ""
    if not name:
        _warn_once(f"action=user_unknown: `{source}` of {VARIABLE} named nobody in a request")
    return name


def _read(source: str) -> object:
    kind, _, name = source.partition(":")
    if kind == "environ":
        return flask.request.environ.get(name, "")
    if kind == "header":
        values = flask.request.headers.getlist(name)
        # A second header, or a spelling that the proxy does not replace, arrives behind a comma.
        return values[0] if len(values) == 1 and "," not in values[0] else ""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)()


def _clean(value: object) -> str:
    """Return the name, "" for what is none. WSGI hands out UTF-8 as if it were Latin-1."""
    if not isinstance(value, str):
        return ""
    with suppress(UnicodeError):
        value = value.encode("latin-1").decode()
    name = value.strip()
    return name if name.isprintable() and len(name) <= LONGEST else ""


def _basic_auth_user() -> str:
    hooks = flask.current_app.before_request_funcs.get(None, [])
    if not any(getattr(hook, "__module__", "") == "mlflow.server.auth" for hook in hooks):
        _warn_once(
            "action=user_unknown: this server cannot tell who asks, so its records name nobody: "
            f"MLflow's basic-auth is not in use, and {VARIABLE} is not set"
        )
        return ""
    from mlflow.server import auth

    if auth.auth_config.authorization_function == BASIC_AUTH:
        authorization = flask.request.authorization  # it was checked, or this was a 401
    else:
        authorization = auth.authenticate_request()
    return getattr(authorization, "username", None) or ""


@cache
def _warn_once(text: str) -> None:
    """Log it once for each process."""
    _log.warning("%s", text)
