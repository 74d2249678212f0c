"""Looking up: what is parsed, what is cached, and shortcuts that give what a parser gives."""

from __future__ import annotations

import threading

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_gitops.manifests import Manifests, ParseCache
from mlflow_gitops.manifests import facts as facts_module
from mlflow_gitops.manifests import kustomization as kustomization_module
from mlflow_gitops.manifests.facts import possible_names, read_facts
from mlflow_gitops.manifests.kustomization import read_kustomization
from mlflow_gitops.state import Predictor, ServiceSpec
from tests.support.memory_tree import MemoryTree
from tests.unit.manifests.helpers import PREDICTOR, SPEC, environment, manifests, service

ENVIRONMENTS = {name: environment(name) for name in ("staging", "prod")}


def repository(count: int) -> MemoryTree:
    tree = MemoryTree({f"{name}/kustomization.yaml": "namespace: x\n" for name in ENVIRONMENTS})
    cache = ParseCache()
    for name in ENVIRONMENTS:
        for number in range(count):
            spec = ServiceSpec(f"s3://b/m{number}/v1/", "1")
            found = Manifests(tree, ENVIRONMENTS, cache)
            tree = tree.with_changes(found.set_service(name, f"m{number}", spec, PREDICTOR))
    return tree


def test_one_service_is_found_without_parsing_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    tree, parsed = repository(8), []

    def counted(text: str, where: str) -> facts_module.FileFacts:
        parsed.append(where)
        return read_facts(text, where)

    monkeypatch.setattr("mlflow_gitops.manifests.catalog.read_facts", counted)
    found = Manifests(tree, ENVIRONMENTS)
    assert found.committed("prod", "m3") == ServiceSpec("s3://b/m3/v1/", "1")
    assert all("m3" in path for path in parsed)


def test_a_new_head_reads_only_what_changed() -> None:
    tree, cache = repository(4), ParseCache()
    found = Manifests(tree, ENVIRONMENTS, cache)
    assert len(found.services("prod")) == 4
    changes = found.set_service("prod", "m1", ServiceSpec("s3://b/m1/v2/", "2"), PREDICTOR)
    newer = tree.with_changes(changes)
    newer.reads.clear()
    after = Manifests(newer, ENVIRONMENTS, cache)
    assert after.services("prod")["m1"] == ServiceSpec("s3://b/m1/v2/", "2")
    assert newer.reads == []  # the edit was read back before it was given out
    assert after.services("staging")["m1"] == ServiceSpec("s3://b/m1/v1/", "1")


def test_heads_do_not_mix_in_one_cache() -> None:
    cache, files = ParseCache(), {"prod/a.yaml": service()}
    one = MemoryTree(files)
    two = one.with_changes({"prod/a.yaml": service("s3://new/"), "prod/b.yaml": service(name="b")})
    three = two.with_changes({"prod/a.yaml": None})
    for tree, names in ((one, {"svc"}), (two, {"svc", "b"}), (three, {"b"}), (one, {"svc"})):
        found = Manifests(tree, ENVIRONMENTS, cache)
        assert set(found.services("prod")) == names
        assert (found.committed("prod", "svc") is None) == ("svc" not in names)


def test_a_file_that_was_missing_is_seen_when_it_comes() -> None:
    cache = ParseCache()
    one = MemoryTree({"prod/kustomization.yaml": "resources: [a.yaml]"})
    assert Manifests(one, ENVIRONMENTS, cache).problems("prod")
    two = one.with_changes({"prod/a.yaml": service()})
    found = Manifests(two, ENVIRONMENTS, cache)
    assert found.committed("prod", "svc") is not None
    assert found.problems("prod") == ()
    gone = Manifests(two.with_changes({"prod/a.yaml": None}), ENVIRONMENTS, cache)
    assert gone.services("prod") == {}
    assert gone.problems("prod")


def test_a_folder_that_becomes_a_kustomization_is_seen() -> None:
    cache = ParseCache()
    tree = MemoryTree({"prod/kustomization.yaml": "resources: [one, a.yaml]", "one/x": ""})
    steps: list[tuple[dict[str, str | None], set[str], int]] = [
        ({}, set(), 2),
        ({"prod/one/kustomization.yaml": "resources: [b.yaml]"}, set(), 2),
        ({"prod/one/b.yaml": service(name="b")}, {"b"}, 1),
        ({"prod/one/kustomization.yml": "resources: []"}, set(), 2),
        ({"prod/one/kustomization.yml": None}, {"b"}, 1),
        ({"prod/a.yaml/kustomization.yaml": "resources: [c.yaml]"}, {"b"}, 1),
        ({"prod/a.yaml/c.yaml": service(name="c")}, {"b", "c"}, 0),
        ({"prod/kustomization.yaml": None}, {"b", "c"}, 0),
        (
            {"prod/one/kustomization.yaml": None, "prod/d.yaml": service(name="d")},
            {"b", "c", "d"},
            0,
        ),
        ({"prod/one/b.yaml": None}, {"c", "d"}, 0),
        ({"prod/a.yaml/kustomization.yaml": None, "prod/a.yaml/c.yaml": None}, {"d"}, 0),
        ({"prod/d.yaml": None}, set(), 0),
        ({"prod/kustomization.yaml": "resources: [d.yaml]"}, set(), 1),
    ]
    for changes, names, problems in steps:
        tree = tree.with_changes(changes)
        found, fresh = (Manifests(tree, ENVIRONMENTS, each) for each in (cache, ParseCache()))
        assert set(found.services("prod")) == set(fresh.services("prod")) == names
        assert len(found.problems("prod")) == len(fresh.problems("prod")) == problems


