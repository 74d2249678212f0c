"""Every way to run an MLflow server with records: two versions, basic-auth or not, app or store."""

from __future__ import annotations

import http.client
import json
import sqlite3
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.security import generate_password_hash

from mlflow_gitops.adapters.registry import MlflowRegistry
from mlflow_gitops.demo.mlflow_server import MlflowServer, mlflow_server
from mlflow_gitops.planning.records import parse_request
from mlflow_gitops.state import Request, Selector
from tests.support.mlflow import REQUEST_KEY, Registry
from tests.support.old_venv import COMPILED
from tests.support.receiver import Receiver, listening
from webhook.signature import DELIVERY_ID, SIGNATURE, TIMESTAMP, Unverified, verify

SECRET = "a-secret-for-announcements"
ADMIN, USER = ("ann", "correct-horse-battery"), ("ben", "staple-horse-battery")
STAGE, ALIAS, TAG = (f"gitops.request.{key}" for key in ("stage.Staging", "alias.best", "tag.at"))
TRANSITION = "/api/2.0/mlflow/model-versions/transition-stage"


@dataclass(frozen=True, slots=True)
class Way:
    """`app` is `--app-name`; with `store`, the registry store's URI is one of ours."""

    old: bool = False
    auth: bool = False
    app: str = ""
    store: bool = False
    options: tuple[str, ...] = ()
    workers: int = 1

    def environ(self, folder: Path, receiver: Receiver) -> Mapping[str, str]:
        environ = {"MLFLOW_GITOPS_SELECTOR_TAGS": "at"}
        if self.auth:
            environ |= _auth(folder) | {"MLFLOW_GITOPS_REQUEST_KEY": REQUEST_KEY}
        if self.auth and self.app == "gitops":
            environ["MLFLOW_GITOPS_INNER_APP"] = "basic-auth"
        if self.old:
            environ |= COMPILED
            environ["MLFLOW_GITOPS_WEBHOOK_URL"] = receiver.url
            environ["MLFLOW_GITOPS_WEBHOOK_SECRET"] = SECRET
        return environ

    def arguments(self, folder: Path) -> list[str]:
        uri = f"gitops+sqlite:///{folder / 'mlflow.db'}"
        return [*self.options, *(["--registry-store-uri", uri] if self.store else [])]


