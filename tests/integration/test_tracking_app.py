"""The server plugin, on real servers: what is recorded, what is announced, and no harm done."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from mlflow_gitops.adapters.registry import MlflowRegistry
from mlflow_gitops.demo.mlflow_server import MlflowServer
from mlflow_gitops.planning.records import request_for
from mlflow_gitops.state import Environment, Request, Selector
from tests.support.mlflow import REQUEST_KEY, Registry
from tests.support.receiver import Receiver, listening

Names = Callable[[str], str]
PRODUCTION = Environment("production", Selector("stage", "Production"), "overlays/production")
BY_STAGE = "gitops.request.stage.Production"
SECRET = "the secret of the webhook in tests"
WEBHOOKS_KNOWN = 1  # seconds: the server's MLFLOW_WEBHOOK_CACHE_TTL, for each of its workers


@pytest.fixture(scope="module")
def receiver(gitops_mlflow: MlflowServer) -> Iterator[Receiver]:
    client = Registry(gitops_mlflow.url).client
    with listening() as got:
        hook = client.create_webhook(
            name="tests", url=got.url, events=["model_version_tag.set"], secret=SECRET
        )
        time.sleep(2 * WEBHOOKS_KNOWN)  # a worker may have looked just before, and found none
        yield got
        client.delete_webhook(hook.webhook_id)


@pytest.fixture
def user(gitops_mlflow: MlflowServer) -> Registry:
    return Registry(gitops_mlflow.url)


@pytest.fixture
def model(user: Registry, names: Names) -> str:
    """A model with two versions."""
    name = names("fraud")
    user.create_model(name)
    user.create_version(name)
    user.create_version(name)
    return name


def post(server: MlflowServer, path: str, body: object) -> tuple[int, bytes]:
    """Without a client's library: what goes over the wire."""
    address = urlsplit(server.url)
    with closing(http.client.HTTPConnection(address.hostname or "", address.port or 0)) as wire:
        text = body if isinstance(body, str) else json.dumps(body)
        wire.request("POST", path, text, {"Content-Type": "application/json"})
        answer = wire.getresponse()
        return answer.status, answer.read()


def request_of(
    server: MlflowServer,
    model: str,
    number: str = "1",
    environment: Environment = PRODUCTION,
    key: str = REQUEST_KEY,
) -> Request:
    version = MlflowRegistry(server.url).snapshot(model).version(number)
    assert version is not None
    found = request_for(version, environment, key.encode())
    assert found is not None
    return found


# What is recorded


def test_a_moved_stage_is_recorded_and_signed(
    user: Registry, gitops_mlflow: MlflowServer, model: str
) -> None:
    user.transition(model, "1", "Production")
    found = request_of(gitops_mlflow, model)
    assert found == Request(
        found.id, "1", "deploy", found.time, by="", signed=True, reason="", rollout=""
    )
    assert not request_of(gitops_mlflow, model, key="another").signed
    assert user.tags(model, "2") == {}


def test_the_same_stage_again_is_another_request(
    user: Registry, gitops_mlflow: MlflowServer, model: str
) -> None:
    user.transition(model, "1", "Production")
    first = request_of(gitops_mlflow, model)
    user.transition(model, "1", "Production")
    second = request_of(gitops_mlflow, model)
    assert second.id != first.id
    assert second.time > first.time


@pytest.mark.parametrize("stage", ["production", "PRODUCTION", "staging", "archived", "none"])
def test_the_stage_is_recorded_as_mlflow_spells_it(user: Registry, model: str, stage: str) -> None:
    user.transition(model, "1", stage)
    assert list(user.tags(model, "1")) == [f"gitops.request.stage.{stage.capitalize()}"]


def test_archived_siblings_are_no_requests(user: Registry, model: str) -> None:
    user.transition(model, "1", "Production")
    before = user.tags(model, "1")
    user.transition(model, "2", "Production", archive_existing=True)
    assert user.tags(model, "1") == before
    assert list(user.tags(model, "2")) == [BY_STAGE]


@pytest.mark.parametrize("base", ["/api/2.0", "/ajax-api/2.0"])
def test_the_ui_s_path_is_watched_like_the_client_s(
    user: Registry, gitops_mlflow: MlflowServer, model: str, base: str
) -> None:
    path = f"{base}/mlflow/model-versions/transition-stage"
    asked = {
        "name": model,
        "version": "2",
        "stage": "Production",
        "archive_existing_versions": False,
    }
    status, body = post(gitops_mlflow, path, asked)
    assert status == 200
    answer = json.loads(body)["model_version"]
    assert (answer["name"], answer["version"], answer["current_stage"]) == (
        model,
        "2",
        "Production",
    )
    assert "tags" not in answer  # the answer is what MLflow said, before the record
    assert request_of(gitops_mlflow, model, "2").signed


