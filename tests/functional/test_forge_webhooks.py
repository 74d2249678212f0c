"""POST /webhooks/forge over the Flask app and the real queue, with a canned reconciler."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from mlflow_gitops import ConfigError
from tests.support.reconcilers import OneByOne
from tests.unit.webhook import forges
from webhook.app import create_app
from webhook.policy import Outcome
from webhook.queue import Queue

SIGNED = (forges.SECRET, forges.SIGNING_TOKEN)


class Canned(OneByOne):
    """Knows one repository, one branch of a model's, and which files are whose."""

    blocked: Mapping[str, str] = {}
    broken = False

    def reconcile(self, model: str, *, reason: str) -> float | None:
        raise AssertionError("nothing works in this test")

    def resync(self) -> Iterable[str]:
        return ()

    def ready(self) -> Mapping[str, str]:
        return {}

    def is_own(self, urls: Collection[str]) -> bool:
        return bool(urls) and all("ml/" in url.lower() and "manifests" in url for url in urls)

    def model_of(self, branch: str) -> str | None:
        if self.broken:
            raise ConfigError("the settings are wrong", hint="correct them")
        return "Fraud Model" if branch == forges.BRANCH else None

    def proposed(self, base: str) -> Collection[str]:
        return ("Fraud Model", "churn") if base == "main" else ()

    def touched(self, branch: str, paths: Collection[str]) -> Collection[str]:
        return {path.split("/")[1] for path in paths} if branch == "main" else ()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(tmp_path / "queue.db")
    yield made
    made.close()


@pytest.fixture
def canned() -> Canned:
    return Canned()


@pytest.fixture
def client(queue: Queue, canned: Canned) -> FlaskClient:
    return client_of(queue, canned, SIGNED)


def client_of(
    queue: Queue, canned: Canned, secrets: tuple[str, ...], *, unsigned: bool = False
) -> FlaskClient:
    app = create_app(
        queue=queue,
        secrets=["of MLflow"],
        forge_secrets=secrets,
        reconciler=canned,
        clock=lambda: float(forges.NOW),
        max_body=8192,
        allow_unsigned=unsigned,
    )
    return app.test_client()


def send(client: FlaskClient, sent: tuple[Mapping[str, str], bytes]) -> TestResponse:
    headers, body = sent
    return client.post("/webhooks/forge", headers=dict(headers), data=body)


DELIVERIES = {
    "github": forges.github("pull_request", forges.pull_request()),
    "gitlab": forges.gitlab("Merge Request Hook", forges.merge_request()),
    "gitlab-signed": forges.gitlab_signed("Merge Request Hook", forges.merge_request()),
    "gitlab-pipeline": forges.gitlab("Pipeline Hook", forges.pipeline()),
    "gitea": forges.gitea("pull_request", forges.pull_request()),
    "forgejo": forges.gitea("pull_request", forges.pull_request(), name="forgejo"),
    "bitbucket-cloud": forges.bitbucket("pullrequest:fulfilled", forges.cloud_pull()),
    "bitbucket-data-center": forges.bitbucket("pr:merged", forges.server_pull()),
    "azure": forges.azure(forges.azure_pull()),
}


@pytest.mark.parametrize("forge", DELIVERIES)
def test_a_pull_requests_model_is_looked_at_at_once(
    forge: str, client: FlaskClient, queue: Queue
) -> None:
    queue.mark("Fraud Model", "resync")
    lease = queue.claim()
    assert lease
    queue.settle(lease, Outcome("waiting", 3600.0))
    assert queue.claim() is None
    answer = send(client, DELIVERIES[forge])
    assert (answer.status_code, answer.get_json()["status"]) == (202, "queued")
    taken = queue.claim()
    assert taken
    assert (taken.key, taken.reason) == ("Fraud Model", "event")
    again = send(client, DELIVERIES[forge])
    told = "queued" if forge == "azure" else "duplicate"  # whose deliveries have no id
    assert (again.status_code, again.get_json()["status"]) == (202, told)


