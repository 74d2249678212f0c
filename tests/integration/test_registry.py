"""The real adapter: paging, where files are, and what goes wrong between here and a server."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from mlflow_gitops.adapters.registry import MlflowRegistry
from mlflow_gitops.adapters.registry_rows import Model, joined
from mlflow_gitops.adapters.registry_sources import resolve, root_of
from mlflow_gitops.demo.mlflow_server import MlflowServer
from mlflow_gitops.errors import (
    GitOpsError,
    RegistryError,
    RequestError,
    TerminalError,
    TransientError,
)
from mlflow_gitops.state import Selector
from tests.support.in_thread import in_thread
from tests.support.mlflow import MODEL_FILES, Registry

Names = Callable[[str], str]
LOGIN = "ann:hunter2"


@pytest.fixture
def user(plain_mlflow: MlflowServer) -> Registry:
    return Registry(plain_mlflow.url)


@pytest.fixture
def registry(plain_mlflow: MlflowServer) -> MlflowRegistry:
    return MlflowRegistry(plain_mlflow.url)


# Paging


@pytest.mark.parametrize(("versions_page", "models_page"), [(1, 1), (2, 3), (3, 2), (7, 1000)])
def test_pages_of_any_size_tell_the_same(
    user: Registry, plain_mlflow: MlflowServer, names: Names, versions_page: int, models_page: int
) -> None:
    counts = {names("a"): 3, names("b"): 0, names("c"): 7, names("d"): 1}
    for name, count in counts.items():
        user.create_model(name)
        for _ in range(count):
            user.create_version(name)
    registry = MlflowRegistry(
        plain_mlflow.url, versions_page=versions_page, models_page=models_page
    )
    listed = [s for s in registry.snapshots() if s.model in counts]
    assert {s.model: len(s.versions) for s in listed} == counts
    assert len(listed) == len(counts)
    for name, count in counts.items():
        numbers = [version.number for version in registry.snapshot(name).versions]
        assert numbers == [str(n + 1) for n in range(count)]


def row(name: str, number: int) -> SimpleNamespace:
    return SimpleNamespace(
        name=name,
        version=number,
        creation_timestamp=1,
        last_updated_timestamp=1,
        run_id=None,
        current_stage="None",
        status="READY",
        source="s3://b/p",
        tags={},
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([("a", 1), ("a", 1), ("a", 2)], {"a": 2, "b": 0}, id="listed twice"),
        pytest.param([("a", 1), ("b", 1), ("a", 2)], {"a": 1, "b": 1}, id="listed again later"),
        pytest.param([("new", 1), ("b", 1)], {"b": 1, "a": 0}, id="made in between"),
        pytest.param([("b", 1), ("a", 1)], {"b": 1, "a": 1}, id="in an order of its own"),
        pytest.param([], {"a": 0, "b": 0}, id="no versions"),
    ],
)
def test_two_listings_that_do_not_fit_are_joined_all_the_same(
    rows: list[tuple[str, int]], expected: dict[str, int]
) -> None:
    models = {name: Model({}, {}) for name in ("a", "b")}
    found = joined(models, [row(name, number) for name, number in rows])
    assert {s.model: len(s.versions) for s in found} == expected


# Where the files are


def test_the_files_of_a_logged_model(
    user: Registry, registry: MlflowRegistry, names: Names
) -> None:
    model = names("fraud")
    user.register(model)
    (version,) = registry.snapshot(model).versions
    assert version.source == f"models:/{version.identity.model_id}"
    location = registry.artifact_location(version)
    assert location.startswith("mlflow-artifacts:/0/")
    assert version.identity.model_id in location


def test_the_server_has_the_files_there(
    user: Registry, registry: MlflowRegistry, plain_mlflow: MlflowServer, names: Names
) -> None:
    model = names("fraud")
    user.register(model)
    location = registry.artifact_location(registry.snapshot(model).versions[0])
    folder = plain_mlflow.artifacts / location.removeprefix("mlflow-artifacts:/")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name: files[name] for name in MODEL_FILES} == MODEL_FILES


def test_the_files_of_a_copy_of_a_copy(
    user: Registry, registry: MlflowRegistry, names: Names
) -> None:
    first, second, third = names("first"), names("second"), names("third")
    user.register(first)
    user.client.copy_model_version(f"models:/{first}/1", second)
    user.client.copy_model_version(f"models:/{second}/1", third)
    (copy,) = registry.snapshot(third).versions
    assert copy.source.startswith("models:/")
    (original,) = registry.snapshot(first).versions
    assert registry.artifact_location(copy) == registry.artifact_location(original)


def test_the_files_of_a_run(user: Registry, registry: MlflowRegistry, names: Names) -> None:
    model = names("fraud")
    run = user.client.create_run("0")
    user.create_model(model)
    user.client.create_model_version(
        model, f"runs:/{run.info.run_id}/some/model", run.info.run_id, await_creation_for=0
    )
    (version,) = registry.snapshot(model).versions
    assert version.identity.run_id == run.info.run_id
    location = registry.artifact_location(version)
    assert location == f"mlflow-artifacts:/0/{run.info.run_id}/artifacts/some/model"


def test_the_files_of_a_model_that_a_run_logged(
    user: Registry, registry: MlflowRegistry, names: Names
) -> None:
    from mlflow.entities import LoggedModelOutput

    model = names("fraud")
    run_id = user.client.create_run("0").info.run_id
    logged = user.client.create_logged_model("0", name="classifier", source_run_id=run_id)
    user.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    user.create_model(model)
    user.client.create_model_version(
        model, f"runs:/{run_id}/classifier", run_id, await_creation_for=0
    )
    (version,) = registry.snapshot(model).versions
    assert registry.artifact_location(version) == logged.artifact_location


@pytest.mark.parametrize("source", ["s3://bucket/a/path", "gs://bucket/a/path"])
def test_another_store_s_files_are_where_the_source_says(
    user: Registry, registry: MlflowRegistry, names: Names, source: str
) -> None:
    model = names("fraud")
    user.create_model(model)
    user.create_version(model, source=source)
    (version,) = registry.snapshot(model).versions
    assert registry.artifact_location(version) == source


@pytest.mark.parametrize("path", ["../../other", "a/%2e%2e/b", "a/%252e%252e/b", "a\\..\\b"])
@pytest.mark.parametrize(
    "scheme", ["s3://bucket/", "mlflow-artifacts:/0/", "runs:/", "models:/m-1/"]
)
def test_a_source_that_climbs_is_refused(user: Registry, scheme: str, path: str) -> None:
    with pytest.raises(RegistryError, match="climbs"):
        resolve(user.client, f"{scheme}{path}", "here")


@pytest.mark.parametrize(
    "uri",
    ["", "models:/fraud/latest", "models:/fraud@champion", "models:/", "runs:/", "runs:/abc"],
)
def test_a_source_that_is_no_fixed_place_is_refused(user: Registry, uri: str) -> None:
    with pytest.raises(RegistryError) as failure:
        resolve(user.client, uri, "here")
    assert failure.value.hint


def test_the_server_s_artifacts_are_always_allowed(registry: MlflowRegistry) -> None:
    assert registry.artifact_roots() == ("mlflow-artifacts:/",)


@pytest.mark.parametrize(
    ("location", "root"),
    [
        ("mlflow-artifacts:/0", ""),  # it is always in the list
        ("s3://bucket/mlflow/0", "s3://bucket/mlflow/"),
        ("s3://bucket/0", "s3://bucket/"),
        ("/var/mlruns/0", "/var/mlruns/"),
        ("file:///var/mlruns/0/", "file:///var/mlruns/"),
        ("/0", ""),
        ("file:///0", ""),
        ("s3://bucket/mlflow", ""),
        ("s3://bucket/10", ""),
        ("", ""),
    ],
)
def test_the_root_behind_an_experiment(location: str, root: str) -> None:
    assert root_of(location, "0") == root


# What goes wrong


@contextmanager
def answering(
    status: int,
    body: bytes,
    kind: str = "text/html",
    *,
    health: int = 200,
    wait: float = 0,
    seen: list[str] | None = None,
) -> Iterator[str]:
    """A server that answers everything alike, after `wait` seconds.

    `seen` gets what each request says of its connection.
    """
    done = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            done.wait(wait)
            if seen is not None:
                seen.append(self.headers["Connection"])
            is_health = self.path == "/health"
            self.send_response(health if is_health else status)
            content = b"OK" if is_health else body
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            with suppress(BrokenPipeError):  # nobody waits for it any more
                self.end_headers()
                self.wfile.write(content)

        do_POST = do_PATCH = do_GET  # noqa: N815 - the names that http.server asks for

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with in_thread(server):
        try:
            yield f"http://{LOGIN}@127.0.0.1:{server.server_port}"
        finally:
            done.set()


def failure(registry: MlflowRegistry) -> GitOpsError:
    """The same from both reads; says what, where and the next step, and no secret."""
    with pytest.raises(GitOpsError) as one:
        registry.snapshot("fraud")
    with pytest.raises(GitOpsError) as all_of_them:
        list(registry.snapshots())
    assert type(one.value) is type(all_of_them.value)
    error = one.value
    assert error.where.startswith("http://127.0.0.1")
    for text in (str(error), repr(error.args), str(all_of_them.value)):
        assert "hunter2" not in text
        assert "s3cr3t" not in text
    # MLflow's own text, with the whole address, is not shown.
    assert error.__suppress_context__ or error.__context__ is None
    return error


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process with a queue sets it up, and less: no retries of MLflow's client."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        error = failure(MlflowRegistry(f"http://{LOGIN}@127.0.0.1:{port}"))
    assert isinstance(error, TransientError)
    assert "cannot be reached" in error.what
    assert "MLFLOW_TRACKING_URI" in error.hint


def test_a_kept_connection_that_the_server_closes() -> None:
    """As a server does that has just waited long enough: the request on it gets no answer."""
    text = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n3.17.2"
    asked = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(4096).split()[1].decode())
                connection.sendall(text)
                connection.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        registry = MlflowRegistry(f"http://127.0.0.1:{listener.getsockname()[1]}")
        registry._check_answers()
        listener.shutdown(socket.SHUT_RDWR)
    assert asked == ["/health", "/version"]


def test_a_gateway_without_a_server_behind_it() -> None:
    seen: list[str] = []
    with answering(503, b"no backend", health=503, seen=seen) as url:
        error = failure(MlflowRegistry(url))
    assert isinstance(error, TransientError)
    assert "503" in error.what
    assert len(seen) == 2  # one for each read: MLflow's client would go on for four minutes


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_server_that_fails(status: int) -> None:
    with answering(status, b"<html>s3cr3t</html>") as url:
        assert isinstance(failure(MlflowRegistry(url)), TransientError)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_does_not_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlflow_gitops.adapters.registry.PROBE_TIMEOUT", 0.2)
    with answering(200, b"{}", wait=30) as url:
        error = failure(MlflowRegistry(url))
    assert isinstance(error, TransientError)
    assert "in time" in error.what


@pytest.mark.parametrize("status", [200, 404, 405])
@pytest.mark.parametrize("body", [b"<html>sign in, s3cr3t</html>", b"s3cr3t", b"[]"])
def test_something_else_answers(status: int, body: bytes) -> None:
    with answering(status, body) as url:
        error = failure(MlflowRegistry(url))
    assert isinstance(error, RegistryError)
    assert "not an MLflow registry" in error.what


@pytest.mark.parametrize("version", [b"2.21.3", b"1.30.0\n", b"2.22.0rc0"])
def test_a_server_that_is_too_old(version: bytes) -> None:
    with answering(200, version) as url:
        error = failure(MlflowRegistry(url))
    assert isinstance(error, RegistryError)
    assert f"version {version.decode().strip()}, which is too old" in error.what
    assert "2.22 or later" in error.hint


@pytest.mark.parametrize("body", [b"{}", b'{"hello": "world"}'])
def test_another_json_server_answers(body: bytes) -> None:
    with answering(200, body, "application/json") as url, pytest.raises(RegistryError):
        MlflowRegistry(url).snapshot("fraud")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b"You are not authenticated. s3cr3t"),
        (403, json.dumps({"error_code": "PERMISSION_DENIED", "message": "no"}).encode()),
        (401, json.dumps({"error_code": "UNAUTHENTICATED", "message": "no"}).encode()),
    ],
)
def test_a_user_who_may_not(status: int, body: bytes) -> None:
    with answering(status, body) as url:
        error = failure(MlflowRegistry(url))
    assert isinstance(error, RegistryError)
    assert "MLFLOW_TRACKING_USERNAME" in error.hint


@pytest.mark.parametrize("uri", ["http://", "http://[::1", "nonsense://host/x"])
def test_an_address_that_is_none(uri: str) -> None:
    with pytest.raises(GitOpsError):
        MlflowRegistry(uri).snapshot("fraud")


def test_a_server_that_comes_back_is_used_again(
    user: Registry, plain_mlflow: MlflowServer, names: Names
) -> None:
    model = names("fraud")
    user.create_model(model)
    registry = MlflowRegistry(plain_mlflow.url)
    assert registry.snapshot(model).model == model
    with pytest.raises(RequestError):
        registry.snapshot(names("other"))
    assert registry.snapshot(model).model == model


def test_a_misspelled_model_is_guessed(
    user: Registry, registry: MlflowRegistry, names: Names
) -> None:
    model = names("fraud-detector")
    user.create_model(model)
    with pytest.raises(RequestError) as failure:
        registry.snapshot(model.replace("detector", "detectr"))
    assert model in failure.value.hint


def test_what_the_registry_does_not_take_is_the_asker_s_to_correct(
    user: Registry, registry: MlflowRegistry, names: Names
) -> None:
    model = names("fraud")
    user.create_model(model)
    user.create_version(model)
    (version,) = registry.snapshot(model).versions
    for selector in (
        Selector("stage", "Shadow"),
        Selector("alias", "latest"),
        Selector("alias", "a b"),
        Selector("tag", "a\nb", "x"),
    ):
        with pytest.raises(RequestError, match="does not take"):
            registry.select(version, selector)
    with pytest.raises(TerminalError, match="100000"):
        registry.select(version, Selector("tag", "deploy", "x" * 100_001))


def test_only_our_own_requests_have_a_connection_each() -> None:
    import mlflow

    seen: list[str] = []
    with answering(200, b"{}", "application/json", seen=seen) as url:
        list(MlflowRegistry(url).snapshots())
        list(MlflowRegistry(url).snapshots())
        ours = seen.copy()
        mlflow.MlflowClient(url, url).search_registered_models()
    assert set(ours) == {"close"}
    assert seen[len(ours) :] == ["keep-alive"]


def test_two_registries_in_one_process_do_not_mix(
    plain_mlflow: MlflowServer, gitops_mlflow: MlflowServer, names: Names
) -> None:
    import mlflow

    before = (mlflow.get_tracking_uri(), mlflow.get_registry_uri())
    model = names("only-here")
    Registry(gitops_mlflow.url).create_model(model)
    assert MlflowRegistry(gitops_mlflow.url).snapshot(model).model == model
    with pytest.raises(RequestError):
        MlflowRegistry(plain_mlflow.url).snapshot(model)
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == before
