"""What deploys a folder: Applications, ApplicationSets and Flux Kustomizations as values."""

from __future__ import annotations

import json
from dataclasses import replace
from textwrap import dedent

import pytest

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests import Manifests, ParseCache
from mlflow_gitops.manifests.applications import (
    Application,
    ApplicationSet,
    NotKnown,
    read_deployers,
)
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.deployments import Deployments, same_repository
from mlflow_gitops.manifests.generators import applications_at
from mlflow_gitops.manifests.graph import EVERY_FILE, FolderRules
from mlflow_gitops.manifests.options import kustomization_with, with_options
from mlflow_gitops.state import ValueRule
from tests.support.memory_tree import MemoryTree
from tests.unit.manifests.helpers import PREDICTOR, SPEC, environment, manifests, refused, service

KUSTOMIZATION = {"env/kustomization.yaml": "resources: [svc.yaml]", "env/svc.yaml": service()}


def application(
    source: str = "", *, name: str = "models", path: str = "env", more: str = ""
) -> str:
    """An Application, with lines of its source."""
    text = dedent(source).replace("\n", "\n    ").rstrip()
    return (
        f"apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}}}\n"
        f"spec:\n  destination: {{namespace: ml}}\n{more}  source:\n    path: {path}\n    {text}\n"
    )


def flux(spec: str = "", *, path: str = "./env") -> str:
    text = dedent(spec).replace("\n", "\n  ").rstrip()
    return (
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: ml}\n"
        f"spec:\n  path: {path}\n  {text}\n"
    )


def application_set(generators: str, path: str = "'{{path}}'", more: str = "") -> str:
    return (
        "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: all}\n"
        f"spec:\n{more}  generators: {generators}\n  template:\n"
        "    metadata: {name: 'models-{{path.basename}}'}\n"
        f"    spec: {{source: {{repoURL: 'https://h/x', path: {path}}}}}\n"
    )


def deployments(files: dict[str, str], repository: str = "") -> Deployments:
    return Deployments(Catalog(MemoryTree(files), ParseCache()), repository)


def names(files: dict[str, str], folder: str, branch: str = "", repository: str = "") -> list[str]:
    found = deployments(files, repository).of(folder, branch)
    return sorted(match.application.name for match in found)


def test_an_application_becomes_a_value() -> None:
    text = """
        repoURL: https://git.example.com/ml/manifests.git
        targetRevision: main
        directory: {recurse: true, include: '*.yaml', exclude: 'x/*'}
        kustomize: {namePrefix: a-, replicas: [{name: x, count: 2}]}
        helm: {parameters: [{name: a.b, value: "1"}], values: "a: 1"}
        """
    more = "  project: risk\n  syncPolicy: {automated: {prune: true}}\n"
    (found,) = read_deployers(application(text, path="./env/", more=more), "argocd/a.yaml")
    assert isinstance(found, Application)
    assert (found.file, found.name, found.namespace) == ("argocd/a.yaml", "models", "ml")
    assert (found.project, found.prunes, found.is_flux) == ("risk", True, False)
    (source,) = found.sources
    assert (source.path, source.revision, source.plugin) == ("env", "main", False)
    assert source.directory == FolderRules(recurse=True, include="*.yaml", exclude=("x/*",))
    assert source.kustomize == {"namePrefix": "a-", "replicas": [{"name": "x", "count": 2}]}
    assert source.helm == {"parameters": [{"name": "a.b", "value": "1"}], "values": "a: 1"}


def test_several_sources_and_charts() -> None:
    text = json.dumps(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": "a"},
            "spec": {
                "source": {"path": "ignored"},
                "sources": [
                    {"repoURL": "u", "path": "charts/a", "helm": {"valueFiles": ["$v/a.yaml"]}},
                    {"repoURL": "u", "ref": "v"},
                    {"repoURL": "oci", "chart": "kserve", "path": "x"},
                    {"path": ".", "plugin": {"name": "p"}},
                ],
            },
        }
    )
    (found,) = read_deployers(text, "a.json")
    assert isinstance(found, Application)
    assert [source.path for source in found.sources] == ["charts/a", None, None, ""]
    assert [source.field for source in found.sources][1] == "spec.sources[1]"
    assert found.sources[3].plugin


