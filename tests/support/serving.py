"""A real model, MLServer on it, and the API server's answer about it, for tests of predictions.

MLServer is started once for each test process: the tests that ask for it are in the xdist group
`serving`.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlflow_gitops.demo.server_process import HOST, ServerProcess, answers, free_ports
from tests.support.in_thread import in_thread
from tests.support.old_venv import COMPILED

SERVED = "fraud-detector"


@pytest.fixture(scope="session")
def table_model(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """The files of an MLflow model on a number and a text: amounts over 100 are fraud."""
    folder = tmp_path_factory.mktemp("model") / "model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of itself and of pickles
        _save(folder)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _save(folder: Path) -> None:
    import mlflow.sklearn
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder
    from sklearn.tree import DecisionTreeClassifier

    rows = pd.DataFrame({"amount": [1.0, 2.5, 300.0, 400.5], "country": ["a", "b", "a", "b"]})
    encode = make_column_transformer((OrdinalEncoder(), ["country"]), remainder="passthrough")
    pipeline = make_pipeline(encode, DecisionTreeClassifier(random_state=7))
    pipeline.fit(rows, [0, 0, 1, 1])
    mlflow.sklearn.save_model(
        pipeline,
        folder,
        signature=infer_signature(rows, pipeline.predict(rows)),
        serialization_format="cloudpickle",
        pip_requirements=["scikit-learn"],
    )


@pytest.fixture(scope="session")
def mlserver_url(
    old_bin: Path, table_model: Mapping[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """MLServer with mlserver-mlflow, as in KServe's runtime, serving the model as `SERVED`."""
    folder = tmp_path_factory.mktemp("mlserver")
    for name, content in table_model.items():
        (folder / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "model" / name).write_bytes(content)
    http, grpc, metrics = free_ports(3)
    settings = {"host": HOST, "http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    (folder / "settings.json").write_text(json.dumps({**settings, "parallel_workers": 0}))
    runtime = {"implementation": "mlserver_mlflow.MLflowRuntime"}
    model = {"name": SERVED, **runtime, "parameters": {"uri": str(folder / "model")}}
    (folder / "model-settings.json").write_text(json.dumps(model))
    server = ServerProcess("MLServer", folder / "log")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PYTHON"))}
    server.start(
        [str(old_bin / "mlserver"), "start", str(folder)],
        is_ready=lambda: answers(http, f"/v2/models/{SERVED}/ready"),
        cwd=folder,
        env={**inherited, **COMPILED, "MLSERVER_ENV_TARBALL": ""},
    )
    try:
        yield f"http://{HOST}:{http}"
    finally:
        server.stop()


@dataclass(slots=True)
class Kubernetes:
    """An API server that answers GET of InferenceServices as the real one does.

    `objects` maps `<namespace>/<name>` to the object; `refuse` is a status to answer with instead.
    """

    url: str = ""
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuse: int = 0
    has_kserve: bool = True
    asked: list[str] = field(default_factory=list)

    def put(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """Raises AssertionError for an object that the CRD does not allow."""
        from tests.support.crd import INFERENCE_SERVICE, errors_of

        found = {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"predictor": {"model": {"modelFormat": {"name": "mlflow"}}}},
            "status": dict(status),
        }
        assert not errors_of(found, INFERENCE_SERVICE)
        self.objects[f"{namespace}/{name}"] = found

    def ready(self, namespace: str, name: str, url: str) -> None:
        self.put(namespace, name, {"url": url, "conditions": [{"type": "Ready", "status": "True"}]})

    def kubeconfig(self, folder: Path) -> Path:
        path = folder / "kubeconfig.json"
        cluster = {"name": "test", "cluster": {"server": self.url}}
        context = {"name": "test", "context": {"cluster": "test", "user": "me"}}
        user = {"name": "me", "user": {"token": "the-kubeconfig-token"}}
        parts = {"clusters": [cluster], "contexts": [context], "users": [user]}
        head = {"apiVersion": "v1", "kind": "Config", "current-context": "test"}
        path.write_text(json.dumps({**head, **parts}))
        return path

    def answer(self, path: str, token: str) -> tuple[int, dict[str, Any]]:
        """As the API server: `Status` objects where there is nothing, or no right to it."""
        self.asked.append(path)
        start, _, rest = path.partition("/namespaces/")
        namespace, _, name = rest.partition("/inferenceservices/")
        found = self.objects.get(f"{namespace}/{name}")
        if token != "Bearer the-kubeconfig-token":
            return _status(401, "Unauthorized", "Unauthorized")
        if self.refuse:
            why = f'User "me" cannot get resource "inferenceservices" in "{namespace}"'
            return _status(self.refuse, "Forbidden", f"inferenceservices is forbidden: {why}")
        if not self.has_kserve or start != "/apis/serving.kserve.io/v1beta1":
            return 404, {}
        if found is None:
            what = f'inferenceservices.serving.kserve.io "{name}" not found'
            return _status(404, "NotFound", what)
        return 200, found


def _status(code: int, reason: str, message: str) -> tuple[int, dict[str, Any]]:
    head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return code, {**head, "message": message, "reason": reason, "code": code}


@pytest.fixture
def kubernetes_api() -> Iterator[Kubernetes]:
    kubernetes = Kubernetes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, found = kubernetes.answer(self.path, self.headers.get("Authorization", ""))
            body = json.dumps(found).encode() if found else b"404 page not found\n"
            self.send_response(code)
            self.send_header("Content-Type", "application/json" if found else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with in_thread(ThreadingHTTPServer((HOST, 0), Handler)) as kubernetes.url:
        yield kubernetes
