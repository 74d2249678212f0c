"""`run-local`: what people may ask for, before anything is downloaded or started."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlflow_gitops.errors import GitOpsError, RequestError
from mlflow_gitops.planning.naming import publication_of
from mlflow_gitops.running import LocalOptions, Runner, parse_local_options
from mlflow_gitops.state import ServiceSpec
from tests.support.memory_session import Parts

MODEL = "fraud-detector"
NAME = f"production/{MODEL}"


def test_options() -> None:
    assert parse_local_options(None) == LocalOptions("127.0.0.1", 5001, "local")
    given = {"port": "0", "host": "::1", "env_manager": "conda"}
    assert parse_local_options(given) == LocalOptions("::1", 0, "conda")


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"prot": "1"}, "no option `prot`; did you mean `port`"),
        ({"port": "many"}, "this is no port"),
        ({"port": "65536"}, "this is no port"),
        ({"port": "-1"}, "this is no port"),
        ({"port": "9" * 5000}, "this is no port"),
        ({"env-manager": "docker"}, "no way `docker`"),
    ],
)
def test_wrong_options(given: dict[str, Any], what: str) -> None:
    with pytest.raises(RequestError, match=what) as caught:
        parse_local_options(given)
    assert caught.value.hint


def run(parts: Parts, name: str = NAME, uri: str = f"models:/{MODEL}/1", flavor: str = "") -> str:
    session = parts.session()
    runner = Runner(session.observer, session.store, print)
    with pytest.raises(GitOpsError) as caught:
        runner.run(name, uri, flavor, LocalOptions(port=0))
    return str(caught.value)


def test_what_cannot_be_served_is_told_before_a_server_starts() -> None:
    parts = Parts()
    parts.register(MODEL)
    assert "there is no version 9" in run(parts, uri=f"models:/{MODEL}/9")
    assert "the name says `other`" in run(parts, name="production/other")
    assert "is not published" in run(parts)
    assert "mlflow deployments create -t gitops" in run(parts)
    parts.registry.transition(MODEL, "1", "Production")
    parts.session().reconciler.reconcile(MODEL)
    assert "the version has no flavor `xgboost`" in run(parts, flavor="xgboost")


def test_what_is_laid_out_for_another_server_is_told_so() -> None:
    parts = Parts()
    parts.register(MODEL)
    version = parts.registry.snapshot(MODEL).versions[0]
    spec = ServiceSpec(f"s3://models/{MODEL}/v1-select/", "1")
    asked = publication_of(version, spec, version.source)
    parts.store.publish(replace(asked, paths={"model.pkl": "model.pkl"}))
    told = run(parts)
    assert "published for another server, in the layout select" in told
    assert f"mlflow models serve -m models:/{MODEL}/1" in told
