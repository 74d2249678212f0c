"""What a promotion may replace, through the real command on real Git."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.git_session import SETTINGS, GitWorld
from tests.support.memory_session import FILES
from tests.support.stack import Stack

URI = "s3://prod-ml-models/fraud-detector/v1/"
HUGGING_FACE = {"config.json": b"{}", "model.safetensors": b"weights"}
Make = Callable[[dict[str, str]], GitWorld]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as stack:

        def make(files: dict[str, str]) -> GitWorld:
            made = GitWorld(folder=tmp_path, files=files)
            stack.callback(made.clone.close)
            for model in ("fraud-detector", "llama"):
                made.stage(model, files=HUGGING_FACE if model == "llama" else FILES)
            return made

        yield make


def rules(*lines: str) -> dict[str, str]:
    """The settings with rules for `fraud-detector`."""
    text = "".join(f"      - {{models: [fraud-detector], {line}}}\n" for line in lines)
    return {"mlflow-gitops.yaml": f"{SETTINGS}    values:\n{text}"}


def service(uri: str = URI, label: str = '"1"', *, name: str = "fraud-detector") -> str:
    return (
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n"
        f"  name: {name}\n  labels:\n    model-version: {label}\nspec:\n  predictor:\n    model:\n"
        f"      modelFormat: {{name: mlflow}}\n      protocolVersion: v2\n      storageUri: {uri}\n"
    )


def predictor(*lines: str) -> str:
    """A service whose predictor has these lines."""
    head = service().partition("    model:\n")[0]
    return head + "".join(f"    {line}\n" for line in lines)


# Helm values as a text

APP = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: fraud-detector, namespace: argocd}
spec:
  source:
    repoURL: https://git.example.com/ml/charts.git
    helm:
      values: %s
        replicas: 2   # peak at noon
        model:
          storageUri: s3://prod-ml-models/fraud-detector/v1/
          version: "1"
      parameters:
        - {name: replicas, value: "2"}
        - name: model.uri
          value: s3://prod-ml-models/fraud-detector/v1/
      valuesObject:
        model: {storageUri: "s3://prod-ml-models/fraud-detector/v1/"}
"""
HELM = "spec.source.helm"


def app_rule(path: str, more: str = "") -> str:
    return f"file: production/app.yaml, path: {path}{more}"


def test_a_block_of_values_is_never_replaced_as_a_whole(world: Make) -> None:
    files = {**rules(app_rule(f"{HELM}.values")), "production/app.yaml": APP % "|"}
    said = world(files).refusal("fraud-detector")
    assert "production/app.yaml:8: `spec.source.helm.values` is a text of 4 lines" in said
    assert f"`path: {HELM}.values.model.storageUri`" in said


@pytest.mark.parametrize("header", ["|", "|-", "|+", "|2"])
def test_a_path_leads_into_a_block_of_values(world: Make, header: str) -> None:
    rule = app_rule(
        f"{HELM}.values.model.storageUri", f", version-path: {HELM}.values.model.version"
    )
    made = world({**rules(rule), "production/app.yaml": APP % header})
    assert made.promote("fraud-detector") == (
        "production/app.yaml\n"
        "-          storageUri: s3://prod-ml-models/fraud-detector/v1/\n"
        '-          version: "1"\n'
        "+          storageUri: s3://prod-ml-models/fraud-detector/v2/\n"
        '+          version: "2"'
    )
    assert made.promote("fraud-detector") == ""


@pytest.mark.slow
def test_a_text_is_promoted_reverted_and_held_on_real_parts(
    stack: Stack, names: Callable[[str], str]
) -> None:
    model = names("fraud")
    rule = app_rule(f"{HELM}.values.model.storageUri").replace("file:", f"models: [{model}], file:")
    settings = f"{SETTINGS.replace('prod-ml-models', stack.bucket)}services: {{{model}: fraud}}\n"
    settings = settings.replace("services:", f"    values:\n      - {{{rule}}}\nservices:")
    app = (APP % "|").replace("prod-ml-models", stack.bucket)
    stack.person_writes({"mlflow-gitops.yaml": settings, "production/app.yaml": app})
    stack.registry.register(model)
    stack.registry.transition(model, "1", "Production")
    done = stack.cli("reconcile", model)
    assert done.returncode == 0, done.stderr
    old, new = "storageUri: s3://{}/fraud-detector/v1/\n          v", "storageUri: {}\n          v"
    uri = f"s3://{stack.bucket}/fraud/v1/"
    assert (
        stack.file("production/app.yaml")
        == app.replace(old.format(stack.bucket), new.format(uri)).strip()
    )
    reverted = stack.person_reverts()
    done = stack.cli("reconcile", model)
    assert "held" in done.stdout
    assert stack.head() == reverted


