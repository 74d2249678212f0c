"""The script that `init` writes for CI, run by bash against recorded answers of Argo CD 3.5.1."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlflow_gitops.manifests import InitOptions, scaffold_repository
from tests.support.in_thread import in_thread
from tests.support.kubectl import require, write_tree

Answer = dict[str, Any]

OPTIONS = InitOptions(
    bucket="prod-ml-models", repository_url="https://git.example.com/ml/manifests.git"
)
SCRIPT = ".github/argocd-refresh.sh"
AUTOMATED = {"automated": {"prune": True, "selfHeal": True}}
REFUSED = (
    "one or more objects failed to apply, reason: error when patching "
    '"/dev/shm/3226801872": admission webhook "inferenceservice.kserve-webhook-server.validator" '
    "denied the request: 'MinReplicas' cannot be greater than MaxReplicas."
)
UNBUILT = (
    "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = "
    "Unknown desc = Manifest generation error (cached): `kustomize build <path to cached source>/"
    "states/kustomize-error` failed exit status 1:\nError: accumulating resources"
)
SHARED = (
    "Shared resource found: InferenceService/fraud-detector is part of applications "
    "argocd/models-staging and fraud-detector-staging. Retrying attempt #2 at 8:01PM."
)


@dataclass
class ArgoCD:
    """Plays its answers in order, and the last one again and again."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)
    status: int = 200

    def next_answer(self) -> bytes:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return json.dumps(answer).encode()


