"""JSON 6902 patches: read as kustomize applies them, and written to where their value counts."""

from __future__ import annotations

import pytest

from mlflow_gitops.manifests.facts import read_facts
from mlflow_gitops.state import ServiceSpec
from tests.unit.manifests.helpers import PREDICTOR, SPEC, manifests, service

TARGET = "  target: {kind: InferenceService, name: svc}\n"
LISTED = f"resources: [../base]\npatches:\n- path: p.yaml\n{TARGET}"
URI = "- op: replace\n  path: /spec/predictor/model/storageUri\n  value: s3://new/ # why\n"
LABEL = "- op: add\n  path: /metadata/labels/model-version\n  value: '14'\n"
TEAM = service("s3://base/", "").replace("  name: svc\n", "  name: svc\n  labels: {team: risk}\n")


def tree(patch: str, base: str = TEAM, kustomization: str = LISTED) -> dict[str, str]:
    return {
        "base/kustomization.yaml": "resources: [a.yaml]",
        "base/a.yaml": base,
        "env/kustomization.yaml": kustomization,
        "env/p.yaml": patch,
    }


def promoted(files: dict[str, str]) -> dict[str, str | None]:
    return manifests(files).set_service("env", "svc", SPEC, PREDICTOR)


NONE, BASE, NEW = ("", ""), ("s3://base/", "12"), ("s3://new/", "14")


@pytest.mark.parametrize(
    ("patch", "committed"),
    [
        (URI + LABEL, NEW),
        (URI, ("s3://new/", "12")),
        (LABEL, ("s3://base/", "14")),
        ("- {op: add, path: /metadata/labels, value: {model-version: 14}}", ("s3://base/", "14")),
        ("- {op: add, path: /metadata/labels, value: {a: b}}", ("s3://base/", "")),
        ("- {op: replace, path: /spec/predictor/model, value: {storageUri: x}}", ("x", "12")),
        ("- {op: replace, path: /spec/predictor/model, value: {runtime: x}}", ("", "12")),
        ("- {op: replace, path: /spec, value: {predictor: {}}}", ("", "12")),
        ("- {op: remove, path: /spec/predictor/model/storageUri}", ("", "12")),
        ("- {op: remove, path: /metadata/labels}", ("s3://base/", "")),
        (URI + URI.replace("new", "newer"), ("s3://newer/", "12")),
        (URI + "- {op: remove, path: /spec/predictor/model/storageUri}", ("", "12")),
        ("- {op: remove, path: /metadata/labels}\n" + URI, ("s3://new/", "")),
        (URI.replace(": /spec", ": ignored/spec"), ("s3://new/", "12")),
        ('[{"op":"add","path":"/spec/predictor/model/storageUri","value":"x"}]', ("x", "12")),
        ("- {op: test, path: /spec/predictor/model/storageUri, value: s3://base/}", BASE),
        ("- {op: copy, from: /metadata/labels/model-version, path: /metadata/labels/x}", BASE),
        ("- {op: add, path: /metadata/annotations/x~1storageUri, value: x}", BASE),
        ("- {op: add, path: /metadata/labels/model~0version, value: x}", BASE),
        ("- {op: add, path: /metadata/labels/model-version/, value: x}", BASE),
        ("- {op: add, path: /spec/predictor/model/env/-, value: {name: storageUri}}", BASE),
        ("- {op: add, value: x}\n- {path: /spec, value: x}\n- text\n- [a]", BASE),
        ("", BASE),
    ],
)
def test_what_operations_make_of_the_values(patch: str, committed: tuple[str, str]) -> None:
    found = manifests(tree(patch, service("s3://base/"))).committed("env", "svc")
    assert found == ServiceSpec(*committed)


def test_escapes_are_undone_in_the_right_order() -> None:
    text = "- {op: add, path: /metadata/labels/a~01b, value: x}\n"
    (operation,) = read_facts(text, "p").operations
    assert operation.fields == {"labels.a~1b": "x"}
    text = "- {op: move, from: /~0a~1b~01, path: /metadata/labels/model-version}\n"
    (operation,) = read_facts(text, "p").operations
    assert operation.pointer == ("metadata", "labels", "model-version")


