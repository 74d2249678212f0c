"""Asking a live service for predictions or explanations, by its deployment's name.

Git says what its server speaks, the settings or the cluster where it is. Writes nothing anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mlflow_gitops.errors import ConfigError, PredictionError, RequestError
from mlflow_gitops.observe import Observer
from mlflow_gitops.planning.foreign import one_line
from mlflow_gitops.planning.inference import (
    EXPLAIN,
    PATHS,
    Encoded,
    declared_inputs,
    decode,
    encode,
    fitted,
    metadata_path,
    parsed,
    prepare,
    protocol_of,
)
from mlflow_gitops.planning.inference_errors import refused
from mlflow_gitops.planning.live import service_url
from mlflow_gitops.planning.tensors import Inputs
from mlflow_gitops.ports import Cluster, Scorer
from mlflow_gitops.state import Environment, Predictor, Reply, Settings
from mlflow_gitops.wish import locate, no_service

__all__ = ["Caller"]

SETTINGS_FILE = "mlflow-gitops.yaml"


@dataclass(frozen=True, slots=True)
class _Service:
    """One service and where it is asked: `url` is the base, `host` a Host header or ""."""

    name: str
    url: str
    host: str
    protocol: str
    model_format: str = ""

    def at(self, path: str) -> str:
        return self.url + path.format(name=quote(self.name, safe=""))


@dataclass(frozen=True, slots=True)
class Caller:
    """`cluster` is made when the settings name no URL. Every method raises GitOpsError."""

    observer: Observer
    scorer: Scorer
    cluster: Callable[[], Cluster]

    def predict(self, name: str, given: Any) -> dict[str, Any]:
        """`predictions`, and what the server said beside them.

        `given` is a DataFrame, an array, a list, a dict of columns or tensors, or a dict that is
        a whole request of the service's protocol, which is sent as it is.
        """
        environment, model, settings = self._locate(name)
        protocol, predictor = self._protocol(environment, model, settings)
        inputs = prepare(protocol, given)
        encode(protocol, inputs, predictor.model_format)  # bad input asks nobody
        service = self._service(environment, model, settings, protocol, predictor)
        taken = ""
        if protocol == "v2" and isinstance(inputs, Inputs):
            declared = self._declared(service)
            inputs, taken = fitted(inputs, declared), _compared(inputs, declared)
        where, answer = self._ask(service, PATHS[protocol], inputs, taken)
        return decode(protocol, answer, where)

    def explain(self, name: str, given: Any) -> dict[str, Any]:
        """What the service's explainer answers over V1, as it is."""
        environment, model, settings = self._locate(name)
        self._check_explainer(environment, model, settings)
        inputs = prepare("v1", given)
        encode("v1", inputs)
        service = self._service(environment, model, settings, "v1", Predictor(""))
        where, answer = self._ask(service, EXPLAIN, inputs, "")
        found = parsed(answer.body)
        if not isinstance(found, dict):
            raise PredictionError(
                "the answer is not the JSON of an explainer",
                where=where,
                hint="look whether this address is the service's",
            )
        return found

    def _locate(self, name: str) -> tuple[Environment, str, Settings]:
        self.observer.repository.fetch()
        settings = self.observer.settings()
        environment, model = locate(name, settings)
        return environment, model, settings

    def _protocol(
        self, environment: Environment, model: str, settings: Settings
    ) -> tuple[str, Predictor]:
        """The settings win, and need no manifest that can be read: a server of one's own."""
        if environment.endpoint.protocol:
            return environment.endpoint.protocol, Predictor("")
        predictor = self._predictor(environment, model, settings)
        if not predictor.model_format and not predictor.runtime:
            raise RequestError(
                "the manifest does not say what the service's server speaks",
                where=f"{environment.name}/{model}",
                hint=f"set `environments.{environment.name}.endpoint.protocol` in "
                f"{SETTINGS_FILE} to v1, v2 or mlflow",
            )
        if predictor.key == "llm":
            raise RequestError(
                "an LLMInferenceService answers to OpenAI's API, which is not spoken here",
                where=f"{environment.name}/{model}",
                hint="ask its `status.url` with a client of that API",
            )
        return protocol_of(predictor), predictor

    def _predictor(self, environment: Environment, model: str, settings: Settings) -> Predictor:
        _, manifests = self.observer.manifests(environment, settings)
        service = settings.service(model, environment)
        predictor = manifests.predictor(environment.name, service)
        if predictor is None:
            names = [f"{environment.name}/{name}" for name in manifests.services(environment.name)]
            where = f"{self.observer.repository.identity}: {environment.path}"
            raise no_service(f"{environment.name}/{service}", names, where)
        return predictor

    def _check_explainer(self, environment: Environment, model: str, settings: Settings) -> None:
        self._predictor(environment, model, settings)
        _, manifests = self.observer.manifests(environment, settings)
        service = settings.service(model, environment)
        if not manifests.has_explainer(environment.name, service):
            raise RequestError(
                "the service has no explainer",
                where=f"{environment.name}/{service}",
                hint="add `spec.explainer` to its InferenceService; `predict` works without",
            )

    def _service(
        self,
        environment: Environment,
        model: str,
        settings: Settings,
        protocol: str,
        predictor: Predictor,
    ) -> _Service:
        name, endpoint = settings.service(model, environment), environment.endpoint
        if endpoint.url:
            url = _filled(endpoint.url, environment, name, quote(model, safe=""), "url")
        else:
            namespace = _namespace(environment)
            found = self.cluster().inference_service(namespace, name)
            url = service_url(found, namespace, name)
        host = _filled(endpoint.host, environment, name, model, "host")
        return _Service(name, url, host, protocol, predictor.model_format)

    def _declared(self, service: _Service) -> dict[str, str]:
        """A server that says nothing of its inputs is asked all the same."""
        answer = self.scorer.get(service.url + metadata_path(service.name), service.host)
        return dict(declared_inputs(answer))

    def _ask(
        self, service: _Service, path: str, inputs: Inputs | Encoded, taken: str
    ) -> tuple[str, Reply]:
        where = service.at(path)
        body = encode(service.protocol, inputs, service.model_format)
        answer = self.scorer.post(where, body, service.host)
        if answer.status != 200:
            raise refused(answer, where, service.name, taken)
        return where, answer


def _filled(template: str, environment: Environment, service: str, model: str, key: str) -> str:
    if "{namespace}" in template and not environment.namespace:
        raise ConfigError(
            "the template names {namespace}, and the environment has none",
            where=f"{SETTINGS_FILE}: environments.{environment.name}.endpoint.{key}",
            hint=f"add `namespace` to environments.{environment.name}",
        )
    values = {"service": service, "model": model, "namespace": environment.namespace}
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def _namespace(environment: Environment) -> str:
    if environment.namespace:
        return environment.namespace
    raise ConfigError(
        "the settings do not say in which namespace the environment's services run",
        where=f"{SETTINGS_FILE}: environments.{environment.name}.namespace",
        hint="add it, or set `endpoint.url` of the environment: no cluster is then asked",
    )


def _compared(inputs: Inputs, declared: dict[str, str]) -> str:
    """What the server takes and what is sent, where its own words may be few."""
    if not declared:
        return ""
    takes = ", ".join(f"{name} ({kind})" for name, kind in declared.items())
    sent = ", ".join(f"{t.name or 'an array'} ({t.datatype})" for t in inputs.tensors)
    return f"it takes {one_line(takes)}; sent were {one_line(sent)}"
