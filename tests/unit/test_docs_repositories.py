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
SETTINGS = "mlflow-gitops.yaml"
USUAL = dict(FILE.findall(TEXT.partition("\n## ")[0]))
WANTED = ServiceSpec("s3://prod-ml-models/fraud-detector/v2/", "2")


def manifests_of(files: dict[str, str]) -> Manifests:
    settings = parse_settings({**USUAL, **files}[SETTINGS])
    return Manifests(MemoryTree(files), settings.environments, names=settings.names)


def promoted(files: dict[str, str]) -> dict[str, str]:
    changes = manifests_of(files).set_service(
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
    assert manifests_of(after).committed("production", "fraud-detector") == WANTED


def test_there_are_examples() -> None:
    assert len(STYLES) >= 8


def test_the_comment_that_holds_does() -> None:
    (line,) = re.findall(r"^ +storageUri: \S+ # mlflow-gitops: hold .*$", TEXT, re.MULTILINE)
    path, text = FILE.findall(STYLES["Plain manifests"])[0]
    files = {path: re.sub(r"^ +storageUri: .*$", line, text, flags=re.MULTILINE)}
    hold = manifests_of(files).hold("production", "fraud-detector")
    assert hold is not None
    assert hold.reason == "until the audit is done"
