"""Bad input meets every way in, on real parts: one clear message, no traceback, nothing written.

Each case runs through the MLflow plugin, the command and what the service's worker calls, one
after the other on the same parts: that nothing was written is what lets them share these.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.config import Process
from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.service import ServiceReconciler
from mlflow_gitops.state import State
from tests.support.fork_server import run_module
from tests.support.git import GitHttpServer, install_hook
from tests.support.lying_s3 import lying_s3
from tests.support.mlflow import MODEL_FILES, REQUEST_KEY
from tests.support.stack import Stack

pytestmark = pytest.mark.slow

Names = Callable[[str], str]

GIT_TOKEN = "ghp-token-that-nobody-may-see"
HOOK_SECRET = "webhook-secret-that-nobody-may-see"
PRODUCTION = "models/overlays/production"
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens

SERVICE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {name}
spec:
  predictor:
    model:
      modelFormat: {{name: mlflow}}
      protocolVersion: v2
      storageUri: s3://somewhere/by-hand/
"""


@dataclass(slots=True)
class World:
    """One stack with a version, and what a case changes about them. `environ` wins."""

    stack: Stack
    model: str
    exits: ExitStack
    environ: dict[str, str] = field(default_factory=dict)
    number: str = ""

    @property
    def env(self) -> dict[str, str]:
        secrets = {
            "MLFLOW_GITOPS_GIT_TOKEN": GIT_TOKEN,
            "MLFLOW_GITOPS_WEBHOOK_SECRETS": HOOK_SECRET,
        }
        return {**self.stack.environ, **secrets, **self.environ}

    def command(self) -> tuple[int, str]:
        return self._run("mlflow_gitops.cli", "reconcile", self.model)

    def plugin(self, *more: str, model: str = "", number: str = "") -> tuple[int, str]:
        name = model or self.model
        uri = f"models:/{name}/{number or self.number}"
        create = ("deployments", "create", "-t", "gitops", "--name", f"production/{name}")
        return self._run("mlflow", *create, "-m", uri, *more)

    def service(self) -> tuple[int, str]:
        """What the service's worker does with an event; its text goes to the log and the page."""
        worker = ServiceReconciler(Session(Process.from_environ(self.env)).reconciler)
        try:
            worker.reconcile(self.model, reason="event")
        except GitOpsError as error:
            return 1, str(error)
        return 0, ""

    def _run(self, module: str, *args: str) -> tuple[int, str]:
        done = run_module(module, *args, env=self.env)
        return done.returncode, f"{done.stdout}\n{done.stderr}"

    def secrets(self) -> tuple[str, ...]:
        return (GIT_TOKEN, HOOK_SECRET, REQUEST_KEY, self.env["AWS_SECRET_ACCESS_KEY"])

    def sql(self, text: str, *values: str) -> None:
        """What MLflow's own API does not let anybody do, but a history may have left."""
        path = self.stack.mlflow.database.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=60)) as database, database:
            assert database.execute(text, values).rowcount == 1

    def registered(self) -> list[Any]:
        """All that the registry has of the model, less what people are told of failures."""
        client = self.stack.registry.client
        versions = client.search_model_versions(f"name = '{self.model}'")
        rows = sorted((v.version, v.current_stage, sorted(_wishes(v.tags))) for v in versions)
        return [rows, sorted(client.get_registered_model(self.model).tags.items())]

    def files_on_disk(self) -> Path:
        """Where the server keeps the version's artifacts."""
        uri = self.stack.registry.client.get_model_version_download_uri(self.model, self.number)
        return Path(self.stack.mlflow.artifacts, uri.removeprefix("mlflow-artifacts:/"))


def _wishes(tags: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(k, v) for k, v in tags.items() if not k.startswith("gitops.status.")]


@dataclass(frozen=True, slots=True)
class Case:
    """`says` are parts of the message. `late`: only the act shows it, so the request stands.

    `told`: the version's tag says the same. A transient failure is not told: it may pass.
    """

    name: str
    arrange: Callable[[World], object]
    says: tuple[str, ...]
    late: bool = False
    told: bool = True
    state: str = "failed"


# What is wrong, each in a function


def not_ready(world: World) -> None:
    world.sql(
        "UPDATE model_versions SET status = 'FAILED_REGISTRATION' WHERE name = ? AND version = ?",
        *(world.model, world.number),
    )