def test_a_flux_kustomization_becomes_a_value() -> None:
    text = """
        targetNamespace: ml
        prune: true
        suspend: true
        postBuild: {substituteFrom: [{kind: ConfigMap, name: x}]}
        patches: [{patch: "x"}]
        """
    (found,) = read_deployers(flux(text), "flux/ml.yaml")
    assert isinstance(found, Application)
    assert found.is_flux
    assert (found.substitute, found.suspended, found.prunes) == (True, True, True)
    assert found.sources[0].path == "env"
    assert found.sources[0].kustomize == {"patches": [{"patch": "x"}], "namespace": "ml"}


def test_lists_other_kinds_and_broken_files() -> None:
    listed = "kind: List\napiVersion: v1\nitems:\n- " + application().replace("\n", "\n  ")
    assert [type(each) for each in read_deployers(listed, "x")] == [Application]
    assert [type(each) for each in read_deployers(application_set("[]"), "x")] == [ApplicationSet]
    assert read_deployers("kind: Application\napiVersion: other/v1\n# argoproj.io/", "x") == ()
    assert read_deployers("kind: AppProject\napiVersion: argoproj.io/v1alpha1", "x") == ()
    (broken,) = read_deployers("{{ if }}\nkind: Application # argoproj.io/", "x.yaml")
    assert isinstance(broken, NotKnown)
    assert broken.file == "x.yaml"
    bomb = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
    (large,) = read_deployers(f"a0: &a0 [x]\n{bomb}{application()}", "x.yaml")
    assert isinstance(large, NotKnown)
    assert "more than" in large.why


@pytest.mark.parametrize(
    ("files", "folder", "expected"),
    [
        ({"a.yaml": application()}, "env", ["models"]),
        ({"a.yaml": application(path="./env/")}, "env", ["models"]),
        ({"a.yaml": application(path=".")}, "", ["models"]),
        ({"a.yaml": application()}, "env/x", []),
        ({"a.yaml": application()}, "environment", []),
        ({"a.yaml": application("directory: {recurse: true}")}, "env/x/y", ["models"]),
        ({"a.yaml": application("directory: {recurse: false}")}, "env/x", []),
        ({"a.yaml": application("chart: x")}, "env", []),
        ({".github/a.yaml": application(), "x/.b/a.yml": application()}, "env", []),
        ({"deep/er/a.json": json.dumps({"kind": "x"})}, "env", []),
        ({"a.yaml": flux()}, "env", ["ml"]),
        ({"a.yaml": flux()}, "env/x", ["ml"]),
        ({"a.yaml": flux(), "env/kustomization.yaml": ""}, "env/x", []),
        ({"a.yaml": application(), "b.yml": application(name="b")}, "env", ["b", "models"]),
    ],
)
def test_the_path_says_what_deploys_a_folder(
    files: dict[str, str], folder: str, expected: list[str]
) -> None:
    assert names(files, folder) == expected


def test_this_repositorys_own_url_and_branch_win() -> None:
    files = {
        "a.yaml": application("repoURL: git@git.example.com:ml/manifests.git", name="own"),
        "b.yaml": application("repoURL: https://git.example.com/other/x", name="other"),
        "c.yaml": application("repoURL: https://h/x\ntargetRevision: staging", name="staging"),
    }
    own = "https://git.example.com/ml/manifests"
    assert names(files, "env") == ["other", "own", "staging"]
    assert names(files, "env", repository=own) == ["own"]
    assert names(files, "env", repository="/clones/manifests") == ["other", "own", "staging"]
    assert names(files, "env", branch="staging") == ["staging"]
    assert names(files, "env", branch="main") == ["other", "own", "staging"]


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ("https://h/a/b.git", "ssh://git@h:22/a/b", True),
        ("git@H:a/b.git", "https://user@h/a/b/", True),
        ("https://h/a/b", "https://h/a/c", False),
        ("", "", False),
        ("https://h/A", "https://h/a", False),
    ],
)
def test_addresses_of_one_repository(one: str, two: str, expected: bool) -> None:
    assert same_repository(one, two) is expected


DIRECTORIES = "[{git: {directories: [{path: 'o/*/*'}, {path: 'o/*/old-*', exclude: true}]}}]"


