"""Which names InferenceServices may have, and who else has one. PURE.

Two models, or two environments, that write one object would overwrite each other: that is refused
before anything is published, with the setting that keeps them apart.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator

from mlflow_gitops.errors import ConfigError
from mlflow_gitops.slugs import MOST, is_name, slug
from mlflow_gitops.state import Environment, Settings

__all__ = [
    "check_service",
    "long_host",
    "owner",
    "rival",
    "rival_text",
    "too_long",
]

SETTINGS_FILE = "mlflow-gitops.yaml"
LABEL = 63  # characters of a DNS label


def check_service(
    model: str,
    environment: Environment,
    settings: Settings,
    *,
    is_new: bool,
    beside: Iterable[Environment] = (),
    models: Collection[str] = (),
    taken: Collection[str] = (),
) -> None:
    """Raise ConfigError where the model's service cannot have its name in the environment.

    `beside` are the environments of the same branch. `models` are all that the registry has: only
    a name that is derived needs them. `taken` are names of other services.
    """
    service = settings.service(model, environment)
    if not is_name(service):
        raise _no_name(model, service, environment, settings, taken)
    other = owner(model, environment, settings) or _same_slug(model, environment, settings, models)
    if other:
        raise ConfigError(
            f"the service `{service}` of the model `{model}` is that of the model `{other}` too",
            where=f"{SETTINGS_FILE}: services",
            hint=f"give one of them another name: {_line(model, environment, settings, taken)}",
        )
    if is_new and len(service) > MOST:
        raise ConfigError(
            f"{too_long(service)}: it is not made",
            where=f"{SETTINGS_FILE}: environments.{environment.name}",
            hint=f"give it a shorter name: {_line(model, environment, settings, taken)}",
        )
    for each in beside:
        if each.name != environment.name and rival(model, environment, each, settings):
            what, hint = rival_text(service, environment, each)
            raise ConfigError(what, where=f"{SETTINGS_FILE}: environments", hint=hint)


def owner(model: str, environment: Environment, settings: Settings) -> str:
    """The other model to which the settings give this model's service or folder; else ""."""
    names = settings.names
    service, folder = names.service(model, environment), names.folder(model, environment)
    for other in _mapped(settings.environments.values(), settings):
        if other != model and (
            names.service(other, environment) == service
            or any(names.folder(other, each) == folder for each in settings.environments.values())
        ):
            return other
    return ""


def _mapped(environments: Iterable[Environment], settings: Settings) -> list[str]:
    """The models that the settings name a service for."""
    own = (model for each in environments for model in each.services)
    return list(dict.fromkeys((*settings.services, *own)))


def _same_slug(
    model: str, environment: Environment, settings: Settings, models: Collection[str]
) -> str:
    """Another model with the same derived name. One that is called so itself keeps it."""
    names = settings.names
    if not names.is_derived(model):
        return ""
    shared = names.shared(model)
    return next((m for m in sorted(models) if m != model and names.shared(m) == shared), "")


def rival(model: str, environment: Environment, other: Environment, settings: Settings) -> bool:
    """Whether the other environment of the same branch can write the same object.

    Without a namespace in the settings that is not known here.
    """
    here, there = (environment.namespace, environment.cluster), (other.namespace, other.cluster)
    if not environment.namespace or here != there:
        return False
    service = settings.service(model, environment)
    return any(
        other.takes(each) and settings.service(each, other) == service
        for each in (model, *_mapped((other,), settings))
    )


def rival_text(service: str, one: Environment, two: Environment) -> tuple[str, str]:
    """What is wrong, and what to do."""
    what = (
        f"the environments `{one.name}` and `{two.name}` both write the InferenceService "
        f"`{service}` in the namespace `{one.namespace}`"
    )
    hint = (
        f"give it another name in one of them: `environments.{two.name}.services`, or "
        f'`environments.{two.name}.service-name: "{{service}}-{two.name}"` for all; if they are '
        "in different clusters, say so with `cluster`"
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
        hint=f"name the service in the settings: {_line(model, environment, settings, taken)}; or "
        "have all such names derived with `service-names: slug`",
    )


def _line(
    model: str, environment: Environment, settings: Settings, taken: Collection[str]
) -> str:
    """The setting to add, as YAML."""
    most = MOST - len(environment.service_name.replace("{service}", ""))
    used = {settings.service(m, environment) for m in _mapped([environment], settings)}
    used |= {*settings.services.values(), *taken}
    free = next(name for name in _candidates(model, max(most, 8)) if name not in used)
    return f"`services: {{{json.dumps(model, ensure_ascii=False)}: {free}}}`"


def _candidates(model: str, most: int) -> Iterator[str]:
    yield slug(model, most)
    number = 2
    while True:
        yield f"{slug(model, most - 4)}-{number}"
        number += 1
