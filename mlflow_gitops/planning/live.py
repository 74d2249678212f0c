"""What an InferenceService of the cluster says of itself. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow_gitops.errors import ClusterError, TransientError
from mlflow_gitops.planning.foreign import one_line

__all__ = ["service_url"]

LOOK = "look at `kubectl describe inferenceservice {name} --namespace {namespace}`"


def service_url(found: Mapping[str, Any] | None, namespace: str, name: str) -> str:
    """`status.url` of a service that is Ready. Raises ClusterError or TransientError."""
    where = f"{namespace}/{name}"
    look = LOOK.format(name=name, namespace=namespace)
    if found is None:
        raise ClusterError(
            "the cluster has no such InferenceService",
            where=where,
            hint="wait until Argo CD has synced it; `namespace` of the environment in "
            "mlflow-gitops.yaml and the kubeconfig's context decide where it is looked for",
        )
    status = _mapping(found.get("status"))
    ready = _ready(status)
    if ready.get("status") != "True":
        said = [str(ready[key]) for key in ("reason", "message") if ready.get(key)]
        told = ": ".join(one_line(each) for each in said) or "it says nothing of it yet"
        raise TransientError(f"the service is not Ready: {told}", where=where, hint=look)
    url = status.get("url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise TransientError(
            "the service is Ready but has no URL yet",
            where=where,
            hint=f"{look}, or set `environments.<name>.endpoint.url` in mlflow-gitops.yaml",
        )
    return url.rstrip("/")


def _ready(status: Mapping[str, Any]) -> Mapping[str, Any]:
    listed = status.get("conditions")
    conditions = map(_mapping, listed) if isinstance(listed, list) else ()
    return next((each for each in conditions if each.get("type") == "Ready"), {})


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
