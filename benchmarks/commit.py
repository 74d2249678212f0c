"""From the 202 to the branch's update, against a person's `fetch && commit -a && push`.

A repository of 5,000 models over HTTP, a revision that was published before. The service runs as
users run it; the person has a warm clone. Both take turns in one run; medians are compared.

Each edit is proved by a build. Each round promotes another version, whose files another process
published before, so that no build of it ran in the measured one.

    python benchmarks/commit.py [--models 5000] [--rounds 20]
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import requests
from _common import close, large_repository, show

from mlflow_gitops.demo.mlflow_server import mlflow_server
from mlflow_gitops.demo.seaweedfs import seaweedfs
from tests.support.git import GitHttpServer, git
from tests.support.mlflow import Registry

TARGET = 1.6
BUCKET = "models"
SECRET = "a secret for this run"
STEP = 0.0005  # seconds between looks at the branch
PATIENCE = 120.0


class Service:
    """`mlflow-gitops serve` as a process, and a sender of signed deliveries."""

    def __init__(self, environ: Mapping[str, str], log: Path) -> None:
        command = [sys.executable, "-m", "mlflow_gitops.cli", "serve", "--port", "0"]
        with log.open("wb") as words:
            self.process = subprocess.Popen(
                command, env=environ, stdout=subprocess.PIPE, stderr=words, text=True
            )
        assert self.process.stdout is not None
        self.client = requests.Session()
        self.url = self.process.stdout.readline().split()[-1]

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(60)

    def rest(self) -> None:
        """Wait until nothing is left to do, so that the person has the machine alone."""
        end = time.perf_counter() + PATIENCE
        while time.perf_counter() < end:
            status = self.client.get(f"{self.url}/status").json()
            stuck = [row["last_error"] for row in status["queue"] if row["last_error"]]
            if stuck:
                raise RuntimeError(stuck[0])
            if status["resync"]["last"] and all(row["state"] == "idle" for row in status["queue"]):
                return
            time.sleep(0.05)
        raise TimeoutError("the service does not come to rest")

    def deliver(self, model: str, version: str) -> float:
        """Send one event as MLflow does. Returns when the 202 was read."""
        data = {"name": model, "version": version, "key": "gitops.request.production", "value": "x"}
        event = {"entity": "model_version_tag", "action": "set", "timestamp": "", "data": data}
        body = json.dumps(event).encode()
        identity, now = str(uuid.uuid4()), str(int(time.time()))
        signed = f"{identity}.{now}.".encode() + body
        digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
        headers = {
            "Content-Type": "application/json",
            "X-MLflow-Delivery-Id": identity,
            "X-MLflow-Timestamp": now,
            "X-MLflow-Signature": f"v1,{base64.b64encode(digest).decode()}",
        }
        answer = self.client.post(f"{self.url}/webhooks/mlflow", data=body, headers=headers)
        assert answer.status_code == 202, answer.text
        return time.perf_counter()


def wait_for_head(bare: Path, old: str) -> float:
    """Watch the branch's file until it is another commit."""
    ref = bare / "refs/heads/main"
    end = time.perf_counter() + PATIENCE
    while time.perf_counter() < end:
        if ref.exists() and ref.read_text().strip() not in ("", old):
            return time.perf_counter()
        time.sleep(STEP)
    raise TimeoutError("the branch did not move")