@pytest.mark.parametrize("forge", DELIVERIES)
def test_what_nobody_signed_is_refused_and_leaves_nothing(
    forge: str, queue: Queue, canned: Canned
) -> None:
    for secrets in ((), ("another",)):
        answer = send(client_of(queue, canned, secrets), DELIVERIES[forge])
        assert answer.status_code == 401
        assert answer.get_json()["next"]
    assert queue.snapshot() == ()
    unsigned = client_of(queue, canned, (), unsigned=True)
    assert send(unsigned, DELIVERIES[forge]).get_json()["status"] == "queued"


def test_a_push_marks_what_it_touched_and_the_queue_knows(
    client: FlaskClient, queue: Queue
) -> None:
    queue.mark("fraud", "resync")
    answer = send(client, forges.github("push", forges.push()))
    assert answer.get_json() == {
        "status": "queued",
        "models": ["fraud"],
        "reason": "push to main",
    }
    assert [row.key for row in queue.snapshot()] == ["fraud"]


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (forges.github("push", forges.push("refs/heads/other")), "tells of no model"),
        (
            forges.github("pull_request", forges.pull_request(repository={"id": 7})),
            "another repository",
        ),
        (forges.gitlab("Note Hook", {}), "not an event"),
    ],
)
def test_what_concerns_nobody_is_ignored_with_the_reason(
    client: FlaskClient, queue: Queue, sent: tuple[Mapping[str, str], bytes], why: str
) -> None:
    answer = send(client, sent)
    assert (answer.status_code, answer.get_json()["status"]) == (202, "ignored")
    assert why in answer.get_json()["why"]
    assert queue.snapshot() == ()


def test_settings_that_are_wrong_are_no_fault_of_the_forge(
    client: FlaskClient, canned: Canned
) -> None:
    canned.broken = True
    answer = send(client, DELIVERIES["github"])
    assert (answer.status_code, answer.get_json()["status"]) == (202, "ignored")
    assert "the settings are wrong" in answer.get_json()["why"]


def test_a_merge_queue_asks_for_every_open_pull_request(client: FlaskClient, queue: Queue) -> None:
    sent = forges.github("merge_group", forges.merge_group())
    answer = send(client, sent)
    assert (answer.status_code, answer.get_json()) == (
        202,
        {
            "status": "queued",
            "models": ["Fraud Model", "churn"],
            "reason": "merge_group checks_requested on main",
        },
    )
    assert {row.key for row in queue.snapshot()} == {"Fraud Model", "churn"}
    assert send(client, sent).get_json()["status"] == "duplicate"


def test_a_merge_queue_that_ends_asks_for_nothing(client: FlaskClient, queue: Queue) -> None:
    for data in (
        forges.merge_group("destroyed"),
        forges.merge_group() | {"repository": {"clone_url": "https://git.example.com/x/y"}},
    ):
        assert send(client, forges.github("merge_group", data)).get_json()["status"] == "ignored"
    assert queue.snapshot() == ()


def test_a_ping_is_answered(client: FlaskClient) -> None:
    answer = send(client, forges.github("ping", {"zen": "x", "hook_id": 1}))
    assert (answer.status_code, answer.get_json()) == (200, {"status": "pong"})


def test_a_form_is_told_which_setting_to_change(client: FlaskClient) -> None:
    body = b"payload=%7B%7D"
    headers, _ = forges.github("ping", {})
    form = {
        **headers,
        "content-type": "application/x-www-form-urlencoded",
        "x-hub-signature-256": f"sha256={forges.digest(body)}",
    }
    answer = send(client, (form, body))
    assert answer.status_code == 400
    assert "application/json" in answer.get_json()["next"]


def test_bodies_that_are_too_large_or_no_json_are_refused(client: FlaskClient) -> None:
    assert send(client, forges.github("push", "x" * 10_000)).status_code == 413
    assert send(client, forges.github("push", "no object")).status_code == 400
    assert send(client, ({"content-type": "application/json"}, b"{}")).status_code == 400
