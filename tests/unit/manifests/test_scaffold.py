"""Adding a service to an environment, and taking one out."""

from __future__ import annotations

import pytest
import yaml

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.state import Predictor, ServiceSpec
from tests.support.memory_tree import MemoryTree
from tests.unit.manifests.helpers import PREDICTOR, SPEC, environment, manifests, refused, service

S = "models/overlays/staging"
COMMON = {
    "models/base/common/kustomization.yaml": "resources: [sa.yaml]",
    "models/base/common/sa.yaml": "apiVersion: v1\nkind: ServiceAccount\n"
    "metadata: {name: kserve-s3-sa}\n",
}


def added(files: dict[str, str], path: str = S, predictor: Predictor = PREDICTOR) -> dict[str, str]:
    changes = manifests(files, path).set_service(path, "svc", SPEC, predictor)
    return {name: text for name, text in changes.items() if text is not None}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("resources:\n  - a\n", "resources:\n  - a\n  - svc\n"),
        ("resources:\n- a\nnamespace: x\n", "resources:\n- a\n- svc\nnamespace: x\n"),
        ("resources:\n  -   a # c\n\n# end", "resources:\n  -   a # c\n  -   svc\n\n# end"),
        ("resources:\n  - a", "resources:\n  - a\n  - svc"),
        ("resources:\r\n  - a\r\n", "resources:\r\n  - a\r\n  - svc\r\n"),
        ("resources: [a]\n", "resources: [a, svc]\n"),
        ("resources: [\n  a,\n]\n", "resources: [\n  a, svc,\n]\n"),
        ("resources: [] # none\nnamespace: x\n", "resources: # none\n  - svc\nnamespace: x\n"),
        ("resources:\nnamespace: x\n", "resources:\n  - svc\nnamespace: x\n"),
        ("namespace: x # y\n", "namespace: x # y\nresources:\n  - svc\n"),
        ("namespace: x", "namespace: x\nresources:\n  - svc"),
        ("\ufeffnamespace: x\n", "\ufeffnamespace: x\nresources:\n  - svc\n"),
        ("# nothing yet\n", "# nothing yet\nresources:\n  - svc\n"),
        ("", "resources:\n  - svc\n"),
        ("resources: ['a', &b \"b\"]\n", "resources: ['a', &b \"b\", svc]\n"),
    ],
)
def test_the_environments_list_gets_one_more_line(before: str, after: str) -> None:
    files = {
        f"{S}/kustomization.yaml": before,
        **{f"{S}/{name}/kustomization.yaml": "namespace: x" for name in "ab"},
    }
    assert added(files)[f"{S}/kustomization.yaml"] == after


def test_a_list_in_a_form_that_cannot_take_one_more_is_refused() -> None:
    assert "cannot be changed safely" in refused({"env/kustomization.yaml": "{namespace: x}"})
    alias = "resources:\n  - &a a\n  - *a\n"
    files = {"env/kustomization.yaml": alias, "env/a/kustomization.yaml": "namespace: x"}
    assert "cannot be changed safely" in refused(files)


def test_the_service_account_is_listed_where_it_is_missing() -> None:
    files = {**COMMON, f"{S}/kustomization.yaml": "namespace: ml-staging\n"}
    changes = added(files)
    assert changes[f"{S}/kustomization.yaml"] == (
        "namespace: ml-staging\nresources:\n  - ../../base/common\n  - svc\n"
    )
    base = yaml.safe_load(changes["models/base/svc/inference-service.yaml"])
    assert base["spec"]["predictor"]["serviceAccountName"] == "kserve-s3-sa"


def test_without_a_service_account_none_is_named() -> None:
    base = yaml.safe_load(
        added({f"{S}/kustomization.yaml": "namespace: x"})["models/base/svc/inference-service.yaml"]
    )
    assert "serviceAccountName" not in base["spec"]["predictor"]
    assert "storageUri" not in base["spec"]["predictor"]["model"]
    assert "labels" not in base["metadata"]


def test_a_folder_that_is_not_there_becomes_a_kustomization() -> None:
    environments = {"staging": environment("staging", S, "ml-staging")}
    found = Manifests(MemoryTree(COMMON), environments)
    changes = found.set_service("staging", "svc", SPEC, PREDICTOR)
    top = yaml.safe_load(changes[f"{S}/kustomization.yaml"] or "")
    assert top["namespace"] == "ml-staging"
    assert top["resources"] == ["../../base/common", "svc"]


