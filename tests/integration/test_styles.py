"""Styles of manifests repositories, each from its first state through three promotions.

A style is a folder of tests/styles:

    style.yaml       model:       the registered model that is promoted
                     environment: where
                     versions:    the three labels, as texts
                     render:      kustomize (`kubectl kustomize` of each environment's folder, or of
                                  the folders below it where it has no kustomization itself), plain
                                  (the YAML files below it) or none (every YAML file, parsed: any
                                  value that changes has to be the URI or the version)
                     held:        an environment where a comment holds the service (may be left out)
    0-init/          the whole repository with its own mlflow-gitops.yaml
    1/ 2/ 3/         the same after the first, second and third promotion

Each promotion goes through `Manifests`, as the settings in 0-init say, and has to give the next
folder byte by byte; a second apply has to change nothing. What is rendered may differ in the URI
and the label of the promoted service alone.

`python -m tests.integration.test_styles STYLE` writes 1, 2 and 3 anew: read the difference.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlflow_gitops.adapters.renderer import KustomizeRenderer
from mlflow_gitops.config import parse_settings
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.planning.naming import revision_uri
from mlflow_gitops.rendering import rendered
from mlflow_gitops.state import Predictor, ServiceSpec, Settings
from tests.support.crd import INFERENCE_SERVICE, errors_of
from tests.support.kubectl import build, kubectl, objects, write_tree
from tests.support.memory_tree import MemoryTree

ROOT = Path(__file__).resolve().parents[1] / "styles"
STYLES = sorted(path for path in ROOT.iterdir() if path.is_dir())
STATES = ("0-init", "1", "2", "3")
RENDERED = ("0-init", "1", "3")  # each costs a process for each folder
PREDICTOR = Predictor("mlflow", "v2")

Files = dict[str, str]
Leaves = Mapping[tuple[str, ...], object]
"""Each value of what is rendered: (folder or file, kind, name, *path) to the value."""


@dataclass(frozen=True)
class Style:
    folder: Path
    settings: Settings
    model: str
    environment: str
    versions: list[str]
    render: str
    held: str = ""

    @property
    def service(self) -> str:
        return self.settings.service(self.model, self.settings.environments["production"])

    def spec(self, version: str) -> ServiceSpec:
        return ServiceSpec(revision_uri(self.settings, self.service, version), version)

    def promote(self, files: Files, version: str) -> Files:
        manifests = self.manifests(files)
        changes = manifests.set_service(
            self.environment, self.service, self.spec(version), PREDICTOR
        )
        kept = {path: text for path, text in files.items() if path not in changes}
        return kept | {path: text for path, text in changes.items() if text is not None}

    def committed(self, files: Files) -> ServiceSpec | None:
        return self.manifests(files).committed(self.environment, self.service)

    def manifests(self, files: Files) -> Manifests:
        settings = self.settings
        return Manifests(MemoryTree(files), settings.environments, names=settings.names)


def read(folder: Path) -> Files:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().decode()
        for path in folder.rglob("*")
        if path.is_file()
    }


def load(folder: Path) -> Style:
    settings = parse_settings((folder / "0-init" / "mlflow-gitops.yaml").read_text())
    return Style(folder, settings, **yaml.safe_load((folder / "style.yaml").read_text()))


@pytest.fixture(params=STYLES, ids=lambda path: path.name)
def style(request: pytest.FixtureRequest) -> Style:
    return load(request.param)


def test_each_promotion_gives_the_next_folder(style: Style) -> None:
    files = read(style.folder / "0-init")
    for state, version in zip(STATES[1:], style.versions, strict=True):
        files = style.promote(files, version)
        assert files == read(style.folder / state), state
        assert style.committed(files) == style.spec(version)
        assert style.promote(files, version) == files


def test_what_is_held_stays_so_and_nothing_is_amiss(style: Style) -> None:
    for state in STATES:
        manifests = style.manifests(read(style.folder / state))
        for name in style.settings.environments:
            assert manifests.problems(name) == ()
            held = manifests.hold(name, style.service)
            assert (held is not None) == (name == style.held), state


def test_nothing_but_the_promoted_service_renders_otherwise(style: Style, tmp_path: Path) -> None:
    before: Leaves = {}
    for state, version in zip(RENDERED, ("", style.versions[0], style.versions[2]), strict=True):
        after = rendering(style, write_tree(tmp_path / state, read(style.folder / state)))
        if version:
            assert before, "nothing is rendered: every promotion would pass"
            check_changes(style, before, after, style.spec(version))
        before = after


@pytest.mark.parametrize("name", ["kustomize-json6902-file", "legacy-framework"])
def test_the_service_alone_is_built_as_it_is_in_its_environment(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    style = load(ROOT / name)
    renderer = KustomizeRenderer(path=str(Path(kubectl()).parent))
    files = read(style.folder / "1")
    promoted = style.promote(files, style.versions[1])
    changes = {path: text for path, text in promoted.items() if files.get(path) != text}
    found = []
    for most in (0, 1000):
        monkeypatch.setattr("mlflow_gitops.manifests.closure.MOST_WHOLE", most)
        manifests = style.manifests(files)
        found.append(rendered(renderer, manifests, style.environment, style.service, changes))
    assert found[0] == found[1]
    lines = [line for line in found[0].diff.splitlines() if line.startswith(("-", "+"))]
    assert len(lines) == 6, "two lines of the header, and two that change"


def check_changes(style: Style, before: Leaves, after: Leaves, spec: ServiceSpec) -> None:
    assert before.keys() <= after.keys()
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    assert set(changed.values()) >= {spec.uri, spec.version}
    known = {key[:3] for key in before}
    for key, value in changed.items():
        place, kind, name, *path = key
        if key[:3] in known:
            assert value in (spec.uri, spec.version), key
        if style.render != "none":
            assert place == style.settings.environments[style.environment].path, key
        if style.render != "none" and key[:3] in known:
            assert (kind, name) == ("InferenceService", style.service), key
            assert path[-1] == ("storageUri" if value == spec.uri else "model-version"), key


def rendering(style: Style, tree: Path) -> Leaves:
    found = list(documents(tree)) if style.render == "none" else []
    for environment in style.settings.environments.values():
        at = tree / environment.path
        if style.render == "plain":
            found += [(environment.path, each) for _, each in documents(at)]
        elif style.render == "kustomize":
            found += [(environment.path, each) for each in kustomized(at)]
    return {
        key: value
        for place, document in found
        for key, value in leaves(document, (place, *identity(document)))
    }


def documents(folder: Path) -> Iterator[tuple[str, Any]]:
    """(path, document) of each YAML file; a list counts as what is in it."""
    for path in sorted(folder.rglob("*.y*ml")):
        for each in objects(path.read_text()):
            for item in each["items"] if each.get("kind") == "List" else [each]:
                yield path.relative_to(folder).as_posix(), item


def kustomized(folder: Path) -> Iterator[dict[str, Any]]:
    below = sorted(path.parent for path in folder.glob("*/kustomization.yaml"))
    for each in [folder] if (folder / "kustomization.yaml").exists() else below:
        yield from objects(build(each))


def identity(document: Any) -> tuple[str, str]:
    kind = document.get("kind", "") if isinstance(document, dict) else ""
    return str(kind), str((document.get("metadata") or {}).get("name", "")) if kind else ""


def leaves(value: object, at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*at, str(key)))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from leaves(each, (*at, str(index)))
    else:
        yield at, value


def write(name: str) -> None:
    style = load(ROOT / name)
    files = read(style.folder / "0-init")
    for state, version in zip(STATES[1:], style.versions, strict=True):
        files = style.promote(files, version)
        write_tree(style.folder / state, files)


if __name__ == "__main__":
    write(sys.argv[1])


@pytest.mark.parametrize("state", ["0-init", "3"])
def test_an_api_server_takes_every_service(style: Style, state: str) -> None:
    places = {place: style.folder / state / place for place in _places(style)}
    for place, folder in places.items():
        if style.render == "kustomize":
            found = list(kustomized(folder))
        else:
            found = [each for _, each in documents(folder)]
        for each in found:
            if isinstance(each, dict) and each.get("kind") == "InferenceService":
                assert errors_of(each, INFERENCE_SERVICE) == [], place


def _places(style: Style) -> list[str]:
    if style.render == "none":
        return ["."]
    return [environment.path for environment in style.settings.environments.values()]
