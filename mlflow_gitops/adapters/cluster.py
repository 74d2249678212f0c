"""The Kubernetes API, through package kubernetes: reads InferenceServices, writes nothing.

Who we are comes from the kubeconfig file, as for kubectl, or from the pod's service account.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlflow_gitops.errors import ClusterError, ConfigError, GitOpsError, TransientError
from mlflow_gitops.planning.foreign import one_line

if TYPE_CHECKING:
    from kubernetes.client import CustomObjectsApi

__all__ = ["KubernetesCluster"]

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
SECONDS = (10.0, 30.0)  # to connect, to answer
INSTEAD = (
    "or set `environments.<name>.endpoint.url` in mlflow-gitops.yaml: no cluster is then asked"
)


@dataclass(frozen=True)
class KubernetesCluster:
    """`ports.Cluster`. `kubeconfig` and `context` are "" for the usual file and its own choice."""

    kubeconfig: str = ""
    context: str = ""

    def inference_service(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        where = f"{namespace}/{name}"
        try:
            found = self._api.get_namespaced_custom_object(
                GROUP, VERSION, namespace, PLURAL, name, _request_timeout=SECONDS
            )
        except ApiException as error:
            if _is_missing(error):
                return None
            raise _refused(error, where) from None
        except (HTTPError, OSError, ValueError) as error:
            raise _unreached(error, where) from None
        return found if isinstance(found, Mapping) else None

    @cached_property
    def _api(self) -> CustomObjectsApi:
        from kubernetes.client import ApiClient, Configuration, CustomObjectsApi

        configuration = Configuration()
        self._load(configuration)
        configuration.retries = False
        return CustomObjectsApi(ApiClient(configuration))

    def _load(self, configuration: Any) -> None:
        from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

        try:
            load_kube_config(
                config_file=self.kubeconfig or None,
                context=self.context or None,
                client_configuration=configuration,
            )
        except ConfigException as error:
            if self.context or self.kubeconfig:
                raise _unusable(str(error)) from None
            try:
                load_incluster_config(client_configuration=configuration)
            except ConfigException:
                raise _unusable(str(error)) from None
        except Exception as error:  # whatever a file makes of it; its text may be a secret's
            raise _unusable(f"the kubeconfig file is wrong ({type(error).__name__})") from None


def _is_missing(error: Any) -> bool:
    """The object; a 404 without a Status is an API server that has no InferenceServices at all."""
    return error.status == 404 and _status(error).get("reason") == "NotFound"


def _status(error: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(error.body or "")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _refused(error: Any, where: str) -> GitOpsError:
    status = int(error.status or 0)
    said = one_line(str(_status(error).get("message") or error.reason or ""))
    told = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if status == 404:
        return ClusterError(
            f"the cluster knows no InferenceServices of {GROUP}/{VERSION} ({told})",
            where=where,
            hint=f"install KServe there, choose another MLFLOW_GITOPS_KUBE_CONTEXT, {INSTEAD}",
        )
    if status == 401:
        return ClusterError(
            f"the cluster does not accept the credentials ({told})",
            where=where,
            hint=f"log in again, or choose another MLFLOW_GITOPS_KUBE_CONTEXT; {INSTEAD}",
        )
    if status == 403:
        return ClusterError(
            f"the cluster does not permit it ({told})",
            where=where,
            hint=f"allow `get` on inferenceservices.{GROUP} in the namespace, {INSTEAD}",
        )
    if status == 429 or status >= 500:
        return TransientError(
            f"the cluster cannot answer now ({told})", where=where, hint="ask again later"
        )
    return ClusterError(f"the cluster refuses it ({told})", where=where, hint=INSTEAD)


def _unreached(error: Exception, where: str) -> GitOpsError:
    text = str(error)
    if "certificate" in text.lower() or "ssl" in type(error).__name__.lower():
        return ClusterError(
            "the cluster's certificate is not accepted",
            where=where,
            hint="correct `certificate-authority` in the kubeconfig file",
        )
    return TransientError(
        f"the cluster cannot be reached ({type(error).__name__})",
        where=where,
        hint=f"check `kubectl cluster-info`, {INSTEAD}",
    )


def _unusable(why: str) -> ConfigError:
    return ConfigError(
        f"there is no cluster to ask for the service's URL: {one_line(why)}",
        where="kubeconfig",
        hint=f"set KUBECONFIG, and MLFLOW_GITOPS_KUBE_CONTEXT to one of its contexts, {INSTEAD}",
    )
