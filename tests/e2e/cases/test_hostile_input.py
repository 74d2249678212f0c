"""Hostile MLmodels and manifests: what is bad fails alone with a clear error, the rest goes out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import pytest

from tests.support.mlflow import MODEL_FILES
from tests.support.stack import Stack

pytestmark = pytest.mark.slow

Names = Callable[[str], str]
FLAVORS = "flavors: {python_function: {loader_module: x}}\n"
OVERLAY = "models/overlays/production"


def bomb(form: str) -> str:
    """Nine levels, each of ten aliases of the one before."""
    lines = ("a0: &a0 {k: v}\n", *(form.format(n=n, p=n - 1) for n in range(1, 10)))
    return "".join(lines)


MERGES = bomb("a{n}: &a{n} {{<<: [*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p}]}}\n")
ALIASES = bomb("a{n}: &a{n} [*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p}]\n")
MODELS = {
    "merges": (FLAVORS + MERGES, "merge key"),
    "tagged": (FLAVORS + 'x: !!bool "q"\n', "has a YAML tag (`!!bool`)"),
    "sexagesimal": (f"{FLAVORS}x: {'1:' * 200}1.5\n", "more than 100 characters"),
    "dated": (FLAVORS + "x: 2020-99-99\n", "which is no timestamp"),
    "nested": (FLAVORS + "x: " + "[" * 50_000, "nested deeper"),
    "looping": (FLAVORS + "x: &x [*x]\n", "without its anchor"),
}


def run(stack: Stack, models: list[str]) -> tuple[int, str, float]:
    """The real command, once for all of them."""
    start = time.monotonic()
    done = stack.cli("reconcile", *models)
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, f"{done.stdout}\n{done.stderr}", time.monotonic() - start


def test_a_hostile_mlmodel_fails_alone(stack: Stack, names: Names) -> None:
    fine = names("fine")
    models = {names(name): case for name, case in MODELS.items()}
    for model, (mlmodel, _) in models.items():
        stack.registry.register(model, {**MODEL_FILES, "MLmodel": mlmodel.encode()})
    stack.registry.register(fine)
    for model in (*models, fine):
        stack.registry.transition(model, "1", "Production")
    code, said, seconds = run(stack, [*models, fine])
    assert code != 0
    assert seconds < 120
    assert stack.version("production", fine) == "1"
    for model, (_, says) in models.items():
        assert stack.version("production", model) == ""
        status = stack.status(model, "1", "production")
        assert status["state"] == "failed"
        assert says in status["message"]
        assert says in said


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
      storageUri: s3://somewhere/by-hand/{more}
"""


def kept_apart(stack: Stack, folder: str, files: Mapping[str, str]) -> None:
    """Hostile files in an environment of their own, beside production."""
    added = f"  {folder}:\n    select: {{stage: Production}}\n    path: {folder}\n"
    settings = {"mlflow-gitops.yaml": f"{stack.file('mlflow-gitops.yaml')}\n{added}"}
    stack.person_writes(settings | {f"{folder}/{name}": text for name, text in files.items()})


@pytest.mark.parametrize(
    ("before", "says"),
    [
        (ALIASES, "aliases written out"),
        (MERGES, "aliases written out"),
        ("x: &x {y: *x}\n", "or without end"),
        ("".join(f"%TAG !a{n}! x\n" for n in range(30_000)) + "---\n", "YAML directives"),
        ("x: " + "[" * 50_000 + "\n", "nested deeper"),
    ],
    ids=["aliases", "merges", "a circle", "directives", "nesting"],
)
def test_a_hostile_manifest_fails_alone(stack: Stack, names: Names, before: str, says: str) -> None:
    model = names("fraud")
    text = before + SERVICE.format(name=model, more="")
    kept_apart(stack, "lab", {"svc.yaml": text})
    stack.registry.register(model)
    stack.registry.transition(model, "1", "Production")
    code, said, seconds = run(stack, [model])
    assert code != 0
    assert seconds < 60
    assert says in said
    assert says in stack.status(model, "1", "lab")["message"]
    assert stack.version("production", model) == "1"
    assert stack.file("lab/svc.yaml") == text.strip()


def test_a_long_comment_holds_nothing_up(stack: Stack, names: Names) -> None:
    model = names("fraud")
    banner = f" {'#' * 1_000_000}\n# {'$mlflow ' * 10_000}"
    kept_apart(stack, "lab", {"svc.yaml": SERVICE.format(name=model, more=banner)})
    stack.registry.register(model)
    stack.registry.transition(model, "1", "Production")
    code, said, seconds = run(stack, [model])
    assert code == 0, said
    assert seconds < 60
    assert f"/{model}/v1/ {'#' * 1_000_000}" in stack.file("lab/svc.yaml")