@pytest.mark.parametrize(
    ("header", "path", "says"),
    [
        (">", "values.model.storageUri", "is one text (folded or quoted)"),
        (">", "values.model.storageUri", "write it as `valuesObject`"),
        ("|", "values.replicas", "is a number, `2`: a promotion replaces model URIs only"),
        ("|", "values.model", "`spec.source.helm.values.model` is a mapping, not a value"),
        ("|", "values.models.uri", "add below `spec.source.helm.values`: `models:"),
        ("|", "values.model.storageUri.x", "is one value, and the path leads on to"),
        ("|", '"parameters[name=gone].value"', "add to the list `spec.source.helm.parameters`"),
        ("|", '"parameters[name=replicas].value"', "is a number, `2`"),
        ("|", "valuesObject.models.uri", "add below `spec.source.helm.valuesObject`: `models:"),
    ],
)  # fmt: skip
def test_a_path_that_leads_astray_is_refused_without_a_block_to_replace(
    world: Make, header: str, path: str, says: str
) -> None:
    path = path.strip('"')
    rule = app_rule(f'"{HELM}.{path}"')
    said = world({**rules(rule), "production/app.yaml": APP % header}).refusal("fraud-detector")
    assert says in said
    assert "spec: {source" not in said


@pytest.mark.parametrize(
    "path", ["parameters[name=model.uri].value", "valuesObject.model.storageUri"]
)
def test_other_values_of_an_application_are_promoted(world: Make, path: str) -> None:
    made = world({**rules(app_rule(f'"{HELM}.{path}"')), "production/app.yaml": APP % "|"})
    changed = made.promote("fraud-detector").splitlines()
    assert len(changed) == 3
    assert changed[2] == changed[1].replace("v1", "v2").replace("-", "+", 1)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("llama2_7b_chat", "is `llama2_7b_chat`, which is not a model URI"),
        ("Org/Model", "is `Org/Model`, which is not a model URI"),
        ('"{{ .Values.uri }}"', "which something else fills in"),
        ("$(MODEL_URI)", "which something else fills in"),
        ("s3://<bucket>/fraud/v1/", "which something else fills in"),
        ("7", "is a number, `7`"),
        ("true", "is true or false, `true`"),
        ("[s3://b/v1/]", "is a list, not a value"),
    ],
)
def test_a_value_that_is_no_uri_is_refused(world: Make, value: str, says: str) -> None:
    files = {
        **rules("file: production/values.yaml, path: data.model"),
        "production/values.yaml": f"data:\n  model: {value}\n",
    }
    said = world(files).refusal("fraud-detector")
    assert "production/values.yaml:2: `data.model`" in said
    assert says in said


@pytest.mark.parametrize("value", ['""', "null", "", "gs://b/m/v1/", "hf://Org/Model"])
def test_nothing_and_any_model_uri_are_replaced(world: Make, value: str) -> None:
    files = {
        **rules("file: production/values.yaml, path: data.model"),
        "production/values.yaml": f"data:\n  model: {value}\n",
    }
    assert "v2/" in world(files).promote("fraud-detector")


# ConfigMaps and Secrets

CONFIG = 'apiVersion: v1\nkind: %s\nmetadata: {name: c}\n%s:\n  uri: "%s"\n  version: %s\n'


@pytest.mark.parametrize("version", ['"1"', "'1'", "1"])
def test_a_version_in_a_config_map_stays_a_text(world: Make, version: str) -> None:
    rule = "file: production/c.yaml, path: data.uri, version-path: data.version"
    made = world({**rules(rule), "production/c.yaml": CONFIG % ("ConfigMap", "data", URI, version)})
    quoted = "'2'" if version == "'1'" else '"2"'
    assert made.promote("fraud-detector").endswith(f"+  version: {quoted}")


def test_the_data_of_a_secret_is_refused_and_its_string_data_is_not(world: Make) -> None:
    rule = "file: production/c.yaml, path: data.uri"
    files = {**rules(rule), "production/c.yaml": CONFIG % ("Secret", "data", "czM6Ly8=", "x")}
    said = world(files).refusal("fraud-detector")
    assert "is in the `data` of a Secret" in said
    assert "czM6Ly8=" not in said


