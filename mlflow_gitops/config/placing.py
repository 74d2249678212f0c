"""How services are called and where their manifests are: reads the settings, and compares them.

What concerns single services only (a name that KServe cannot serve, an object that two environments
would write) is a concern: `config check` reports it, these services are refused, the others go on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from mlflow_gitops.config import names
from mlflow_gitops.config.document import Findings, Value
from mlflow_gitops.config.patterns import meet
from mlflow_gitops.config.reference_settings import SETTINGS
from mlflow_gitops.planning.service_names import (
    line_to_add,
    long_host,
    rival,
    rival_text,
    same_place,
    too_long,
)
from mlflow_gitops.slugs import MOST, is_name
from mlflow_gitops.state import Environment, Settings

__all__ = [
    "find_concerns",
    "name_warnings",
    "path_clashes",
    "read_exclude",
    "read_folder",
    "read_label",
    "read_service_names",
    "read_services",
    "read_template",
]

ROWS = {row.key: row for row in SETTINGS}
ENVIRONMENT = "environments.<name>"
SERVICE = "{service}"
_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)


def read_services(value: Value | None, found: Findings) -> Mapping[str, str]:
    """Model to service, of one mapping; two models cannot have one service."""
    if value is None:
        return MappingProxyType({})
    form = ROWS["services.<model>"].form
    services: dict[str, str] = {}
    models: dict[str, str] = {}
    for model, at in (found.entries(value, ROWS["services"].form) or {}).items():
        wrong = names.model_complaint(model)
        if wrong:
            found.add(at, f"the key {wrong}")
        service = found.text(at, names.service_complaint, form)
        if service is None:
            continue
        other = models.setdefault(service, model)
        if other != model:
            what = f"`{service}` is the service of the model `{other}` already"
            found.add(at, what, hint="give each model a service of its own")
        services[model] = service
    return MappingProxyType(services)


def read_service_names(value: Value | None, found: Findings) -> bool:
    """Whether names that Kubernetes does not allow are derived."""
    if value is None:
        return False
    form = ROWS["service-names"].form
    text = found.text(
        value, lambda text: "" if text in ("exact", "slug") else "is no known way", form
    )
    return text == "slug"


def read_template(value: Value | None, found: Findings) -> str:
    row = ROWS[f"{ENVIRONMENT}.service-name"]
    if value is None:
        return row.default or SERVICE
    return found.text(value, _template_complaint, row.form) or SERVICE


def _template_complaint(text: str) -> str:
    if text.count(SERVICE) != 1:
        return f"has to hold `{SERVICE}` once"
    rest = text.replace(SERVICE, "x")
    return "" if names.service_complaint(rest) == "" else "makes no name of an InferenceService"


def read_label(value: Value | None, found: Findings, default: str) -> str:
    """The key of a label; "" where none carries the version."""
    if value is None:
        return default
    text = found.text(value, _label_complaint, ROWS["label"].form)
    return "" if text == "none" else text or default


def _label_complaint(text: str) -> str:
    return "" if _KEY.fullmatch(text) else "is no key of a Kubernetes label"


def read_folder(value: Value | None, found: Findings) -> str:
    """A folder's path in its shortest form, `.` for the root; "" where it is wrong."""
    if value is None:
        return ""
    form = ROWS[f"{ENVIRONMENT}.path"].form
    hint = "write it from the root of the repository, for example `production`, or `.` for the root"
    text = found.text(value, lambda text: names.path_complaint(_short(text)), form, hint=hint)
    return _short(text) if text else ""


def _short(text: str) -> str:
    """Without `.` parts and needless slashes; an absolute path stays one."""
    if not text or text.startswith("/"):
        return text
    parts = [part for part in text.split("/") if part not in ("", ".")]
    return "/".join(parts) or "."


