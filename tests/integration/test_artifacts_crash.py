"""A publisher is killed from outside at some request; the next one ends the work.

A proxy before the storage counts the requests that write, and kills the publisher before or after
one of them. What landed has to stay as it is, and the end has to be that of a run undisturbed.
"""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from tests.support.proxy import Seen, proxy
from tests.support.publications import FILES, TestBucket, publication, write_files

pytest_plugins = ["tests.support.s3"]

CLAIM = "models/fraud/_manifests/v1.claim.json"
MANIFEST = "models/fraud/_manifests/v1.json"
MIB = 1024 * 1024

CHILD = """
import sys
from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.adapters.s3 import Clients
from tests.support.publications import publication
endpoint, bucket, source = sys.argv[1:]
store = S3ArtifactStore(Clients(endpoint), part=5 * 1024 * 1024)
store.publish(publication(bucket, source))
"""

CONTENT: Mapping[str, bytes] = {
    **FILES,
    **{f"data/part-{index}.bin": bytes([index]) * 1000 for index in range(10)},
    "large.bin": random.Random(1).randbytes(11 * MIB),
    "larger.bin": random.Random(2).randbytes(16 * MIB),
}
WRITES = 2 + 3 + 14 + 5 + 6 + 1  # claim and probe, probe in parts, small files, large ones, seal
POINTS = [0, *sorted(random.Random(3).sample(range(1, WRITES - 1), 8)), WRITES - 1]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("source"), CONTENT)


def run_and_kill(
    bucket: TestBucket, source: Path, environ: Mapping[str, str], *, at: int, side: str
) -> bool:
    """Whether the kill landed: the publisher was at its `at`-th writing request."""
    lock = threading.Lock()
    seen: list[str] = []
    child: list[subprocess.Popen[bytes]] = []
    started = threading.Event()

    def watch(request: Seen) -> None:
        if request.method not in ("PUT", "POST"):
            return
        with lock:
            seen.append(request.path)
            is_due = len(seen) == at + 1
        if is_due:
            started.wait()
            child[0].send_signal(signal.SIGKILL)
            child[0].wait()

    with proxy(bucket.endpoint) as made:
        (made.before if side == "before" else made.after).append(watch)
        command = [sys.executable, "-c", CHILD, made.url, bucket.name, str(source)]
        child.append(subprocess.Popen(command, env=environ, cwd=Path(__file__).parents[2]))
        started.set()
        return child[0].wait(120) == -signal.SIGKILL


def stamps(bucket: TestBucket) -> dict[str, Any]:
    pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name)
    found = [item for page in pages for item in page.get("Contents", [])]
    return {item["Key"]: (item["LastModified"], item["ETag"], item["Size"]) for item in found}


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("at", POINTS)
def test_a_killed_publisher_is_gone_on_from(
    bucket: TestBucket,
    source: Path,
    s3_environ: Mapping[str, str],
    store: S3ArtifactStore,
    at: int,
    side: str,
) -> None:
    assert run_and_kill(bucket, source, s3_environ, at=at, side=side), "the kill did not land"
    landed = stamps(bucket)
    if MANIFEST in landed:
        assert set(landed) == {f"models/fraud/v1/{path}" for path in CONTENT} | {CLAIM, MANIFEST}
    asked = publication(bucket.name, source)
    made = store.publish(asked)
    assert made.created is (MANIFEST not in landed)
    after = stamps(bucket)
    assert {key: after[key] for key in landed} == landed, "what had landed was written again"
    objects = bucket.objects()
    assert {
        key.removeprefix("models/fraud/v1/"): hashlib.sha256(body).hexdigest()
        for key, body in objects.items()
        if key.startswith("models/fraud/v1/")
    } == {path: hashlib.sha256(content).hexdigest() for path, content in CONTENT.items()}
    assert len(objects) == len(CONTENT) + 2
    assert store.sealed(asked) is not None


def test_the_points_reach_from_the_claim_to_the_seal(
    bucket: TestBucket, source: Path, s3_environ: Mapping[str, str]
) -> None:
    """That the crash test kills where it means to: an undisturbed run has that many writes."""
    seen: list[Seen] = []
    with proxy(bucket.endpoint) as made:
        made.before.append(seen.append)
        command = [sys.executable, "-c", CHILD, made.url, bucket.name, str(source)]
        subprocess.run(command, env=s3_environ, cwd=Path(__file__).parents[2], check=True)
    writes = [request for request in seen if request.method in ("PUT", "POST")]
    assert len(writes) == WRITES
    assert writes[0].path.endswith("v1.claim.json")
    assert writes[-1].path.endswith("v1.json")
