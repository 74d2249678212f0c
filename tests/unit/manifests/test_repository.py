"""What `init` writes."""

from __future__ import annotations

import dataclasses
import re

import pytest
import yaml

from mlflow_gitops.config import check_settings
from mlflow_gitops.errors import ConfigError, ManifestError
from mlflow_gitops.manifests import InitOptions, scaffold_repository
from mlflow_gitops.state import Environment, Selector

OPTIONS = InitOptions(
    bucket="prod-ml-models", repository_url="git@git.example.com:ml/manifests.git"
)


@pytest.mark.parametrize("applicationset", [False, True])
def test_every_yaml_file_is_good_yaml_and_no_placeholder_is_left(applicationset: bool) -> None:
    files = scaffold_repository(dataclasses.replace(OPTIONS, applicationset=applicationset))
    for path, text in files.items():
        assert text.endswith("\n"), path
        assert not text.endswith("\n\n"), path
        if path.endswith((".yaml", ".yml")):
            assert list(yaml.safe_load_all(text)), path
        assert not re.search(r"\$\{[a-z_]", text), path


def test_the_settings_have_the_form_that_is_read() -> None:
    found = yaml.safe_load(scaffold_repository(OPTIONS)["mlflow-gitops.yaml"])
    assert found["artifacts"] == {"bucket": "prod-ml-models", "prefix": "", "sources": []}
    assert found["version-name"] == "number"
    assert found["services"] == {}
    assert found["environments"]["production"] == {
        "select": {"stage": "Production"},
        "path": "models/overlays/production",
        "namespace": "ml-production",
        "branch": "main",
        "delivery": "commit",
        "models": ["*"],
        "max-changes": 20,
    }


def test_environments_select_by_stage_alias_or_tag() -> None:
    def one(selector: Selector) -> Environment:
        return Environment("live", selector, "models/overlays/live", "ml-live", "release")

    for selector, select in (
        (Selector("alias", "champion"), {"alias": "champion"}),
        (Selector("tag", "deploy", "live: yes"), {"tag": {"deploy": "live: yes"}}),
    ):
        files = scaffold_repository(dataclasses.replace(OPTIONS, environments=(one(selector),)))
        settings = yaml.safe_load(files["mlflow-gitops.yaml"])
        assert settings["environments"]["live"]["select"] == select
        application = yaml.safe_load(files["argocd/live.yaml"])
        assert application["spec"]["source"]["targetRevision"] == "release"
        workflow = yaml.safe_load(files[".github/workflows/argocd-refresh.yml"])
        assert workflow[True]["push"]["branches"] == ["release"]


def test_the_workflow_has_an_entry_for_each_application_and_no_secret() -> None:
    text = scaffold_repository(OPTIONS)[".github/workflows/argocd-refresh.yml"]
    job = yaml.safe_load(text)["jobs"]["refresh"]
    assert [each["application"] for each in job["strategy"]["matrix"]["include"]] == [
        "models-staging",
        "models-production",
    ]
    assert job["steps"][1]["env"]["ARGOCD_TOKEN"] == "${{ secrets.ARGOCD_TOKEN }}"


def test_an_applicationset_finds_what_no_list_has() -> None:
    files = scaffold_repository(dataclasses.replace(OPTIONS, applicationset=True))
    for name in ("staging", "production"):
        assert f"models/overlays/{name}/kustomization.yaml" not in files
        shared = yaml.safe_load(files[f"models/overlays/{name}/common/kustomization.yaml"])
        assert shared["resources"] == ["../../../base/common"]
        found = yaml.safe_load(files[f"argocd/{name}.yaml"])
        assert found["kind"] == "ApplicationSet"
        (generator,) = found["spec"]["generators"]
        assert generator["git"]["directories"] == [{"path": f"models/overlays/{name}/*"}]
    assert not any("refresh" in path for path in files)
    assert "argocd-refresh" not in files["README.md"]


def test_models_get_a_base_that_no_overlay_lists() -> None:
    files = scaffold_repository(dataclasses.replace(OPTIONS, models=("churn",), gpu_example=False))
    assert "models/base/churn/inference-service.yaml" in files
    assert not any("image-classifier" in path for path in files)
    for name in ("staging", "production"):
        overlay = yaml.safe_load(files[f"models/overlays/{name}/kustomization.yaml"])
        assert overlay["resources"] == ["../../base/common"]


@pytest.mark.parametrize(
    ("kserve", "mode"),
    [("", "Standard"), ("0.14", "RawDeployment"), ("0.15", "RawDeployment"), ("0.16", "Standard")],
)
def test_the_deployment_mode_is_one_that_kserve_can_update(kserve: str, mode: str) -> None:
    files = scaffold_repository(dataclasses.replace(OPTIONS, models=("churn",), kserve=kserve))
    services = [path for path in files if path.endswith("/inference-service.yaml")]
    assert len(services) == 2
    for path in services:
        annotations = yaml.safe_load(files[path])["metadata"]["annotations"]
        assert annotations == {"serving.kserve.io/deploymentMode": mode}
    settings = yaml.safe_load(files["mlflow-gitops.yaml"])
    assert settings.get("kserve", "") == kserve
    assert check_settings(files["mlflow-gitops.yaml"]) == []


def test_the_gpu_example_never_serves_nothing_and_looks_fine() -> None:
    files = scaffold_repository(OPTIONS)
    service = yaml.safe_load(files["models/base/image-classifier/inference-service.yaml"])
    assert service["spec"]["predictor"]["deploymentStrategy"] == {"type": "Recreate"}


def test_the_applications_make_an_unknown_field_an_error() -> None:
    files = scaffold_repository(OPTIONS)
    for name in ("staging", "production"):
        policy = yaml.safe_load(files[f"argocd/{name}.yaml"])["spec"]["syncPolicy"]
        assert "ServerSideApply=true" in policy["syncOptions"]


@pytest.mark.parametrize(
    "change",
    [
        {"bucket": "No_Bucket"},
        {"bucket": "a\nb: c"},
        {"prefix": "/models"},
        {"prefix": "a/../b"},
        {"prefix": "a#b"},
        {"prefix": "a b"},
        {"repository_url": "https://user:token@git.example.com/x.git"},
        {"repository_url": ""},
        {"owners": "@a\n* @b"},
        {"account_role_arn": "x\ny: z"},
        {"environments": (Environment("A b", Selector("stage", "x"), "p", "ns"),)},
        {"environments": (Environment("a", Selector("stage", "x"), "p", "n s"),)},
    ],
)
def test_options_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        scaffold_repository(dataclasses.replace(OPTIONS, **change))  # type: ignore[arg-type]
    assert "token" not in str(caught.value)


def test_a_model_that_is_no_service_name_is_refused() -> None:
    with pytest.raises(ManifestError, match="cannot be the name"):
        scaffold_repository(dataclasses.replace(OPTIONS, models=("Churn",)))