@pytest.mark.parametrize(
    ("target", "namespace", "applies"),
    [
        ("name: svc", "", True),
        ("name: s.*", "", True),
        ("name: v", "", False),
        ("group: serving.kserve.io, version: v1beta1, kind: InferenceService", "", True),
        ("version: v1", "", False),
        ("kind: Service", "", False),
        ("namespace: default", "ml", True),
        ("namespace: ml", "ml", False),  # it comes after the patches
        ("namespace: ml", "", False),
    ],
)
def test_a_patch_counts_where_its_target_matches(
    target: str, namespace: str, applies: bool
) -> None:
    kustomization = f"namespace: {namespace}\n" if namespace else ""
    kustomization += f"resources: [../base]\npatches:\n- path: p.yaml\n  target: {{{target}}}\n"
    found = manifests(tree(URI, TEAM, kustomization)).committed("env", "svc")
    assert found == ServiceSpec("s3://new/" if applies else "s3://base/", "")


def test_patches_json6902_come_after_the_namespace_and_all_other_patches() -> None:
    target = "  target: {kind: InferenceService, name: svc, namespace: ml}\n"
    kustomization = (
        f"namespace: ml\npatchesJson6902:\n- path: p.yaml\n{target}"
        "patches:\n- path: q.yaml\nresources: [../base]\n"
    )
    files = {**tree(URI, TEAM, kustomization), "env/q.yaml": service("s3://merged/")}
    found = manifests(files)
    assert found.committed("env", "svc") == ServiceSpec("s3://new/", "12")
    changes = promoted(files)
    assert changes == {
        "env/p.yaml": URI.replace("s3://new/", SPEC.uri),
        "env/q.yaml": service("s3://merged/", '"13"'),
    }


ADDED = '- op: add\n  path: /metadata/labels/model-version\n  value: "13"\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (URI + LABEL, URI.replace("s3://new/", SPEC.uri) + LABEL.replace("14", "13")),
        (URI + "# end\n", URI.replace("s3://new/", SPEC.uri) + ADDED + "# end\n"),
        (
            "-   path: /spec/predictor/model/storageUri\n    op: add\n    value: 's3://new/'",
            f"-   path: /spec/predictor/model/storageUri\n    op: add\n    value: '{SPEC.uri}'\n"
            '-   op: add\n    path: /metadata/labels/model-version\n    value: "13"',
        ),
        (
            "- {op: add, path: /spec/predictor/model/storageUri, value: s3://new/} # why\n",
            f"- {{op: add, path: /spec/predictor/model/storageUri, value: {SPEC.uri}}} # why\n"
            '- {op: add, path: /metadata/labels/model-version, value: "13"}\n',
        ),
        (
            '[{"op":"add","path":"/spec/predictor/model/storageUri","value":"s3://new/"}]\n',
            f'[{{"op":"add","path":"/spec/predictor/model/storageUri","value":"{SPEC.uri}"}}, '
            '{"op": "add", "path": "/metadata/labels/model-version", "value": "13"}]\n',
        ),
        (
            '[\n  {"op": "add", "path": "/spec/predictor/model/storageUri", "value": "s3://x/"}\n]\n',
            '[\n  {"op": "add", "path": "/spec/predictor/model/storageUri", "value": '
            f'"{SPEC.uri}"}},\n'
            '  {"op": "add", "path": "/metadata/labels/model-version", "value": "13"}\n]\n',
        ),
        (
            "- op: replace\n  path: /spec/predictor/model\n  value:\n    runtime: r\n"
            "- op: add\n  path: /metadata/labels\n  value: {team: risk}\n",
            "- op: replace\n  path: /spec/predictor/model\n  value:\n    runtime: r\n"
            f"    storageUri: {SPEC.uri}\n"
            '- op: add\n  path: /metadata/labels\n  value: {team: risk, model-version: "13"}\n',
        ),
        (
            LABEL,
            LABEL.replace("14", "13")
            + f'- op: add\n  path: {URI.split()[4]}\n  value: "{SPEC.uri}"\n',
        ),
    ],
)
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_a_patch_of_this_service_alone_is_edited(before: str, after: str, eol: str) -> None:
    files = tree(before.replace("\n", eol))
    changes = promoted(files)
    assert changes == {"env/p.yaml": after.replace("\n", eol)}
    assert promoted({**files, "env/p.yaml": after.replace("\n", eol)}) == {}


