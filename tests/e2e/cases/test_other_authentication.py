"""An MLflow server with an authentication of its own: who moved a version is in the commit."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mlflow_gitops.demo.mlflow_server import MlflowServer, mlflow_server
from mlflow_gitops.demo.seaweedfs import SeaweedFS
from tests.support.mlflow import REQUEST_KEY
from tests.support.stack import Stack, make_stack

pytestmark = pytest.mark.slow

TRANSITION = "/api/2.0/mlflow/model-versions/transition-stage"
TOKEN = "a-token-for-machines"
APP = '''\
"""People come through a proxy that names them, machines with a token."""
from flask import make_response, request


def check():
    user = request.headers.get("X-Remote-User", "")
    if request.headers.get("Authorization", "") == "Bearer a-token-for-machines":
        user = "the-service"
    if not user and not request.path.endswith(("/health", "/version")):
        return make_response("sign in first", 401)
    request.environ["REMOTE_USER"] = user


def create_app(app=None):
    if app is None:
        from mlflow.server import app
    app.before_request(check)
    return app
'''
ENTRY_POINTS = "[mlflow.app]\nproxy-auth = proxy_auth:create_app\n"
GUNICORN = ("--gunicorn-opts", "--timeout 60")


@pytest.mark.parametrize(
    ("source", "app", "options"),
    [
        ("environ:REMOTE_USER", "proxy-auth", GUNICORN),
        ("header:x-remote-user", "gitops", ()),
        ("", "proxy-auth", GUNICORN),
    ],
    ids=["environ-store", "header-app", "not-set"],
)
def test_the_commit_says_who_moved_the_version(
    source: str,
    app: str,
    options: Sequence[str],
    tmp_path: Path,
    s3_server: SeaweedFS,
    s3_credentials: None,
    names: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    environ = {
        "PYTHONPATH": str(_installed(tmp_path)),
        "MLFLOW_GITOPS_REQUEST_KEY": REQUEST_KEY,
        "MLFLOW_GITOPS_USER_FROM": source,
    }
    folder = tmp_path / "mlflow"
    folder.mkdir()
    if app != "gitops":
        options = (*options, "--registry-store-uri", f"gitops+sqlite:///{folder / 'mlflow.db'}")
    with mlflow_server(folder, app_name=app, workers=1, environ=environ, options=options) as server:
        stack = make_stack(tmp_path, s3_server, server)
        model = names("fraud")
        for number in (stack.registry.register(model), stack.registry.register(model)):
            assert _moved(server, model, number, [("X-Remote-User", "ann")]) == 200
            message = _delivered(stack, model)
            assert ("Requested-By: ann\n" in message) is bool(source)
        assert server.log.read_text().count("MLFLOW_GITOPS_USER_FROM is not set") == (not source)
        if app == "gitops":
            _nobody_is_believed(stack, model)
        else:
            assert _moved(server, model, "1", []) == 401
        server.kill()


def _nobody_is_believed(stack: Stack, model: str) -> None:
    """A header that somebody besides the proxy may have set is no name."""
    for doubtful in (
        [],
        [("X-Remote-User", "")],
        [("X-Remote-User", "eve,ann")],
        [("X-Remote-User", "eve"), ("X-Remote-User", "ann")],
        [("X-Remote-User", "eve"), ("X_Remote_User", "ann")],
    ):
        assert _moved(stack.mlflow, model, "1", doubtful) == 200
        record = stack.registry.tags(model, "1")["gitops.request.stage.Production"]
        assert json.loads(record)["by"] == ""


def _installed(folder: Path) -> Path:
    """A Python path with the app, as pip would install it."""
    path = folder / "installed"
    package = path / "proxy_auth-1.0.dist-info"
    package.mkdir(parents=True)
    (path / "proxy_auth.py").write_text(APP)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: proxy-auth\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(ENTRY_POINTS)
    return path


def _moved(
    server: MlflowServer, model: str, number: str, headers: Sequence[tuple[str, str]]
) -> int:
    address = urlsplit(server.url)
    body = json.dumps({"name": model, "version": number, "stage": "Production"}).encode()
    with closing(http.client.HTTPConnection(address.hostname or "", address.port or 0)) as wire:
        wire.putrequest("POST", TRANSITION)
        for name, value in (
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            *headers,
        ):
            wire.putheader(name, value)
        wire.endheaders(body)
        return wire.getresponse().status


def _delivered(stack: Stack, model: str) -> str:
    """The message of the commit that the real command makes of it."""
    done = stack.cli("reconcile", model, MLFLOW_TRACKING_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    return stack.git("log", "-1", "--format=%B", "main") + "\n"
