"""A publisher is killed from outside at some request; the next one ends the work.

A proxy before the storage counts the requests that write, and kills the publisher before or after
one of them. What landed has to stay as it is, and the end has to be that of a run undisturbed.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.demo.seaweedfs import SeaweedFS
from tests.support.fork_server import run_module
from tests.support.proxy import Seen, proxy
from tests.support.publications import (
    FILES,
    TestBucket,
    clients_of,
    publication,
    store_on,
    write_files,
)
from tests.support.soak import rounds

pytest_plugins = ["tests.support.s3"]

PATH = "models/fraud/v1/"
CLAIM = "models/fraud/_manifests/v1.claim.json"
MANIFEST = "models/fraud/_manifests/v1.json"
MIB = 1024 * 1024

CONTENT: Mapping[str, bytes] = {
    **FILES,
    **{f"data/part-{index}.bin": bytes([index]) * 1000 for index in range(60)},
    "large.bin": random.Random(1).randbytes(11 * MIB),
    "larger.bin": random.Random(2).randbytes(16 * MIB),
}
KILLS = 7  # of one version, one publisher after the other
ROUNDS = range(rounds(4, soak=100))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("source"), CONTENT)


@pytest.fixture(scope="module")
def stored(module_bucket: TestBucket) -> str:
    for path, content in CONTENT.items():
        module_bucket.put(f"model/{path}", content)
    return f"s3://{module_bucket.name}/model"


@pytest.fixture(scope="module")
def undisturbed(
    folder: Path,
    module_bucket: TestBucket,
    s3_server: SeaweedFS,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], str]:
    """Gives the digest that a source's run leaves which nobody disturbs."""
    store = store_on(clients_of(s3_server), tmp_path_factory.mktemp("scratch"))

    @cache
    def digest(source: str) -> str:
        number = "1" if source == str(folder) else "2"
        return store.publish(publication(module_bucket.name, source, number=number)).digest

    return digest


@pytest.fixture(params=["disk", "storage"])
def source(request: pytest.FixtureRequest, folder: Path) -> str:
    """The version's files, on disk or in the storage that it is published to."""
    if request.param == "disk":
        return str(folder)
    of_storage: str = request.getfixturevalue("stored")
    return of_storage


def run_and_kill(
    bucket: TestBucket,
    source: str,
    environ: Mapping[str, str],
    folder: Path,
    is_due: Callable[[Seen], bool],
    side: str = "before",
) -> bool:
    """Whether the kill landed: the publisher was at a writing request that was due."""
    lock, pid_file = threading.Lock(), folder / "pid"

    def watch(request: Seen) -> None:
        with lock:
            if request.method in ("PUT", "POST") and is_due(request):
                os.kill(int(pid_file.read_text()), signal.SIGKILL)

    with proxy(bucket.endpoint) as made:
        (made.before if side == "before" else made.after).append(watch)
        args = (made.url, bucket.name, source, str(pid_file))
        ended = run_module("tests.support.publisher", *args, env=environ)
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        return ended.returncode == -signal.SIGKILL


def stamps(bucket: TestBucket) -> dict[str, Any]:
    pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name)
    found = [item for page in pages for item in page.get("Contents", [])]
    return {item["Key"]: (item["LastModified"], item["ETag"], item["Size"]) for item in found}


def check_end(
    bucket: TestBucket, store: S3ArtifactStore, source: str, landed: dict[str, Any], digest: str
) -> None:
    """Publish once more: that stands which landed, and all is as after one undisturbed run."""
    asked = publication(bucket.name, source)
    made = store.publish(asked)
    assert made.created is (MANIFEST not in landed)
    after = stamps(bucket)
    assert {key: after[key] for key in landed} == landed, "what had landed was written again"
    objects = bucket.objects()
    assert {
        key.removeprefix(PATH): hashlib.sha256(body).hexdigest()
        for key, body in objects.items()
        if key.startswith(PATH)
    } == {path: hashlib.sha256(content).hexdigest() for path, content in CONTENT.items()}
    assert len(objects) == len(CONTENT) + 2
    assert store.sealed(asked) is not None
    assert made.digest == digest


def nth_of_copy(number: int) -> Callable[[Seen], bool]:
    """Due at the copy's writing request of that number: neither claim nor seal."""
    left = [number]

    def is_due(request: Seen) -> bool:
        left[0] -= f"/{PATH}" in request.path
        return left[0] == 0

    return is_due


@pytest.mark.parametrize("seed", ROUNDS)
@pytest.mark.parametrize("source", ["disk", "storage"], indirect=True)
def test_a_version_whose_publishers_are_killed_again_and_again(
    bucket: TestBucket,
    source: str,
    s3_environ: Mapping[str, str],
    store: S3ArtifactStore,
    undisturbed: Callable[[str], str],
    tmp_path: Path,
    seed: int,
) -> None:
    chosen = random.Random(seed)
    landed: dict[str, Any] = {}
    for _ in range(KILLS):
        side, is_due = chosen.choice(("before", "after")), nth_of_copy(chosen.randint(1, 6))
        assert run_and_kill(bucket, source, s3_environ, tmp_path, is_due, side), "it did not land"
        now = stamps(bucket)
        assert MANIFEST not in now, "a part of a version was sealed"
        assert {key: now[key] for key in landed} == landed, "what had landed was written again"
        landed = now
    check_end(bucket, store, source, landed, undisturbed(source))
    assert bucket.uploads() == []


@pytest.mark.parametrize("key", [CLAIM, MANIFEST])
@pytest.mark.parametrize("source", ["disk"], indirect=True)
def test_a_publisher_is_killed_at_the_claim_and_at_the_seal(
    bucket: TestBucket,
    source: str,
    s3_environ: Mapping[str, str],
    store: S3ArtifactStore,
    undisturbed: Callable[[str], str],
    tmp_path: Path,
    key: str,
) -> None:
    def is_due(request: Seen) -> bool:
        return request.path.endswith(key)

    assert run_and_kill(bucket, source, s3_environ, tmp_path, is_due, "after"), "it did not land"
    landed = stamps(bucket)
    files = {f"{PATH}{path}" for path in CONTENT}
    assert set(landed) == ({CLAIM} if key == CLAIM else {CLAIM, MANIFEST, *files})
    check_end(bucket, store, source, landed, undisturbed(source))