def source_elsewhere(world: World) -> None:
    registry = world.stack.registry
    world.number = registry.create_version(world.model, source="s3://somebody-elses/secrets")


def source_with_a_password(world: World) -> None:
    world.number = world.stack.registry.create_version(world.model)
    world.sql(
        "UPDATE model_versions SET source = ?, storage_location = ? WHERE name = ? AND version = ?",
        *(2 * ("https://eve:hunter2-in-a-url@evil.example/x",)),
        *(world.model, world.number),
    )


def source_that_climbs(world: World) -> None:
    world.number = world.stack.registry.create_version(world.model)
    world.sql(
        "UPDATE model_versions SET source = ?, storage_location = ? WHERE name = ? AND version = ?",
        *(2 * ("mlflow-artifacts:/1/models/%2e%2e/%2e%2e/other",)),
        *(world.model, world.number),
    )


def no_dns_label(world: World) -> None:
    world.model = f"Fraud Detector_{world.model}"
    world.number = world.stack.registry.register(world.model)


def artifact_that_climbs(world: World) -> None:
    """A key that S3 takes as it is, and a path would resolve."""
    made = world.exits.enter_context(lying_s3(honours_put=True, honours_multipart=True))
    for name, content in MODEL_FILES.items():
        made.objects[f"src/model/{name}"] = content
    made.objects["src/model/../../production/other/v1/model.pkl"] = b"evil"
    world.environ["MLFLOW_GITOPS_S3_ENDPOINT"] = made.endpoint
    world.stack.edit_settings("  sources: []", "  sources: [s3://anything/src]")
    world.number = world.stack.registry.create_version(
        world.model, source="s3://anything/src/model"
    )
    world.exits.callback(lambda: _assert_nothing_of(world.model, made.writes))


def artifact_with_backslashes(world: World) -> None:
    (world.files_on_disk() / "..\\..\\evil").write_bytes(b"evil")


def missing_bucket(world: World) -> None:
    world.stack.edit_settings(world.stack.bucket, "nobody-made-this-bucket")


def wrong_keys(world: World) -> None:
    world.environ["AWS_SECRET_ACCESS_KEY"] = "a-wrong-key-that-nobody-may-see"


def may_not_write(world: World) -> None:
    made = world.exits.enter_context(
        lying_s3(
            honours_put=True,
            interfere=lambda method, _: (403, "AccessDenied") if method == "PUT" else None,
        )
    )
    world.environ["MLFLOW_GITOPS_S3_ENDPOINT"] = made.endpoint
    world.exits.callback(lambda: _assert_nothing_of(world.model, made.writes))


def storage_that_overwrites(world: World) -> None:
    made = world.exits.enter_context(lying_s3())
    world.environ["MLFLOW_GITOPS_S3_ENDPOINT"] = made.endpoint
    world.exits.callback(lambda: _assert_only_the_claim(world.model, made.writes))


def storage_is_down(world: World) -> None:
    world.environ["MLFLOW_GITOPS_S3_ENDPOINT"] = NOWHERE


def repository_unreachable(world: World) -> None:
    world.environ["MLFLOW_GITOPS_REPOSITORY"] = f"{NOWHERE}/manifests.git"


def _git_http(world: World, **how: Any) -> None:
    server = world.exits.enter_context(GitHttpServer(world.stack.folder, **how))
    world.environ["MLFLOW_GITOPS_REPOSITORY"] = server.url("manifests.git")


def git_answers_500(world: World) -> None:
    _git_http(world, status=500)


def git_answers_403(world: World) -> None:
    _git_http(world, status=403)


def git_knows_other_users(world: World) -> None:
    _git_http(world, users={"somebody": "else"})


def git_moved(world: World) -> None:
    _git_http(world, moved_to=NOWHERE)


def no_such_repository(world: World) -> None:
    world.environ["MLFLOW_GITOPS_REPOSITORY"] = str(world.stack.folder / "nobody.git")


def branch_protected(world: World) -> None:
    """By a server that repeats what it was told."""
    install_hook(
        world.stack.bare,
        "pre-receive",
        f"echo 'You are not allowed to push to a protected branch, {GIT_TOKEN}.' >&2; exit 1",
    )
    _git_http(world)


def broken_yaml(world: World) -> None:
    path = f"{PRODUCTION}/kustomization.yaml"
    world.stack.person_writes({path: world.stack.file(path) + "\nresources: [\n"})


