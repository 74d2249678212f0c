"""Many things at once: copies of one delivery, ten models moving while a person pushes."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from mlflow_gitops.demo.world import World
from tests.e2e.worlds import PATIENCE, head_after
from tests.support.mlflow import Registry
from webhook.signature import sign

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("worlds")]

COPIES = 50
MODELS = 10
ORDER = ("1", "2", "1", "3", "2")
PUSHES = 10


def label(made: World, model: str) -> str:
    path = f"models/overlays/production/{model}/model-version.yaml"
    done = subprocess.run(
        ["git", "-C", str(made.repository), "show", f"main:{path}"], capture_output=True, text=True
    )
    lines = [x for x in done.stdout.splitlines() if "model-version:" in x]
    return lines[0].split(":")[1].strip(' "') if lines else ""


def test_fifty_copies_of_one_delivery_are_one_run(with_plugin: World) -> None:
    made, model = with_plugin, "copied"
    Registry(made.mlflow_url).register(model)
    registry = Registry(made.mlflow_url)
    head = head_after(made, lambda: registry.transition(model, "1", "Production"))
    data = {"name": model, "version": "1", "key": "gitops.request.stage.Production", "value": "x"}
    event = {"entity": "model_version_tag", "action": "set", "timestamp": "", "data": data}
    body = json.dumps(event).encode()
    identity, now = str(uuid.uuid4()), str(int(time.time()))
    secret = made.environ["MLFLOW_GITOPS_WEBHOOK_SECRETS"]
    headers = {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": identity,
        "X-MLflow-Timestamp": now,
        "X-MLflow-Signature": sign(secret, identity, now, body),
    }

    def deliver(_: int) -> tuple[int, str]:
        url = f"{made.service_url}/webhooks/mlflow"
        answer = requests.post(url, data=body, headers=headers, timeout=60)
        return answer.status_code, answer.json()["status"]

    with ThreadPoolExecutor(16) as pool:
        answers = Counter(pool.map(deliver, range(COPIES)))
    assert answers == {(202, "queued"): 1, (202, "duplicate"): COPIES - 1}
    time.sleep(1)
    assert made.git("rev-parse", "main") == head, "nothing was asked for since"


def test_ten_models_move_at_once_while_a_person_pushes(with_plugin: World) -> None:
    made = with_plugin
    models = [f"parallel-{number}" for number in range(MODELS)]
    registry = Registry(made.mlflow_url, made.folder / "mlflow" / "artifacts")
    for model in models:
        for _ in range(3):
            registry.register(model)
    clone = made.clone_as_a_person()

    def issue(model: str) -> None:
        mine = Registry(made.mlflow_url)
        for version in ORDER:
            mine.transition(model, version, "Production", archive_existing=True)

    with ThreadPoolExecutor(MODELS + 1) as pool:
        person = pool.submit(push_often, made, clone)
        list(pool.map(issue, models))
        person.result()
    wait_until_all(made, models, ORDER[-1])
    log = made.git(
        "log",
        "--first-parent",
        "--format=%(trailers:key=Gitops-Service,valueonly)%x00"
        "%(trailers:key=Model-Version,valueonly)%x00%s%x01",
        "main",
    ).split("\x01")
    rows = [[part.strip() for part in row.split("\x00")] for row in log if row.strip()]
    assert sum(subject.startswith("Note ") for *_, subject in rows) == PUSHES, "a push was lost"
    for model in models:
        versions = [v for service, v, _ in rows if service == f"production/{model}"]
        assert versions[0] == ORDER[-1]
        assert all(a != b for a, b in pairwise(versions)), "doubled"
    head = made.git("rev-parse", "main")
    made.cli("reconcile", *models)
    assert made.git("rev-parse", "main") == head


def push_often(made: World, clone: Path) -> None:
    """As a person does: where somebody was faster, pull with rebase and push again."""
    for number in range(PUSHES):
        (clone / f"note-{number}.txt").write_text("by hand\n")
        made.run("git", "-C", str(clone), "add", "--all")
        made.run("git", "-C", str(clone), "commit", "--quiet", "-m", f"Note {number}")
        end = time.monotonic() + PATIENCE
        while True:
            made.run("git", "-C", str(clone), "pull", "--quiet", "--rebase", "origin", "main")
            push = ["git", "-C", str(clone), "push", "--quiet", "origin", "main"]
            if subprocess.run(push, capture_output=True).returncode == 0:
                break
            assert time.monotonic() < end, "the person never got through"


def wait_until_all(made: World, models: list[str], version: str) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        made.check_alive()
        found = {model: label(made, model) for model in models}
        if set(found.values()) == {version}:
            return
        time.sleep(0.5)
    raise AssertionError(f"not all at version {version}: {found}")