@pytest.mark.parametrize(
    ("text", "folder", "expected"),
    [
        (application_set(DIRECTORIES), "o/prod/a", ["models-a"]),
        (application_set(DIRECTORIES), "o/prod", []),
        (application_set(DIRECTORIES), "o/prod/a/b", []),
        (application_set(DIRECTORIES), "o/prod/old-a", []),
        (application_set("[{git: {directories: [{path: o}]}}]", "'{{.path.path}}'"), "o", None),
        (application_set("[{git: {directories: [{path: o}]}}]", "'{{ .path.path }}'"), "o", None),
        (application_set("[{list: {elements: [{env: x}, {env: y}]}}]", "'o/{{env}}'"), "o/y", None),
        (application_set("[{list: {elements: [{env: x}]}}]", "'o/{{.env}}'"), "o/y", []),
        (application_set("[{list: {elements: [{a: {b: y}}]}}]", "'o/{{.a.b}}'"), "o/y", None),
        (
            application_set("[{git: {directories: [{path: 'o/*'}]}}]", "'x/{{path[1]}}'"),
            "x/a",
            [],
        ),
    ],
)
def test_simple_generators_are_followed(text: str, folder: str, expected: list[str] | None) -> None:
    (made_by,) = read_deployers(text, "a.yaml")
    assert isinstance(made_by, ApplicationSet)
    found = list(applications_at(made_by, folder))
    assert all(isinstance(each, Application) for each in found)
    if expected is None:
        assert len(found) == 1
    else:
        assert [each.name for each in found] == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (application_set("[{matrix: {generators: []}}]"), "`matrix` is not followed"),
        (application_set("[{clusters: {}}]", "env"), "`clusters` is not followed"),
        (application_set("[{git: {files: [{path: x}]}}]"), "`git` is not followed"),
        (application_set("[{list: {elements: [{a: b}]}}]", "'{{ .x | lower }}'"), "is not under"),
    ],
)
def test_what_is_not_understood_is_named(text: str, why: str) -> None:
    (found,) = deployments({"a.yaml": text}).not_known("env")
    assert why in found.why
    assert (found.file, found.name) == ("a.yaml", "all")


def test_what_may_deploy_an_environment_is_named() -> None:
    found = manifests({"a.yaml": application_set("[{clusters: {}}]", "env"), "env/x.yaml": ""})
    (error,) = found.not_followed("env")
    assert error.where == "a.yaml"
    assert "`clusters` is not followed" in error.what
    assert manifests({"a.yaml": application(), "env/x.yaml": ""}).not_followed("env") == ()


def test_a_template_that_is_patched_is_unclear() -> None:
    patched = application_set(
        "[{git: {directories: [{path: env}]}}]", more="  templatePatch: '{}'\n"
    )
    (match,) = deployments({"a.yaml": patched}).of("env")
    assert match.application.unclear == "spec.templatePatch"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, EVERY_FILE),
        ({"a.yaml": application()}, FolderRules(recurse=False)),
        ({"a.yaml": application("directory: {recurse: true}")}, FolderRules()),
        (
            {"a.yaml": application("directory: {include: '{a,b}.yaml', exclude: 'x/*'}")},
            FolderRules(recurse=False, include="{a,b}.yaml", exclude=("x/*",)),
        ),
        (
            {"a.yaml": application("directory: {recurse: true, exclude: 'env/x/*'}", path=".")},
            FolderRules(exclude=("env/x/*",), above="env/"),
        ),
        ({"a.yaml": f"{application()}---\n{application(path='env/sub')}"}, EVERY_FILE),
        ({"a.yaml": application_set("[{git: {directories: [{path: 'env/*'}]}}]")}, EVERY_FILE),
        (
            {"a.yaml": f"{application()}---\n{application('directory: {recurse: true}')}"},
            FolderRules(),
        ),
        ({"a.yaml": flux()}, FolderRules(include="{*.yaml,*.yml}")),
    ],
)
def test_the_application_says_which_files_count(
    files: dict[str, str], expected: FolderRules
) -> None:
    assert deployments(files).rules("env") == expected


ARCHIVE = {"env/archive/svc.yaml": service("s3://archived/")}


def test_an_archived_copy_that_is_not_read_is_not_edited() -> None:
    files = {"a.yaml": application(), "env/svc.yaml": service(), **ARCHIVE}
    assert list(manifests(files).set_service("env", "svc", SPEC, PREDICTOR)) == ["env/svc.yaml"]
    alone = manifests({"a.yaml": application(), **ARCHIVE})
    assert alone.committed("env", "svc") is None
    assert "two" not in refused({"env/svc.yaml": service(), **ARCHIVE})