def test_a_label_goes_where_the_uri_is() -> None:
    files = tree(URI, TEAM, LISTED + "- path: replicas.yaml\n")
    files["env/replicas.yaml"] = service("", "")
    assert promoted(files) == {"env/p.yaml": URI.replace("s3://new/", SPEC.uri) + ADDED}


def test_both_values_may_be_added_below_another_operation() -> None:
    runtime = "- op: add\n  path: /spec/predictor/model/runtime\n  value: r\n"
    text = promoted(tree(f"{runtime}# end\n"))["env/p.yaml"] or ""
    assert text.startswith(runtime)
    assert text.endswith("# end\n")
    assert ADDED in text
    assert f'  path: /spec/predictor/model/storageUri\n  value: "{SPEC.uri}"\n' in text


def test_without_labels_around_it_a_merge_patch_brings_the_label() -> None:
    """`add` below what is not there would stop the build."""
    changes = promoted(tree(URI, service("s3://base/", "")))
    assert changes["env/p.yaml"] == URI.replace("s3://new/", SPEC.uri)
    assert changes["env/kustomization.yaml"] == LISTED + "- path: svc/model-version.yaml\n"
    patch = changes["env/svc/model-version.yaml"]
    assert patch is not None
    assert patch.endswith('  labels:\n    model-version: "13"\n')


def test_a_patch_of_several_services_is_overridden_by_a_later_one() -> None:
    kustomization = LISTED.replace("name: svc", "name: s.*")
    changes = promoted(tree(URI + LABEL, TEAM, kustomization))
    assert "env/p.yaml" not in changes
    assert changes["env/kustomization.yaml"] == kustomization + "- path: svc/model-version.yaml\n"


def test_a_value_that_is_removed_is_set_by_a_later_patch() -> None:
    patch = "- {op: remove, path: /spec/predictor/model/storageUri}\n"
    changes = promoted(tree(patch))
    assert "env/p.yaml" not in changes
    assert SPEC.uri in (changes["env/svc/model-version.yaml"] or "")


def test_patches_json6902_of_several_services_are_overridden_further_out() -> None:
    inner = "resources: [../../base]\npatchesJson6902:\n- path: p.yaml\n" + TARGET.replace(
        "svc", "s.*"
    )
    files = {
        "base/kustomization.yaml": "resources: [a.yaml]",
        "base/a.yaml": TEAM,
        "env/kustomization.yaml": "resources: [svc]\n",
        "env/svc/kustomization.yaml": inner,
        "env/svc/p.yaml": URI,
    }
    assert promoted(files).keys() == {"env/kustomization.yaml", "env/svc/model-version.yaml"}


def test_a_test_that_the_edit_would_break_is_told() -> None:
    after = "- {op: test, path: /spec/predictor/model/storageUri, value: s3://new/}\n"
    files = tree(URI + after)
    assert manifests(files).committed("env", "svc") == ServiceSpec("s3://new/", "")
    with pytest.raises(Exception, match="remove the `test` operation"):
        promoted(files)


@pytest.mark.parametrize("key", ["sklearn", "xgboost", "pytorch", "lightgbm"])
def test_a_legacy_key_is_read_and_written(key: str) -> None:
    patch = (URI + LABEL).replace("/model/", f"/{key}/")
    files = tree(patch, service("s3://base/", key=key))
    found = manifests(files)
    assert found.committed("env", "svc") == ServiceSpec(*NEW)
    predictor = found.predictor("env", "svc")
    assert predictor is not None
    assert (predictor.key, predictor.model_format) == (key, key)
    assert promoted(files) == {
        "env/p.yaml": patch.replace("s3://new/", SPEC.uri).replace("14", "13")
    }
