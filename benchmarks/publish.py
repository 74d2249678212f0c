"""Publishing a version, against what copies its files by hand.

From a folder, from MLflow's artifact proxy, and within one storage: mlflow-gitops, s5cmd, the AWS
CLI, rclone, a tuned boto3 and `mlflow artifacts download` with an upload after it take turns. Only
mlflow-gitops claims, writes on condition, hashes and seals. Medians and peak memory.

    python benchmarks/publish.py [--rounds 5] [--large-rounds 5] [--scale 1.0] [--only disk]
        [--files "12 small"] [--server versitygw]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from _common import close, show
from _tools import tool

from mlflow_gitops.demo.mlflow_server import mlflow_server
from mlflow_gitops.demo.seaweedfs import SeaweedFS, seaweedfs
from tests.support.s3_servers import SERVERS, S3Server, absence

MIB = 1024 * 1024
CHILD = Path(__file__).with_name("_publish_child.py")
SHARED = Path("/dev/shm")  # noqa: S108 - memory: the disk's speed is not what is measured
CHUNK = os.urandom(16 * MIB)


@dataclass(frozen=True, slots=True)
class Shape:
    name: str
    files: int
    size: int

    @property
    def is_large(self) -> bool:
        return self.files * self.size > 100 * MIB and self.size > MIB


SHAPES = (
    Shape("one of 2 GB", 1, 2048 * MIB),
    Shape("5 of 400 MB", 5, 400 * MIB),
    Shape("1,000 of 256 KB", 1000, 256 * 1024),
    Shape("12 small", 12, 20_000),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Memory in MB: the greatest, and what the process had before it began."""

    seconds: float
    peak: float
    before: float = 0.0