def test_the_cache_is_bounded_and_safe_for_several_threads() -> None:
    tree, cache = repository(6), ParseCache(capacity=10, views=1)
    found: list[ServiceSpec | None] = []

    def look() -> None:
        for _ in range(5):
            each = Manifests(tree, ENVIRONMENTS, cache)
            found.extend(each.committed(name, "m2") for name in ENVIRONMENTS)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [ServiceSpec("s3://b/m2/v1/", "1")] * 40
    assert len(cache) <= 10


def test_how_a_service_is_loaded_is_merged_from_base_and_patch() -> None:
    patch = service("", "").replace("runtime: some", "runtime: kserve-mlserver")
    files = {
        "base/kustomization.yaml": "resources: [a.yaml]",
        "base/a.yaml": service(
            more="      modelFormat: {name: xgboost}\n      protocolVersion: v2\n"
        ),
        "env/kustomization.yaml": "resources: [../base]\npatches: [{path: p.yaml}]\n",
        "env/p.yaml": patch,
    }
    found = manifests(files)
    assert found.predictor("env", "svc") == Predictor("xgboost", "v2", "kserve-mlserver", "model")
    assert found.predictor("env", "other") is None
    legacy = manifests({"env/a.yaml": service(key="lightgbm")})
    assert legacy.predictor("env", "svc") == Predictor("lightgbm", key="lightgbm")


@pytest.mark.parametrize(
    "name",
    [
        "svc",
        "'svc'",
        '"svc"',
        '"\\x73vc"',
        "&n svc",
        "!!str svc",
        "# comment\n    svc",
        "\n    svc",
        "|-\n    svc",
        ">-\n    svc",
        '"sv\\\n    c"',
    ],
)
def test_a_name_in_any_form_is_found(name: str) -> None:
    text = service().replace("name: svc", f"name: {name}")
    assert manifests({"env/a.yaml": text}).committed("env", "svc") is not None
    assert manifests({"env/a.yaml": f"x: &a svc\n{service(name='*a')}"}).committed("env", "svc")
    flow = '{"kind": "InferenceService","metadata": {"name":"svc"},'
    flow += '"apiVersion": "serving.kserve.io/v1beta1"}'
    assert manifests({"env/a.yaml": flow}).committed("env", "svc") is not None


def test_another_group_is_another_kind() -> None:
    text = service().replace("serving.kserve.io/v1beta1", "serving.kubeflow.org/v1beta1")
    assert manifests({"env/a.yaml": text}).committed("env", "svc") is None


NAMES = st.sampled_from(["a", "../b", "./c/", "d.yaml", "m-1", "x/y.yml"])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(["kind: Kustomization", "namespace: ml-x", "# é: [", "# c", ""])),
    st.lists(NAMES, min_size=1, max_size=4),
    st.sampled_from(["", "  ", "    "]),
    st.sampled_from(["", "patches:\n- path: p.yaml\n", "patches:\n  - path: q-1.yml\n", "x: y\n"]),
)
def test_the_shortcut_for_kustomizations_reads_what_a_parser_reads(
    head: list[str], names: list[str], indent: str, tail: str
) -> None:
    lines = [*dict.fromkeys(head), "resources:", *(f"{indent}- {name}" for name in names), tail]
    text = "\n".join(lines)
    quick = read_kustomization(text, "k")
    slow = read_kustomization(text + "\n# not in the plain form: \t\n", "k")
    assert quick == slow
    assert [reference for _, _, reference in quick.listed] == yaml.safe_load(text)["resources"]


def test_the_shortcut_for_kustomizations_is_taken() -> None:
    plain = "kind: Kustomization\nresources:\n  - ../base\npatches:\n  - path: p.yaml\n"
    assert kustomization_module._PLAIN_FORM.fullmatch(plain)
    assert not kustomization_module._PLAIN_FORM.fullmatch(plain + "x: y\n")


def test_the_shortcut_for_patches_reads_what_a_parser_reads() -> None:
    tree = repository(1)
    text = tree.read("prod/m0/model-version.yaml")
    assert facts_module._PATCH_FORM.fullmatch(text)
    assert read_facts(text, "p") == read_facts(text + "# not in the plain form\n", "p")


def test_files_without_services_are_not_parsed() -> None:
    assert possible_names("kind: ConfigMap\nname: x\nv: [") == frozenset()
    assert possible_names("kind: InferenceService\nname: x\n") == {"x"}
    assert possible_names("kind: InferenceService\nname: &a x\n") is None


def test_nothing_changes_where_git_says_so_already() -> None:
    found = manifests({"env/a.yaml": service(SPEC.uri, "'13'")})
    assert found.set_service("env", "svc", SPEC, PREDICTOR) == {}
