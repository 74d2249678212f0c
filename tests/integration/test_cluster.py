"""The Kubernetes API, as far as predictions need it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_gitops.adapters.cluster import KubernetesCluster
from mlflow_gitops.demo.server_process import HOST, free_ports
from mlflow_gitops.errors import ClusterError, ConfigError, GitOpsError, TransientError
from mlflow_gitops.planning.live import service_url
from tests.support.serving import Kubernetes


@pytest.fixture
def cluster(kubernetes_api: Kubernetes, tmp_path: Path) -> KubernetesCluster:
    return KubernetesCluster(str(kubernetes_api.kubeconfig(tmp_path)))


def told(cluster: KubernetesCluster) -> GitOpsError:
    with pytest.raises(GitOpsError) as caught:
        cluster.inference_service("ml", "fraud")
    assert "the-kubeconfig-token" not in str(caught.value)
    assert "endpoint.url" in caught.value.hint or isinstance(caught.value, TransientError)
    return caught.value


def test_a_service_is_read_as_it_is_now(
    cluster: KubernetesCluster, kubernetes_api: Kubernetes
) -> None:
    assert cluster.inference_service("ml", "fraud") is None
    kubernetes_api.ready("ml", "fraud", "http://fraud.ml.example.com")
    found = cluster.inference_service("ml", "fraud")
    assert service_url(found, "ml", "fraud") == "http://fraud.ml.example.com"
    condition = {"type": "Ready", "status": "False", "reason": "MinimumReplicasUnavailable"}
    kubernetes_api.put("ml", "fraud", {"conditions": [condition]})
    with pytest.raises(TransientError, match="not Ready: MinimumReplicasUnavailable"):
        service_url(cluster.inference_service("ml", "fraud"), "ml", "fraud")


@pytest.mark.parametrize(
    ("status", "kind", "what"),
    [
        (401, ClusterError, "does not accept the credentials"),
        (
            403,
            ClusterError,
            'does not permit it (HTTP 403: inferenceservices is forbidden: User "me"',
        ),
        (409, ClusterError, "refuses it"),
        (429, TransientError, "cannot answer now"),
        (503, TransientError, "cannot answer now"),
    ],
)
def test_a_refusal_has_the_servers_words(
    cluster: KubernetesCluster,
    kubernetes_api: Kubernetes,
    status: int,
    kind: type[GitOpsError],
    what: str,
) -> None:
    kubernetes_api.refuse = status
    error = told(cluster)
    assert type(error) is kind
    assert what in error.what
    assert len(kubernetes_api.asked) == 1


def test_a_cluster_without_kserve_is_no_missing_service(
    cluster: KubernetesCluster, kubernetes_api: Kubernetes
) -> None:
    kubernetes_api.has_kserve = False
    assert "knows no InferenceServices" in told(cluster).what


def test_a_cluster_that_is_down(tmp_path: Path) -> None:
    (port,) = free_ports()
    nowhere = Kubernetes(url=f"http://{HOST}:{port}")
    error = told(KubernetesCluster(str(nowhere.kubeconfig(tmp_path))))
    assert isinstance(error, TransientError)
    assert "cannot be reached" in error.what


def test_a_kubeconfig_that_is_not_there_or_is_none(
    tmp_path: Path, kubernetes_api: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    right = str(kubernetes_api.kubeconfig(tmp_path))
    for number, text in enumerate(("", "[]", "{", "clusters: 3", "a: [1", "current-context: x")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        error = told(KubernetesCluster(str(path)))
        assert isinstance(error, ConfigError)
        assert not text or text not in error.what, "it may hold a secret"
    assert isinstance(told(KubernetesCluster(str(tmp_path / "missing"))), ConfigError)
    wrong = told(KubernetesCluster(right, "nonsense"))
    assert isinstance(wrong, ConfigError)
    assert "nonsense" in wrong.what
    assert "MLFLOW_GITOPS_KUBE_CONTEXT" in wrong.hint
    assert KubernetesCluster(right, "test").inference_service("ml", "fraud") is None
