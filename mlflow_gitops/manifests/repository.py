"""A new manifests repository: all that a first promotion needs, and nothing secret."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlflow_gitops.errors import ConfigError
from mlflow_gitops.manifests.scaffold import base_files, check_name, deployment_mode
from mlflow_gitops.manifests.scalars import plain_or_quoted, quoted
from mlflow_gitops.manifests.templates import render
from mlflow_gitops.manifests.tree import relative
from mlflow_gitops.state import Environment, Predictor, Selector

__all__ = ["InitOptions", "scaffold_repository"]

COMMON = "models/base/common"
GPU_EXAMPLE = "image-classifier"
MLFLOW = Predictor(model_format="mlflow", protocol="v2")
KSERVE_NOTE = (
    "# The cluster's KServe: new services get the deployment mode that it can also update.\n"
)
SLUG = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def _environment(name: str, stage: str) -> Environment:
    return Environment(
        name=name,
        select=Selector("stage", stage),
        path=f"models/overlays/{name}",
        namespace=f"ml-{name}",
        branch="",
    )


DEFAULTS = (_environment("staging", "Staging"), _environment("production", "Production"))


@dataclass(frozen=True, slots=True)
class InitOptions:
    """What `init` needs to know. An environment's branch is `branch` where it names none.

    `models` get a base each, for editing before the first promotion; no overlay lists them yet.
    `kserve` is the cluster's version of KServe, "" where it is not known. With `applicationset` no
    overlay lists services: Argo CD finds each one's folder.
    """

    bucket: str
    repository_url: str
    prefix: str = ""
    account_role_arn: str = "arn:aws:iam::111122223333:role/kserve-model-reader"
    environments: tuple[Environment, ...] = DEFAULTS
    branch: str = "main"
    models: tuple[str, ...] = ()
    gpu_example: bool = True
    owners: str = "@your-organisation/ml-platform"
    kserve: str = ""
    applicationset: bool = False


def scaffold_repository(options: InitOptions) -> dict[str, str]:
    """Path to text of every file of the new repository. Raises ConfigError for bad options."""
    _check(options)
    files = {
        "mlflow-gitops.yaml": _settings(options),
        "CODEOWNERS": _code_owners(options),
        **(_found_by_folder() if options.applicationset else _listed(options)),
        f"{COMMON}/kustomization.yaml": render(f"repository/{COMMON}/kustomization.yaml"),
        f"{COMMON}/service-account.yaml": render(
            f"repository/{COMMON}/service-account.yaml",
            bucket=options.bucket,
            role_arn=plain_or_quoted(options.account_role_arn),
        ),
    }
    for environment in options.environments:
        files |= _environment_files(environment, options)
    for model in options.models:
        files |= base_files(
            f"models/base/{model}", model, MLFLOW, account=True, kserve=options.kserve
        )
    if options.gpu_example and GPU_EXAMPLE not in options.models:
        files |= _gpu_example(options)
    return files


def _listed(options: InitOptions) -> dict[str, str]:
    return {
        "README.md": render("repository/README.md"),
        ".github/workflows/argocd-refresh.yml": _workflow(options),
        ".github/argocd-refresh.sh": render("repository/dot-github/argocd-refresh.sh"),
    }


def _found_by_folder() -> dict[str, str]:
    """Without the workflow, which waits for an Application that is known beforehand."""
    return {"README.md": render("repository/README-applicationset.md")}


def _environment_files(environment: Environment, options: InitOptions) -> dict[str, str]:
    name, path, namespace = environment.name, environment.path, environment.namespace
    shared = f"{path}/common" if options.applicationset else path
    template = "shared" if options.applicationset else "overlay"
    kind = "applicationset" if options.applicationset else "application"
    return {
        f"{shared}/kustomization.yaml": render(
            f"repository/{template}.yaml",
            name=name,
            namespace=plain_or_quoted(namespace),
            common=relative(COMMON, shared),
        ),
        f"argocd/{name}.yaml": render(
            f"repository/argocd/{kind}.yaml",
            application=_application(environment),
            repository_url=plain_or_quoted(options.repository_url),
            branch=plain_or_quoted(environment.branch or options.branch),
            path=plain_or_quoted(path),
            folders=plain_or_quoted(f"{path}/*"),
            namespace=plain_or_quoted(namespace),
        ),
    }


def _gpu_example(options: InitOptions) -> dict[str, str]:
    folder = f"models/base/{GPU_EXAMPLE}"
    return {
        f"{folder}/kustomization.yaml": render("service/base-kustomization.yaml"),
        f"{folder}/inference-service.yaml": render(
            f"repository/{folder}/inference-service.yaml", **deployment_mode(options.kserve)
        ),
    }


def _application(environment: Environment) -> str:
    return f"models-{environment.name}"


def _settings(options: InitOptions) -> str:
    environments = "".join(
        render(
            "repository/environment.yaml",
            name=environment.name,
            select=_select(environment.select),
            path=plain_or_quoted(environment.path),
            namespace=plain_or_quoted(environment.namespace),
            branch=plain_or_quoted(environment.branch or options.branch),
            delivery=environment.delivery,
            models=f"[{', '.join(quoted(pattern) for pattern in environment.models)}]",
            max_changes=str(environment.max_changes),
        )
        for environment in options.environments
    )
    return render(
        "repository/mlflow-gitops.yaml",
        bucket=plain_or_quoted(options.bucket),
        prefix=plain_or_quoted(options.prefix),
        kserve=f"{KSERVE_NOTE}kserve: {quoted(options.kserve)}\n\n" if options.kserve else "",
        environments=environments,
    )


def _select(selector: Selector) -> str:
    name, value = plain_or_quoted(selector.name), plain_or_quoted(selector.value)
    return (
        f"{{tag: {{{name}: {value}}}}}"
        if selector.kind == "tag"
        else f"{{{selector.kind}: {name}}}"
    )


def _code_owners(options: InitOptions) -> str:
    lines = (f"{f'/{each.path}/':<27} {options.owners}\n" for each in options.environments)
    return render("repository/CODEOWNERS", owners=options.owners, overlays="".join(lines))


def _workflow(options: InitOptions) -> str:
    branches = dict.fromkeys(each.branch or options.branch for each in options.environments)
    matrix = "".join(
        f"          - application: {_application(each)}\n"
        f"            branch: {plain_or_quoted(each.branch or options.branch)}\n"
        for each in options.environments
    )
    return render(
        "repository/dot-github/workflows/argocd-refresh.yml",
        branches=f"[{', '.join(quoted(branch) for branch in branches)}]",
        matrix=matrix,
    )


def _check(options: InitOptions) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", options.bucket):
        raise ConfigError(
            f"{options.bucket!r} is no name of an S3 bucket",
            where="artifacts.bucket",
            hint="use lower-case letters, digits, `-` and `.`; for an access point its alias, "
            "which ends in `-s3alias`, not its ARN",
        )
    part = r"(?!\.\.?(?:/|$))[A-Za-z0-9._-]+"
    if not re.fullmatch(rf"({part}(/{part})*)?", options.prefix):
        raise ConfigError(
            f"{options.prefix!r} is no key prefix",
            where="artifacts.prefix",
            hint="use letters, digits, `.`, `_`, `-`, with `/` between parts only",
        )
    if re.match(r"https?://[^/]*@", options.repository_url):
        raise ConfigError(
            "the repository's URL holds credentials, which would go into Git",
            where="repository_url",
            hint="leave them out, and give them to Argo CD as a repository secret",
        )
    for line in (options.owners, options.account_role_arn, options.repository_url):
        if not line or not line.isprintable():
            raise ConfigError(
                f"{line!r} is not one line of text", where="init", hint="correct the option"
            )
    for environment in options.environments:
        if not SLUG.fullmatch(environment.name) or not SLUG.fullmatch(environment.namespace):
            raise ConfigError(
                f"{environment.name!r} or its namespace {environment.namespace!r} is no DNS label",
                where=f"environments.{environment.name}",
                hint="use lower-case letters, digits and `-`",
            )
    for model in options.models:
        check_name(model, is_new=True)