@pytest.mark.parametrize("base", ["/api/2.0", "/ajax-api/2.0"])
def test_an_alias_is_recorded(
    user: Registry, gitops_mlflow: MlflowServer, model: str, base: str
) -> None:
    asked = {"name": model, "version": "2", "alias": "champion"}
    status, body = post(gitops_mlflow, f"{base}/mlflow/registered-models/alias", asked)
    assert (status, json.loads(body)) == (200, {})
    environment = replace(PRODUCTION, select=Selector("alias", "champion"))
    assert request_of(gitops_mlflow, model, "2", environment).signed
    user.delete_alias(model, "champion")
    assert list(user.tags(model, "2")) == ["gitops.request.alias.champion"]


@pytest.mark.parametrize("base", ["/api/2.0", "/ajax-api/2.0"])
def test_a_selector_tag_is_recorded(
    user: Registry, gitops_mlflow: MlflowServer, model: str, base: str
) -> None:
    asked = {"name": model, "version": "2", "key": "gate", "value": "open"}
    for body in (asked, json.dumps(json.dumps(asked))):  # twice: as MLflow's old clients do
        status, answer = post(gitops_mlflow, f"{base}/mlflow/model-versions/set-tag", body)
        assert (status, json.loads(answer)) == (200, {})
        environment = replace(PRODUCTION, select=Selector("tag", "gate", "open"))
        assert request_of(gitops_mlflow, model, "2", environment).signed
        user.delete_tag(model, "2", "gate")
        assert list(user.tags(model, "2")) == ["gitops.request.tag.gate"]
        user.delete_tag(model, "2", "gitops.request.tag.gate")


def test_a_prompt_s_alias_is_none_of_our_business(
    user: Registry, gitops_mlflow: MlflowServer, names: Names
) -> None:
    prompt = names("prompt")
    user.client.register_prompt(prompt, "Say {{word}}")
    user.client.set_prompt_alias(prompt, "champion", 1)
    with closing(sqlite3.connect(gitops_mlflow.folder / "mlflow.db", timeout=30)) as rows:
        query = "SELECT key FROM model_version_tags WHERE name = ?"
        tags = [tag for (tag,) in rows.execute(query, [prompt])]
    assert user.client.get_prompt_version_by_alias(prompt, "champion").version == 1
    assert tags  # MLflow keeps the prompt's text in one
    assert not [tag for tag in tags if tag.startswith("gitops.")]


def test_other_tags_and_deletions_record_nothing(user: Registry, model: str) -> None:
    user.set_tag(model, "1", "deploy", "yes")
    user.set_tag(model, "1", "gitops.status.production", "{}")
    user.describe(model, "1", "text")
    assert set(user.tags(model, "1")) == {"deploy", "gitops.status.production"}


@pytest.mark.parametrize(
    "body",
    [
        {"name": "no such model", "version": "1", "stage": "Production"},
        {"name": "x", "version": "1", "stage": "Shadow"},
        {"name": "x"},
        {},
        [],
        "{",
        "",
    ],
    ids=str,
)
def test_what_mlflow_refuses_stays_its_own_answer(
    gitops_mlflow: MlflowServer, plain_mlflow: MlflowServer, body: object
) -> None:
    for path in (
        "model-versions/transition-stage",
        "registered-models/alias",
        "model-versions/set-tag",
    ):
        full = f"/ajax-api/2.0/mlflow/{path}"
        ours, theirs = post(gitops_mlflow, full, body), post(plain_mlflow, full, body)
        assert ours == theirs
        assert ours[0] >= 400


@pytest.mark.parametrize("name", ['it\'s "so"', "naïve 模型 😀", "a\nb"])
def test_any_name_can_be_recorded(
    user: Registry, gitops_mlflow: MlflowServer, names: Names, name: str
) -> None:
    model = names(name)
    user.create_model(model)
    user.create_version(model)
    user.transition(model, "1", "Production")
    assert request_of(gitops_mlflow, model).signed


def test_a_move_that_was_announced_belongs_to_its_request(
    user: Registry, gitops_mlflow: MlflowServer, model: str
) -> None:
    registry = MlflowRegistry(gitops_mlflow.url)
    request = Request("r-1", "1", "rollback", "2020-01-01T00:00:00.000Z", "ann", reason="better")
    version = registry.snapshot(model).versions[0]
    registry.ask(version, "production", request)
    registry.select(version, Selector("stage", "production"), request)
    found = request_of(gitops_mlflow, model)
    assert replace(found, time=request.time) == request  # unsigned: nobody knows that it is ann
    assert found.time > request.time
    user.transition(model, "1", "Production")
    later = request_of(gitops_mlflow, model)
    assert (later.id == "r-1", later.action, later.signed) == (False, "deploy", True)