def test_the_string_data_of_a_secret_is_promoted(world: Make) -> None:
    rule = "file: production/c.yaml, path: stringData.uri"
    files = {**rules(rule), "production/c.yaml": CONFIG % ("Secret", "stringData", URI, "x")}
    assert "v2/" in world(files).promote("fraud-detector")


@pytest.mark.parametrize(("value", "version"), [("hunter2", '"1"'), (URI, "hunter2")])
def test_another_text_of_a_secret_is_not_shown(world: Make, value: str, version: str) -> None:
    rule = "file: production/c.yaml, path: stringData.uri, version-path: stringData.version"
    secret = CONFIG % ("Secret", "stringData", value, version)
    made = world({**rules(rule), "production/c.yaml": secret})
    assert "of a Secret is not a" in made.refusal("fraud-detector")
    told = made.cli("status").output + made.cli("drift").output + repr(made.registry.models)
    assert "hunter2" not in told


VALUES_IN_CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: values}
data:
  values.yaml: |
    model:
      uri: s3://prod-ml-models/fraud-detector/v1/
      version: 1  # as a number
"""


def test_values_in_a_config_map_are_yaml_of_their_own(world: Make) -> None:
    rule = (
        "file: production/c.yaml, path: 'data.\"values.yaml\".model.uri', "
        "version-path: 'data.\"values.yaml\".model.version'"
    )
    made = world({**rules(rule), "production/c.yaml": VALUES_IN_CONFIG})
    assert made.promote("fraud-detector").endswith("+      version: 2  # as a number")


def test_a_hold_in_a_block_of_values_holds(world: Make) -> None:
    held = (APP % "|").replace(
        "v1/\n          version", "v1/ # mlflow-gitops: hold audit\n          version"
    )
    rule = app_rule(f"{HELM}.values.model.storageUri")
    made = world({**rules(rule), "production/app.yaml": held})
    assert made.promote("fraud-detector") == ""
    assert "audit" in made.cli("plan", "fraud-detector").output


def test_a_version_path_at_another_number_is_refused(world: Make) -> None:
    rule = "file: production/v.yaml, path: uri, version-path: replicas"
    files = {**rules(rule), "production/v.yaml": f"uri: {URI}\nreplicas: 3\n"}
    said = world(files).refusal("fraud-detector")
    assert "`replicas` is the number `3`, and the URI names version `1`" in said


# Substitutions

CLUSTER = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: cluster-configs
data:
  model_uri: "s3://prod-ml-models/fraud-detector/v1/"
  model_version: "1"
"""


def test_a_substitution_is_refused_with_the_rule_that_works(world: Make) -> None:
    rule = (
        "values: [{models: [fraud-detector], file: clusters/prod/cluster-configs.yaml, "
        "path: data.model_uri, version-path: data.model_version}]"
    )
    files = {
        "clusters/prod/cluster-configs.yaml": CLUSTER,
        "production/fraud-detector.yaml": service("${model_uri}"),
    }
    said = world(files).refusal("fraud-detector")
    assert "production/fraud-detector.yaml:12: `spec.predictor.model.storageUri` is" in said
    assert "`${model_uri}`, which something else fills in" in said
    assert rule in said


def test_the_rule_that_is_printed_works(world: Make) -> None:
    files = {
        **rules(
            "file: clusters/prod/cluster-configs.yaml, path: data.model_uri, "
            "version-path: data.model_version"
        ),
        "clusters/prod/cluster-configs.yaml": CLUSTER,
        "production/fraud-detector.yaml": service("${model_uri}"),
    }
    assert world(files).promote("fraud-detector") == (
        "clusters/prod/cluster-configs.yaml\n"
        '-  model_uri: "s3://prod-ml-models/fraud-detector/v1/"\n-  model_version: "1"\n'
        '+  model_uri: "s3://prod-ml-models/fraud-detector/v2/"\n+  model_version: "2"'
    )


