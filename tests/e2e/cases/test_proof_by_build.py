"""What "committed" means: the built objects changed, in exactly the wanted values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.case_world import CaseWorld, isvc, uri

LISTED = "resources:\n- fraud-detector.yaml\n"


def world(folder: Path, files: dict[str, str], model: str = "fraud-detector") -> CaseWorld:
    return CaseWorld(folder=folder, files=files, model=model)


def refused(made: CaseWorld, version: str = "2") -> str:
    """The error of a promotion that changes nothing anywhere."""
    made.registry.transition(made.model, version, "Production")
    return made.refusal(made.model)


def test_a_promotion_that_the_build_shows_is_committed_as_proved(tmp_path: Path) -> None:
    made = world(
        tmp_path,
        {"production/kustomization.yaml": LISTED, "production/fraud-detector.yaml": isvc()},
    )
    before = made.build()
    result = made.ask()
    assert result.exit_code == 0, result.output
    assert made.build() == before.replace(uri(1), uri(2)).replace('"1"', '"2"')
    assert "Not proved" not in made.git("log", "-1", "--format=%B", "main")


def test_a_prefix_below_an_outer_patch_is_refused_with_the_file_that_wins(tmp_path: Path) -> None:
    made = world(
        tmp_path,
        {
            "production/kustomization.yaml": "resources:\n- risk\npatches:\n- path: uri.yaml\n",
            "production/uri.yaml": isvc("risk-fraud-detector", value=uri(1), label=None),
            "production/risk/kustomization.yaml": "namePrefix: risk-\nresources:\n- ../base\n",
            "production/base/kustomization.yaml": LISTED,
            "production/base/fraud-detector.yaml": isvc(),
        },
    )
    said = refused(made)
    assert "production/uri.yaml" in said or "risk-fraud-detector" in said


@pytest.mark.parametrize("key", ["namePrefix: risk-", "nameSuffix: -x", "namePrefix: a-"])
def test_a_prefix_of_the_whole_environment_does_no_harm(tmp_path: Path, key: str) -> None:
    made = world(
        tmp_path,
        {
            "production/kustomization.yaml": f"{key}\n{LISTED}",
            "production/fraud-detector.yaml": isvc(),
        },
    )
    before = made.build()
    assert made.ask().exit_code == 0
    assert made.build() == before.replace(uri(1), uri(2)).replace('"1"', '"2"')


def test_a_patch_that_renames_the_service_is_refused(tmp_path: Path) -> None:
    rename = "- op: replace\n  path: /metadata/name\n  value: other"
    made = world(
        tmp_path,
        {
            "production/kustomization.yaml": f"{LISTED}patches:\n- target: "
            "{kind: InferenceService, name: fraud-detector}\n  patch: |-\n    "
            + rename.replace("\n", "\n    ")
            + "\n",
            "production/fraud-detector.yaml": isvc(),
        },
    )
    assert "production/kustomization.yaml" in refused(made)


def test_a_name_that_vars_make_is_refused(tmp_path: Path) -> None:
    made = world(
        tmp_path,
        {
            "production/kustomization.yaml": "resources:\n- ../base\n",
            "base/isvc.yaml": isvc("$(USERNAME)-model", value=uri(1, "alice-model")),
            "base/varreference.yaml": "varReference:\n- path: metadata/name\n"
            "  kind: InferenceService\n",
            "base/kustomization.yaml": "resources:\n- isvc.yaml\n- config.yaml\nvars:\n"
            "- name: USERNAME\n  objref: {apiVersion: v1, kind: ConfigMap, name: params}\n"
            "  fieldref: {fieldpath: data.username}\nconfigurations:\n- varreference.yaml\n",
            "base/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: params}\n"
            "data: {username: alice}\n",
        },
        model="alice-model",
    )
    assert "alice-model" in refused(made)


def test_an_environment_that_does_not_build_is_refused(tmp_path: Path) -> None:
    made = world(
        tmp_path,
        {
            "production/kustomization.yaml": f"{LISTED}- service-account.yaml\n",
            "production/service-account.yaml": "apiVersion: v1\nkind: ServiceAccount\n"
            "metadata: {name: a}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n",
            "production/fraud-detector.yaml": isvc(),
        },
    )
    said = refused(made)
    assert "nothing would be deployed" in said
    assert "already registered id" in said


def transformer(value: str) -> str:
    operations = f'[{{"op":"replace","path":"/spec/predictor/model/storageUri","value":"{value}"}}]'
    return (
        "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: set-uri}\n"
        f"target: {{kind: InferenceService}}\npatch: '{operations}'\n"
    )


TRANSFORMED = {
    "production/kustomization.yaml": f"{LISTED}transformers:\n- set-uri.yaml\n",
    "production/fraud-detector.yaml": isvc(),
}


def test_a_transformer_that_sets_the_uri_is_named(tmp_path: Path) -> None:
    pinned = "s3://prod-ml-models/old/v1/"
    made = world(tmp_path, {**TRANSFORMED, "production/set-uri.yaml": transformer(pinned)})
    said = refused(made)
    assert "production/set-uri.yaml" in said


def test_a_transformer_that_sets_something_else_does_no_harm(tmp_path: Path) -> None:
    namespace = (
        "apiVersion: builtin\nkind: NamespaceTransformer\nmetadata: {name: n, namespace: ml}\n"
        "fieldSpecs: [{path: metadata/namespace, create: true}]\n"
    )
    made = world(tmp_path, {**TRANSFORMED, "production/set-uri.yaml": namespace})
    assert made.ask().exit_code == 0
    assert uri(2) in made.build()


def test_a_transformer_of_an_outer_layer_is_named(tmp_path: Path) -> None:
    made = world(
        tmp_path,
        {
            "production/kustomization.yaml": "resources:\n- ../base\npatches:\n- path: own.yaml\n"
            "transformers:\n- set-uri.yaml\n",
            "production/own.yaml": isvc(),
            "production/set-uri.yaml": transformer("s3://pinned/"),
            "base/kustomization.yaml": LISTED,
            "base/fraud-detector.yaml": isvc(value=""),
        },
    )
    assert "production/set-uri.yaml" in refused(made)


APPLICATION = """apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {{name: models, namespace: argocd}}
spec:
  project: default
  destination: {{namespace: ml, server: https://kubernetes.default.svc}}
  source:
    repoURL: https://git.example.com/ml/manifests.git
    path: {path}
{more}"""
PATCHED = (
    "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n"
    "  name: fraud-detector\nspec:\n  predictor:\n    model:\n      storageUri: s3://pinned/v1/\n"
)
BASE = {
    "production/kustomization.yaml": LISTED,
    "production/fraud-detector.yaml": isvc(),
}


def test_a_patch_around_the_folder_that_is_deployed_is_named(tmp_path: Path) -> None:
    made = world(
        tmp_path,
        {
            **BASE,
            "argocd/app.yaml": APPLICATION.format(path="clusters/one", more=""),
            "clusters/one/kustomization.yaml": "resources:\n- ../../production\n"
            "patches:\n- path: pin.yaml\n",
            "clusters/one/pin.yaml": PATCHED,
        },
    )
    said = refused(made)
    assert "clusters/one/pin.yaml" in said
    assert "s3://pinned/v1/" in said


def test_a_kustomization_around_the_folder_that_sets_nothing_does_no_harm(tmp_path: Path) -> None:
    made = world(
        tmp_path,
        {
            **BASE,
            "argocd/app.yaml": APPLICATION.format(path="clusters/one", more=""),
            "clusters/one/kustomization.yaml": "namespace: ml\nresources:\n- ../../production\n",
        },
    )
    assert made.ask().exit_code == 0
    assert uri(2) in made.build("clusters/one")


def test_options_of_an_application_that_set_something_else_do_no_harm(tmp_path: Path) -> None:
    more = "    kustomize:\n      commonAnnotations: {team: risk}\n      namespace: ml\n"
    made = world(
        tmp_path,
        {**BASE, "argocd/app.yaml": APPLICATION.format(path="production", more=more)},
    )
    result = made.ask()
    assert result.exit_code == 0, result.output
    assert "not proved" not in result.output


def test_a_folder_that_a_plugin_renders_is_not_proved(tmp_path: Path) -> None:
    more = "    plugin: {name: envsubst}\n"
    made = world(
        tmp_path,
        {**BASE, "argocd/app.yaml": APPLICATION.format(path="production", more=more)},
    )
    result = made.ask()
    assert result.exit_code == 0, result.output
    said = "argocd/app.yaml: spec.source.plugin: the Application `models` has the folder rendered"
    assert said in " ".join(made.git("log", "-1", "--format=%B", "main").split())


def test_a_component_that_sets_the_label_of_the_built_name_is_named(tmp_path: Path) -> None:
    made = world(
        tmp_path,
        {
            "production/kustomization.yaml": "resources:\n- mid\ncomponents:\n- ../component\n",
            "production/mid/kustomization.yaml": "namePrefix: a-\nresources:\n- ../base\n",
            "production/base/kustomization.yaml": LISTED,
            "production/base/fraud-detector.yaml": isvc(),
            "component/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\n"
            "kind: Component\npatches:\n- path: label.yaml\n",
            "component/label.yaml": isvc("a-fraud-detector", value=""),
        },
    )
    said = refused(made)
    assert "model-version" in said
    assert "component/label.yaml" in said


REPLACING = """resources:
- ../base
replacements:
- source: {kind: ConfigMap, name: params, fieldPath: data.uri}
  targets:
  - select: {kind: InferenceService, name: fraud-detector-x}
    fieldPaths: [spec.predictor.sklearn.storageUri]
    options: {create: true}
"""
ADDING = """resources:
- ../base
patches:
- target: {kind: InferenceService, name: .*-x}
  patch: |-
    - op: add
      path: /spec/predictor/sklearn
      value: {storageUri: s3://elsewhere/}
"""


@pytest.mark.parametrize("outer", [REPLACING, ADDING], ids=["replacement", "patch"])
def test_a_second_framework_that_the_build_adds_is_named(tmp_path: Path, outer: str) -> None:
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: params}\ndata: {uri: s3://a/b/}\n"
    made = world(
        tmp_path,
        {
            "production/kustomization.yaml": outer.replace("../base", "base"),
            "production/base/kustomization.yaml": f"nameSuffix: -x\n{LISTED}- params.yaml\n",
            "production/base/fraud-detector.yaml": isvc(),
            "production/base/params.yaml": config,
        },
    )
    said = refused(made)
    assert "sklearn" in said
    assert "production/kustomization.yaml" in said


def test_a_file_in_capitals_that_may_hold_the_service_too_is_named(tmp_path: Path) -> None:
    made = world(
        tmp_path,
        {"production/fraud-detector.yaml": isvc(), "production/FRAUD.YAML": isvc()},
    )
    assert "production/FRAUD.YAML" in refused(made)


RULED = """artifacts: {{bucket: prod-ml-models}}
environments:
  production:
    select: {{stage: Production}}
    path: production
    unproved: {unproved}
    values: [{{models: [fraud-detector], file: {file}, path: {path}}}]
"""


@pytest.mark.parametrize(
    ("file", "path", "why"),
    [
        ("charts/values.yaml", "data.uri", "no build of production reads charts/values.yaml"),
        ("production/values.yaml", "data.uri", "no build of production reads"),
        ("production/config.yaml", "data.uri", "no build here shows what is made of ConfigMap"),
    ],
)
def test_what_no_build_proves_is_marked_or_refused(
    tmp_path: Path, file: str, path: str, why: str
) -> None:
    text = f"data:\n  uri: {uri(1)}\n"
    if file.endswith("config.yaml"):
        text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: uris}}\n{text}"
    files = {file: text, "production/other.yaml": isvc("other")}
    settings = RULED.format(unproved="mark", file=file, path=path)
    made = world(tmp_path / "mark", {**files, "mlflow-gitops.yaml": settings})
    planned = " ".join(made.ask("1").output.split())
    result = made.ask("2")
    assert result.exit_code == 0, result.output
    assert why in " ".join(result.output.split()), planned
    message = " ".join(made.git("log", "-1", "--format=%B", "main").split())
    assert f"Not proved by a build: {why}" in message
    (tag,) = (
        version.tags["gitops.status.production"]
        for version in made.registry.snapshot("fraud-detector").versions
        if version.number == "2"
    )
    assert "not proved by a build" in tag
    settings = RULED.format(unproved="refuse", file=file, path=path)
    strict = world(tmp_path / "refuse", {**files, "mlflow-gitops.yaml": settings})
    assert "no build can prove the edit" in refused(strict)
