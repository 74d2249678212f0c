"""Versions to publish, and a bucket to look into past the product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.adapters.s3 import Clients
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


class Server(Protocol):
    access_key: str
    secret_key: str

    @property
    def endpoint(self) -> str: ...


def clients_of(server: Server, *, attempts: int = 4) -> Clients:
    """With this server's credentials; the environment is not asked."""
    key = (server.access_key, server.secret_key)
    return Clients(server.endpoint, "us-east-1", connections=32, credentials=key, attempts=attempts)


def store_on(clients: Clients, scratch: Path) -> S3ArtifactStore:
    """With the smallest parts that S3 allows."""
    return S3ArtifactStore(clients, part=5 * 1024 * 1024, scratch=scratch)
