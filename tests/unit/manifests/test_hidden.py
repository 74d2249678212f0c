"""Files below an environment's folder that are not its manifests."""

from __future__ import annotations

import pytest

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.manifests.hidden import what_hides
from mlflow_gitops.state import Environment, Selector, ServiceSpec
from tests.support.memory_tree import MemoryTree
from tests.unit.manifests.helpers import PREDICTOR, SPEC, service

MARKED = 'uri: s3://b/v1/ # {"$mlflow": "svc:env"}\n'


def environment(*exclude: str, path: str = "env", recurse: bool | None = None) -> Environment:
    return Environment("env", Selector("stage", "x"), path, exclude=exclude, recurse=recurse)


def manifests(files: dict[str, str], of: Environment) -> Manifests:
    return Manifests(MemoryTree(files), {"env": of})


@pytest.mark.parametrize(
    ("pattern", "hidden", "seen"),
    [
        ("old", ["old", "old/a.yaml", "x/old/a.yaml", "x/old"], ["older", "x/an-old"]),
        ("old/", ["old/a.yaml", "x/old/b/c"], ["old", "x/old"]),
        ("/old", ["old", "old/a"], ["x/old"]),
        ("x/old", ["x/old", "x/old/a"], ["old", "y/x/old"]),
        ("*.bak.yaml", ["a.bak.yaml", "x/a.bak.yaml"], ["a.yaml"]),
        ("0?-*.yaml", ["00-assert.yaml", "t/01-x.yaml"], ["000-a.yaml", "0/-a.yaml"]),
        ("x/*.yaml", ["x/a.yaml"], ["x/y/a.yaml", "a.yaml"]),
        ("**/t/**", ["t/a", "x/t/a/b"], ["t", "x/tt/a"]),
        ("x/**/a", ["x/a", "x/y/z/a"], ["xa", "y/a"]),
        ("[ab].yaml", ["a.yaml", "x/b.yaml"], ["c.yaml"]),
        ("[!a].yaml", ["b.yaml"], ["a.yaml"]),
        ("a+b(.yaml", ["a+b(.yaml"], ["aab.yaml"]),
    ],
)
def test_a_pattern_leaves_out(pattern: str, hidden: list[str], seen: list[str]) -> None:
    hides = what_hides(environment(pattern), "env")
    assert [path for path in hidden if not hides(f"env/{path}")] == []
    assert [path for path in seen if hides(f"env/{path}")] == []


@pytest.mark.parametrize("of", [environment("old"), environment(recurse=False)])
def test_what_is_left_out_is_neither_read_nor_edited(of: Environment) -> None:
    files = {"env/a.yaml": service(), "env/old/a.yaml": service(), "env/old/v.yaml": MARKED}
    with pytest.raises(ManifestError, match="exclude"):
        manifests({path: files[path] for path in list(files)[:2]}, environment()).committed(
            "env", "svc"
        )
    found = manifests(files, of)
    assert found.problems("env") == ()
    changes = found.set_service("env", "svc", SPEC, PREDICTOR)
    assert list(changes) == ["env/a.yaml"]


def test_a_folder_with_a_kustomization_that_is_left_out_is_no_root() -> None:
    files = {
        "env/old/kustomization.yaml": "resources: [a.yaml]\n",
        "env/old/a.yaml": service(),
        "env/a.yaml": service(),
    }
    assert manifests(files, environment("old")).problems("env") == ()
    assert manifests(files, environment(recurse=False)).services("env").keys() == {"svc"}


def test_what_a_kustomization_lists_is_read_all_the_same() -> None:
    files = {"env/kustomization.yaml": "resources: [old/a.yaml]\n", "env/old/a.yaml": service()}
    assert manifests(files, environment("old")).committed("env", "svc") is not None


def test_the_settings_and_dot_files_of_the_root_are_no_manifests() -> None:
    files = {
        "mlflow-gitops.yaml": "artifacts: [\n",
        ".github/workflows/x.yaml": "a: [\n",
        "x/.argocd.yaml": service(),
        "a.yaml": service(),
    }
    found = manifests(files, environment(path="."))
    assert found.problems("env") == ()
    assert list(found.services("env")) == ["svc"]
    new = found.set_service("env", "other", SPEC, PREDICTOR)
    assert list(new) == ["other.yaml"]


def test_a_new_service_is_not_written_where_it_would_be_left_out() -> None:
    found = manifests({"env/a.yaml": "kind: x\n"}, environment("*.yaml"))
    with pytest.raises(ManifestError, match="cannot be added"):
        found.set_service("env", "svc", ServiceSpec("s3://b/v1/", "1"), PREDICTOR)