def test_the_rules_follow_the_application_from_head_to_head() -> None:
    cache, files = ParseCache(), {"env/svc.yaml": service(), **ARCHIVE}
    environments = {"env": environment("env")}
    one = MemoryTree({**files, "a.yaml": application("directory: {recurse: true}")})
    two = one.with_changes({"a.yaml": application()})
    three = two.with_changes({"a.yaml": None})
    found = [Manifests(tree, environments, cache) for tree in (one, two, three, two)]
    assert [len(each.problems("env")) for each in found] == [1, 0, 1, 0]
    edited = found[0].edited({"a.yaml": application()})
    assert edited.problems("env") == ()
    assert edited.edited({"a.yaml": None}).problems("env")


REPLACE = '[{"op": "replace", "path": "/spec/predictor/model/storageUri", "value": "s3://pinned/"}]'
MERGE = "{kind: InferenceService, metadata: {name: svc, labels: {model-version: '9'}}}"
TARGET = "target: {kind: InferenceService, name: svc}"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (f"patches: [{{{TARGET}, patch: '{REPLACE}'}}]", "patches[0]"),
        (f"patches: [{{target: {{kind: Inference.*}}, patch: '{REPLACE}'}}]", "patches[0]"),
        (f"patches: [{{patch: 'x: 1'}}, {{patch: \"{MERGE}\"}}]", "patches[1]"),
        (f"patches: [{{{TARGET}, path: p.yaml}}]", "patches[0]"),
        (f"patches: [{{{TARGET}, path: ../p2.yaml}}]", "patches[0]"),
        (f"patches: [{{{TARGET}, path: gone.yaml}}]", "patches[0]"),
        (f"patches: [{{{TARGET}, patch: '$patch: delete'}}]", "patches[0]"),
        ("namePrefix: a-", "namePrefix"),
        ("nameSuffix: -a", "nameSuffix"),
        ("commonLabels: {model-version: '1'}", "commonLabels"),
        ("components: [../component]", "components[0]"),
        ("components: ['https://github.com/o/r']", "components[0]"),
    ],
)
def test_what_overrides_the_service_is_refused_by_field(options: str, field: str) -> None:
    others = {
        "env/p.yaml": REPLACE,
        "p2.yaml": REPLACE,
        "component/kustomization.yaml": f"patches: [{{{TARGET}, path: ../p2.yaml}}]",
    }
    argo = {"argo/a.yaml": application(f"kustomize: {{{options}}}"), **others, **KUSTOMIZATION}
    assert f"argo/a.yaml: spec.source.kustomize.{field}: " in refused(argo)
    new = {**argo, "env/kustomization.yaml": "resources: []"}
    assert f"spec.source.kustomize.{field}: " in refused(new)
    of_flux = options.replace("commonLabels: {", "commonMetadata: {labels: {") + "}" * (
        field == "commonLabels"
    )
    field = field.replace("commonLabels", "commonMetadata.labels")
    by_flux = {"flux/a.yaml": flux(of_flux), **others, **KUSTOMIZATION}
    assert f"flux/a.yaml: spec.{field}: " in refused(by_flux)


@pytest.mark.parametrize(
    "options",
    [
        f"patches: [{{target: {{kind: Deployment}}, patch: '{REPLACE}'}}]",
        f"patches: [{{target: {{name: other}}, patch: '{REPLACE}'}}]",
        "patches: [{target: {kind: InferenceService}, "
        "patch: '[{op: add, path: /spec/predictor/minReplicas, value: 2}]'}]",
        "patches: [{patch: '{kind: InferenceService, metadata: {name: svc}, spec: {x: 1}}'}]",
        "namespace: ml",
        "images: ['a=b:1']",
        "commonLabels: {team: risk}",
        "components: [../component]",
    ],
)
def test_options_that_leave_the_values_alone_stop_nothing(options: str) -> None:
    files = {
        "a.yaml": application(f"kustomize: {{{options}}}"),
        "component/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1",
        **KUSTOMIZATION,
    }
    assert list(manifests(files).set_service("env", "svc", SPEC, PREDICTOR)) == ["env/svc.yaml"]