@dataclass(slots=True)
class World:
    """The storage, and the same files in each kind of place."""

    server: S3Server
    folder: Path
    tracking_uri: str
    artifacts: Path
    certificate: Path
    endpoint: str = ""
    number: int = 0
    results: dict[tuple[str, str, str], list[Measured]] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        return {
            **os.environ,
            "AWS_ACCESS_KEY_ID": self.server.access_key,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "AWS_CA_BUNDLE": str(self.certificate),
            "SSL_CERT_FILE": str(self.certificate),
            "RCLONE_CONFIG": str(self.folder / "no-rclone.conf"),
        }

    @contextmanager
    def bucket(self) -> Iterator[str]:
        self.number += 1
        name, client = f"publish-{self.number}", self.server.client()
        client.create_bucket(Bucket=name)
        yield name
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=name)
        for page in pages:
            keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
            if keys:
                client.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
        client.delete_bucket(Bucket=name)

    def run(self, *commands: Sequence[str | Path]) -> Measured:
        """One after the other: the sum of their times, the greatest of their peaks."""
        seconds, peak = 0.0, 0.0
        for command in commands:
            start = time.perf_counter()
            process = subprocess.Popen(
                [str(part) for part in command], env=self.environ, stdout=subprocess.DEVNULL
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise SystemExit(f"{command[0]} ended with {process.returncode}")
            seconds += time.perf_counter() - start
            peak = max(peak, usage.ru_maxrss / 1024)
        return Measured(seconds, peak)

    def child(self, who: str, bucket: str, source: str) -> Measured:
        command = [sys.executable, str(CHILD), who, self.endpoint, bucket, source]
        ended = subprocess.run(
            [*command, self.tracking_uri], env=self.environ, stdout=subprocess.PIPE, check=True
        )
        return Measured(**json.loads(ended.stdout))


Contestant = Callable[[World, str, str], Measured]
"""Given a bucket and a source's location."""


def ours(world: World, bucket: str, source: str) -> Measured:
    return world.child("ours", bucket, source)


def boto3(world: World, bucket: str, source: str) -> Measured:
    return world.child("boto3", bucket, source)


def s5cmd(world: World, bucket: str, source: str) -> Measured:
    command = [tool("s5cmd"), "--endpoint-url", world.endpoint, "cp", f"{source}/*"]
    return world.run([*command, f"s3://{bucket}/model/v1/"])


def aws(world: World, bucket: str, source: str) -> Measured:
    command = [tool("aws"), "s3", "cp", "--recursive", "--only-show-errors", source]
    return world.run([*command, f"s3://{bucket}/model/v1/"])


def rclone(world: World, bucket: str, source: str) -> Measured:
    provider = "SeaweedFS" if isinstance(world.server, SeaweedFS) else "Other"
    remote = f":s3,provider={provider},env_auth=true,endpoint='{world.endpoint}'"
    if source.startswith("s3://"):
        source = f"{remote}:{source.removeprefix('s3://')}"
    options = ["--transfers=16", "--ca-cert", world.certificate, "--s3-no-check-bucket"]
    target = f"{remote}:{bucket}/model/v1"
    return world.run([tool("rclone"), "copy", *options, source, target])


def by_hand(world: World, bucket: str, source: str) -> Measured:
    """What the documentation of both tools says."""
    folder = world.folder / "by-hand"
    mlflow = Path(sys.executable).with_name("mlflow")
    download = [mlflow, "artifacts", "download", "-u", source, "-d", folder]
    upload = [tool("aws"), "s3", "cp", "--recursive", "--only-show-errors", folder]
    try:
        return world.run(download, [*upload, f"s3://{bucket}/model/v1/"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


CONTESTANTS: Mapping[str, Mapping[str, Contestant]] = {
    "disk": {"ours": ours, "s5cmd": s5cmd, "boto3": boto3, "aws": aws, "rclone": rclone},
    "disk, TLS": {"ours": ours, "s5cmd": s5cmd, "boto3": boto3},
    "proxy": {"ours": ours, "by hand": by_hand},
    "S3 to S3": {"ours": ours, "s5cmd": s5cmd, "rclone": rclone, "by hand": by_hand},
}


def make_files(folder: Path, shape: Shape) -> Path:
    folder.mkdir(parents=True)
    for number in range(shape.files):
        with (folder / f"f{number:04}.bin").open("wb") as file:
            left = shape.size
            while left:
                written = file.write(CHUNK[: min(left, len(CHUNK))])
                left -= written
            file.seek(0)
            file.write(number.to_bytes(8, "big"))
    return folder


def measure(world: World, kind: str, shape: Shape, rounds: int) -> None:
    """Everybody in turn, so that a slow moment hits all; each starts a round once."""
    folder = make_files(world.folder / "source", shape)
    where = world.artifacts / "model"
    try:
        with world.bucket() as source_bucket:
            source = str(folder)
            if kind == "proxy":
                shutil.copytree(folder, where)
                source = "mlflow-artifacts:/model"
            elif kind == "S3 to S3":
                boto3(world, source_bucket, source)  # as MLflow uploads
                source = f"s3://{source_bucket}/model/v1"
            contestants = list(CONTESTANTS[kind].items())
            for turn in range(rounds):
                first = turn % len(contestants)
                for name, contestant in contestants[first:] + contestants[:first]:
                    with world.bucket() as bucket:
                        found = contestant(world, bucket, source)
                    world.results.setdefault((kind, shape.name, name), []).append(found)
                    say = f"{kind}, {shape.name}, {name}: {found.seconds:.2f} s"
                    print(say, file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(where, ignore_errors=True)


@contextmanager
def world_in(folder: Path, name: str) -> Iterator[World]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    named = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *named, *files], check=True, stderr=subprocess.DEVNULL)
    artifacts = folder / "artifacts"
    artifacts.mkdir()
    options = ["--serve-artifacts", "--artifacts-destination", str(artifacts)]
    started = (
        seaweedfs(folder / "s3", (certificate, key))
        if name == "seaweedfs"
        else SERVERS[name](folder / "s3")
    )
    with (
        started as server,
        mlflow_server(folder / "mlflow", options=options) as mlflow,
    ):
        yield World(server, folder, mlflow.url, artifacts, certificate)


# Targets: name, kind, shape, against whom, the least ratio of their time to ours
TARGETS = (
    ("disk", "one of 2 GB", "s5cmd", 1.0),
    ("disk", "5 of 400 MB", "s5cmd", 1.0),
    ("disk", "1,000 of 256 KB", "s5cmd", 1.0),
    ("disk, TLS", "one of 2 GB", "boto3", 0.95),
    ("disk, TLS", "5 of 400 MB", "boto3", 0.95),
    ("S3 to S3", "one of 2 GB", "by hand", 5.0),
    ("S3 to S3", "5 of 400 MB", "by hand", 5.0),
    ("S3 to S3", "1,000 of 256 KB", "by hand", 5.0),
    ("S3 to S3", "1,000 of 256 KB", "s5cmd", 0.5),
)
MOST_MEMORY = 200.0  # MB


def memory_rows(world: World) -> list[tuple[str, ...]]:
    """The whole process, and with the proxy what comes on top of MLflow, which is imported then."""
    rows: list[tuple[str, ...]] = []
    for kind in CONTESTANTS:
        mine = [
            m for key, found in world.results.items() if key[::2] == (kind, "ours") for m in found
        ]
        if mine:
            has_mlflow = kind == "proxy"
            peak = max(each.peak - (each.before if has_mlflow else 0) for each in mine)
            what = "peak memory above MLflow" if has_mlflow else "peak memory"
            is_met = "yes" if peak < MOST_MEMORY else "NO"
            rows.append((kind, "all", what, f"{peak:.0f} MB", f"{MOST_MEMORY:.0f} MB", is_met))
    return rows


def report(world: World) -> int:
    rows = []
    for (kind, shape, name), found in world.results.items():
        least = min(each.seconds for each in found)
        most = max(each.seconds for each in found)
        middle, peak = median(each.seconds for each in found), max(each.peak for each in found)
        rows.append(
            (kind, shape, name, f"{middle:.2f}", f"{least:.2f}", f"{most:.2f}", f"{peak:.0f}")
        )
    columns = ("from", "files", "by", "median s", "least s", "most s", "peak MB")
    show("Publishing one version", columns, rows)
    checked, worst = [], float("inf")
    for kind, shape, against, target in TARGETS:
        mine, theirs = (world.results.get((kind, shape, who)) for who in ("ours", against))
        if mine and theirs:
            ratio = median(t.seconds for t in theirs) / median(m.seconds for m in mine)
            worst = min(worst, ratio / target)
            checked.append(
                (
                    kind,
                    shape,
                    against,
                    f"{ratio:.2f}",
                    f"{target:.2f}",
                    "yes" if ratio >= target else "NO",
                )
            )
    worst = worst if checked else 1.0  # reading the proxy has no target
    checked += memory_rows(world)
    show("Their time over ours", ("from", "files", "against", "ratio", "least", "met"), checked)
    ok = all(row[-1] == "yes" for row in checked)
    against = (
        "s5cmd, tuned boto3, download and upload by hand; the ratio is the worst over its target"
    )
    return close("publish", worst, 1.0, against, ok=ok)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large-rounds", type=int, default=5, help="for rows of 2 GB")
    parser.add_argument("--scale", type=float, default=1.0, help="of the large files' sizes")
    parser.add_argument("--only", action="append", choices=list(CONTESTANTS), default=[])
    names = [shape.name for shape in SHAPES]
    parser.add_argument("--files", action="append", choices=names, default=[])
    servers = [name for name in SERVERS if not absence(name)]
    parser.add_argument("--server", choices=servers, default="seaweedfs")
    options = parser.parse_args()
    for name in ("s5cmd", "aws", "rclone"):
        tool(name)
    base = SHARED if SHARED.is_dir() and shutil.disk_usage(SHARED).free > 12 * 1024 * MIB else None
    with (
        tempfile.TemporaryDirectory(dir=base) as folder,
        world_in(Path(folder), options.server) as world,
    ):
        for kind in options.only or CONTESTANTS:
            world.endpoint = world.server.endpoint
            if kind.endswith("TLS"):
                if not isinstance(world.server, SeaweedFS):
                    continue  # the others are started without a certificate
                world.endpoint = world.server.https_endpoint
            for shape in (each for each in SHAPES if each.name in (options.files or names)):
                size = int(shape.size * options.scale) if shape.is_large else shape.size
                rounds = options.large_rounds if shape.is_large else options.rounds
                measure(world, kind, Shape(shape.name, shape.files, size), rounds)
        return report(world)


if __name__ == "__main__":
    sys.exit(main())