def test_a_folder_of_leaves_gets_a_leaf_with_its_namespace() -> None:
    files = {f"{S}/a/kustomization.yaml": "resources: [../../../base/a]", **COMMON}
    files |= {"models/base/a/kustomization.yaml": "resources: [x.yaml]"}
    files |= {"models/base/a/x.yaml": service(name="a")}
    environments = {"staging": environment("staging", S, "ml-staging")}
    changes = Manifests(MemoryTree(files), environments).set_service(
        "staging", "svc", SPEC, PREDICTOR
    )
    leaf = yaml.safe_load(changes[f"{S}/svc/kustomization.yaml"] or "")
    assert leaf["namespace"] == "ml-staging"
    assert f"{S}/kustomization.yaml" not in changes


def test_how_the_files_are_loaded_is_written_into_the_new_base() -> None:
    base = added(
        {f"{S}/kustomization.yaml": "namespace: x"},
        predictor=Predictor("xgboost", "v2", runtime="kserve-mlserver"),
    )["models/base/svc/inference-service.yaml"]
    model = yaml.safe_load(base)["spec"]["predictor"]["model"]
    assert model["modelFormat"] == {"name": "xgboost"}
    assert (model["protocolVersion"], model["runtime"]) == ("v2", "kserve-mlserver")
    legacy = added({"env/x.yaml": "a: b"}, "env", Predictor("sklearn", key="sklearn"))
    predictor = yaml.safe_load(legacy["env/svc.yaml"])["spec"]["predictor"]
    assert predictor["sklearn"]["storageUri"] == SPEC.uri
    assert "modelFormat" not in predictor["sklearn"]


def test_a_base_of_another_environment_is_used_unchanged() -> None:
    files = {
        "k/bases/x/kustomization.yaml": "resources: [a.yaml]",
        "k/bases/x/a.yaml": service("", "", key="sklearn"),
        "k/staging/kustomization.yaml": "resources: [../bases/x]",
        "k/prod/kustomization.yaml": "resources: []",
    }
    changes = manifests(files, "k/prod", "k/staging").set_service("k/prod", "svc", SPEC, PREDICTOR)
    assert set(changes) == {
        "k/prod/kustomization.yaml",
        "k/prod/svc/kustomization.yaml",
        "k/prod/svc/model-version.yaml",
    }
    assert "../../bases/x" in (changes["k/prod/svc/kustomization.yaml"] or "")
    assert "sklearn:\n      storageUri" in (changes["k/prod/svc/model-version.yaml"] or "")


def test_a_leaf_that_is_no_longer_listed_is_listed_again() -> None:
    files = {
        f"{S}/kustomization.yaml": "resources:\n- other\n",
        f"{S}/other/kustomization.yaml": "",
    }
    listed = files | added(files)
    listed[f"{S}/kustomization.yaml"] = "resources:\n- other\n"
    newer = ServiceSpec("s3://prod-ml-models/svc/v14/", "14")
    changes = manifests(listed, S).set_service(S, "svc", newer, PREDICTOR)
    assert set(changes) == {f"{S}/kustomization.yaml", f"{S}/svc/model-version.yaml"}


@pytest.mark.parametrize(
    "taken",
    [
        {"base/svc/readme.md": "x"},
        {
            "base/svc/kustomization.yaml": "resources: [a.yaml]",
            "base/svc/a.yaml": service(name="b"),
        },
        {"env/svc/kustomization.yaml": "namespace: x"},
        {"env/svc/model-version.yaml": "a: b"},
    ],
)
def test_what_is_there_is_not_overwritten(taken: dict[str, str]) -> None:
    error = refused({"env/kustomization.yaml": "namespace: x", **taken})
    assert "there" in error


def test_a_plain_file_in_the_way_is_not_overwritten() -> None:
    assert "env/svc.yaml: it is there" in refused({"env/svc.yaml": "kind: Other"})


