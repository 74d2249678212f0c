"""A repository that people wrote before us: promoted, reverted and asked for again, in real Git."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlflow_gitops.state import State
from tests.support.stack import Stack

pytestmark = pytest.mark.slow

STYLE = Path(__file__).resolve().parents[1] / "styles" / "kustomize-json6902-file"
PATCH = "deploy/overlays/production/fraud-detector.yaml"


@pytest.fixture
def model(stack: Stack, names: Callable[[str], str]) -> str:
    """Its name in the registry; the service keeps the one that people gave it."""
    model, first = names("Fraud"), STYLE / "0-init"
    files: dict[str, str | None] = {
        path.relative_to(first).as_posix(): path.read_text()
        for path in first.rglob("*")
        if path.is_file()
    }
    settings = f"artifacts: {{bucket: {stack.bucket}}}\nservices: {{{model}: fraud-detector}}\n"
    files["mlflow-gitops.yaml"] = settings + "".join(
        (STYLE / "0-init/mlflow-gitops.yaml").read_text().splitlines(keepends=True)[1:]
    )
    stack.person_writes(files)
    stack.registry.register(model)
    return model


def test_a_json_6902_patch_is_promoted_reverted_and_promoted_again(
    stack: Stack, model: str
) -> None:
    stack.registry.transition(model, "1", "Production")
    outcome = stack.reconcile(model)["production"]
    assert outcome.error is None, outcome.error
    assert stack.git("diff", "--name-only", "main~", "main") == PATCH
    wanted = (STYLE / "1" / PATCH).read_text().replace("s3://acme-models/fraud-detector", "URI")
    promoted = stack.file(PATCH).replace(f"s3://{stack.bucket}/fraud-detector", "URI")
    assert promoted == wanted.strip()

    reverted = stack.person_reverts()
    assert stack.reconcile(model)["production"].state is State.HELD
    assert stack.head() == reverted

    stack.registry.transition(model, "1", "Production")  # the same stage again: a new request
    assert stack.reconcile(model)["production"].state is State.COMMITTED
    assert stack.file(PATCH).replace(f"s3://{stack.bucket}/fraud-detector", "URI") == promoted