def by_hand(clone: Path, model: str) -> float:
    """What a person does in a warm clone. Returns the seconds of fetch, commit and push alone.

    Bringing the clone's files up to what was fetched, and the edit itself, are not counted.
    """
    path = clone / f"models/overlays/production/{model}/model-version.yaml"
    started = time.perf_counter()
    git("fetch", "--quiet", "origin", cwd=clone)
    fetched = time.perf_counter()
    git("reset", "--quiet", "--hard", "origin/main", cwd=clone)
    text = path.read_text()
    old, new = ("/v1/", "/v9/") if "/v1/" in text else ("/v9/", "/v1/")
    path.write_text(text.replace(old, new))
    edited = time.perf_counter()
    git("commit", "--quiet", "-a", "-m", "By hand", cwd=clone)
    git("push", "--quiet", "origin", "HEAD:main", cwd=clone)
    return time.perf_counter() - edited + fetched - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        s3 = stack.enter_context(seaweedfs(folder / "s3"))
        s3.client().create_bucket(Bucket=BUCKET)
        mlflow = stack.enter_context(mlflow_server(folder / "mlflow"))
        models = [f"model-{number:05}" for number in range(options.models)]
        bare = large_repository(folder / "root/manifests.git", models, BUCKET)
        server = stack.enter_context(GitHttpServer(folder / "root"))
        environ = {
            **os.environ,
            "MLFLOW_TRACKING_URI": mlflow.url,
            "MLFLOW_GITOPS_REPOSITORY": server.url("manifests.git"),
            "MLFLOW_GITOPS_STATE_DIR": str(folder / "state"),
            "MLFLOW_GITOPS_S3_ENDPOINT": s3.endpoint,
            "MLFLOW_GITOPS_WEBHOOK_SECRETS": SECRET,
            "MLFLOW_GITOPS_RESYNC_SECONDS": "86400",
            "AWS_ACCESS_KEY_ID": s3.access_key,
            "AWS_SECRET_ACCESS_KEY": s3.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        registry, chosen, hand = Registry(mlflow.url), models[17], models[4321 % len(models)]
        numbers = [registry.register(chosen) for _ in range(options.rounds + 3)]
        versions = numbers[1:]  # Git says the first already
        clone = folder / "person"
        git("clone", "--quiet", server.url("manifests.git"), str(clone), cwd=folder)
        with Service(environ, folder / "publisher.log") as publisher:
            for version in versions:
                promote(registry, publisher, bare, chosen, version)
        environ["MLFLOW_GITOPS_STATE_DIR"] = str(folder / "measured")
        service = stack.enter_context(Service(environ, folder / "service.log"))
        ours, theirs = measure(registry, service, bare, clone, chosen, hand, versions)
    ratio = median(ours) / median(theirs)
    show(
        f"From an event to the branch, {options.models} models, {options.rounds} rounds",
        ("", "median ms", "least ms", "most ms"),
        [
            ("202 to the ref's update", *_milliseconds(ours)),
            ("git fetch, commit -a, push in a warm clone", *_milliseconds(theirs)),
        ],
    )
    return close(
        "commit", ratio, TARGET, "git fetch && git commit -a && git push, warm clone, HTTP"
    )


def promote(registry: Registry, service: Service, bare: Path, model: str, version: str) -> float:
    """Move the version to Production. Returns the seconds from the 202 to the ref's update."""
    registry.transition(model, version, "Production", archive_existing=True)
    head = git("rev-parse", "main", cwd=bare)
    answered = service.deliver(model, version)
    moved = wait_for_head(bare, head)
    service.rest()
    return moved - answered


def measure(
    registry: Registry,
    service: Service,
    bare: Path,
    clone: Path,
    model: str,
    hand: str,
    versions: Sequence[str],
) -> tuple[list[float], list[float]]:
    """Take turns, never at the same time; each side fetches what the other pushed.

    The first two rounds warm both sides up.
    """
    ours: list[float] = []
    theirs: list[float] = []
    service.rest()  # after the resync of the start
    for number, version in enumerate(versions):
        by_service = promote(registry, service, bare, model, version)
        by_person = by_hand(clone, hand)
        if number >= 2:
            ours.append(by_service)
            theirs.append(by_person)
    return ours, theirs


def _milliseconds(seconds: list[float]) -> list[str]:
    return [f"{1000 * value:.0f}" for value in (median(seconds), min(seconds), max(seconds))]


if __name__ == "__main__":
    raise SystemExit(main())