@pytest.mark.parametrize("name", ["null", "true", "on", "y"])
def test_a_name_that_yaml_reads_as_something_else(name: str) -> None:
    tree = MemoryTree({"env/kustomization.yaml": "namespace: x\n"})
    environments = {"env": environment("env", "./env/")}
    found = Manifests(tree, environments)
    tree = tree.with_changes(found.set_service("env", name, SPEC, PREDICTOR))
    assert Manifests(tree, environments).committed("env", name) == SPEC
    assert yaml.safe_load(tree.read(f"env/{name}/model-version.yaml"))["metadata"]["name"] == name


class TestRetire:
    def test_a_plain_file_is_deleted(self) -> None:
        found = manifests({"env/a.yaml": "\n---\n" + service() + "---\n", "env/b.yaml": "x: y"})
        assert found.remove_service("env", "svc") == {"env/a.yaml": None}
        assert found.remove_service("env", "other") == {}

    def test_one_document_of_several_is_taken_out(self) -> None:
        other = service(name="other") + "# of other\n"
        for before, after in (
            (f"# head\n---\n{service()}---\n{other}", f"# head\n---\n{other}"),
            (f"{other}---\n{service()}", other),
            (
                f"{other}---\n{service()}---\n{other.replace('other', 'third')}",
                f"{other}---\n{other.replace('other', 'third')}",
            ),
            (f"\ufeff---\r\n{service()}---\r\n{other}", f"\ufeff---\r\n{other}"),
        ):
            changes = manifests({"env/a.yaml": before}).remove_service("env", "svc")
            assert changes == {"env/a.yaml": after}

    def test_what_is_listed_directly_is_listed_no_more(self) -> None:
        files = {
            "base/svc/kustomization.yaml": "resources: [a.yaml]",
            "base/svc/a.yaml": service(),
            "base/x/kustomization.yaml": "resources: [a.yaml]",
            "base/x/a.yaml": service(name="x"),
            "env/kustomization.yaml": "resources:\n- ../base/x\n- ../base/svc # out\n"
            "patches:\n- path: p.yaml # both\n- path: svc/model-version.yaml\n",
            "env/p.yaml": service(name="x") + "---\n" + service(),
            "env/svc/model-version.yaml": service(),
        }
        assert manifests(files).remove_service("env", "svc") == {
            "env/kustomization.yaml": "resources:\n- ../base/x\npatches:\n- path: p.yaml # both\n",
            "env/p.yaml": service(name="x"),
            "env/svc/model-version.yaml": None,
        }

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("resources:\n- a.yaml\nnamespace: x\n", "resources: []\nnamespace: x\n"),
            ("resources: [a.yaml]\n", "resources: []\n"),
            ("resources: [a.yaml, b.yaml]\n", "resources: [b.yaml]\n"),
            ("resources: [b.yaml, a.yaml]\n", "resources: [b.yaml]\n"),
        ],
    )
    def test_forms_of_the_list(self, before: str, after: str) -> None:
        files = {"env/kustomization.yaml": before, "env/a.yaml": service(), "env/b.yaml": "x: y"}
        changes = manifests(files).remove_service("env", "svc")
        assert changes == {"env/kustomization.yaml": after, "env/a.yaml": None}

    def test_what_comes_together_with_others_is_refused(self) -> None:
        files = {
            "base/kustomization.yaml": "resources: [a.yaml]",
            "base/a.yaml": service() + "---\n" + service(name="other"),
            "env/kustomization.yaml": "resources: [../base]",
        }
        with pytest.raises(ManifestError, match="together with other resources"):
            manifests(files).remove_service("env", "svc")

    def test_retired_and_asked_for_again(self) -> None:
        tree = MemoryTree({f"{S}/kustomization.yaml": "namespace: x\n", **COMMON})
        environments = {"staging": environment("staging", S)}
        first = Manifests(tree, environments).set_service("staging", "svc", SPEC, PREDICTOR)
        tree = tree.with_changes(first)
        gone = Manifests(tree, environments).remove_service("staging", "svc")
        assert gone[f"{S}/svc/kustomization.yaml"] is None
        tree = tree.with_changes(gone)
        assert Manifests(tree, environments).committed("staging", "svc") is None
        again = Manifests(tree, environments).set_service("staging", "svc", SPEC, PREDICTOR)
        assert set(again) == {path for path in first if not path.startswith("models/base/")}