FLUX = """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: models}
spec:
  path: ./production
  postBuild:
    substitute:
      model_uri: s3://prod-ml-models/fraud-detector/v1/
"""


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"clusters/flux.yaml": FLUX}, "path: spec.postBuild.substitute.model_uri"),
        ({}, "file: <file>, path: <path of the URI that fills it in>"),
        (
            {"clusters/a/c.yaml": CLUSTER, "clusters/b/c.yaml": CLUSTER},
            "file: <one of clusters/a/c.yaml, clusters/b/c.yaml>, path: data.model_uri",
        ),
        (
            {"clusters/a/c.yaml": CLUSTER, "clusters/production/c.yaml": CLUSTER},
            "file: clusters/production/c.yaml, path: data.model_uri",
        ),
    ],
)  # fmt: skip
def test_what_fills_a_value_in_is_looked_for(world: Make, files: dict[str, str], says: str) -> None:
    here = {"production/fraud-detector.yaml": service("${model_uri:=s3://none/}")}
    assert says in world({**files, **here}).refusal("fraud-detector")


@pytest.mark.parametrize(
    ("uri", "label", "says"),
    [
        ("s3://b/${version}/", '"1"', "`s3://b/${version}/`, which something else fills in"),
        ("$(URI)", '"1"', "which something else fills in"),
        ("latest", '"1"', "is `latest`, which is not a model URI"),
        ("5", '"1"', "is a number, `5`"),
        (URI, "${model_version}", "`metadata.labels.model-version` is `${model_version}`"),
    ],
)
def test_a_field_that_holds_something_else_is_refused(
    world: Make, uri: str, label: str, says: str
) -> None:
    assert says in world({"production/f.yaml": service(uri, label)}).refusal("fraud-detector")


def test_a_patch_does_not_override_a_substitution_in_a_shared_base(world: Make) -> None:
    files = {
        "base/kustomization.yaml": "resources: [f.yaml]\n",
        "base/f.yaml": service("${model_uri}"),
        "production/kustomization.yaml": "resources: [../base]\n",
    }
    assert "base/f.yaml:12:" in world(files).refusal("fraud-detector")


# Markers

MARK = '# {"$mlflow": "fraud-detector:production"}'
MARK_VERSION = '# {"$mlflow": "fraud-detector:production:version"}'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"minReplicas: 1 {MARK}\n", "production/m.yaml:1: `minReplicas` is a number, `1`"),
        (f"on: true {MARK}\n", "production/m.yaml:1: `on` is true or false, `true`"),
        (f"a:\n  name: x {MARK}\n", "production/m.yaml:2: `a.name` is `x`"),
        (
            f"uri: {URI} {MARK}\nreplicas: 3 {MARK_VERSION}\n",
            "production/m.yaml:2: `replicas` is the number `3`",
        ),
        (
            f"uri: {URI} {MARK}\nname: fraud {MARK_VERSION}\n",
            "production/m.yaml:2: `name` is `fraud`, which is not a version",
        ),
    ],
)
def test_a_marker_on_another_value_is_refused(world: Make, text: str, says: str) -> None:
    assert says in world({"production/m.yaml": text}).refusal("fraud-detector")


def test_a_marker_on_a_number_of_another_service_is_refused(world: Make) -> None:
    text = predictor(f"minReplicas: 1 {MARK}", "model:", f"  storageUri: {URI}")
    said = world(
        {"production/m.yaml": text.replace("name: fraud-detector", "name: other")}
    ).refusal("fraud-detector")
    assert "production/m.yaml:9: `spec.predictor.minReplicas` is a number, `1`" in said


# LLMInferenceService

LLM = """\
apiVersion: serving.kserve.io/%s
kind: LLMInferenceService
metadata:
  name: llama
spec:
  model:
    uri: s3://prod-ml-models/llama/v1/
    name: llama
"""
LLM_CHANGE = """\
+  labels:
+    model-version: "2"
-    uri: s3://prod-ml-models/llama/v1/
+    uri: s3://prod-ml-models/llama/v2/"""


@pytest.mark.parametrize("version", ["v1alpha1", "v1alpha2"])
def test_an_llm_service_is_promoted_in_a_plain_folder(world: Make, version: str) -> None:
    made = world({"production/llm.yaml": LLM % version})
    assert made.promote("llama") == f"production/llm.yaml\n{LLM_CHANGE}"
    assert made.promote("llama") == ""


def test_an_llm_service_is_promoted_in_a_kustomization(world: Make) -> None:
    files = {"production/kustomization.yaml": "resources: [llm.yaml]\n"}
    made = world({**files, "production/llm.yaml": LLM % "v1alpha2"})
    assert made.promote("llama") == f"production/llm.yaml\n{LLM_CHANGE}"


