"""A real S3 server for tests, and publications to try on it.

Ask for the fixtures with `pytest_plugins = ["tests.support.s3"]` in the test module. A server is
started once for each test process; every test has a bucket of its own (`bucket`).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.demo.seaweedfs import SeaweedFS, seaweedfs
from mlflow_gitops.state import Identity, Publication

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MLMODEL = """\
flavors:
  python_function:
    loader_module: mlflow.sklearn
    model_path: model.pkl
  sklearn:
    pickled_model: model.pkl
    serialization_format: cloudpickle
"""
FILES: Mapping[str, bytes] = {
    "MLmodel": MLMODEL.encode(),
    "code/pkg/__init__.py": b"",
    "conda.yaml": b"name: mlflow-env\n",
    "model.pkl": b"not really a pickle",
}


@dataclass(frozen=True, slots=True)
class TestBucket:
    """A fresh bucket, seen past the product."""

    __test__ = False

    name: str
    client: S3Client
    endpoint: str

    def objects(self) -> dict[str, bytes]:
        return {key: self.read(key) for key in self.names()}

    def names(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def uploads(self) -> list[str]:
        """The keys of multipart uploads that are open."""
        answer = self.client.list_multipart_uploads(Bucket=self.name)
        return [upload["Key"] for upload in answer.get("Uploads", [])]


def publication(
    bucket: str, source: str | Path, *, number: str = "1", created: int = 1_700_000_000_000
) -> Publication:
    return Publication(
        uri=f"s3://{bucket}/models/fraud/v{number}/",
        source=str(source),
        model="fraud",
        number=number,
        name=number,
        identity=Identity(created, "run-1", "m-1"),
    )


def other_identity(of: Publication) -> Publication:
    return replace(of, identity=replace(of.identity, created=of.identity.created + 1))


def write_files(folder: Path, files: Mapping[str, bytes] = FILES) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """A SeaweedFS of this test process."""
    with seaweedfs(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_client(s3_server: SeaweedFS) -> S3Client:
    return s3_server.client()


@pytest.fixture
def bucket(s3_server: SeaweedFS, s3_client: S3Client) -> Iterator[TestBucket]:
    """A bucket that no other test has; it goes away with its objects."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=name)
    made = TestBucket(name, s3_client, s3_server.endpoint)
    yield made
    for key in made.names():
        made.delete(key)
    s3_client.delete_bucket(Bucket=name)


@pytest.fixture
def store(s3_server: SeaweedFS, tmp_path: Path) -> S3ArtifactStore:
    """A store of the product on the server, with the smallest parts that S3 allows."""
    return store_on(s3_server.client, tmp_path)


def store_on(client: Callable[[], S3Client], scratch: Path) -> S3ArtifactStore:
    return S3ArtifactStore(client=client, part=5 * 1024 * 1024, scratch=scratch)


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
