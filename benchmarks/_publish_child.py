"""One publishing in a process of its own: prints its seconds and its memory in MB as JSON.

Arguments: who ("ours" or "boto3"), endpoint, bucket, source, MLflow's URI. The time begins when all
is imported and the S3 client is made, as in a service; `peak` is the whole process's greatest
memory, `before` what it had when the time began.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.adapters.s3 import Clients
from mlflow_gitops.state import Identity, Publication

MIB = 1024 * 1024


Work = Callable[[], object]


def ours(endpoint: str, bucket: str, source: str, tracking_uri: str) -> Work:
    store = S3ArtifactStore(Clients(endpoint, connections=32), tracking_uri=tracking_uri)
    store.clients.bucket(bucket)
    identity = Identity(1, "run", "")
    asked = Publication(f"s3://{bucket}/model/v1/", source, "model", "1", "1", identity)
    return lambda: store.publish(asked)


def tuned_boto3(endpoint: str, bucket: str, source: str, _: str) -> Work:
    client = boto3.client("s3", endpoint_url=endpoint, config=Config(max_pool_connections=32))
    how = TransferConfig(
        multipart_chunksize=16 * MIB, max_concurrency=16, preferred_transfer_client="classic"
    )

    def upload() -> None:
        for path in sorted(Path(source).iterdir()):
            client.upload_file(str(path), bucket, f"model/v1/{path.name}", Config=how)

    return upload


def main() -> None:
    who, *arguments = sys.argv[1:]
    if "mlflow-artifacts:" in arguments[2]:
        import mlflow  # noqa: F401  a service has it imported
    work = {"ours": ours, "boto3": tuned_boto3}[who](*arguments)
    before = peak_memory()
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak": peak_memory(), "before": before}))


def peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