def test_a_patch_overrides_an_llm_service_of_a_shared_base(world: Make) -> None:
    made = world(
        {
            "base/kustomization.yaml": "resources: [llm.yaml]\n",
            "base/llm.yaml": LLM % "v1alpha1",
            "production/kustomization.yaml": "resources: [../base]\n",
        }
    )
    made.promote("llama")
    assert made.text("production/llama/model-version.yaml") == (
        "apiVersion: serving.kserve.io/v1alpha1\nkind: LLMInferenceService\nmetadata:\n"
        '  name: llama\n  labels:\n    model-version: "2"\nspec:\n  model:\n'
        "    uri: s3://prod-ml-models/llama/v2/"
    )


def test_two_kinds_of_one_name_are_refused(world: Make) -> None:
    files = {"production/llm.yaml": LLM % "v1alpha1", "production/isvc.yaml": service(name="llama")}
    said = world(files).refusal("llama")
    assert "the InferenceService in production/isvc.yaml" in said
    assert "the LLMInferenceService in production/llm.yaml" in said


def test_an_llm_service_takes_only_files_that_it_can_load(world: Make) -> None:
    text = (LLM % "v1alpha1").replace("llama", "fraud-detector")
    assert "would not load" in world({"production/llm.yaml": text}).refusal("fraud-detector")


# A storage's key and path

STORAGE = predictor(
    "model:",
    "  modelFormat: {name: mlflow}",
    "  protocolVersion: v2",
    "  storage:",
    "    key: aws-connection",
    "    path: fraud-detector/v1/",
)


def keys(bucket: str) -> dict[str, str]:
    return {"mlflow-gitops.yaml": f"{SETTINGS}storage-keys: {{aws-connection: {bucket}}}\n"}


def test_a_storage_is_refused_until_its_bucket_is_known(world: Make) -> None:
    said = world({"production/s.yaml": STORAGE}).refusal("fraud-detector")
    assert "through the connection `aws-connection`" in said
    assert "no file says which bucket that is" in said
    assert "`storage-keys: {aws-connection: <bucket>}`" in said


@pytest.mark.parametrize("shared", [True, False])
def test_the_path_of_a_storage_is_promoted(world: Make, shared: bool) -> None:
    settings = keys("prod-ml-models")
    if not shared:
        own = "    storage-keys: {aws-connection: prod-ml-models}\n"
        settings = {
            "mlflow-gitops.yaml": f"{SETTINGS}{own}storage-keys: {{aws-connection: other}}\n"
        }
    made = world({**settings, "production/s.yaml": STORAGE})
    assert made.promote("fraud-detector").splitlines()[-1] == "+        path: fraud-detector/v2/"
    assert made.promote("fraud-detector") == ""
    assert "committed" in made.cli("status").output


def test_a_patch_overrides_the_path_of_a_shared_base(world: Make) -> None:
    files = {
        "base/kustomization.yaml": "resources: [s.yaml]\n",
        "base/s.yaml": STORAGE,
        "production/kustomization.yaml": "resources: [../base]\n",
    }
    made = world({**keys("prod-ml-models"), **files})
    made.promote("fraud-detector")
    patch = made.text("production/fraud-detector/model-version.yaml")
    assert patch.endswith("model:\n      storage:\n        path: fraud-detector/v2/")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("fraud-detector/v1/", "${path}", "which something else fills in"),
        (
            "  storage:",
            "  storageUri: s3://b/\n      storage:",
            "both spec.predictor.model.storage",
        ),
        ("key: aws-connection", "schemaPath: x", "without a `key`"),
        ("key: ", "parameters: {bucket: b}\n        key: ", "parameters, which may name another"),
    ],
)
def test_a_storage_that_is_unclear_is_refused(world: Make, old: str, new: str, says: str) -> None:
    files = {**keys("prod-ml-models"), "production/s.yaml": STORAGE.replace(old, new)}
    assert says in world(files).refusal("fraud-detector")


def test_a_connection_to_another_bucket_is_refused(world: Make) -> None:
    said = world({**keys("other"), "production/s.yaml": STORAGE}).refusal("fraud-detector")
    assert "the connection `aws-connection` leads to the bucket `other`" in said


# Custom containers

CONTAINER = ("containers:", "  - name: kserve-container", "    image: registry/churn:1.0")
ENV = (
    "    env:",
    "      - {name: A, value: b}",
    "      - name: STORAGE_URI",
    f"        value: {URI}",
)


