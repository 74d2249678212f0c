"""The environment is read as Argo CD or Flux reads it: through the real command, on real Git."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from tests.support.stack import Stack

pytestmark = pytest.mark.slow

Names = Callable[[str], str]
Files = Mapping[str, str]

SETTINGS = """artifacts: {{bucket: {bucket}}}
environments:
  production:
    select: {{stage: Production}}
    path: production
"""
SERVICE = """apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: MODEL
  labels:
    model-version: "0"
spec:
  predictor:
    model:
      modelFormat:
        name: mlflow
      protocolVersion: v2
      storageUri: s3://old/MODEL/v0/
"""
JSON = (
    '{"apiVersion":"serving.kserve.io/v1beta1","kind":"InferenceService",'
    '"metadata":{"name":"MODEL"},"spec":{"predictor":{"model":{"modelFormat":{"name":"mlflow"},'
    '"protocolVersion":"v2","storageUri":"s3://old/MODEL/v0/"}}}}'
)
CONFIG = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n"


def start(stack: Stack, model: str, files: Files) -> str:
    """Make version 1 wait in Production, and the files the whole repository. Returns its head."""
    gone: dict[str, str | None] = dict.fromkeys(
        stack.git("ls-tree", "-r", "--name-only", "main").splitlines()
    )
    texts = {"mlflow-gitops.yaml": SETTINGS.format(bucket=stack.bucket), **files}
    new = {path: text.replace("MODEL", model) for path, text in texts.items()}
    head = stack.person_writes({**gone, **new})
    stack.registry.register(model)
    stack.registry.transition(model, "1", "Production")
    return head


def changed(stack: Stack, head: str) -> list[str]:
    return stack.git("diff", "--name-only", head, "main").splitlines()


def promoted(stack: Stack, model: str, files: Files) -> dict[str, str]:
    """The texts that one promotion changed."""
    head = start(stack, model, files)
    done = stack.cli("reconcile", model)
    assert done.returncode == 0, done.stderr
    assert stack.git("rev-parse", "main^") == head
    return {path: stack.file(path) for path in changed(stack, head)}


def refused(stack: Stack, model: str, files: Files) -> str:
    """What `plan` and `reconcile` say of it; nothing is committed or published."""
    head = start(stack, model, files)
    planned = stack.cli("plan", model)
    done = stack.cli("reconcile", model)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in planned.stderr + done.stderr
    assert stack.head() == head
    assert not [key for key in stack.objects() if key.startswith(f"{model}/")]
    error = " ".join((done.stdout + done.stderr).split())
    assert "next:" in error
    assert planned.returncode == 1
    return error


def test_a_json_manifest_is_edited_in_place(stack: Stack, names: Names) -> None:
    model = names("fraud")
    texts = promoted(stack, model, {"production/fraud.json": JSON, "production/x.yaml": CONFIG})
    assert list(texts) == ["production/fraud.json"]
    found = json.loads(texts["production/fraud.json"])
    assert found["metadata"]["labels"] == {"model-version": "1"}
    uri = found["spec"]["predictor"]["model"]["storageUri"]
    assert uri == f"s3://{stack.bucket}/{model}/v1/"


def test_a_document_behind_a_byte_order_mark_is_edited(stack: Stack, names: Names) -> None:
    model = names("fraud")
    before = f"{CONFIG}---\n\ufeff{SERVICE}"
    texts = promoted(stack, model, {"production/all.yaml": before})
    wanted = before.replace("s3://old/MODEL/v0/", f"s3://{stack.bucket}/{model}/v1/")
    wanted = wanted.replace('"0"', '"1"').replace("MODEL", model)
    assert texts == {"production/all.yaml": wanted.rstrip("\n")}


def test_a_json_file_with_a_list_is_refused_by_name(stack: Stack, names: Names) -> None:
    files = {"production/list.json": f"[{JSON}]", "production/x.yaml": CONFIG}
    error = refused(stack, names("fraud"), files)
    assert "production/list.json: the file is not one JSON object" in error


OLD = SERVICE.replace("/v0/", "/archived/")
PIN = '[{"op":"replace","path":"/spec/predictor/model/storageUri","value":"s3://pinned/v1"}]'
PATCHES = f"patches: [{{target: {{kind: InferenceService, name: MODEL}}, patch: '{PIN}'}}]"
LISTED = {
    "production/kustomization.yaml": "resources: [fraud.yaml]\n",
    "production/fraud.yaml": SERVICE,
}


def application(source: str = "", path: str = "production") -> str:
    return f"""apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {{name: models, namespace: argocd}}