def test_an_override_of_another_kind_of_service_is_refused_too() -> None:
    llm = "apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\n"
    patch = "[{op: replace, path: /spec/model/uri, value: 's3://pinned/'}]"
    options = f'patches: [{{target: {{kind: %s}}, patch: "{patch}"}}]'
    named = "patches: [{patch: '{kind: %s, metadata: {name: svc}, spec: {model: {uri: x}}}'}]"
    for each in (options, named):
        files = {
            "env/kustomization.yaml": "resources: [svc.yaml]\n",
            "env/svc.yaml": f"{llm}metadata: {{name: svc}}\nspec: {{model: {{uri: 's3://old/'}}}}\n",
            "a.yaml": application(f"kustomize: {{{each % 'LLMInferenceService'}}}"),
        }
        assert "spec.source.kustomize.patches[0]" in refused(files)
        files["a.yaml"] = application(f"kustomize: {{{each % 'InferenceService'}}}")
        assert list(manifests(files).set_service("env", "svc", SPEC, PREDICTOR)) == ["env/svc.yaml"]


def test_an_application_of_another_folder_stops_nothing() -> None:
    source = f"kustomize: {{patches: [{{patch: '{REPLACE}', {TARGET}}}]}}"
    files = {"a.yaml": application(source, path="other"), **KUSTOMIZATION}
    assert manifests(files).set_service("env", "svc", SPEC, PREDICTOR)


def test_an_application_of_the_services_own_folder_overrides_it() -> None:
    source = f"kustomize: {{patches: [{{patch: '{REPLACE}', {TARGET}}}]}}"
    files = {
        "a.yaml": application(source, path="env/svc"),
        "env/svc/kustomization.yaml": "resources: [svc.yaml]",
        "env/svc/svc.yaml": service(),
    }
    assert "a.yaml: spec.source.kustomize.patches[0]" in refused(files)


@pytest.mark.parametrize("name", [".argocd-source.yaml", ".argocd-source-models.yaml"])
def test_argo_cds_override_files_count(name: str) -> None:
    text = f"kustomize: {{patches: [{{patch: '{REPLACE}', {TARGET}}}]}}"
    files = {"a.yaml": application(), f"env/{name}": text, **KUSTOMIZATION}
    assert f"env/{name}: spec.source.kustomize.patches[0]" in refused(files)
    other = {"a.yaml": application(), "env/.argocd-source-other.yaml": text, **KUSTOMIZATION}
    assert manifests(other).set_service("env", "svc", SPEC, PREDICTOR)


def test_options_become_a_kustomization() -> None:
    written = {
        "resources": ["a.yaml"],
        "images": [{"name": "x", "newTag": "1"}, {"name": "y"}],
        "patches": [{"path": "p.yaml"}],
        "commonLabels": {"a": "b"},
    }
    options = {
        "namePrefix": "p-",
        "nameSuffix": "-s",
        "namespace": "ml",
        "images": ["x=h:5000/z:2", "q@sha256:1", {"name": "y", "newTag": "3"}],
        "replicas": [{"name": "x", "count": 2}],
        "commonLabels": {"c": "d"},
        "commonAnnotations": {"e": "f"},
        "patches": [{"patch": "x"}],
        "components": ["../c"],
    }
    assert with_options(written, options) == {
        "resources": ["a.yaml"],
        "namePrefix": "p-",
        "nameSuffix": "-s",
        "namespace": "ml",
        "images": [
            {"name": "x", "newName": "h:5000/z", "newTag": "2"},
            {"name": "y", "newTag": "3"},
            {"name": "q", "digest": "sha256:1"},
        ],
        "replicas": [{"name": "x", "count": 2}],
        "commonLabels": {"a": "b", "c": "d"},
        "commonAnnotations": {"e": "f"},
        "patches": [{"path": "p.yaml"}, {"patch": "x"}],
        "components": ["../c"],
    }
    alone = {"commonLabels": {"c": "d"}, "labelWithoutSelector": True}
    entry = {"pairs": {"c": "d"}, "includeSelectors": False, "includeTemplates": False}
    assert with_options({}, alone) == {"labels": [entry]}


