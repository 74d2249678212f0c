"""What S3 servers do with the requests that publishing relies on, and with some that it might.

Every server that can be started here gets a column, or with `--endpoint` any other, by the usual
AWS variables: it needs a bucket that may be written to (`--bucket`), or the right to make one.
A server is refused only for a property that publishing uses.

    python benchmarks/conformance.py [--server NAME] [--endpoint URL] [--bucket NAME]
        [--property NAME] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from _checksums import CHECKSUMS
from _common import show
from _conditions import CONDITIONS
from _objects import OBJECTS
from _storage import WRITERS, Answer, Property, Storage, code_of, refused
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from mlflow_gitops.demo.server_process import ServerError
from tests.support.s3_servers import SERVERS, absence

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PROPERTIES = (*CONDITIONS, *CHECKSUMS, *OBJECTS)
SIGNS = {True: "y", False: "NO", None: "-"}
Column = Mapping[str, Answer]


def column(client: S3Client, bucket: str, rounds: int, only: Sequence[str]) -> Column:
    """Of a bucket that is there, or of one made for it, which is taken away again."""
    with _bucket(client, bucket) as name, _lock_bucket(client, bucket) as (locked, why):
        storage = Storage(client, name, rounds, locked, why)
        try:
            return {each.name: each.ask(storage) for each in _rows(only)}
        finally:
            storage.clear()


def missing(answers: Column) -> list[str]:
    """What publishing uses and the server does not give."""
    return [row.name for row in _rows(answers) if row.used and not answers[row.name].holds]


def _rows(names: Collection[str]) -> list[Property]:
    """The properties of these names, or all."""
    return [row for row in PROPERTIES if row.name in names or not names]


def client_of(endpoint: str, access_key: str | None = None, secret: str | None = None) -> S3Client:
    """Each request is sent once: a repeated conditional write would refuse itself."""
    config = Config(
        s3={"addressing_style": "path" if endpoint else "auto"},
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=2 * WRITERS,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint or None,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        region_name="us-east-1" if access_key else None,
        config=config,
    )


@contextmanager
def _bucket(client: S3Client, given: str) -> Iterator[str]:
    if given:
        yield given
        return
    name = f"conformance-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    yield name
    _delete(client, name)


@contextmanager
def _lock_bucket(client: S3Client, given: str) -> Iterator[tuple[str, str]]:
    """One with Object Lock, or "" and why not. What is left in it is locked for two minutes."""
    if given:
        yield "", "needs a bucket of its own"
        return
    name = f"conformance-lock-{uuid.uuid4().hex[:12]}"
    try:
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    except ClientError as error:
        yield "", code_of(error)
        return
    yield name, ""
    for each in client.list_object_versions(Bucket=name).get("Versions", []):
        at: Any = {"Bucket": name, "Key": each["Key"], "VersionId": each["VersionId"]}
        refused(partial(client.delete_object, **at, BypassGovernanceRetention=True))
    _delete(client, name)


def _delete(client: S3Client, bucket: str) -> None:
    why = refused(partial(client.delete_bucket, Bucket=bucket))
    if why:
        print(f"the bucket {bucket} stays behind: {why}")


def _print(columns: Mapping[str, Column], only: Sequence[str]) -> None:
    lines = []
    for row in _rows(only):
        signs = [SIGNS[answers[row.name].holds] for answers in columns.values()]
        lines.append(["x" if row.used else "", row.title, *signs])
    show("What each server does", ["used", "property", *columns], lines)
    for name, answers in columns.items():
        lacks = ", ".join(missing(answers))
        print(f"\n{name} is {f'refused, for {lacks}' if lacks else 'good'}")
        for row in _rows(answers):
            if answers[row.name].note:
                print(f"  {row.title} ({answers[row.name].note})")
    print()


def _json(columns: Mapping[str, Column]) -> str:
    servers = {
        name: {
            "ok": not missing(answers),
            "missing": missing(answers),
            "properties": {key: answer.holds for key, answer in answers.items()},
        }
        for name, answers in columns.items()
    }
    is_ok = bool(servers) and all(server["ok"] for server in servers.values())
    return json.dumps({"name": "conformance", "ok": is_ok, "servers": servers})


def main() -> int:
    """1 where a server is refused, or none could be asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--server", action="append", choices=list(SERVERS), help="only this one")
    parser.add_argument("--endpoint", help='an address, or "aws"')
    parser.add_argument("--bucket", default="", help="one that is there, with --endpoint")
    names = [row.name for row in PROPERTIES]
    parser.add_argument("--property", action="append", choices=names, default=[], help="only this")
    parser.add_argument("--rounds", type=int, default=5, help="of each race")
    asked = parser.parse_args()
    if asked.bucket and not asked.endpoint:
        parser.error("--bucket needs --endpoint")
    columns = dict(_given(asked) if asked.endpoint else _local(asked))
    if columns:
        _print(columns, asked.property)
    print(_json(columns))
    return 0 if columns and not any(missing(answers) for answers in columns.values()) else 1


def _given(asked: argparse.Namespace) -> Iterator[tuple[str, Column]]:
    try:
        client = client_of("" if asked.endpoint == "aws" else asked.endpoint)
        yield "endpoint", column(client, asked.bucket, asked.rounds, asked.property)
    except (BotoCoreError, ClientError, ValueError) as error:
        print(f"{asked.endpoint} could not be asked: {error}")


def _local(asked: argparse.Namespace) -> Iterator[tuple[str, Column]]:
    for name in asked.server or SERVERS:
        why = absence(name)
        if why:
            print(f"{name}: not asked, {why}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                with SERVERS[name](Path(folder) / name) as server:
                    client = client_of(server.endpoint, server.access_key, server.secret_key)
                    yield name, column(client, "", asked.rounds, asked.property)
            except (BotoCoreError, ClientError, ServerError) as error:
                print(f"{name} could not be asked: {error}")


if __name__ == "__main__":
    raise SystemExit(main())
