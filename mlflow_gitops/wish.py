"""What a user means by a deployment's name and a model's URI. PURE.

Texts from a command line or a notebook in, an environment and a registered version out, or a
RequestError that lists what would fit. Nothing is guessed: what is ambiguous is an error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches

from mlflow_gitops.errors import RequestError
from mlflow_gitops.planning.service_names import owner
from mlflow_gitops.state import Action, Environment, ModelVersion, Request, Settings, Snapshot

__all__ = [
    "ModelRef",
    "Wish",
    "check_name_fits",
    "choose",
    "did_you_mean",
    "earlier_than",
    "later_than",
    "locate",
    "model_of",
    "no_service",
    "no_version",
    "one_line",
    "parse_model_uri",
    "split_name",
]

LONGEST_SHOWN = 200
LONGEST_BY = 200
LONGEST_REASON = 2000
CHOICES_NAMED = 10
ENVIRONMENT = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
EXAMPLE = "production"
SETTINGS_FILE = "mlflow-gitops.yaml"
EXPECTED = "models:/<model>/<version>, models:/<model>@<alias> or models:/<model>/<stage>"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for. `name` is `<environment>/<model>`, or bare where one fits.

    `by` is who asks, as claimed; `flavor` is "" or one that the model must have. `model_uri` is ""
    where no version is asked for. A rollback wants the version's files to be there already.
    """

    name: str
    model_uri: str = ""
    by: str = ""
    reason: str = ""
    flavor: str = ""
    action: Action = "deploy"

    def request(self, id: str, version: str, time: str) -> Request:
        """Raises RequestError for texts that have no place in a commit's message."""
        return Request(
            id=id,
            version=version,
            action=self.action,
            time=time,
            by=one_line(self.by, "by", LONGEST_BY),
            reason=one_line(self.reason, "reason", LONGEST_REASON),
        )


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A registered version as a URI names it: by one of number, alias and stage."""

    model: str
    number: str = ""
    alias: str = ""
    stage: str = ""


def parse_model_uri(uri: str) -> ModelRef:
    """`models:/…` as MLflow reads it, less what names no fixed registered version."""
    if not uri.startswith("models:/"):
        raise RequestError(
            "the model has to be a registered version",
            where=_shown(uri),
            hint=f"register it first (mlflow.register_model), then name it: {EXPECTED}",
        )
    parts = uri.removeprefix("models:").lstrip("/").split("/")
    if len(parts) == 2 and all(parts):
        return _by_suffix(uri, *parts)
    model, at, alias = parts[0].rpartition("@")
    if len(parts) == 1 and at and model and alias:
        return ModelRef(model, alias=alias)
    if len(parts) == 1 and parts[0].startswith("m-"):
        raise RequestError(
            "this is a logged model, not a registered version",
            where=_shown(uri),
            hint=f"register it first (mlflow.register_model), then name it: {EXPECTED}",
        )
    raise RequestError(
        "the URI names no version", where=_shown(uri), hint=f"write it like this: {EXPECTED}"
    )


def _by_suffix(uri: str, model: str, suffix: str) -> ModelRef:
    if suffix.isascii() and suffix.isdecimal():
        return ModelRef(model, number=suffix)
    if suffix.lower() == "latest":
        raise RequestError(
            "`latest` names no fixed version: it changes with every registration",
            where=_shown(uri),
            hint=f"name the version: {EXPECTED}",
        )
    return ModelRef(model, stage=suffix)


def choose(snapshot: Snapshot, ref: ModelRef) -> ModelVersion:
    """The one version that the reference names, if it is READY."""
    version = _find(snapshot, ref)
    if version.status == "READY":
        return version
    waiting = version.status == "PENDING_REGISTRATION"
    raise RequestError(
        f"version {version.number} is not READY but {version.status}",
        where=f"model {snapshot.model}",
        hint="wait until it is registered, then ask again"
        if waiting
        else "register the model again and ask for that version",
    )


def _find(snapshot: Snapshot, ref: ModelRef) -> ModelVersion:
    where = f"model {snapshot.model}"
    if ref.stage:
        return _in_stage(snapshot, ref.stage)
    number = snapshot.aliases.get(ref.alias, "") if ref.alias else ref.number
    if ref.alias and not number:
        raise RequestError(
            f"no version has the alias `{_shown(ref.alias)}`",
            where=where,
            hint=f"take one of its aliases: {_listed(sorted(snapshot.aliases))}",
        )
    version = snapshot.version(number)
    if version is None:
        numbers = [each.number for each in reversed(snapshot.versions)]
        raise RequestError(
            f"there is no version {_shown(number)}",
            where=where,
            hint=f"take one of its versions: {_listed(numbers)}",
        )
    return version


def _in_stage(snapshot: Snapshot, stage: str) -> ModelVersion:
    found = [v for v in snapshot.versions if v.stage.lower() == stage.lower()]
    if len(found) == 1:
        return found[0]
    where = f"model {snapshot.model}"
    if not found:
        raise RequestError(
            f"no version is in the stage `{_shown(stage)}`",
            where=where,
            hint=f"name the version: models:/{snapshot.model}/<version>",
        )
    numbers = [each.number for each in found]
    raise RequestError(
        f"versions {_listed(numbers)} are in the stage `{found[0].stage}`",
        where=where,
        hint=f"name the version: models:/{snapshot.model}/{numbers[-1]}, for example",
    )


def locate(name: str, settings: Settings, model: str = "") -> tuple[Environment, str]:
    """The environment and the model of `<environment>/<model>`, or of a bare name where one fits.

    The second part may be the service's name too, where `services` maps it. With `model`, the
    name has to be that model's.
    """
    prefix, slash, part = name.rpartition("/")
    if not part or (slash and not prefix) or "/" in prefix:
        raise _no_name(name, next(iter(settings.environments), EXAMPLE), model or part)
    named = [settings.environments[prefix]] if prefix in settings.environments else None
    if model:
        check_name_fits(part, model, settings, named)
    found = model or model_of(part, settings, named)
    takers = settings.environments_for(found)
    if slash:
        return _named(prefix, found, settings), found
    if len(takers) == 1:
        return takers[0], found
    names = [f"{each.name}/{_shown(found)}" for each in takers]
    if not takers:
        raise _not_taken(found, settings)
    raise RequestError(
        f"{len(takers)} environments take the model, so the name has to say which",
        where=_shown(name),
        hint=f"take one of: {', '.join(names)}",
    )


def split_name(name: str) -> tuple[str, str]:
    """`<environment>/<model>` where no settings can be read to complete or to correct it."""
    prefix, _, part = name.rpartition("/")
    if not part or not ENVIRONMENT.fullmatch(prefix):
        raise _no_name(name, prefix if ENVIRONMENT.fullmatch(prefix) else EXAMPLE, part)
    return prefix, part


def _no_name(name: str, environment: str, model: str) -> RequestError:
    return RequestError(
        "a deployment's name is `<environment>/<model>`",
        where=_shown(name),
        hint=f"for example {environment}/{_shown(model or 'fraud-detector')}",
    )


def model_of(
    part: str, settings: Settings, environments: Collection[Environment] | None = None
) -> str:
    """The model behind the second part of a name, which may be its service's name.

    `environments` are those that may be meant, by default all.
    """
    meant = settings.environments.values() if environments is None else environments
    if part in settings.services or any(part in each.services for each in meant):
        return part
    mapped = {settings.names.model(part, each) for each in meant} - {part}
    return mapped.pop() if len(mapped) == 1 else part


def check_name_fits(
    part: str, model: str, settings: Settings, environments: Collection[Environment] | None = None
) -> None:
    meant = settings.environments.values() if environments is None else environments
    services = {settings.service(model, each) for each in meant}
    if part != model and part not in services:
        raise RequestError(
            f"the name says `{_shown(part)}` and the model's URI says `{_shown(model)}`",
            where="--name",
            hint=f"name the deployment <environment>/{_shown(model)}; to serve the model under "
            f"another name, add `services: {{{_shown(model)}: <name>}}` to {SETTINGS_FILE}",
        )
    for each in meant:
        other = owner(model, each, settings)
        if other:
            raise RequestError(
                f"the service `{settings.service(model, each)}` belongs to the model `{other}`",
                where=f"{SETTINGS_FILE}: services.{other}",
                hint=f"add `services: {{{_shown(model)}: <another name>}}`, or ask for a version "
                f"of {other}",
            )


def _named(prefix: str, model: str, settings: Settings) -> Environment:
    environment = settings.environments.get(prefix)
    if environment is None:
        meant = did_you_mean(prefix, settings.environments)
        raise RequestError(
            f"there is no environment `{_shown(prefix)}`{meant}",
            where=SETTINGS_FILE,
            hint=f"take one of: {', '.join(settings.environments)}",
        )
    if not environment.takes(model):
        raise RequestError(
            f"the environment {prefix} does not take the model `{_shown(model)}`",
            where=f"{SETTINGS_FILE}: environments.{prefix}.models",
            hint=f"it takes {', '.join(environment.models)}: add the model there",
        )
    return environment


def _not_taken(model: str, settings: Settings) -> RequestError:
    takes = [f"{e.name} takes {', '.join(e.models)}" for e in settings.environments.values()]
    return RequestError(
        f"no environment takes the model `{_shown(model)}`",
        where=f"{SETTINGS_FILE}: environments",
        hint=f"{'; '.join(takes)}: add the model to `models` of one",
    )


def later_than(now: str, times: Iterable[str]) -> str:
    """`now`, or a millisecond after the latest of `times` where a clock elsewhere is ahead.

    Both are ISO 8601 in UTC with milliseconds. What was asked for last has to sort last.
    """
    latest = max(times, default="")
    return now if latest < now else _shifted(latest, 1) or now


def earlier_than(time: str) -> str:
    """A millisecond before."""
    return _shifted(time, -1) or time


def _shifted(time: str, milliseconds: int) -> str:
    try:
        moment = datetime.fromisoformat(time) + timedelta(milliseconds=milliseconds)
    except (ValueError, OverflowError):
        return ""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def one_line(text: str, what: str, longest: int) -> str:
    """White space of any kind becomes one space: it ends up in a commit's message."""
    line = " ".join(text.split())
    if len(line) > longest:
        raise RequestError(
            f"`{what}` is {len(line)} characters long",
            where=f"-C {what}",
            hint=f"{longest} are allowed",
        )
    if not line.isprintable():
        raise RequestError(
            f"`{what}` holds a control character", where=f"-C {what}", hint="leave it out"
        )
    return line


def did_you_mean(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def no_service(name: str, known: Iterable[str], where: str) -> RequestError:
    """Git has no service of the name; `known` are the names of those that are there."""
    return RequestError(
        f"Git has no service {_shown(name)}{did_you_mean(name, known)}",
        where=where,
        hint="`mlflow deployments list -t gitops` shows those that are there",
    )


def no_version(model: str, stays: str = "") -> RequestError:
    """There is nothing to write a request to retire on. `stays` is what Git goes on to serve."""
    return RequestError(
        "the model has no version, so there is nothing to record the request on"
        + (f": {stays} stays in Git" if stays else ""),
        where=f"model {model}",
        hint="remove the service's files in the manifests repository",
    )


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "(there is none)"
    more = f" and {len(names) - CHOICES_NAMED} more" if len(names) > CHOICES_NAMED else ""
    return ", ".join(names[:CHOICES_NAMED]) + more


def _shown(text: str) -> str:
    """A user's text in an error: printable and short."""
    clean = "".join(char if char.isprintable() else "�" for char in text)
    return clean if len(clean) <= LONGEST_SHOWN else clean[:LONGEST_SHOWN] + "…"