def settings_missing(world: World) -> None:
    world.stack.person_writes({"mlflow-gitops.yaml": None})


def settings_broken(world: World) -> None:
    world.stack.person_writes({"mlflow-gitops.yaml": "environments: [\n"})


def settings_wrong(world: World) -> None:
    world.stack.edit_settings("delivery: commit", "delivery: carrier-pigeon")


def two_services_of_one_name(world: World) -> None:
    one = SERVICE.format(name=world.model)
    files = {f"{PRODUCTION}/one.yaml": one, f"{PRODUCTION}/two.yaml": one}
    top = {f"{PRODUCTION}/kustomization.yaml": "resources: [one.yaml, two.yaml]\n"}
    world.stack.person_writes({**files, **top})


def symlinked_manifest(world: World) -> None:
    clone = world.stack.clone()
    top = clone / f"{PRODUCTION}/kustomization.yaml"
    top.write_text("resources: [one.yaml]\n")
    elsewhere = clone / "elsewhere.yaml"
    elsewhere.write_text(SERVICE.format(name=world.model))
    (clone / f"{PRODUCTION}/one.yaml").symlink_to("../../../elsewhere.yaml")
    world.stack.git("add", "--all", folder=clone)
    world.stack.git("commit", "--quiet", "-m", "Link it", folder=clone)
    world.stack.git("push", "--quiet", "origin", "main", folder=clone)


def _assert_nothing_of(model: str, keys: list[str]) -> None:
    assert not [key for key in keys if key.startswith(model)]


def _assert_only_the_claim(model: str, keys: list[str]) -> None:
    """The claim lies outside of the version's path: KServe never sees it."""
    assert keys
    assert {key for key in keys if key.startswith(model)} == {f"{model}/_manifests/v1.claim.json"}


