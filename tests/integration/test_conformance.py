"""The script that says what S3 servers do, on the demo's own, and on one that keeps nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.lying_s3 import lying_s3
from tests.support.publications import TestBucket

pytest_plugins = ["tests.support.s3"]

ROOT = Path(__file__).parents[2]
RACES = {"completion-race", "mixed-race"}
"""SeaweedFS loses them now and then."""
LACKS = {"copy-sha256", "copied-etag", "size"}
MADE_UP = {
    "AWS_ACCESS_KEY_ID": "made-up",
    "AWS_SECRET_ACCESS_KEY": "a secret that no message may show",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def asked(environ: Mapping[str, str], *args: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, the closing line of JSON, and what stands before it."""
    command = [sys.executable, str(ROOT / "benchmarks/conformance.py"), "--rounds", "1", *args]
    done = subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    shown, _, line = done.stdout.rstrip().rpartition("\n")
    return done.returncode, json.loads(line), shown


def test_seaweedfs_has_all_that_publishing_uses(
    s3_environ: dict[str, str], bucket: TestBucket
) -> None:
    code, told, shown = asked(s3_environ, "--endpoint", bucket.endpoint)
    column = told["servers"]["endpoint"]
    properties = column["properties"]
    assert (code, column["ok"], column["missing"]) == (0, True, [])
    assert {name for name, holds in properties.items() if not holds} - RACES == LACKS
    assert properties["lock"]
    assert properties["lock-multipart"]
    assert "endpoint is good" in shown


def test_a_storage_that_ignores_conditions_is_refused_for_them() -> None:
    with lying_s3() as server:
        only = [f"--property={name}" for name in ("put", "completion", "copy-object", "lock")]
        where = ("--endpoint", server.endpoint, "--bucket", "ours")
        code, told, shown = asked(MADE_UP, *where, *only)
    column = told["servers"]["endpoint"]
    assert (code, told["ok"]) == (1, False)
    assert column["missing"] == ["put", "completion"]
    assert column["properties"]["copy-object"] is False
    assert column["properties"]["lock"] is None
    assert "overwrites in silence" in shown
    assert MADE_UP["AWS_SECRET_ACCESS_KEY"] not in shown
