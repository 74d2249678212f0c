"""Which names InferenceServices may have, and who else has one. PURE.

Two models, or two environments, that write one object would overwrite each other: that is refused
before anything is published, with the setting that keeps them apart.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from mlflow_gitops.errors import ConfigError
from mlflow_gitops.slugs import MOST, is_name, slug
from mlflow_gitops.state import Environment, Settings

__all__ = [
    "check_service",
    "line_to_add",
    "long_host",
    "owner",
    "rival",
    "rival_text",
    "same_place",
    "too_long",
]

SETTINGS_FILE = "mlflow-gitops.yaml"
LABEL = 63  # characters of a DNS label


class Git(Protocol):
    """What the manifests say of the environments of one branch."""

    def has(self, environment: str, service: str) -> bool:
        """Whether the environment has the service."""

    def together(self, environment: str, other: str) -> bool:
        """Whether one Argo CD Application or kustomization deploys the folders of both."""


def check_service(
    model: str,
    environment: Environment,
    settings: Settings,
    *,
    is_new: bool,
    beside: Iterable[Environment] = (),
    git: Git | None = None,
    models: Collection[str] = (),
    taken: Collection[str] = (),
) -> None:
    """Raise ConfigError where the model's service cannot have its name in the environment.

    `beside` are the environments of the same branch, and `git` what their manifests say. `models`
    are all that the registry has: only a name that is derived needs them. `taken` are names of
    other services.
    """
    service = settings.service(model, environment)
    if not is_name(service):
        raise _no_name(model, service, environment, settings, taken)
    other = owner(model, environment, settings) or _same_slug(model, settings, models)
    if other:
        raise ConfigError(
            f"the service `{service}` of the model `{model}` is that of the model `{other}` too",
            where=f"{SETTINGS_FILE}: services",
            hint="give one of them another name: "
            f"{line_to_add(model, environment, settings, taken)}",
        )
    if is_new and len(service) > MOST:
        raise ConfigError(
            f"{too_long(service)}: it is not made",
            where=f"{SETTINGS_FILE}: environments.{environment.name}",
            hint=f"give it a shorter name: {line_to_add(model, environment, settings, taken)}",
        )
    for each in beside:
        if each.name == environment.name or not same_place(environment, each):
            continue
        is_rival = rival(model, environment, each, settings)
        if not environment.namespace:  # what deploys them may give each its own
            is_rival &= is_new and git is not None and git.together(environment.name, each.name)
        elif not is_rival and git is not None:
            is_rival = git.has(each.name, service)
        if is_rival:
            what, hint = rival_text(service, environment, each)
            raise ConfigError(what, where=f"{SETTINGS_FILE}: environments", hint=hint)


def owner(model: str, environment: Environment, settings: Settings) -> str:
    """The other model to which the settings give this model's service or folder; else ""."""
    names, everywhere = settings.names, settings.environments.values()
    service, folder = names.service(model, environment), names.folder(model, environment)
    found = [names.model(service, environment), names.models.get(folder, "")]
    found += [m for each in everywhere for m in each.services if names.folder(m, each) == folder]
    return next((m for m in found if m != model and _is_mapped(m, everywhere, settings)), "")


def _is_mapped(model: str, environments: Iterable[Environment], settings: Settings) -> bool:
    """Whether the settings name the model's service."""
    return model in settings.services or any(model in each.services for each in environments)


def _same_slug(model: str, settings: Settings, models: Collection[str]) -> str:
    """Another model with the same derived name. One that is called so itself keeps it."""
    names = settings.names
    if not names.is_derived(model):
        return ""
    shared = names.shared(model)
    return next((m for m in sorted(models) if m != model and names.shared(m) == shared), "")


def same_place(one: Environment, two: Environment) -> bool:
    """Whether services of one name are one object, as far as the settings say."""
    return (one.namespace, one.cluster) == (two.namespace, two.cluster)


def rival(model: str, environment: Environment, other: Environment, settings: Settings) -> bool:
    """Whether the other environment can have a service of the same name, in the same place.

    Without a namespace in the settings it may still be another object.
    """
    if not same_place(environment, other):
        return False
    service = settings.service(model, environment)
    same = settings.names.model(service, other)
    return any(
        other.takes(each) and settings.service(each, other) == service
        for each in (model, *([same] if _is_mapped(same, [other], settings) else []))
    )


def rival_text(service: str, one: Environment, two: Environment) -> tuple[str, str]:
    """What is wrong, and what to do."""
    where = f"namespace `{one.namespace}`" if one.namespace else "same Application or kustomization"
    what = (
        f"the environments `{one.name}` and `{two.name}` both write the InferenceService "
        f"`{service}` in the {where}"
    )
    hint = (
        f"give it another name in one of them: `environments.{two.name}.services`, or "
        f'`environments.{two.name}.service-name: "{{service}}-{two.name}"` for all; or remove it '
        "from one of them; if they are in different clusters, say so with `cluster`"
    )
    return what, hint


def too_long(service: str) -> str:
    return (
        f"`{service}` has {len(service)} characters, and KServe can serve a name of at most "
        f"{MOST}: it appends `-predictor`, and {LABEL} is the most that Kubernetes takes"
    )


def long_host(service: str, namespace: str) -> str:
    """What DNS does not take of a service's host names; "" where all fit."""
    for host in (f"{service}-predictor-{namespace}", f"{service}-{namespace}"):
        if namespace and len(host) > LABEL:
            return (
                f"`{host}` has {len(host)} characters, and DNS takes {LABEL} in one part of a host "
                "name: KServe's default ingress cannot route to it"
            )
    return ""


def _no_name(
    model: str,
    service: str,
    environment: Environment,
    settings: Settings,
    taken: Collection[str],
) -> ConfigError:
    return ConfigError(
        f"`{service}` cannot be the name of an InferenceService: it takes lower-case letters, "
        f"digits and `-`, starts with a letter, and has at most {MOST} characters",
        where=f"{SETTINGS_FILE}: environments.{environment.name}",
        hint="name the service in the settings: "
        f"{line_to_add(model, environment, settings, taken)}; or have all such names derived with "
        "`service-names: slug`",
    )


def line_to_add(
    model: str, environment: Environment, settings: Settings, taken: Collection[str] = ()
) -> str:
    """The setting that gives the model a free name, as YAML."""
    most = MOST - len(environment.service_name.replace("{service}", ""))
    filled = environment.service_name.replace
    used = {*settings.services.values(), *environment.services.values(), *taken}
    free = next(
        name
        for name in _candidates(model, max(most, 8))
        if not {name, filled("{service}", name)} & used
    )
    return f"`services: {{{json.dumps(model, ensure_ascii=False)}: {free}}}`"


def _candidates(model: str, most: int) -> Iterator[str]:
    yield slug(model, most)
    number = 2
    while True:
        yield f"{slug(model, most - 4)}-{number}"
        number += 1