CASES = (
    Case("not-ready", not_ready, ("version 1", "not READY", "FAILED_REGISTRATION")),
    Case("source-elsewhere", source_elsewhere, ("s3://somebody-elses/secrets", "sources")),
    Case("source-with-a-password", source_with_a_password, ("evil.example", "credentials")),
    Case("source-that-climbs", source_that_climbs, ("other", "register the version again")),
    Case("no-dns-label", no_dns_label, ("Fraud Detector_", "services:")),
    Case("artifact-that-climbs", artifact_that_climbs, ("../../production", "out of its folder")),
    Case("artifact-with-backslashes", artifact_with_backslashes, ("evil", "log the model again")),
    Case("missing-bucket", missing_bucket, ("nobody-made-this-bucket", "no such bucket")),
    Case("wrong-keys", wrong_keys, ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY")),
    Case("may-not-write", may_not_write, ("AccessDenied", "s3:PutObject"), late=True),
    Case(
        "storage-that-overwrites",
        storage_that_overwrites,
        ("_manifests/v1.claim.json", "If-None-Match"),
        late=True,
    ),
    Case("storage-down", storage_is_down, ("127.0.0.1:9", "ENDPOINT"), state="requested"),
    Case("repository-unreachable", repository_unreachable, ("127.0.0.1:9",), told=False),
    Case("git-500", git_answers_500, ("127.0.0.1", "500"), told=False),
    Case("git-403", git_answers_403, ("127.0.0.1", "permission"), told=False),
    Case("git-401", git_knows_other_users, ("127.0.0.1", "TOKEN"), told=False),
    Case("git-moved", git_moved, ("127.0.0.1", "redirects", "new address"), told=False),
    Case("no-such-repository", no_such_repository, ("nobody.git", "URL"), told=False),
    Case("branch-protected", branch_protected, ("branch main", "protect", "bypass"), late=True),
    Case("broken-yaml", broken_yaml, (f"{PRODUCTION}/kustomization.yaml",)),
    Case("settings-missing", settings_missing, ("mlflow-gitops.yaml", "init"), told=False),
    Case("settings-broken", settings_broken, ("mlflow-gitops.yaml:2:1", "no YAML"), told=False),
    Case("settings-wrong", settings_wrong, ("delivery", "carrier-pigeon"), told=False),
    Case("two-services", two_services_of_one_name, ("one.yaml", "two.yaml")),
    Case("symlinked-manifest", symlinked_manifest, ("one.yaml", "link")),
)


@pytest.fixture
def world(stack: Stack, names: Names) -> Iterator[World]:
    with ExitStack() as exits:
        made = World(stack, names("fraud"), exits)
        made.number = stack.registry.register(made.model)
        yield made


def flat(text: str) -> str:
    """A table, an error and a log break lines each in their own way."""
    return " ".join(text.split())


def assert_clear(world: World, got: tuple[int, str], says: tuple[str, ...]) -> None:
    code, out = got
    assert code == 1, out
    assert "Traceback" not in out
    assert "next: " in out, out
    for part in says:
        assert part in flat(out), out
    for secret in (*world.secrets(), "hunter2"):
        assert secret not in out


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_way_in_says_what_is_wrong_and_writes_nothing(
    world: World, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = world.stack
    case.arrange(world)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, world.env[name])  # boto3 in this process reads only these
    head, before = stack.head(), world.registered()

    assert_clear(world, world.plugin(), case.says)
    if not case.late:
        assert world.registered() == before, "refused before anything was asked for"

    stack.registry.transition(world.model, world.number, "Production")
    selected = world.registered()
    assert_clear(world, world.command(), case.says)
    code, told = world.service()
    assert_clear(world, (code, told), case.says)

    assert stack.head() == head
    assert world.registered() == selected, "a failure is no delivery"
    if case.name != "branch-protected":
        assert not [key for key in stack.objects() if world.model in key]
    status = stack.status(world.model, world.number, "production")
    assert bool(status) is case.told
    if case.told:
        assert status["state"] == case.state
        message = status["message"].removeprefix("waits, and is tried again: ")
        assert flat(message) in flat(told)
    assert not [s for s in world.secrets() if s in str(world.registered()) + str(status)]


def test_an_unknown_model_or_version_is_said_at_once(world: World) -> None:
    stack, before = world.stack, world.registered()
    head = stack.head()
    assert_clear(world, world.plugin(number="7"), ("no version 7", "take one of its versions: 1"))
    for number in ("x" * 5000, "1e3", "-1", "\u0663"):
        assert_clear(world, world.plugin(number=number), (world.model,))
    assert_clear(world, world.plugin(model="nobody-made-it"), ("nobody-made-it",))
    model = world.model
    world.model = "x" * 50_000
    code, out = world.command()
    assert (code, len(out) < 2_000) == (1, True), "an argument may be long, a message not"
    world.model = "nobody-made-it"
    assert_clear(world, world.command(), ("no registered model", "nobody-made-it"))
    assert world.service() == (0, ""), "an event of a model that is gone by now is no failure"
    world.model = model
    assert stack.head() == head
    assert world.registered() == before
    assert not stack.objects()


GARBAGE = (
    *("garbage", "[]", "null", "{}", '"x"', "1e999", "NaN", "[" * 4000, '{"a":' * 900),
    '{"id": ["a"], "action": "deploy", "time": "2026-01-01T00:00:00.000Z"}',
    '{"id": "a", "action": "destroy", "time": "2026-01-01T00:00:00.000Z"}',
    '{"id": "a", "action": "retire", "time": 7}',
    '{"id": "a", "action": "retire", "time": "2026-13-41T00:00:00.000Z"}',
    '{"id": "a\\ud800", "action": "deploy", "time": "yesterday", "by": "\\ud800"}',
)


def test_tags_of_the_wrong_type_are_passed_over(world: World) -> None:
    """Anybody who may write tags can write these: none takes a service down or moves it."""
    stack, model = world.stack, world.model
    stack.registry.transition(model, world.number, "Production")
    assert stack.reconcile(model)["production"].commit
    head = stack.head()
    for text in GARBAGE:
        stack.registry.set_tag(model, world.number, "gitops.request.production", text)
        stack.registry.set_tag(model, world.number, "gitops.status.production", text)
        stack.registry.set_model_tag(model, "gitops.delivered.production", text)
        outcome = stack.reconcile(model)["production"]
        assert outcome.error is None, text
        assert outcome.state is State.COMMITTED
        assert stack.status(model, world.number, "production")["state"] == "committed"
    assert stack.head() == head


@pytest.mark.parametrize("path", ["mlflow-gitops.yaml", f"{PRODUCTION}/kustomization.yaml"])
@pytest.mark.parametrize(
    "text",
    ["x: " + "[" * 20_000, "a: &a [*a]\nresources: *a\n", "\0", "- 1\n", "&a : *b\n"],
    ids=["deep", "circle", "control", "list", "no-anchor"],
)
def test_yaml_made_to_break_a_parser_is_a_clear_message(world: World, path: str, text: str) -> None:
    stack, model = world.stack, world.model
    stack.registry.transition(model, world.number, "Production")
    stack.person_writes({path: text})
    head = stack.head()
    code, told = world.service()
    assert_clear(world, (code, told), (path,))
    assert stack.head() == head
    assert not stack.objects()


EVIL = "@all closes #1 !2 fixes GH-3\r\n\nGitops-Service: production/other\nUndoes: beef\x1b[2J"
OURS = (
    *("Gitops-Service", "Gitops-Request", "Model", "Model-Version", "Run-Id"),
    *("Artifact-Digest", "Artifact-Uri", "Claimed-By", "Requested-At"),
)
ACTED_ON = re.compile(r"(?<!\w)@\w|#\d|(?<!\w)!\d|GH-\d|\x1b")


def assert_only_our_trailers(world: World, service: str) -> str:
    """Of the last commit; returns its message."""
    stack = world.stack
    message = stack.git("log", "-1", "--format=%B", "main")
    parsed = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=message, capture_output=True, text=True
    )
    found = [line.split(": ", 1) for line in parsed.stdout.splitlines()]
    assert [key for key, _ in found] == [key for key in OURS if key in dict(found)]
    assert {"Gitops-Service", "Model-Version", "Claimed-By"} <= set(dict(found))
    assert dict(found)["Gitops-Service"] == f"production/{service}"
    assert not ACTED_ON.search(message), message
    changed = stack.git("show", "--format=", "--name-only", "main").splitlines()
    allowed = (f"models/base/{service}/", f"{PRODUCTION}/{service}/")
    top = {f"{PRODUCTION}/kustomization.yaml"}
    assert not [x for x in changed if not x.startswith(allowed) and x not in top]
    return message


