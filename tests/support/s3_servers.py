"""Other S3 servers than the demo's, for race tests and the conformance table, where they are here.

Each is started on a free loopback port with made-up credentials, keeps everything below one
folder, and ends with the block. `absence` says why one cannot be started.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlflow_gitops.demo.seaweedfs import seaweedfs
from mlflow_gitops.demo.server_process import HOST, ServerProcess, answers, free_ports

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["SERVERS", "S3Server", "absence", "minio", "moto", "seaweedfs", "versitygw"]


class S3Server(Protocol):
    access_key: str
    secret_key: str

    @property
    def endpoint(self) -> str: ...

    def client(self) -> S3Client: ...


@dataclass(slots=True)
class LocalS3:
    endpoint: str
    access_key: str = field(default_factory=lambda: f"test{secrets.token_hex(8)}")
    secret_key: str = field(default_factory=lambda: secrets.token_hex(20))

    def client(self) -> S3Client:
        """With this server's credentials; the environment is not asked."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"mode": "standard"}),
        )


@contextmanager
def versitygw(folder: Path) -> Iterator[LocalS3]:
    """The strictest on conditions. The folder's file system needs extended attributes."""
    data, versions = folder / "data", folder / "versions"
    data.mkdir(parents=True)
    versions.mkdir()  # Object Lock needs versions
    [port] = free_ports()
    command = ["versitygw", "--port", f"{HOST}:{port}", "--health", "/health", "--quiet"]
    # Without keep-alive it closes each connection, which clients meet as a reset.
    command += ["--keep-alive", "posix", "--versioning-dir", str(versions), str(data)]
    with _started("versitygw", folder, command, port, "/health", "ROOT_ACCESS_KEY_ID") as server:
        yield server


@contextmanager
def minio(folder: Path) -> Iterator[LocalS3]:
    (folder / "data").mkdir(parents=True)
    port, console = free_ports(2)
    command = ["minio", "server", "--quiet", "--address", f"{HOST}:{port}"]
    command += ["--console-address", f"{HOST}:{console}", str(folder / "data")]
    path = "/minio/health/ready"
    with _started("minio", folder, command, port, path, "MINIO_ROOT_USER") as server:
        yield server


@contextmanager
def moto(folder: Path) -> Iterator[LocalS3]:
    """An emulator: what it lets through says little about a storage."""
    folder.mkdir(parents=True, exist_ok=True)
    [port] = free_ports()
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
    with _started("moto", folder, command, port, "/moto-api/", "MOTO_USER") as server:
        yield server


@contextmanager
def _started(
    name: str, folder: Path, command: Sequence[str], port: int, path: str, user: str
) -> Iterator[LocalS3]:
    """`user` is the variable that takes the access key."""
    made = LocalS3(f"http://{HOST}:{port}")
    secret = {"ROOT_ACCESS_KEY_ID": "ROOT_SECRET_ACCESS_KEY"}.get(user, "MINIO_ROOT_PASSWORD")
    environ = {**os.environ, user: made.access_key, secret: made.secret_key}
    server = ServerProcess(name, folder / f"{name}.log", stop_within=2.0)
    server.start(command, is_ready=lambda: answers(port, path), cwd=folder, env=environ)
    try:
        yield made
    finally:
        server.stop()


Start = Callable[[Path], AbstractContextManager[S3Server]]
SERVERS: Mapping[str, Start] = {
    "seaweedfs": seaweedfs,
    "versitygw": versitygw,
    "minio": minio,
    "moto": moto,
}


def absence(name: str) -> str:
    """Why the server cannot be started here, "" where it can."""
    if name == "seaweedfs":
        return ""
    if name == "moto":
        return "" if importlib.util.find_spec("moto") else "the package moto[server] is missing"
    return "" if shutil.which(name) else f"there is no `{name}` on PATH"