def test_a_container_with_its_model_in_the_image_is_not_promoted(world: Make) -> None:
    said = world({"production/c.yaml": predictor(*CONTAINER)}).refusal("fraud-detector")
    assert "its model is in the image, and there is nothing to promote" in said
    assert "spec.predictor.model.storageUri" not in said


def test_the_storage_uri_of_a_container_is_promoted(world: Make) -> None:
    made = world({"production/c.yaml": predictor(*CONTAINER, *ENV)})
    assert made.promote("fraud-detector").splitlines()[-1] == f"+            value: {URI}".replace(
        "v1", "v2"
    )
    assert made.promote("fraud-detector") == ""


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ((*ENV[:3], "        valueFrom: {secretKeyRef: {name: s, key: k}}"), "(`valueFrom`)"),
        ((*ENV, "      - {name: STORAGE_URI, value: s3://b/}"), "more than once"),
        ((*ENV[:3], "        value: $(URI)"), "which something else fills in"),
    ],
)
def test_a_storage_uri_that_is_unclear_is_refused(
    world: Make, env: tuple[str, ...], says: str
) -> None:
    files = {"production/c.yaml": predictor(*CONTAINER, *env)}
    assert says in world(files).refusal("fraud-detector")


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        ("", "a patch would replace the whole list of containers"),
        (
            "patches:\n- target: {name: fraud-detector}\n  patch: |-\n    - op: replace\n"
            "      path: /spec/predictor/containers/0/env/1/value\n      value: s3://b/v1/\n",
            "a JSON 6902 patch changes the custom container",
        ),
    ],
)
def test_a_container_of_a_shared_base_is_refused(world: Make, patch: str, says: str) -> None:
    files = {
        "base/kustomization.yaml": "resources: [c.yaml]\n",
        "base/c.yaml": predictor(*CONTAINER, *ENV),
        "production/kustomization.yaml": f"resources: [../base]\n{patch}",
    }
    assert says in world(files).refusal("fraud-detector")


# Helm charts

VALUES = f"fullnameOverride: fraud-detector\nmodel:\n  uri: {URI}\n"
CHART = """\
helmCharts:
- name: kserve-model
  releaseName: fraud-detector
  repo: https://charts.example.com/
"""
RULE = "values: [{models: [fraud-detector], file: %s, path: %s}]"


@pytest.mark.parametrize(
    ("files", "file", "path"),
    [
        (
            {"kustomization.yaml": f"{CHART}  valuesFile: values.yaml\n", "values.yaml": VALUES},
            "production/values.yaml",
            "model.uri",
        ),
        (
            {
                "kustomization.yaml": f"{CHART}  additionalValuesFiles: [a.yaml, b.yaml]\n",
                "a.yaml": "replicas: 2\n",
                "b.yaml": VALUES,
            },
            "production/b.yaml",
            "model.uri",
        ),
        (
            {"kustomization.yaml": f"{CHART}  valuesInline: {{model: {{uri: '{URI}'}}}}\n"},
            "production/kustomization.yaml",
            '"helmCharts[name=kserve-model].valuesInline.model.uri"',
        ),
        ({"Chart.yaml": "name: c\n", "values.yaml": VALUES}, "production/values.yaml", "model.uri"),
        (
            {"Chart.yaml": "name: c\n", "values.yaml": "a: 1\n", "values-prod.yaml": VALUES},
            "production/values-prod.yaml",
            "model.uri",
        ),
        (
            {"Chart.yaml": "name: c\n", "values.yaml": "a: 1\n"},
            "<values file>",
            "<path of the URI in it>",
        ),
    ],
)
def test_a_chart_is_refused_with_the_rule_that_works(
    world: Make, files: dict[str, str], file: str, path: str
) -> None:
    said = world({f"production/{name}": text for name, text in files.items()}).refusal(
        "fraud-detector"
    )
    assert RULE % (file, path) in said


def test_the_rule_for_a_chart_works(world: Make) -> None:
    files = {
        **rules("file: production/values.yaml, path: model.uri"),
        "production/kustomization.yaml": f"{CHART}  valuesFile: values.yaml\n",
        "production/values.yaml": VALUES,
    }
    changed = world(files).promote("fraud-detector").splitlines()
    assert changed[0] == "production/values.yaml"
    assert changed[-1] == "+  uri: s3://prod-ml-models/fraud-detector/v2/"
