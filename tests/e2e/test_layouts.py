"""A service whose server needs its files elsewhere than MLflow puts them, over real parts."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from mlflow_gitops.state import State
from tests.support.laid_out import base_files, model_files
from tests.support.stack import LEAF, Stack

pytestmark = pytest.mark.slow

Names = Callable[[str], str]


def uri(stack: Stack, model: str) -> str:
    text = stack.file(LEAF.format(environment="production", service=model))
    return next(line.split(": ")[1] for line in text.splitlines() if "storageUri:" in line)


def test_a_tensorflow_model_is_served_from_numbered_folders(stack: Stack, names: Names) -> None:
    model = names("digits")
    stack.person_writes(base_files(model))
    for number in ("1", "2"):
        assert stack.registry.register(model, model_files(f"weights {number}")) == number
        stack.registry.transition(model, number, "Production", archive_existing=True)
        outcome = stack.reconcile(model)["production"]
        assert outcome.error is None, outcome.error
        assert outcome.state is State.COMMITTED
        assert uri(stack, model) == f"s3://{stack.bucket}/{model}/v{number}-nest/"
    assert stack.objects()[f"{model}/v2-nest/1/saved_model.pb"] == b"weights 2"
    manifest = json.loads(stack.objects()[f"{model}/_manifests/v2-nest.json"])
    assert manifest["layout"] == "nest"

    head, objects = stack.head(), stack.objects()
    stack.reconcile(model)
    assert model not in stack.session().reconciler.survey().work
    assert stack.head() == head

    back = stack.cli("rollback", model, "-e", "production", "--json")
    assert back.returncode == 0, back.stderr
    assert stack.git("rev-parse", "main^") == head
    assert uri(stack, model) == f"s3://{stack.bucket}/{model}/v1-nest/"
    assert stack.objects() == objects, "nothing is published again"
    head = stack.head()
    stack.reconcile(model)
    assert stack.head() == head
