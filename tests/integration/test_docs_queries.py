"""The questions of docs/reviewers.md, asked of a real bare repository with the document's words."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from mlflow_gitops.planning.messages import commit_message
from mlflow_gitops.state import Identity, ModelVersion, Request, ServiceSpec
from tests.support.git import clean_environment, git

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reviewers.md"
BLOCK = re.search(r"```sh\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
assert BLOCK
QUERIES = dict(part.removeprefix("# ").split("\n", 1) for part in BLOCK[1].strip().split("\n\n"))
RUN = "6ff81efce59b437c8eafacdd103f0db8"
LEAF = "models/overlays/production/fraud-detector/model-version.yaml"


def spec(version: str) -> ServiceSpec:
    return ServiceSpec(f"s3://prod-ml-models/fraud-detector/v{version}/", version)


def message(version: str) -> str:
    return commit_message(
        environment="production",
        service="fraud-detector",
        model="fraud-detector",
        action="deploy",
        before=None if version == "1" else spec("1"),
        after=spec(version),
        version=ModelVersion("fraud-detector", version, Identity(1, RUN)),
        request=Request("r-1", version, by="dana", signed=version == "2"),
        digest="sha256:aa",
    )


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 in September; 2 on a morning in November, reverted in the evening by a person."""
    clone = tmp_path_factory.mktemp("queries")
    git("init", "--quiet", "-b", "main", cwd=clone)
    (clone / LEAF).parent.mkdir(parents=True)
    for version, day in (("1", "2026-09-01T09:00:00Z"), ("2", "2026-11-23T09:00:00Z")):
        (clone / LEAF).write_text(f"      storageUri: {spec(version).uri}\n")
        git("add", "--all", cwd=clone)
        commit(clone, day, "commit", "--quiet", "-m", message(version))
    commit(clone, "2026-11-23T18:00:00Z", "revert", "--no-edit", "HEAD")
    path = clone.with_name("queries.git")
    git("clone", "--quiet", "--bare", str(clone), str(path), cwd=clone)
    return path


def commit(clone: Path, day: str, *arguments: str) -> None:
    environ = {**clean_environment(), "GIT_AUTHOR_DATE": day, "GIT_COMMITTER_DATE": day}
    subprocess.run(["git", *arguments], cwd=clone, env=environ, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What runs in production now?", [r"storageUri: s3://prod-ml-models/fraud-detector/v1/"]),
        ("What ran on a day?", [r"storageUri: s3://prod-ml-models/fraud-detector/v2/"]),
        (
            "What changed for one service, when, and who asked?",
            [
                r"2026-11-23 \w+ v2 Requested-By: dana \| production: fraud-detector v1 -> v2",
                r"2026-09-01 \w+ v1 Claimed-By: dana \| production: deploy fraud-detector v1",
            ],
        ),
        (
            "What did people change by hand, reverts included?",
            [r'2026-11-23 \w+ Grace: Revert "production: fraud-detector v1 -> v2"'],
        ),
        (
            "Which commits brought this training run anywhere?",
            [
                r"\w+ production: fraud-detector v1 -> v2",
                r"\w+ production: deploy fraud-detector v1",
            ],
        ),
        (
            "Everything in one quarter, as a table",
            [r"2026-11-23T09:00:00(Z|\+00:00);\w+;production/fraud-detector;2;sha256:aa"],
        ),
    ],
)
def test_git_answers(bare: Path, question: str, answer: list[str]) -> None:
    done = subprocess.run(
        ["bash", "-ec", QUERIES[question]],
        cwd=bare,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert len(lines) == len(answer)
    assert all(
        re.fullmatch(want, line.strip()) for want, line in zip(answer, lines, strict=True)
    ), lines


def test_every_question_is_asked() -> None:
    (parameters,) = (m for m in test_git_answers.pytestmark if m.name == "parametrize")  # type: ignore[attr-defined]
    assert {question for question, _ in parameters.args[1]} == set(QUERIES)