@pytest.fixture
def argocd() -> Iterator[ArgoCD]:
    played = ArgoCD()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = self.headers
            said = headers["Authorization"], headers["Content-Type"]
            played.asked.append((self.command, self.path, *said))
            body = played.next_answer()
            self.send_response(played.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that the library looks for

        def log_message(self, *args: object) -> None:
            """Quiet."""

    with in_thread(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        played.url = url
        yield played


def git(folder: Path, *args: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    done = subprocess.run(
        ["git", *identity, *args], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The repository that `init` writes, with three commits, and the newest one not fetched yet."""
    remote, folder = tmp_path / "remote.git", tmp_path / "clone"
    write_tree(folder, scaffold_repository(OPTIONS))
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "remote", "add", "origin", str(remote))
    git(folder, "add", "--all")
    for message in ("older", "ours", "newer"):
        git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    git(folder, "push", "--quiet", "origin", "main")
    newer = git(folder, "rev-parse", "main")
    git(folder, "reset", "--quiet", "--hard", "HEAD~1")
    git(folder, "reflog", "expire", "--expire=now", "--all")
    git(folder, "update-ref", "-d", "refs/remotes/origin/main")
    git(folder, "gc", "--quiet", "--prune=now")
    assert subprocess.run(["git", "cat-file", "-e", newer], cwd=folder).returncode != 0
    return folder


@dataclass(frozen=True)
class Commits:
    older: str
    ours: str
    newer: str


@pytest.fixture
def commits(clone: Path) -> Commits:
    newer = git(clone, "ls-remote", "origin", "refs/heads/main").split()[0]
    return Commits(git(clone, "rev-parse", "HEAD~1"), git(clone, "rev-parse", "HEAD"), newer)


def application(
    revision: str,
    status: str,
    phase: str = "Succeeded",
    applied: str = "",
    *,
    message: str = "successfully synced (all tasks run)",
    retries: int = 0,
    condition: tuple[str, str] | None = None,
    policy: Answer = AUTOMATED,
) -> Answer:
    """An Application, with the fields of a recorded one that matter here."""
    operation: Answer = {"phase": phase, "message": message, "operation": {"sync": {}}}
    operation["syncResult"] = {"revision": applied or revision}
    if retries:
        operation["retryCount"] = retries
    found: Answer = {"sync": {"revision": revision, "status": status}}
    found |= {"health": {"status": "Healthy"}} | ({"operationState": operation} if phase else {})
    if condition:
        found["conditions"] = [{"type": condition[0], "message": condition[1]}]
    return {"spec": {"syncPolicy": policy}, "status": found}


def refresh(
    folder: Path, argocd: ArgoCD, commit: str, attempts: int = 4
) -> subprocess.CompletedProcess[str]:
    require(shutil.which("jq") and shutil.which("curl"), "jq and curl are needed")
    environ = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "APPLICATION": "models-staging",
        "ARGOCD_SERVER": argocd.url,
        "ARGOCD_TOKEN": "s3cret",
        "GITHUB_SHA": commit,
        "ATTEMPTS": str(attempts),
        "PAUSE": "0",
    }
    done = subprocess.run(
        ["bash", SCRIPT], cwd=folder, env=environ, capture_output=True, text=True, timeout=60
    )
    assert "s3cret" not in done.stdout + done.stderr
    path = "/api/v1/applications/models-staging?refresh=normal"
    assert set(argocd.asked) <= {("GET", path, "Bearer s3cret", "application/json")}
    return done


def test_it_asks_until_the_commit_is_in_sync(clone: Path, commits: Commits, argocd: ArgoCD) -> None:
    argocd.answers = [
        application(commits.older, "Synced"),
        application(commits.ours, "OutOfSync", phase=""),
        application(commits.ours, "OutOfSync", "Running", message="waiting"),
        application(commits.ours, "Synced"),
    ]
    done = refresh(clone, argocd, commits.ours)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"models-staging: in sync at {commits.ours}\n"
    assert len(argocd.asked) == 4


def test_a_newer_commit_that_contains_it_counts_and_is_fetched(
    clone: Path, commits: Commits, argocd: ArgoCD
) -> None:
    argocd.answers = [application(commits.newer, "Synced", applied=commits.older)]
    assert refresh(clone, argocd, commits.ours).returncode == 0


def test_without_git_only_the_commit_itself_counts(
    tmp_path: Path, clone: Path, commits: Commits, argocd: ArgoCD
) -> None:
    alone = write_tree(tmp_path / "alone", {SCRIPT: (clone / SCRIPT).read_text()})
    argocd.answers = [application(commits.newer, "Synced")]
    assert refresh(alone, argocd, commits.ours).returncode == 1
    argocd.answers = [application(commits.ours, "Synced")]
    assert refresh(alone, argocd, commits.ours).returncode == 0


def test_a_failed_operation_does_not_count_once_the_commit_is_in_sync(
    clone: Path, commits: Commits, argocd: ArgoCD
) -> None:
    argocd.answers = [
        application(commits.ours, "Synced", "Running", commits.older, message=REFUSED, retries=4)
    ]
    assert refresh(clone, argocd, commits.ours).returncode == 0


def test_a_field_that_the_cluster_changes_does_not_fail_it(
    clone: Path, commits: Commits, argocd: ArgoCD
) -> None:
    argocd.answers = [application(commits.ours, "OutOfSync", "Succeeded", commits.ours)]
    done = refresh(clone, argocd, commits.ours)
    assert done.returncode == 0
    assert "shows OutOfSync" in done.stdout


@pytest.mark.parametrize("policy", [{}, {"automated": None}, {"automated": {"enabled": False}}])
def test_without_automated_sync_a_look_is_enough(
    clone: Path, commits: Commits, argocd: ArgoCD, policy: Answer
) -> None:
    argocd.answers = [application(commits.ours, "OutOfSync", applied=commits.older, policy=policy)]
    done = refresh(clone, argocd, commits.ours)
    assert done.returncode == 0
    assert "automated sync is off" in done.stdout


FAILURES: dict[str, tuple[dict[str, Any], str, int]] = {
    "does not build": (
        {"revision": "main", "status": "Unknown", "condition": ("ComparisonError", UNBUILT)},
        "Argo CD cannot compare: Failed to load target state",
        2,
    ),
    "a field that the API does not know": (
        {"revision": "OURS", "status": "Unknown", "condition": ("ComparisonError", "no field x")},
        "Argo CD cannot compare: no field x",
        2,
    ),
    "a source that cannot be": (
        {"revision": "", "status": "Unknown", "condition": ("InvalidSpecError", "no such path")},
        "Argo CD cannot compare: no such path",
        2,
    ),
    "admission refuses it": (
        {"revision": "OURS", "status": "OutOfSync", "phase": "Running", "retries": 2}
        | {"message": f"{REFUSED} Retrying attempt #2 at 7:44PM."},
        "fails again and again: one or more objects failed to apply",
        1,
    ),
    "retries of it at a newer commit": (
        {"revision": "NEWER", "status": "OutOfSync", "phase": "Running", "retries": 4}
        | {"message": REFUSED},
        "cannot be greater than MaxReplicas",
        1,
    ),
    "no retry is left": (
        {"revision": "OURS", "status": "OutOfSync", "phase": "Failed", "message": REFUSED},
        "failed: one or more objects failed to apply",
        1,
    ),
    "two Applications own it": (
        {"revision": "OURS", "status": "OutOfSync", "phase": "Running", "retries": 2}
        | {"message": SHARED, "condition": ("SharedResourceWarning", SHARED)},
        "Shared resource found",
        1,
    ),
    "never looked at": (
        {"revision": "OLDER", "status": "Synced"},
        "gave up: Argo CD has not looked at",
        4,
    ),
    "a branch's name": (
        {"revision": "main", "status": "Synced"},
        "gave up: Argo CD has not looked at",
        4,
    ),
    "seen and not applied": (
        {"revision": "OURS", "status": "OutOfSync", "phase": ""},
        "has not applied OURS: OutOfSync, no operation",
        4,
    ),
    "the first retry only": (
        {"revision": "OURS", "status": "OutOfSync", "phase": "Running", "retries": 1}
        | {"message": REFUSED},
        "has not applied OURS: OutOfSync, Running: one or more objects failed",
        4,
    ),
    "an operation of an older commit": (
        {"revision": "OURS", "status": "OutOfSync", "phase": "Failed", "applied": "OLDER"}
        | {"message": REFUSED},
        "has not applied OURS",
        4,
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_does_not_arrive_fails_with_its_cause(
    clone: Path, commits: Commits, argocd: ArgoCD, name: str
) -> None:
    known = {"OLDER": commits.older, "OURS": commits.ours, "NEWER": commits.newer}
    fields, said, asked = FAILURES[name]
    answer = application(**{key: known.get(str(at), at) for key, at in fields.items()})
    argocd.answers = [answer]
    done = refresh(clone, argocd, commits.ours)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("models-staging: ")
    assert said.replace("OURS", commits.ours) in last
    assert len(argocd.asked) == asked


def test_an_error_of_the_commit_before_does_not_fail_it(
    clone: Path, commits: Commits, argocd: ArgoCD
) -> None:
    broken = application("main", "Unknown", condition=("ComparisonError", UNBUILT))
    argocd.answers = [broken, application(commits.ours, "Synced")]
    assert refresh(clone, argocd, commits.ours).returncode == 0


def test_words_of_a_cluster_give_no_command_to_the_runner(
    clone: Path, commits: Commits, argocd: ArgoCD
) -> None:
    words = "bad\r\n::set-output name=x::y\x1b[31m"
    argocd.answers = [application("main", "Unknown", condition=("ComparisonError", words))]
    done = refresh(clone, argocd, commits.ours)
    assert done.returncode == 1
    assert not any(line.startswith("::") for line in done.stderr.splitlines())
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_server_that_refuses_is_the_cause(
    clone: Path, commits: Commits, argocd: ArgoCD, status: int
) -> None:
    argocd.answers, argocd.status = [{}], status
    done = refresh(clone, argocd, commits.ours, attempts=2)
    assert done.returncode == 1
    assert f"error: {status}" in done.stderr
    assert done.stderr.splitlines()[-1] == "models-staging: gave up: Argo CD has not answered"


def test_an_answer_that_is_no_application_is_no_success(
    clone: Path, commits: Commits, argocd: ArgoCD
) -> None:
    argocd.answers = [{"error": "x"}]
    assert refresh(clone, argocd, commits.ours, attempts=2).returncode == 1
