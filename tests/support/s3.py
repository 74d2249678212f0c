"""A bucket on a real S3 server for each test.

Ask for the fixtures with `pytest_plugins = ["tests.support.s3"]` in the test module, and import
nothing from here. The server (`s3_server`) is shared by a test process.

`race_server` and `race_bucket` are the same on every server that races are run on: a test that
asks for one runs once on each, and is skipped where the server is absent.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.demo.seaweedfs import SeaweedFS
from tests.support.publications import TestBucket, clients_of, store_on
from tests.support.s3_servers import SERVERS, S3Server, absence

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="session")
def s3_client(s3_server: SeaweedFS) -> S3Client:
    return s3_server.client()


@pytest.fixture
def bucket(s3_server: SeaweedFS, s3_client: S3Client) -> Iterator[TestBucket]:
    """A bucket that no other test has; it goes away with its objects."""
    with fresh_bucket(s3_client, s3_server.endpoint) as made:
        yield made


@pytest.fixture
def other_bucket(s3_server: SeaweedFS, s3_client: S3Client) -> Iterator[TestBucket]:
    with fresh_bucket(s3_client, s3_server.endpoint) as made:
        yield made


@pytest.fixture(scope="module")
def module_bucket(s3_server: SeaweedFS, s3_client: S3Client) -> Iterator[TestBucket]:
    """One for a module's tests, which only read what the first of them writes."""
    with fresh_bucket(s3_client, s3_server.endpoint) as made:
        yield made


@pytest.fixture(scope="session")
def versitygw_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    yield from _on_path("versitygw", tmp_path_factory)


@pytest.fixture(scope="session")
def minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    yield from _on_path("minio", tmp_path_factory)


def _on_path(name: str, folders: pytest.TempPathFactory) -> Iterator[S3Server]:
    why = absence(name)
    if why:
        pytest.skip(why)
    with SERVERS[name](folders.mktemp(name)) as server:
        yield server


@pytest.fixture(
    params=["s3_server", "versitygw_server", "minio_server"],
    ids=["seaweedfs", "versitygw", "minio"],
)
def race_server(request: pytest.FixtureRequest) -> S3Server:
    server: S3Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def race_bucket(race_server: S3Server) -> Iterator[TestBucket]:
    with fresh_bucket(race_server.client(), race_server.endpoint) as made:
        yield made


@contextmanager
def fresh_bucket(client: S3Client, endpoint: str) -> Iterator[TestBucket]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    made = TestBucket(name, client, endpoint)
    yield made
    for key in made.names():
        made.delete(key)
    client.delete_bucket(Bucket=name)


@pytest.fixture
def store(s3_server: SeaweedFS, tmp_path: Path) -> S3ArtifactStore:
    """A store of the product on the server, with the smallest parts that S3 allows."""
    return store_on(clients_of(s3_server), tmp_path)


@pytest.fixture
def s3_environ(s3_server: SeaweedFS) -> dict[str, str]:
    """What a child process needs to reach the server."""
    aws = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **aws,
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "MLFLOW_GITOPS_S3_ENDPOINT": s3_server.endpoint,
    }
