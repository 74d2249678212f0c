"""examples/service: valid for Kubernetes and for the product's own settings, without a cluster."""

from __future__ import annotations

import configparser
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import models
from pydantic import ValidationError

from mlflow_gitops.cli import main
from mlflow_gitops.config import Process
from tests.support.kubectl import build, objects

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "service"
KUBERNETES = EXAMPLE / "kubernetes"
MOUNT = "/run/secrets/mlflow-gitops/"
FILES = [path for path in sorted(KUBERNETES.glob("*.yaml")) if path.stem != "kustomization"]


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((KUBERNETES / f"{name}.yaml").read_text())
    return found


def check(found: dict[str, Any]) -> None:
    """By the types of Kubernetes' own client: unknown, missing and wrong fields are errors."""
    kind = getattr(models, f"V1{found['kind']}")
    kind.model_validate(found)


@cache
def rendered() -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in objects(build(KUBERNETES))}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_what_kubernetes_takes(path: Path) -> None:
    check(yaml.safe_load(path.read_text()))


def test_the_check_finds_what_is_wrong() -> None:
    wrong = document("deployment")
    pod = wrong["spec"]["template"]["spec"]
    pod["containers"][0]["imagePullPolice"] = "Always"
    pod["terminationGracePeriodSeconds"] = "120"
    del wrong["spec"]["selector"]
    with pytest.raises(ValidationError) as told:
        check(wrong)
    places = {".".join(str(part) for part in each["loc"]) for each in told.value.errors()}
    assert places == {
        "spec.selector",
        "spec.template.spec.containers.0.imagePullPolice",
        "spec.template.spec.terminationGracePeriodSeconds",
    }


def test_the_kustomization_builds_and_its_parts_fit_together() -> None:
    made = rendered()
    assert all(
        each["metadata"].get("namespace") == "mlflow-gitops"
        for kind, each in made.items()
        if kind != "Namespace"
    )
    assert "Secret" not in made, "nobody applies placeholders"
    template = made["Deployment"]["spec"]["template"]
    assert made["Deployment"]["spec"]["replicas"] == 1
    labels = template["metadata"]["labels"].items()
    assert made["Service"]["spec"]["selector"].items() <= labels
    (container,) = template["spec"]["containers"]
    (port,) = container["ports"]
    assert port["containerPort"] == Process.from_environ({}).port
    assert made["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    claims = [
        v["persistentVolumeClaim"]["claimName"]
        for v in template["spec"]["volumes"]
        if "persistentVolumeClaim" in v
    ]
    assert claims == [made["PersistentVolumeClaim"]["metadata"]["name"]]


def test_the_settings_are_those_of_the_product() -> None:
    environ = document("settings")["data"]
    keys = document("secret")["stringData"]
    process = Process.from_environ(environ, read_file=lambda path: keys[path.removeprefix(MOUNT)])
    assert process.warnings == ()
    assert process.webhook_secrets
    assert process.host == "0.0.0.0"  # noqa: S104  the pod's own
    (container,) = document("deployment")["spec"]["template"]["spec"]["containers"]
    mounts = [each["mountPath"] for each in container["volumeMounts"]]
    assert process.state_dir in mounts
    assert MOUNT.rstrip("/") in mounts


@pytest.mark.parametrize(
    "args",
    [
        document("deployment")["spec"]["template"]["spec"]["containers"][0]["args"],
        document("cronjob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0][
            "args"
        ],
    ],
    ids=" ".join,
)
def test_the_commands_are_there(args: list[str]) -> None:
    verb, *options = args
    known = {spelling for option in main.commands[verb].params for spelling in option.opts}
    assert set(options) <= known


def test_the_systemd_unit_gives_the_service_what_it_reads() -> None:
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    text = (EXAMPLE / "systemd" / "mlflow-gitops.service").read_text()
    unit.read_string(text)
    assert unit["Service"]["ExecStart"].split()[1] in main.commands
    lines = [line.removeprefix("Environment=") for line in text.splitlines()]
    lines += (EXAMPLE / "systemd" / "environment").read_text().splitlines()
    environ = dict(line.split("=", 1) for line in lines if line.startswith(("MLFLOW_", "AWS_")))
    environ = {name: value.replace("%S", "/var/lib") for name, value in environ.items()}
    process = Process.from_environ(environ, read_file=lambda path: f"secret of {path}")
    assert process.warnings == ()
    credentials = {line.split(":")[0] for line in text.split() if line.startswith("LoadCred")}
    named = {
        f"LoadCredential={value.removeprefix('%d/')}"
        for name, value in environ.items()
        if name.endswith("_FILE")
    }
    assert named == credentials


def test_the_image_is_made_of_what_is_there() -> None:
    lines = (EXAMPLE / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    root = EXAMPLE.parents[1]
    assert {"setup.py", "mlflow_gitops", "webhook"} <= set(copied)
    assert [word for word in copied if not (root / word).exists()] == []