spec:
  destination: {{namespace: ml, server: https://kubernetes.default.svc}}
  source: {{repoURL: https://git.example.com/ml/manifests.git, path: {path}{source}}}
"""


APPLICATION_SET = f"""apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {{name: models}}
spec:
  generators: [{{git: {{directories: [{{path: '*'}}]}}}}]
  template:
    metadata: {{name: '{{{{path.basename}}}}'}}
    spec: {{source: {{path: '{{{{path}}}}', kustomize: {{{PATCHES}}}}}}}
"""
FLUX = f"""apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {{name: models}}
spec:
  path: ./production
  {PATCHES}
"""


def test_what_an_application_patches_is_refused_before_publishing(
    stack: Stack, names: Names
) -> None:
    patched = f", kustomize: {{{PATCHES}}}"
    by_application = {**LISTED, "argocd/app.yaml": application(patched)}
    error = refused(stack, names("fraud"), by_application)
    assert "argocd/app.yaml: spec.source.kustomize.patches[0]" in error
    checked = stack.cli("config", "check")
    assert checked.returncode == 0
    assert "production: argocd/app.yaml: spec.source.kustomize.patches[0]" in checked.stderr
    error = refused(stack, names("by-set"), {**LISTED, "argocd/set.yaml": APPLICATION_SET})
    assert "argocd/set.yaml: spec.source.kustomize.patches[0]" in error
    error = refused(stack, names("by-flux"), {**LISTED, "clusters/flux.yaml": FLUX})
    assert "clusters/flux.yaml: spec.patches[0]" in error
    error = refused(
        stack,
        names("new"),
        {
            "production/kustomization.yaml": "resources: []\n",
            "argocd/app.yaml": application(", kustomize: {namePrefix: risk-}"),
        },
    )
    assert "argocd/app.yaml: spec.source.kustomize.namePrefix" in error
    settings = SETTINGS.format(bucket=stack.bucket) + "applications: [flux/*]\n"
    texts = promoted(stack, names("ok"), {**by_application, "mlflow-gitops.yaml": settings})
    assert list(texts) == ["production/fraud.yaml"]


def test_an_archived_copy_that_argo_cd_does_not_read_is_left_alone(
    stack: Stack, names: Names
) -> None:
    files = {"production/archive/fraud.yaml": OLD, "argocd/app.yaml": application()}
    live = {**files, "production/fraud.yaml": SERVICE}
    assert list(promoted(stack, names("fraud"), live)) == ["production/fraud.yaml"]
    excluded = application(", directory: {recurse: true, exclude: 'archive/*'}")
    texts = promoted(stack, names("excluded"), {**live, "argocd/app.yaml": excluded})
    assert list(texts) == ["production/fraud.yaml"]
    recursive = application(", directory: {recurse: true}")
    error = refused(stack, names("twice"), {**live, "argocd/app.yaml": recursive})
    assert "production/archive/fraud.yaml and in production/fraud.yaml" in error


def test_a_transformer_that_sets_the_uri_is_refused(stack: Stack, names: Names) -> None:
    kustomization = "resources: [fraud.yaml]\ntransformers: [set-uri.yaml]\n"
    text = (
        "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: set-uri}\n"
        f"target: {{kind: InferenceService}}\npatch: '{PIN}'\n"
    )
    files = {**LISTED, "production/kustomization.yaml": kustomization}
    error = refused(stack, names("fraud"), {**files, "production/set-uri.yaml": text})
    assert "production/set-uri.yaml: a transformer of production/kustomization.yaml" in error
    harmless = (
        "apiVersion: builtin\nkind: NamespaceTransformer\nmetadata: {name: x, namespace: n}\n"
    )
    texts = promoted(stack, names("other"), {**files, "production/set-uri.yaml": harmless})
    assert list(texts) == ["production/fraud.yaml"]


TWO = """artifacts: {{bucket: {bucket}}}
environments:
  champion: {{select: {{alias: champion}}, path: prod/champion, namespace: ml}}
  production: {{select: {{stage: Production}}, path: prod/challenger, namespace: ml}}
"""
BASE = {
    "production/kustomization.yaml": "resources: [../base]\n",
    "base/fraud.yaml": SERVICE,
    "base/params.yaml": (
        "kind: ConfigMap\napiVersion: v1\nmetadata: {name: params}\ndata: {user: 'x'}\n"
    ),
}
VARS = """resources: [fraud.yaml, params.yaml]
vars:
- name: USER
  objref: {apiVersion: v1, kind: ConfigMap, name: params}
  fieldref: {fieldpath: data.user}
configurations: [names.yaml]
"""
RELEASE = """apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: models}
spec: {values: {fullnameOverride: MODEL}}
"""


def test_a_second_object_of_one_name_is_never_made(stack: Stack, names: Names) -> None:
    computed = {
        **BASE,
        "base/kustomization.yaml": VARS,
        "base/fraud.yaml": SERVICE.replace("name: MODEL", "name: $(USER)", 1),
        "base/names.yaml": "varReference: [{path: metadata/name, kind: InferenceService}]\n",
    }
    error = refused(stack, names("vars"), computed)
    assert "base/fraud.yaml: metadata.name is `$(USER)`" in error
    model = names("prefix")
    prefixed = {
        **BASE,
        "base/kustomization.yaml": f"resources: [fraud.yaml]\nnamePrefix: {model[:2]}\n",
        "base/fraud.yaml": SERVICE.replace("name: MODEL", f"name: {model[2:]}", 1),
    }
    error = refused(stack, model, prefixed)
    assert f"base/fraud.yaml: this is `{model[2:]}`" in error
    files = {"production/all.json": JSON.replace("serving.kserve.io", "serving.example.com")}
    error = refused(stack, names("group"), files)
    assert "production/all.json: `" in error
    error = refused(stack, names("release"), {"production/release.yaml": RELEASE})
    assert "production/release.yaml: the HelmRelease `models` has or gives the name" in error
    error = refused(stack, names("capitals"), {"production/FRAUD.YAML": SERVICE})
    assert "production/FRAUD.YAML: this file may hold" in error


def test_one_application_never_gets_a_name_twice(stack: Stack, names: Names) -> None:
    files = {
        "mlflow-gitops.yaml": TWO.format(bucket=stack.bucket),
        "argocd/app.yaml": application(", directory: {recurse: true}", "prod"),
        "prod/champion/fraud.yaml": SERVICE,
        "prod/challenger/other.yaml": SERVICE.replace("name: MODEL", "name: MODEL-challenger", 1),
    }
    assert "they are in different clusters, say so with `cluster`" in " ".join(
        refused(stack, names("one"), files).split()
    )
    settings = files["mlflow-gitops.yaml"].replace("prod/champion,", "prod/champion, cluster: a,")
    files = {**files, "mlflow-gitops.yaml": settings}
    error = refused(stack, names("fraud"), files)
    assert "prod/champion/fraud.yaml: the Application `models` (argocd/app.yaml) deploys" in error
    assert "`services` of the environment" in error
    other = application(", directory: {recurse: true}", "prod/champion")
    texts = promoted(stack, names("apart"), {**files, "argocd/app.yaml": other})
    assert list(texts) == [f"prod/challenger/{names('apart')}.yaml"]
