"""Which address is asked for a service, and with what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from mlflow_gitops.errors import ClusterError, ConfigError, GitOpsError, RequestError
from mlflow_gitops.predicting import Caller
from mlflow_gitops.state import Reply
from tests.support.memory_session import Parts

MODEL = "fraud-detector"
NAME = f"production/{MODEL}"
BASE = f"models/base/{MODEL}/inference-service.yaml"
ROWS = [{"amount": 1}]
OIP = b'{"outputs": [{"name": "o", "shape": [1], "datatype": "INT64", "data": [7]}]}'
DECLARED = b'{"inputs": [{"name": "amount", "datatype": "FP64"}]}'


@dataclass
class Server:
    """Answers by the URL's end; anything else is a 404."""

    answers: dict[str, Reply]
    asked: list[tuple[str, str, str, Any]] = field(default_factory=list)

    def get(self, url: str, host: str = "") -> Reply:
        return self._ask("GET", url, host, b"null")

    def post(self, url: str, body: bytes, host: str = "") -> Reply:
        return self._ask("POST", url, host, body)

    def _ask(self, method: str, url: str, host: str, body: bytes) -> Reply:
        self.asked.append((method, url, host, json.loads(body)))
        found = (self.answers[end] for end in self.answers if url.endswith(end))
        return next(found, Reply(404, b'{"error": "not here"}'))


@dataclass
class Cluster:
    objects: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def inference_service(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        return self.objects.get(f"{namespace}/{name}")


READY = {"url": "http://live.example.com", "conditions": [{"type": "Ready", "status": "True"}]}


@dataclass
class World:
    parts: Parts = field(default_factory=Parts)
    cluster: Cluster = field(default_factory=Cluster)
    server: Server = field(
        default_factory=lambda: Server(
            {
                "/infer": Reply(200, OIP),
                f"/v2/models/{MODEL}": Reply(200, DECLARED),
                ":predict": Reply(200, b'{"predictions": [7]}'),
                ":explain": Reply(200, b'{"explanations": [8]}'),
                "/invocations": Reply(200, b'{"predictions": [9]}'),
            }
        )
    )

    def __post_init__(self) -> None:
        self.parts.register(MODEL)
        self.parts.registry.transition(MODEL, "1", "Production")
        self.parts.session().reconciler.reconcile(MODEL)
        self.cluster.objects[f"ml-production/{MODEL}"] = {"status": READY}

    def edit(self, path: str, old: str, new: str) -> None:
        text = self.parts.repository.files()[path]
        assert old in text
        self.parts.repository.person_commits({path: text.replace(old, new)})

    def endpoint(self, text: str) -> None:
        self.edit("mlflow-gitops.yaml", "  production:\n", f"  production:\n    endpoint: {text}\n")

    @property
    def caller(self) -> Caller:
        return Caller(self.parts.session().observer, self.server, lambda: self.cluster)

    @property
    def urls(self) -> list[str]:
        return [f"{method} {url}" for method, url, _, _ in self.server.asked]


@pytest.fixture
def world() -> World:
    return World()


def refused(world: World, given: Any = ROWS, name: str = NAME) -> GitOpsError:
    with pytest.raises(GitOpsError) as caught:
        world.caller.predict(name, given)
    assert caught.value.hint
    return caught.value


def test_the_cluster_says_where_and_the_manifest_how(world: World) -> None:
    assert world.caller.predict(NAME, ROWS) == {"predictions": [7]}
    start = f"http://live.example.com/v2/models/{MODEL}"
    assert world.urls == [f"GET {start}", f"POST {start}/infer"]
    (sent,) = world.server.asked[1][3]["inputs"]
    assert (sent["datatype"], sent["data"]) == ("FP64", [1]), "as the server declares it"


def test_the_settings_say_where_and_no_cluster_is_asked(world: World) -> None:
    world.cluster.objects.clear()
    world.endpoint("{url: 'https://in/{namespace}/{service}/', host: '{model}.example.com'}")
    assert world.caller.predict(NAME, ROWS) == {"predictions": [7]}
    assert world.urls[1] == f"POST https://in/ml-production/{MODEL}/v2/models/{MODEL}/infer"
    assert {host for _, _, host, _ in world.server.asked} == {f"{MODEL}.example.com"}


@pytest.mark.parametrize(
    ("protocol", "end", "predictions"),
    [("v1", f"/v1/models/{MODEL}:predict", [7]), ("mlflow", "/invocations", [9])],
)
def test_the_settings_say_what_the_server_speaks(
    world: World, protocol: str, end: str, predictions: list[int]
) -> None:
    world.endpoint(f"{{protocol: {protocol}}}")
    assert world.caller.predict(NAME, ROWS) == {"predictions": predictions}
    assert world.urls == [f"POST http://live.example.com{end}"]


def test_a_whole_request_is_sent_without_a_question(world: World) -> None:
    whole = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1.0]}]}
    world.caller.predict(NAME, whole)
    ((_, _, _, sent),) = world.server.asked
    assert sent == whole


