"""A publisher in a process of its own, for tests that kill it: `python -m tests.support.publisher`.

Arguments: S3 endpoint, bucket, source, and a file that the process's id is written to first. The
credentials come from the environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.adapters.s3 import Clients
from tests.support.publications import publication


def main() -> None:
    endpoint, bucket, source, pid_file = sys.argv[1:]
    Path(pid_file).write_text(str(os.getpid()))
    store = S3ArtifactStore(Clients(endpoint, connections=32), part=5 * 1024 * 1024)
    store.publish(publication(bucket, source))


if __name__ == "__main__":
    main()
