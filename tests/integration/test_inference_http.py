"""HTTP to inference servers: what is sent, and what people are told when it goes wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mlflow_gitops.adapters.inference import HttpScorer
from mlflow_gitops.demo.server_process import HOST, free_ports
from mlflow_gitops.errors import ConfigError, GitOpsError, TransientError
from mlflow_gitops.state import Reply
from tests.support.in_thread import in_thread

TOKEN = "the-token-of-this-test"


@dataclass(slots=True)
class Web:
    """A server: `told` has every request; `answers` is what it says next, with headers."""

    url: str = ""
    told: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"{}")
    waits: threading.Event | None = None


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            web.told.append((self.command, self.path, dict(self.headers), body))
            if web.waits is not None:
                web.waits.wait(60)
            status, headers, content = web.answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with in_thread(ThreadingHTTPServer((HOST, 0), Handler)) as web.url:
        try:
            yield web
        finally:
            if web.waits is not None:
                web.waits.set()


def scorer(token: str = "", timeout: float = 20) -> HttpScorer:
    return HttpScorer(lambda: token, timeout)


def test_what_is_sent_and_what_comes_back(web: Web) -> None:
    web.answer = (422, {"Content-Type": "text/plain"}, b"no")
    body = json.dumps({"instances": [1]}).encode()
    asked = scorer(TOKEN).post(f"{web.url}/v1/models/fraud:predict", body, "fraud.example.com")
    assert asked == Reply(422, b"no", "text/plain")
    ((method, path, headers, sent),) = web.told
    assert (method, path, sent) == ("POST", "/v1/models/fraud:predict", body)
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Host"] == "fraud.example.com"
    assert headers["Content-Type"] == "application/json"
    scorer().get(f"{web.url}/v2/models/fraud")
    assert web.told[1][0] == "GET"
    assert "Authorization" not in web.told[1][2]


def test_the_token_is_read_again_each_time(web: Web) -> None:
    tokens = iter(["one", "two"])
    asking = HttpScorer(lambda: next(tokens), 20)
    for _ in range(2):
        asking.get(web.url)
    assert [told[2]["Authorization"] for told in web.told] == ["Bearer one", "Bearer two"]


def test_a_netrc_file_is_not_looked_into(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {HOST} login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    scorer().get(web.url)
    scorer(TOKEN).get(web.url)
    assert "Authorization" not in web.told[0][2]
    assert web.told[1][2]["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_an_answer_and_not_followed(web: Web, status: int) -> None:
    web.answer = (status, {"Location": f"{web.url}/elsewhere"}, b"")
    assert scorer(TOKEN).post(web.url, b"{}").status == status
    assert len(web.told) == 1


def test_an_answer_that_repeats_the_token_does_not_show_it(web: Web) -> None:
    web.answer = (401, {}, f"bad header: Bearer {TOKEN}".encode())
    assert scorer(TOKEN).post(web.url, b"{}").body == b"bad header: Bearer ***"


def told(asking: HttpScorer, url: str) -> GitOpsError:
    with pytest.raises(GitOpsError) as caught:
        asking.post(url, b"{}")
    assert TOKEN not in str(caught.value)
    assert "object at 0x" not in str(caught.value)
    assert caught.value.hint
    return caught.value


def test_a_slow_server_is_waited_for_as_long_as_told(web: Web) -> None:
    web.waits = threading.Event()
    error = told(scorer(TOKEN, timeout=0.2), web.url)
    assert isinstance(error, TransientError)
    assert error.what == "the service did not answer within 0.2 seconds"
    assert "MLFLOW_GITOPS_PREDICT_TIMEOUT" in error.hint
    assert len(web.told) == 1, "it is not asked again"


def test_an_answer_that_breaks_off_is_told(web: Web) -> None:
    web.answer = (200, {"Content-Length": "100"}, b"{")
    error = told(scorer(), web.url)
    assert isinstance(error, TransientError)
    assert error.what == "the connection broke off"


def test_an_address_where_nobody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports()
    refused = told(scorer(TOKEN), f"http://{HOST}:{port}/v2")
    assert isinstance(refused, TransientError)
    assert "the connection was refused" in refused.what
    unknown = told(scorer(), "http://fraud.invalid/v2")
    assert "name is not known" in unknown.what
    for url in ("http://", "http://a b/", "http://[::1", "http://" + "a" * 300 + ".example/"):
        assert isinstance(told(scorer(), url), (ConfigError, TransientError))
    assert isinstance(told(scorer("ünï\ncode"), f"http://{HOST}:{port}/"), ConfigError)


def test_tls_that_is_not_there_and_a_ca_file_that_is_not(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = told(scorer(TOKEN), web.url.replace("http:", "https:"))
    assert isinstance(error, ConfigError)
    assert "certificate" in error.what
    assert "REQUESTS_CA_BUNDLE" in error.hint
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    missing = told(scorer(TOKEN), web.url.replace("http:", "https:"))
    assert missing.where == "REQUESTS_CA_BUNDLE"
