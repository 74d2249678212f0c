"""The builds beside an environment's own: which folders include it, and what is not followed."""

from __future__ import annotations

import pytest

from mlflow_gitops.errors import CannotBuildError
from tests.unit.manifests.helpers import manifests, service

ENV = {"env/kustomization.yaml": "resources: [svc.yaml]\n", "env/svc.yaml": service()}


def application(path: str, more: str = "") -> str:
    name = path.replace("/", "-")
    return (
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\n"
        f"metadata: {{name: {name}}}\nspec: {{source: {{path: {path}, {more}}}}}\n"
    )


def beside(files: dict[str, str]) -> list[str]:
    found = manifests({**ENV, **files})
    edited = found.edited({"env/svc.yaml": service("s3://new/")})
    return [place for place, _ in found.builds_beside("env", edited)]


@pytest.mark.parametrize(
    ("kustomizations", "expected"),
    [
        ({"outer": "resources: [../env]"}, ["outer"]),
        ({"outer": "bases: [../middle]", "middle": "components: [../env]"}, ["outer"]),
        ({"outer": "resources: [../other]", "other": "resources: []"}, []),
        ({"outer": "resources: [../outer]"}, []),
        ({"outer": "resources: [../middle]", "middle": "resources: [../outer, ../env]"}, ["outer"]),
        ({"outer": "resources: [../broken]", "broken": "resources: ["}, []),
        ({"outer": "resources: [../../away]"}, []),
    ],
)
def test_a_deployed_folder_that_includes_the_environment_is_built(
    kustomizations: dict[str, str], expected: list[str]
) -> None:
    files = {f"{name}/kustomization.yaml": text for name, text in kustomizations.items()}
    assert beside({**files, "a.yaml": application("outer")}) == expected


def test_every_deployed_folder_is_looked_at() -> None:
    """A folder that includes the environment counts, however many there are before it."""
    names = [f"app-{number:03}" for number in range(300)]
    files = {f"{name}/kustomization.yaml": "resources: [../shared]" for name in names}
    files |= {f"argocd/{name}.yaml": application(name) for name in names}
    files["shared/kustomization.yaml"] = "resources: []"
    files["app-299/kustomization.yaml"] = "resources: [../shared, ../env]"
    assert beside(files) == ["app-299"]


def test_a_plugin_of_the_folder_is_not_followed() -> None:
    with pytest.raises(CannotBuildError, match="rendered by a plugin") as caught:
        beside({"a.yaml": application("env", "plugin: {name: envsubst}")})
    assert caught.value.where == "a.yaml: spec.source.plugin"
    assert beside({"a.yaml": application("other", "plugin: {name: envsubst}")}) == []


def test_a_patched_template_is_not_followed() -> None:
    patched = (
        "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: all}\nspec:\n"
        "  generators: [{list: {elements: [{x: env}]}}]\n  templatePatch: 'spec: {}'\n"
        "  template: {metadata: {name: x}, spec: {source: {path: '{{x}}'}}}\n"
    )
    with pytest.raises(CannotBuildError, match="patches its Applications") as caught:
        beside({"a.yaml": patched})
    assert caught.value.where == "a.yaml: spec.templatePatch"
    assert beside({"a.yaml": patched.replace("x: env", "x: other")}) == []