def read_exclude(value: Value | None, found: Findings) -> tuple[str, ...]:
    form = ROWS[f"{ENVIRONMENT}.exclude"].form
    items = () if value is None else found.items(value, form) or ()
    texts = (found.text(item, _exclude_complaint, form) for item in items)
    return tuple(text for text in texts if text)


def _exclude_complaint(text: str) -> str:
    if text.startswith("!"):
        return "begins with `!`: a pattern only leaves out"
    parts = text.removeprefix("/").removesuffix("/").split("/")
    if text != text.strip() or any(part in ("", ".", "..") for part in parts):
        return "is no pattern of paths: it is empty, or has an empty part, `.` or `..`"
    return "" if text.strip("*/") else "leaves out every file"


def path_clashes(
    environments: Iterable[Environment], default_branch: str
) -> Iterator[tuple[str, str]]:
    """(environment, why it and another are in each other's way), each pair once."""
    placed = [(e.branch or default_branch, e.path, e.name) for e in environments if e.path]
    owner: dict[tuple[str, str], str] = {}
    for branch, path, name in placed:
        first = owner.setdefault((branch, path), name)
        if first != name:
            yield name, f"has the same branch and path as the environment `{first}`"
    for branch, path, name in placed:
        above = ["/".join(path.split("/")[:end]) for end in range(1, path.count("/") + 1)]
        for folder in above if path == "." else [".", *above]:
            if (branch, folder) in owner:
                yield name, f"has a path inside that of `{owner[branch, folder]}`, `{folder}`"


def find_concerns(
    settings: Settings, default_branch: str, places: Mapping[str, Value], found: Findings
) -> None:
    """Add what would be refused of single services. `places` are the environments in the text."""
    environments = list(settings.environments.values())
    for environment in environments:
        models: dict[str, str] = {}
        for model, service in _known(settings, environment):
            hint = f"name it in the settings: {line_to_add(model, environment, settings)}"
            other = models.setdefault(service, model)
            if other != model:
                what = f"the models `{other}` and `{model}` have the same service, `{service}`"
            elif len(service) > MOST:
                what = f"{too_long(service)} (the model `{model}`)"
            elif not is_name(service):
                what = f"`{service}` cannot be the name of an InferenceService"
            else:
                continue
            found.concern(places[environment.name], what, hint)
    for index, one in enumerate(environments):
        for two in environments[index + 1 :]:
            same_branch = (one.branch or default_branch) == (two.branch or default_branch)
            if not one.namespace or not same_branch:
                continue
            service = _shared_service(one, two, settings)
            if service:
                found.concern(places[two.name], *rival_text(service, one, two))


def _known(settings: Settings, environment: Environment) -> Iterator[tuple[str, str]]:
    """The models that the settings name and the environment takes, with their services."""
    literal = (model for model in environment.models if not _is_pattern(model))
    for model in dict.fromkeys((*settings.services, *environment.services, *literal)):
        if environment.takes(model):
            yield model, settings.service(model, environment)


def _shared_service(one: Environment, two: Environment, settings: Settings) -> str:
    """A service that both would write, as far as the settings alone show; `<model>` for many."""
    for environment, other in ((one, two), (two, one)):
        for model, service in _known(settings, environment):
            if rival(model, environment, other, settings):
                return service
    if one.services or two.services or not same_place(one, two):
        return ""  # the models that are not named are compared when they are promoted
    many = ([p for p in each.models if _is_pattern(p)] for each in (one, two))
    is_shared = one.service_name == two.service_name and meet(*many)
    return one.service_name.replace(SERVICE, "<model>") if is_shared else ""


def _is_pattern(text: str) -> bool:
    return any(c in text for c in "*?[")


def name_warnings(settings: Settings) -> list[str]:
    """Host names that DNS would not take, of the services that the settings name."""
    found = (
        long_host(service, environment.namespace)
        for environment in settings.environments.values()
        for _, service in _known(settings, environment)
    )
    return [text for text in dict.fromkeys(found) if text]