GUNICORN = ("--gunicorn-opts", "--timeout 120")
WAYS = {  # the plain app of the newest, under uvicorn, is in test_tracking_app
    "newest-app-auth": Way(app="gitops", auth=True),
    "newest-app-auth-gunicorn": Way(app="gitops", auth=True, options=GUNICORN, workers=2),
    "newest-store-auth": Way(app="basic-auth", auth=True, store=True),
    "newest-store-and-app-gunicorn": Way(app="gitops", store=True, options=GUNICORN),
    "old-app": Way(old=True, app="gitops"),
    "old-app-auth": Way(old=True, app="gitops", auth=True),
    "old-store-auth": Way(old=True, app="basic-auth", auth=True, store=True),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_moves_are_recorded_and_announced(
    way: Way, request: pytest.FixtureRequest, tmp_path: Path, names: Callable[[str], str]
) -> None:
    python = request.getfixturevalue("old_bin") / "python" if way.old else Path(sys.executable)
    with (
        listening() as receiver,
        mlflow_server(
            tmp_path,
            app_name=way.app or None,
            workers=way.workers,
            environ=way.environ(tmp_path, receiver),
            options=way.arguments(tmp_path),
            python=python,
        ) as server,
    ):
        model = names("fraud")
        user = _user(way, server, receiver, model)
        by = USER[0] if way.auth else ""
        _moves_are_recorded(user, model, by)
        _an_announced_move_keeps_its_request(user, model, by)
        if way.auth:
            _strangers_are_turned_away(server, user, model)
        _each_move_was_announced_once(way, receiver, user, model)
        server.kill()  # an orderly end takes seconds


def _user(way: Way, server: MlflowServer, receiver: Receiver, model: str) -> Registry:
    """Who moves; a webhook and a model with two versions are there."""
    admin = Registry(_known(server, ADMIN) if way.auth else server.url)
    if not way.old:
        admin.client.create_webhook(
            name="tests", url=receiver.url, events=["model_version_tag.set"], secret=SECRET
        )
    if way.auth:
        ben = {"username": USER[0], "password": USER[1]}
        assert _post(server, "/api/2.0/mlflow/users/create", ben, ADMIN) == 200
        _hash_quickly(server.folder / "auth.db", *USER)
    user = Registry(_known(server, USER) if way.auth else server.url)
    user.create_model(model)
    user.create_version(model)
    user.create_version(model)
    return user


def _moves_are_recorded(user: Registry, model: str, by: str) -> None:
    user.transition(model, "1", "staging")
    user.set_alias(model, "best", "1")
    user.set_tag(model, "1", "at", "production")
    user.set_tag(model, "1", "colour", "red")
    tags = user.tags(model, "1")
    assert set(tags) == {STAGE, ALIAS, TAG, "at", "colour"}
    for tag in (STAGE, ALIAS, TAG):
        found = _record(model, "1", tag, tags)
        assert (found.by, found.signed, found.action) == (by, bool(by), "deploy")
    user.set_alias(model, "best", "1")
    again = user.tags(model, "1")
    assert _record(model, "1", ALIAS, again).id != _record(model, "1", ALIAS, tags).id
    user.delete_alias(model, "best")
    user.delete_tag(model, "1", "at")
    assert user.tags(model, "1") == {name: again[name] for name in again if name != "at"}


def _an_announced_move_keeps_its_request(user: Registry, model: str, by: str) -> None:
    """Who makes it is known, where anybody is; who it is made for is as claimed."""
    registry = MlflowRegistry(user.url)
    version = registry.snapshot(model).version("2")
    assert version is not None
    asked = Request("r-1", "2", "rollback", "2020-01-01T00:00:00.000Z", "cat", reason="better")
    for relayed, expected in ((False, by or "cat"), (True, "cat")):
        registry.select(version, Selector("tag", "at", "production"), asked, relayed=relayed)
        tags = user.tags(model, "2")
        found = _record(model, "2", TAG, tags)
        assert (found.id, found.action, found.reason) == ("r-1", "rollback", "better")
        assert (found.by, found.signed) == (expected, expected == by)
        assert '"moving"' not in tags[TAG]


def _strangers_are_turned_away(server: MlflowServer, user: Registry, model: str) -> None:
    before = user.tags(model, "2")
    asked = {"name": model, "version": "2", "stage": "Production"}
    assert _post(server, TRANSITION, asked, None) == 401
    assert _post(server, TRANSITION, asked, (USER[0], "a wrong password")) == 401
    assert user.tags(model, "2") == before


def _each_move_was_announced_once(way: Way, receiver: Receiver, user: Registry, model: str) -> None:
    user.transition(model, "2", "Archived")
    expected = [STAGE, ALIAS, ALIAS, TAG, TAG, TAG, "gitops.request.stage.Archived"]
    if not way.old:  # MLflow's webhooks tell of every tag, also our client's announcements
        expected += ["at", "at", "at", "colour", TAG, TAG]
    found: list[str] = []
    while len(found) < len(expected):  # in any order: there are several threads
        headers, body, event = receiver.next_for(model)
        claim = Unverified(headers[DELIVERY_ID], headers[TIMESTAMP], headers[SIGNATURE], body)
        verify(claim, [SECRET], now=time.time(), window=300)
        assert (event["entity"], event["action"]) == ("model_version_tag", "set")
        found.append(event["data"]["key"])
    assert sorted(found) == sorted(expected)


def _record(model: str, version: str, tag: str, tags: Mapping[str, str]) -> Request:
    key = REQUEST_KEY.encode()
    return parse_request(tags[tag], model=model, version=version, tag=tag, key=key)


def _auth(folder: Path) -> dict[str, str]:
    config = folder / "auth.ini"
    config.write_text(
        "[mlflow]\ndefault_permission = EDIT\n"
        f"database_uri = sqlite:///{folder / 'auth.db'}\n"
        "auth_cache_ttl_seconds = 60\n"  # else each request takes a slow hash of the password
        f"admin_username = {ADMIN[0]}\nadmin_password = {ADMIN[1]}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a static key for every worker",
    }


def _hash_quickly(database: Path, name: str, password: str) -> None:
    """MLflow's own hash is slow on purpose, and the old one computes it for each request."""
    quick = generate_password_hash(password, method="pbkdf2:sha256:1")
    with closing(sqlite3.connect(database, timeout=60)) as users, users:
        where = "UPDATE users SET password_hash = ? WHERE username = ?"
        assert users.execute(where, (quick, name)).rowcount == 1


def _known(server: MlflowServer, who: tuple[str, str]) -> str:
    return f"http://{who[0]}:{who[1]}@{urlsplit(server.url).netloc}"


def _post(server: MlflowServer, path: str, body: Any, who: tuple[str, str] | None) -> int:
    headers = {"Content-Type": "application/json"}
    if who is not None:
        headers["Authorization"] = f"Basic {b64encode(':'.join(who).encode()).decode()}"
    address = urlsplit(server.url)
    with closing(http.client.HTTPConnection(address.hostname or "", address.port or 0)) as wire:
        wire.request("POST", path, json.dumps(body), headers)
        return wire.getresponse().status
