"""A tiny S3 server that answers 200 to conditional writes and overwrites all the same.

Which of its lies it tells is set by `honours_put` and `honours_multipart`. `interfere` may answer
a request with a status and an S3 error code instead: how a storage refuses or breaks. `parts` has
the part size of what came in parts, of which it keeps no checksum; of what is `untold` it does not
say it. `etags` are told in place of the right ones; of the key `corrupt` it copies other bytes.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from mlflow_gitops.adapters.s3 import Clients
from mlflow_gitops.planning.checksums import crc32_text, etag_of
from tests.support.in_thread import in_thread
from tests.support.publications import clients_of

Interfere = Callable[[str, str], tuple[int, str] | None]


def quiet(method: str, key: str) -> tuple[int, str] | None:
    return None


@dataclass(slots=True)
class LyingS3:
    """`writes` are the keys in the order in which objects came to be; `requests` are all."""

    honours_put: bool = False
    honours_multipart: bool = False
    interfere: Interfere = quiet
    endpoint: str = ""
    access_key: str = "made-up"
    secret_key: str = "a secret that no message may show"
    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    summed: set[str] = field(default_factory=set)
    echo: str | None = None
    parts: dict[str, int] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    untold: set[str] = field(default_factory=set)
    corrupt: str = ""
    told: dict[str, str] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def clients(self) -> Clients:
        return clients_of(self, attempts=1)


@contextmanager
def lying_s3(
    *, honours_put: bool = False, honours_multipart: bool = False, interfere: Interfere = quiet
) -> Iterator[LyingS3]:
    """Serve on a free loopback port until the block ends. Every bucket exists."""
    made = LyingS3(honours_put, honours_multipart, interfere)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            parts = urlsplit(self.path)
            bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
            query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
            with made.lock:
                made.requests.append(f"{self.command} {key}")
                wrong = made.interfere(self.command, key)
                if wrong:
                    self._fail(*wrong)
                else:
                    getattr(self, f"on_{self.command.lower()}")(bucket, key, query, body)

        def on_put(self, bucket: str, key: str, query: dict[str, str], body: bytes) -> None:
            if "x-amz-copy-source" in self.headers:
                self._copy(query)
            elif "uploadId" in query:
                made.uploads[query["uploadId"]][int(query["partNumber"])] = body
                self._answer(200, b"", ETag=f'"{hashlib.md5(body).hexdigest()}"')  # noqa: S324
            elif made.honours_put and self._is_refused(key):
                self._fail(412, "PreconditionFailed")
            else:
                self._write(key, body)
                self._answer(200, b"", ETag='"etag"')

        def _copy(self, query: dict[str, str]) -> None:
            """As MinIO, not into an upload that is to have checksums; or as versitygw, with that of
            the whole source for every part, and `echo` after it.
            """
            is_summed = query["uploadId"] in made.summed
            if is_summed and made.echo is None:
                self._fail(400, "InvalidArgument")
                return
            source = unquote(self.headers["x-amz-copy-source"]).partition("/")[2]
            part = made.objects[source]
            if asked := self.headers["x-amz-copy-source-range"]:
                span = asked.removeprefix("bytes=").split("-")
                part = part[int(span[0]) : int(span[1]) + 1]
            if source == made.corrupt:
                part = bytes([part[0] ^ 1]) + part[1:]
            made.uploads[query["uploadId"]][int(query["partNumber"])] = part
            told = f"{crc32_text(made.objects[source])}{made.echo}" if is_summed else ""
            made.told[query["uploadId"]] = told
            self._answer(200, _xml("CopyPartResult", ETag="etag", ChecksumCRC32=told))

        def on_post(self, bucket: str, key: str, query: dict[str, str], body: bytes) -> None:
            if "uploads" in query:
                upload = uuid.uuid4().hex
                made.uploads[upload] = {}
                if "x-amz-checksum-algorithm" in self.headers:
                    made.summed.add(upload)
                self._answer(200, _xml("InitiateMultipartUploadResult", UploadId=upload))
            elif made.honours_multipart and self._is_refused(key):
                self._fail(412, "PreconditionFailed")
            elif b"-" in body.partition(b"<ChecksumCRC32>")[2].partition(b"<")[0]:
                self._fail(400, "InvalidArgument")
            elif query["uploadId"] not in made.uploads:
                self._fail(404, "NoSuchUpload")
            else:
                parts = made.uploads.pop(query["uploadId"])
                self._write(key, b"".join(parts[number] for number in sorted(parts)))
                made.parts[key] = len(parts[1])
                told = made.told.get(query["uploadId"], "")
                if told and len(parts) > 1:
                    told = crc32_text(told.encode())  # of sums that were none
                self._answer(
                    200,
                    _xml("CompleteMultipartUploadResult", ChecksumCRC32=told, ETag=self._etag(key)),
                )

        def on_delete(self, bucket: str, key: str, query: dict[str, str], body: bytes) -> None:
            made.uploads.pop(query.get("uploadId", ""), None)
            self._answer(204, b"")

        def on_get(self, bucket: str, key: str, query: dict[str, str], body: bytes) -> None:
            if key == "":
                prefix = query.get("prefix", "")
                found = sorted(k for k in made.objects if k.startswith(prefix))
                items = "".join(
                    f"<Contents><Key>{escape(k)}</Key><Size>{len(made.objects[k])}</Size>"
                    f"<ETag>{escape(self._etag(k))}</ETag></Contents>"
                    for k in found
                )
                more = f"<IsTruncated>false</IsTruncated>{items}"
                self._answer(200, f"<ListBucketResult>{more}</ListBucketResult>".encode())
            elif key in made.objects:
                self._answer(200, made.objects[key])
            else:
                self._fail(404, "NoSuchKey")

        def on_head(self, bucket: str, key: str, query: dict[str, str], body: bytes) -> None:
            if key not in made.objects:
                self._fail(404, "NoSuchKey")
                return
            content, etag = made.objects[key], self._etag(key)
            if "partNumber" in query and key in made.untold:
                self._fail(501, "NotImplemented")
            elif key in made.parts:
                size = made.parts[key] if "partNumber" in query else len(content)
                self._answer(200, content[:size], ETag=etag)
            else:
                digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
                self._answer(200, content, **{"x-amz-checksum-sha256": digest, "ETag": etag})

        def _etag(self, key: str) -> str:
            body, size = made.objects[key], made.parts.get(key, 0)
            md5s = [md5(body[at : at + size]) for at in range(0, len(body), size)] if size else []
            right = etag_of(md5s) if md5s else md5(body).hex()
            return made.etags.get(key, f'"{right}"')

        def _is_refused(self, key: str) -> bool:
            return self.headers.get("If-None-Match") == "*" and key in made.objects

        def _write(self, key: str, body: bytes) -> None:
            made.objects[key] = body
            made.parts.pop(key, None)
            made.writes.append(key)

        def _fail(self, status: int, code: str) -> None:
            self._answer(status, _xml("Error", Code=code, Message="as the test wants it"))

        def _answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with in_thread(server) as made.endpoint:
        yield made


def md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _xml(root: str, **values: str) -> bytes:
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())
    return f"<{root}>{inner}</{root}>".encode()