def test_the_kustomization_for_a_build_keeps_what_is_written() -> None:
    text = "resources: [a.yaml]\nhelmCharts: [{valuesInline: {a: 0.5, b: '1', c: true, d: null}}]\n"
    files = {"a.yaml": application("kustomize: {namePrefix: x-}"), "env/kustomization.yaml": text}
    found = deployments(files)
    (match,) = found.of("env")
    ((path, made),) = kustomization_with(match, "env", found._catalog).items()
    assert path == "env/kustomization.yaml"
    assert json.loads(made) == {
        "resources": ["a.yaml"],
        "helmCharts": [{"valuesInline": {"a": 0.5, "b": "1", "c": True, "d": None}}],
        "namePrefix": "x-",
    }
    plain = deployments({"a.yaml": flux("namePrefix: x-")})
    ((path, made),) = kustomization_with(
        plain.of("env")[0], "env", plain._catalog, ["b.yaml"]
    ).items()
    assert json.loads(made)["resources"] == ["b.yaml"]


def test_the_settings_say_where_applications_are_looked_for() -> None:
    source = f"kustomize: {{patches: [{{patch: '{REPLACE}', {TARGET}}}]}}"
    files = MemoryTree({"argo/a.yaml": application(source), **KUSTOMIZATION})
    environments = {"env": environment("env")}

    def found(*globs: str) -> Manifests:
        return Manifests(files, environments, applications=globs)

    assert len(found("argo/*").overridden("env")) == 1
    assert found("flux/*", "argo/b.yaml").overridden("env") == ()
    edited = found().edited({"env/svc.yaml": service("s3://other/")})
    assert edited.set_service("env", "svc", SPEC, PREDICTOR)


def test_all_that_is_overridden_is_listed() -> None:
    source = f"kustomize: {{patches: [{{patch: '{REPLACE}', {TARGET}}}]}}"
    files = {
        "a.yaml": application(source),
        "env/kustomization.yaml": "resources: [svc.yaml, b.yaml]",
        "env/svc.yaml": service(),
        "env/b.yaml": service(name="b"),
    }
    (error,) = manifests(files).overridden("env")
    assert error.where == "a.yaml: spec.source.kustomize.patches[0]"
    assert manifests(KUSTOMIZATION).overridden("env") == ()


VALUES = {"charts/svc/values.yaml": "model: {uri: s3://b/svc/v1/}\n"}


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ("helm: {parameters: [{name: a, value: b}, {name: model.uri, value: x}]}", "parameters[1]"),
        ("helm: {valuesObject: {model: {uri: x}}}", "valuesObject"),
        ("helm: {values: 'model: {uri: x}'}", "values"),
        ("helm: {parameters: [{name: model.other, value: x}]}", ""),
        ("helm: {values: 'model: {other: x}'}", ""),
        ("helm: {valueFiles: [other.yaml]}", ""),
    ],
)
def test_helm_options_of_a_charts_application_override_its_values(source: str, field: str) -> None:
    rule = ValueRule(models=("*",), file="charts/{service}/values.yaml", path="model.uri")
    environments = {"env": replace(environment("env"), values=(rule,))}
    tree = MemoryTree({"a.yaml": application(source, path="charts/svc"), **VALUES})
    found = Manifests(tree, environments)
    if field:
        with pytest.raises(ManifestError) as caught:
            found.committed("env", "svc")
        assert caught.value.where == f"a.yaml: spec.source.helm.{field}"
    else:
        assert list(found.set_service("env", "svc", SPEC, PREDICTOR)) == list(VALUES)


def test_a_value_in_the_application_itself_is_edited_there() -> None:
    rule = ValueRule(models=("*",), file="a.yaml", path="spec.source.helm.valuesObject.uri")
    environments = {"env": replace(environment("env"), values=(rule,))}
    text = application("helm: {valuesObject: {uri: s3://b/svc/v1/}}", path="charts/svc")
    found = Manifests(MemoryTree({"a.yaml": text, **VALUES}), environments)
    changes = found.set_service("env", "svc", SPEC, PREDICTOR)
    assert changes == {"a.yaml": text.replace("s3://b/svc/v1/", SPEC.uri)}


def test_the_past_is_read_as_it_was_written() -> None:
    source = f"kustomize: {{patches: [{{patch: '{REPLACE}', {TARGET}}}]}}"
    files = {"a.yaml": application(source), "env/svc.yaml": service(), **ARCHIVE}
    found = Manifests(MemoryTree(files), {"env": environment("env")}, past=True)
    assert found.committed("env", "svc") is not None
    assert "a.yaml" in found.sources("env", "svc")
