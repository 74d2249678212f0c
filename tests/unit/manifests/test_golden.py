"""Folders before and after, compared whole. The folder names say what is tested."""

from __future__ import annotations

from difflib import ndiff
from pathlib import Path

import pytest
import yaml

from mlflow_gitops.manifests import Manifests
from mlflow_gitops.state import Environment, Predictor, Selector, ServiceSpec
from tests.support.memory_tree import MemoryTree

CASES = sorted(Path(__file__).with_name("cases").iterdir())
PREDICTOR = Predictor("mlflow", "v2")


def folder(path: Path) -> dict[str, str]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes().decode()
        for file in path.rglob("*")
        if file.is_file()
    }


class Case:
    def __init__(self, path: Path) -> None:
        self.spec = yaml.safe_load((path / "case.yaml").read_text())
        self.before, self.after = folder(path / "before"), folder(path / "after")
        self.environments = {
            name: Environment(name, Selector("stage", name), where, self.spec.get("namespace", ""))
            for name, where in self.spec["environments"].items()
        }

    def apply(self, files: dict[str, str]) -> dict[str, str | None]:
        manifests = Manifests(MemoryTree(files), self.environments)
        environment, service = self.spec["environment"], self.spec["service"]
        if self.spec["action"] == "remove":
            return manifests.remove_service(environment, service)
        wanted = ServiceSpec(self.spec["uri"], self.spec["version"])
        return manifests.set_service(environment, service, wanted, PREDICTOR)

    def edited(self) -> dict[str, str]:
        changes = self.apply(self.before)
        kept = {path: text for path, text in self.before.items() if path not in changes}
        return kept | {path: text for path, text in changes.items() if text is not None}


@pytest.fixture(params=CASES, ids=lambda path: path.name)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_the_edit_gives_the_folder_as_it_should_be(case: Case) -> None:
    assert case.edited() == case.after


def test_a_second_apply_changes_nothing(case: Case) -> None:
    assert case.apply(case.after) == {}


def test_comments_and_unknown_fields_survive(case: Case) -> None:
    for path, text in case.edited().items():
        before = case.before.get(path, "")
        comments = [line.split("#", 1)[1] for line in before.splitlines() if "#" in line]
        for comment in comments:
            listed = case.spec["action"] == "remove" and "the one" in comment
            assert comment in text or listed, path
        assert "unknownField: [1,   2]" in text or "unknownField" not in before


def test_only_the_meant_lines_differ(case: Case) -> None:
    meant = ("storageUri", "model-version", "labels:", "patches:", "- ")
    edited = case.edited()
    for path in case.before.keys() & edited.keys():
        lines = ndiff(case.before[path].splitlines(), edited[path].splitlines())
        changed = [line[2:].strip() for line in lines if line[:2] in ("- ", "+ ")]
        assert len(changed) <= 4, path
        assert all(
            any(word in f"{line} " for word in meant) or "metadata" in line for line in changed
        )
