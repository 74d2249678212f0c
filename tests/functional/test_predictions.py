"""`mlflow deployments predict` and `run-local` on real servers: MLServer, and MLflow's own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlflow_gitops.demo.server_process import HOST, answers, free_ports
from tests.support.fork_server import run_module
from tests.support.serving import SERVED, Kubernetes
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("serving")]

ROWS = [{"amount": 1, "country": "a"}, {"amount": 350, "country": "b"}]


def deployments(stack: Stack, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    return run_module("mlflow", "deployments", *args, env={**stack.environ, **more})


@dataclass
class Live:
    """A stack whose production has the model, under the name that MLServer serves."""

    stack: Stack
    model: str
    rows: Path

    @property
    def name(self) -> str:
        return f"production/{self.model}"

    def predict(self, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
        target = ("-t", "gitops", "--name", self.name, "-I", str(self.rows))
        return deployments(self.stack, "predict", *target, *args, **more)

    def endpoint(self, text: str) -> None:
        """Sets production's `endpoint`."""
        settings = self.stack.file("mlflow-gitops.yaml")
        kept = [line for line in settings.splitlines() if "endpoint:" not in line]
        at = kept.index("  production:")
        kept.insert(at + 1, f"    endpoint: {text}")
        self.stack.person_writes({"mlflow-gitops.yaml": "\n".join(kept) + "\n"})


@pytest.fixture
def live(
    stack: Stack, table_model: Mapping[str, bytes], names: Callable[[str], str], tmp_path: Path
) -> Live:
    model = names("fraud")
    number = stack.registry.register(model, table_model)
    stack.edit_settings("services: {}", f"services: {{{model}: {SERVED}}}")
    stack.registry.transition(model, number, "Production")
    outcome = stack.reconcile(model)["production"]
    assert outcome.commit, outcome.message
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps(ROWS))
    return Live(stack, model, rows)


def test_mlserver_predicts_where_the_cluster_says_it_is(
    live: Live, mlserver_url: str, kubernetes_api: Kubernetes, tmp_path: Path
) -> None:
    kubeconfig = {"KUBECONFIG": str(kubernetes_api.kubeconfig(tmp_path))}
    missing = live.predict(**kubeconfig)
    assert missing.returncode == 1
    assert "the cluster has no such InferenceService" in missing.stderr
    assert "Traceback" not in missing.stderr

    kubernetes_api.ready("ml-production", SERVED, mlserver_url)
    done = live.predict(**kubeconfig)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["predictions"] == [0, 1]
    answer = tmp_path / "answer.json"
    written = live.predict("-O", str(answer), **kubeconfig)
    assert written.returncode == 0, written.stderr
    assert json.loads(answer.read_text())["predictions"] == [0, 1]

    live.rows.write_text('[{"amount": 1.5}]')
    refused = live.predict(**kubeconfig)
    assert refused.returncode == 1
    assert "Model is missing inputs ['country']" in refused.stderr, "the server's own words"
    assert "it takes amount (FP64), country (BYTES); sent were amount (FP64)" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_mlserver_understands_what_python_gives(
    live: Live, mlserver_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd
    from mlflow.deployments import get_deploy_client

    from mlflow_gitops.deployments import GitOpsDeploymentError

    live.endpoint(f"{{url: '{mlserver_url}'}}")
    for key, value in live.stack.environ.items():
        monkeypatch.setenv(key, value)
    client = get_deploy_client("gitops")
    whole = {
        "inputs": [
            {"name": "amount", "datatype": "FP64", "shape": [1, 1], "data": [350.5]},
            {"name": "country", "datatype": "BYTES", "shape": [1, 1], "data": ["b"]},
        ]
    }
    forms: list[tuple[Any, list[int]]] = [
        (pd.DataFrame(ROWS), [0, 1]),
        (ROWS, [0, 1]),
        ({"amount": [350, 1], "country": ["a", "b"]}, [1, 0]),
        ({"amount": 1.5, "country": "a"}, [0]),
        (whole, [1]),
    ]
    for given, expected in forms:
        answer = client.predict(live.name, given)
        assert answer["predictions"] == expected
        assert answer["model_name"] == SERVED
        assert answer.get_predictions().shape == (len(expected), 1)

    live.endpoint(f"{{url: '{mlserver_url}', protocol: mlflow}}")
    assert client.predict(live.name, ROWS)["predictions"] == [0, 1]
    live.endpoint(f"{{url: '{mlserver_url}', protocol: v1}}")
    with pytest.raises(GitOpsDeploymentError, match="there is no `fraud-detector`"):
        client.predict(live.name, ROWS)
    with pytest.raises(GitOpsDeploymentError, match="no explainer"):
        client.explain(live.name, pd.DataFrame(ROWS))


def test_run_local_serves_the_published_files_until_it_is_interrupted(live: Live) -> None:
    (port,) = free_ports()
    args = ["run-local", "-t", "gitops", "--name", live.name, "-m", f"models:/{live.model}/1"]
    command = [sys.executable, "-m", "mlflow", "deployments", *args, "-C", f"port={port}"]
    address = f"http://{HOST}:{port}"
    with subprocess.Popen(
        command, env=live.stack.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            first = process.stdout.readline()
            assert first, process.stderr.read()
            assert f"{live.model} version 1 (s3://{live.stack.bucket}/{SERVED}/v1/)" in first
            assert address in first
            assert answers(port, "/ping")
            live.endpoint(f"{{url: '{address}', protocol: mlflow}}")
            done = live.predict()
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["predictions"] == [0, 1]
            live.rows.write_text('[{"amount": "much", "country": "a"}]')
            refused = live.predict()
            assert refused.returncode == 1
            assert "HTTP 400" in refused.stderr
            assert "amount" in refused.stderr, "the server's own words"

            taken = deployments(live.stack, *args, "-C", f"port={port}")
            assert taken.returncode == 1
            assert "no server can listen there" in taken.stderr
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert f"s3://{live.stack.bucket}/{SERVED}/v1/: done" in errors
    assert not answers(port, "/ping"), "the server ended with the command"


def test_run_local_names_the_switch_that_forbids_pickles(live: Live) -> None:
    args = ("run-local", "-t", "gitops", "--name", live.name, "-m", f"models:/{live.model}/1")
    switch = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = deployments(live.stack, *args, "-C", "port=0", **switch)
    assert done.returncode == 1
    assert "MLFLOW_ALLOW_PICKLE_DESERIALIZATION does not allow" in done.stderr
    assert "set MLFLOW_ALLOW_PICKLE_DESERIALIZATION=true" in done.stderr
    assert "Traceback" not in done.stderr
    assert "env-manager" not in done.stderr.splitlines()[-1]
