"""docs/repositories.md: each style's example is promoted, and the diff that it shows comes out."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import pytest

from mlflow_gitops.config import parse_settings
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.state import Predictor, ServiceSpec
from tests.support.memory_tree import MemoryTree

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "repositories.md"
SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"^```yaml\n# (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DIFF = re.compile(r"^```diff\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TEXT = DOCUMENT.read_text(encoding="utf-8")
STYLES = {name: body for name, body in SECTION.findall(TEXT) if "```diff" in body}
SETTINGS = parse_settings(dict(FILE.findall(TEXT))["mlflow-gitops.yaml"])
WANTED = ServiceSpec("s3://prod-ml-models/fraud-detector/v2/", "2")


def promoted(files: dict[str, str]) -> dict[str, str]:
    manifests = Manifests(MemoryTree(files), SETTINGS.environments)
    changes = manifests.set_service(
        "production", "fraud-detector", WANTED, Predictor("mlflow", "v2")
    )
    return {**files, **{path: text for path, text in changes.items() if text is not None}}


def difference(before: dict[str, str], after: dict[str, str]) -> str:
    lines: list[str] = []
    for path in sorted(after):
        old, new = before.get(path, "").splitlines(), after[path].splitlines()
        found = list(difflib.unified_diff(old, new, lineterm="", n=0))[2:]
        lines += [f"--- {path}"] if found else []
        lines += [line for line in found if not line.startswith("@@")]
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("style", STYLES)
def test_the_example_of_a_style_is_true(style: str) -> None:
    before = dict(FILE.findall(STYLES[style]))
    after = promoted(before)
    (shown,) = DIFF.findall(STYLES[style])
    assert difference(before, after) == shown
    assert promoted(after) == after
    committed = Manifests(MemoryTree(after), SETTINGS.environments).committed
    assert committed("production", "fraud-detector") == WANTED


def test_there_are_examples() -> None:
    assert len(STYLES) >= 6