@pytest.mark.parametrize(
    "text",
    [
        '{"moving":true}',
        "{",
        '{"moving":true,"id":"r","action":"retire","time":"2020-01-01T00:00:00.000Z"}',
    ],
)
def test_an_odd_announcement_is_none(
    user: Registry, gitops_mlflow: MlflowServer, model: str, text: str
) -> None:
    user.set_tag(model, "1", BY_STAGE, text)
    user.transition(model, "1", "Production")
    found = request_of(gitops_mlflow, model)
    assert (found.id == "r", found.action, found.signed) == (False, "deploy", True)


def test_both_workers_record(user: Registry, gitops_mlflow: MlflowServer, names: Names) -> None:
    models = [names(f"many-{index}") for index in range(20)]
    for name in models:
        user.create_model(name)
        user.create_version(name)

    def move(name: str) -> int:
        asked = {"name": name, "version": "1", "stage": "Production"}
        path = "/api/2.0/mlflow/model-versions/transition-stage"
        return post(gitops_mlflow, path, asked)[0]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(move, models)) == {200}
    assert len({request_of(gitops_mlflow, name).id for name in models}) == len(models)


# What is announced


def test_a_move_is_announced_by_mlflow_s_own_webhook(
    user: Registry, gitops_mlflow: MlflowServer, receiver: Receiver, model: str
) -> None:
    user.transition(model, "1", "production")
    headers, body, event = receiver.next_for(model)
    assert (event["entity"], event["action"]) == ("model_version_tag", "set")
    assert event["data"] == {
        "name": model,
        "version": "1",
        "key": BY_STAGE,
        "value": user.tags(model, "1")[BY_STAGE],
    }
    signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["X-MLflow-Signature"] == f"v1,{digest}"


def test_every_move_is_announced_once(user: Registry, receiver: Receiver, model: str) -> None:
    for _ in range(4):
        user.transition(model, "1", "Production")
    user.set_alias(model, "champion", "1")
    user.set_tag(model, "1", "last", "x")
    values = []
    keys: list[str] = []
    while len(keys) < 6:  # in any order: MLflow delivers with ten threads
        data = receiver.next_for(model)[2]["data"]
        keys.append(data["key"])
        values.append(data["value"])
    assert sorted(keys) == sorted([BY_STAGE] * 4 + ["gitops.request.alias.champion", "last"])
    assert len(set(values)) == 6


# No harm


def test_a_failure_to_record_does_not_reach_the_user(
    user: Registry, gitops_mlflow: MlflowServer, model: str
) -> None:
    database = gitops_mlflow.folder / "mlflow.db"
    with closing(sqlite3.connect(database, timeout=30)) as rows, rows:
        rows.execute(
            "CREATE TRIGGER no_record BEFORE INSERT ON model_version_tags "
            f"WHEN NEW.name = '{model}' BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
    asked = {"name": model, "version": "1", "stage": "Production"}
    path = "/api/2.0/mlflow/model-versions/transition-stage"
    status, body = post(gitops_mlflow, path, asked)
    with closing(sqlite3.connect(database, timeout=30)) as rows, rows:
        rows.execute("DROP TRIGGER no_record")
    assert status == 200
    assert json.loads(body)["model_version"]["current_stage"] == "Production"
    assert user.tags(model, "1") == {}
    assert "action=request_record_failed" in gitops_mlflow.log.read_text()
    user.transition(model, "1", "Production")
    assert request_of(gitops_mlflow, model).signed


def test_the_rest_of_mlflow_is_as_it_was(
    user: Registry, gitops_mlflow: MlflowServer, names: Names
) -> None:
    model = names("files")
    user.register(model)
    location = MlflowRegistry(gitops_mlflow.url).artifact_location(
        MlflowRegistry(gitops_mlflow.url).snapshot(model).versions[0]
    )
    path = location.removeprefix("mlflow-artifacts:/")
    address = urlsplit(gitops_mlflow.url)
    for url, start in (
        ("/", b"<!doctype html>"),
        ("/health", b"ok"),
        (f"/api/2.0/mlflow-artifacts/artifacts/{path}/MLmodel", b"artifact_path: model"),
    ):
        with closing(http.client.HTTPConnection(address.hostname or "", address.port or 0)) as wire:
            wire.request("GET", url)
            answer = wire.getresponse()
            assert answer.status == 200
            assert answer.read().lower().startswith(start)