def test_a_server_that_declares_nothing_is_asked_all_the_same(world: World) -> None:
    del world.server.answers[f"/v2/models/{MODEL}"]
    world.caller.predict(NAME, ROWS)
    assert world.server.asked[1][3]["inputs"][0]["datatype"] == "INT64"


def test_bad_input_asks_nobody(world: World) -> None:
    for given in ([{"amount": None}], [], None):
        assert isinstance(refused(world, given), RequestError)
    assert world.server.asked == []


def test_a_refusal_tells_what_is_taken_and_what_was_sent(world: World) -> None:
    world.server.answers["/infer"] = Reply(500, b"Internal Server Error")
    error = refused(world, [{"amuont": 1}])
    assert "it takes amount (FP64); sent were amuont (INT64)" in error.hint


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("staging/fraud-detector", "Git has no service staging/fraud-detector"),
        ("production/fraud-detectr", "Git has no service production/fraud-detectr; did you mean"),
        ("nowhere/fraud-detector", "no environment `nowhere`"),
        ("", "a deployment's name is"),
    ],
)
def test_a_name_that_is_no_service(world: World, name: str, what: str) -> None:
    assert what in str(refused(world, name=name))
    assert world.server.asked == []


def test_an_llm_service_speaks_another_api(world: World) -> None:
    text = (
        "apiVersion: serving.kserve.io/v1alpha1\nkind: LLMInferenceService\n"
        f"metadata: {{name: {MODEL}}}\nspec: {{model: {{uri: 's3://models/a/v1/'}}}}\n"
    )
    folder = "models/overlays/production"
    files = {f"{folder}/kustomization.yaml": "resources: [llm.yaml]\n", f"{folder}/llm.yaml": text}
    world.parts.repository.person_commits(files)
    assert "OpenAI's API" in refused(world).what
    assert world.server.asked == []


def test_a_service_that_the_cluster_does_not_have(world: World) -> None:
    world.cluster.objects.clear()
    assert isinstance(refused(world), ClusterError)


def test_without_a_namespace_nothing_is_guessed(world: World) -> None:
    world.edit("mlflow-gitops.yaml", "    namespace: ml-production\n", "")
    assert refused(world).where.endswith("environments.production.namespace")
    world.endpoint("{url: 'http://{namespace}.example.com'}")
    error = refused(world)
    assert isinstance(error, ConfigError)
    assert error.where.endswith("environments.production.endpoint.url")
    assert world.server.asked == []


def test_an_explanation_needs_an_explainer(world: World) -> None:
    with pytest.raises(RequestError, match="no explainer"):
        world.caller.explain(NAME, ROWS)
    world.edit(BASE, "spec:\n", "spec:\n  explainer: {art: {type: SquareAttack}}\n")
    assert world.caller.explain(NAME, ROWS) == {"explanations": [8]}
    ((_, url, _, sent),) = world.server.asked
    assert url == f"http://live.example.com/v1/models/{MODEL}:explain"
    assert sent == {"instances": [{"amount": [1]}]}
    world.server.answers[":explain"] = Reply(200, b"<html>")
    with pytest.raises(GitOpsError, match="not the JSON of an explainer"):
        world.caller.explain(NAME, ROWS)
