"""Who makes a request to an MLflow server, by the setting that says where the name is."""

from __future__ import annotations

import logging

import flask
import pytest

from mlflow_gitops.callers import _warn_once, caller
from mlflow_gitops.config import Process
from mlflow_gitops.errors import ConfigError

APP = flask.Flask("mlflow")


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    _warn_once.cache_clear()
    caplog.set_level(logging.WARNING)
    return caplog


def asked(source: str, headers: list[tuple[str, str]] | None = None, **environ: object) -> str:
    with APP.test_request_context(headers=headers or [], environ_overrides=environ):
        return caller(source)


def from_the_token() -> object:
    return flask.request.environ["token"]


def test_a_name_is_read_where_the_setting_says() -> None:
    assert asked("environ:REMOTE_USER", REMOTE_USER=" ann ") == "ann"
    assert (
        asked("header:X-Remote-User", [("x-remote-user", "ann@example.com")]) == "ann@example.com"
    )
    assert asked(f"call:{__name__}:from_the_token", token="ann") == "ann"


@pytest.mark.parametrize("name", ["José", "Jos\u00c3\u00a9"])
def test_a_name_may_come_as_bytes_of_utf_8(name: str) -> None:
    assert asked("environ:REMOTE_USER", REMOTE_USER=name) == "José"


@pytest.mark.parametrize("value", ["", "  ", "a\nb", "a\x00", "x" * 201, None, 7, ["ann"], {}])
def test_what_is_no_name_is_not_known(value: object, warnings: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        assert asked("environ:REMOTE_USER", REMOTE_USER=value) == ""
        assert asked(f"call:{__name__}:from_the_token", token=value) == ""
    assert len(warnings.messages) == 2
    assert "`environ:REMOTE_USER` of MLFLOW_GITOPS_USER_FROM named nobody" in warnings.text


@pytest.mark.parametrize("values", [[], [""], ["eve,ann"], ["eve", "ann"]])
def test_one_header_with_one_value_is_believed(values: list[str]) -> None:
    assert asked("header:X-Remote-User", [("X-Remote-User", value) for value in values]) == ""


def test_no_header_is_believed_unless_it_is_configured() -> None:
    headers = [("X-Remote-User", "eve"), ("X-Forwarded-User", "eve")]
    assert asked("header:X-Auth-User", headers) == ""
    assert asked("environ:REMOTE_USER", headers) == ""
    assert asked("", headers, REMOTE_USER="eve") == ""


@pytest.mark.parametrize(
    "source",
    ["call:no.such.module:f", f"call:{__name__}:nothing", f"call:{__name__}:from_the_token"],
)
def test_a_function_that_fails_names_nobody(
    source: str, warnings: pytest.LogCaptureFixture
) -> None:
    assert [asked(source), asked(source)] == ["", ""]
    assert len(warnings.messages) == 1


def test_without_the_setting_the_log_names_it_once(warnings: pytest.LogCaptureFixture) -> None:
    assert [asked(""), asked("")] == ["", ""]
    (message,) = warnings.messages
    assert "cannot tell who asks" in message
    assert "MLFLOW_GITOPS_USER_FROM is not set" in message


def test_outside_of_a_request_nobody_asks(warnings: pytest.LogCaptureFixture) -> None:
    assert caller("environ:REMOTE_USER") == ""
    assert not warnings.messages


@pytest.mark.parametrize(
    "value",
    [
        "environ:REMOTE_USER",
        "environ:mlflow_oidc_auth.username",
        "header:X-Auth-Request-Email",
        "call:mlflow_oidc_auth.bridge.user:get_request_username",
    ],
)
def test_the_forms_of_the_setting(value: str) -> None:
    assert Process.from_environ({"MLFLOW_GITOPS_USER_FROM": value}).user_from == value


@pytest.mark.parametrize(
    "value",
    [
        "REMOTE_USER",
        "environ:",
        "environ:HTTP_X_REMOTE_USER",
        "header:X Remote",
        "header:Authorization",
        "header:cookie",
        "header:Proxy-Authorization",
        "call:os",
        "call::system",
        "call:os:system()",
        "session:user",
    ],
)
def test_other_forms_are_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="names no place of a user's name"):
        Process.from_environ({"MLFLOW_GITOPS_USER_FROM": value})