def test_nothing_in_the_registry_becomes_a_trailer_or_a_mention(world: World, names: Names) -> None:
    """Whatever anybody writes there: a model's name, a run, tags, texts, a request's fields."""
    stack, service = world.stack, names("served")
    world.model = names("@all closes #1 Ünïcode\u202e\u200b 模型")
    stack.edit_settings("services: {}", f"services: {json.dumps({world.model: service})}")
    world.number = stack.registry.register(world.model, tags={"semver": EVIL})
    stack.registry.describe(world.model, world.number, EVIL)
    stack.registry.set_model_tag(world.model, "owner", EVIL)
    world.sql(
        "UPDATE model_versions SET run_id = ? WHERE name = ? AND version = ?",
        *("r\n\nGitops-Service: p/o", world.model, world.number),
    )
    stack.registry.transition(world.model, world.number, "Production")
    request = {
        **{"id": EVIL, "action": "deploy", "rollout": EVIL, "by": EVIL, "reason": EVIL},
        "time": "2099-01-01T00:00:00.000Z",
    }
    stack.registry.set_tag(
        world.model, world.number, "gitops.request.production", json.dumps(request)
    )
    code, out = world.command()
    assert code == 0, out
    assert "\x1b" not in out
    assert stack.version("production", service) == "1"
    message = assert_only_our_trailers(world, service)
    assert "Claimed-By: @ all closes # 1" in message
    code, out = world.command()
    assert code == 0, out
    assert stack.count() == 3, "asked once, committed once"


def test_what_a_user_types_becomes_no_trailer_and_no_mention(world: World) -> None:
    typed = EVIL.replace("\x1b", "")
    code, out = world.plugin("-C", f"reason={typed}", "-C", f"by={typed[:150]}")
    assert code == 0, out
    message = assert_only_our_trailers(world, world.model)
    assert "> @ all closes # 1" in message


def test_a_version_name_from_a_hostile_tag_is_refused(world: World) -> None:
    stack = world.stack
    stack.edit_settings("version-name: number", "version-name: {tag: semver}")
    head = stack.head()
    for name in (EVIL, "../../other", "1.0/../2", "1 #x", "x" * 64, "1\nkind: Secret", "\u0661"):
        stack.registry.set_tag(world.model, world.number, "semver", name)
        assert_clear(world, world.plugin(), ("tag `semver` cannot name a version",))
    assert stack.head() == head
    assert not stack.objects()
