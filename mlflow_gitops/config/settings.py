"""`mlflow-gitops.yaml`: its form, and what has to hold between its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from mlflow_gitops.config import names
from mlflow_gitops.config.commits import read_commits
from mlflow_gitops.config.document import Enough, Findings, Problem, Value, compose
from mlflow_gitops.config.forges import (
    branch_clashes,
    delivery_complaint,
    read_forge,
    read_pull_request,
)
from mlflow_gitops.config.gates import read_gates
from mlflow_gitops.config.placing import (
    find_concerns,
    path_clashes,
    read_exclude,
    read_folder,
    read_label,
    read_service_names,
    read_services,
    read_template,
)
from mlflow_gitops.config.reference_settings import SETTINGS
from mlflow_gitops.config.runtimes import read_runtimes
from mlflow_gitops.config.signed_by import read_signed_by
from mlflow_gitops.config.storage_keys import read_storage_keys
from mlflow_gitops.config.storing import read_storing
from mlflow_gitops.config.value_rules import clashes as value_clashes
from mlflow_gitops.config.value_rules import read_rules
from mlflow_gitops.config.write_once import read_write_once
from mlflow_gitops.errors import ConfigError
from mlflow_gitops.runtimes import Runtime
from mlflow_gitops.state import LABEL, Endpoint, Environment, Selector, Settings

__all__ = ["SETTINGS_FILE", "check_settings", "parse_settings"]

SETTINGS_FILE = "mlflow-gitops.yaml"

STAGES = {"staging": "Staging", "production": "Production"}
ROWS = {row.key: row for row in SETTINGS}
ENVIRONMENT = "environments.<name>"
CHECK = "correct them, then run `mlflow-gitops config check`"


@dataclass(frozen=True, slots=True)
class Shared:
    """Settings of every environment that one may replace."""

    storage_keys: Mapping[str, str]
    runtimes: Mapping[str, Runtime]
    label: str


def parse_settings(text: str, *, where: str = SETTINGS_FILE, default_branch: str = "") -> Settings:
    """The settings. Raises ConfigError, which tells every problem at once.

    `default_branch`, where it is known, is what an environment without a branch uses: two
    environments of which only one names it can then be told to be in each other's way.
    """
    settings, problems, _ = _read(text, default_branch)
    if settings is not None and not problems:
        return settings
    raise _error(problems, where)


def check_settings(text: str, *, default_branch: str = "") -> list[Problem]:
    """Every problem of the settings, in the order of the lines; none where they are right.

    With those of single services, for which `parse_settings` raises nothing.
    """
    problems, concerns = _read(text, default_branch)[1:]
    return sorted([*problems, *concerns], key=lambda problem: problem.line)


def _error(problems: list[Problem], where: str) -> ConfigError:
    if len(problems) == 1:
        (only,) = problems
        place = f"{where}:{only.line}" + (f":{only.column}" if only.column else "")
        allowed = f" (allowed: {only.allowed})" if only.allowed else ""
        return ConfigError(
            f"{only.what}{allowed}",
            where=f"{place}: {only.path}" if only.path else place,
            hint=only.hint or "correct it, then run `mlflow-gitops config check`",
        )
    lines = "".join(f"\n  {problem}" for problem in problems)
    return ConfigError(f"{len(problems)} problems in the settings:{lines}", where=where, hint=CHECK)


def _read(text: str, default_branch: str) -> tuple[Settings | None, list[Problem], list[Problem]]:
    """The settings, their problems, and those of single services."""
    root = compose(text)
    if isinstance(root, Problem):
        return None, [root], []
    found = Findings()
    settings = None
    with suppress(Enough):
        settings = _settings(root, found, default_branch)
    return settings, sorted(found.problems, key=lambda p: p.line), found.concerns


def _settings(root: Value, found: Findings, default_branch: str) -> Settings | None:
    fields = _fields(root, found, "")
    if fields is None:
        return None
    artifacts = _fields(fields.get("artifacts"), found, "artifacts") or {}
    forge, forge_url = read_forge(fields.get("forge"), found)
    shared = Shared(
        read_storage_keys(fields.get("storage-keys"), found),
        read_runtimes(fields.get("runtimes"), found),
        read_label(fields.get("label"), found, LABEL),
    )
    people, style = read_commits(fields.get("commits"), found)
    places = fields.get("environments")
    settings = Settings(
        environments=_environments(places, found, default_branch, shared),
        bucket=_text(artifacts, found, "artifacts.bucket", names.bucket_complaint),
        prefix=_text(artifacts, found, "artifacts.prefix", names.prefix_complaint),
        sources=_sources(artifacts.get("sources"), found),
        services=read_services(fields.get("services"), found),
        by_slug=read_service_names(fields.get("service-names"), found),
        version_tag=_version_tag(fields.get("version-name"), found),
        forge=forge,
        forge_url=forge_url,
        people=people,
        commit_style=style,
        write_once=read_write_once(artifacts, found),
        storing=read_storing(artifacts, found),
        signed_by=read_signed_by(artifacts.get("signed-by"), found),
        applications=_applications(fields.get("applications"), found),
        kserve=_text(fields, found, "kserve", names.kserve_complaint),
    )
    if places is not None and not found.problems:
        find_concerns(settings, default_branch, found.entries(places) or {}, found)
    return settings


def _applications(value: Value | None, found: Findings) -> tuple[str, ...] | None:
    if value is None:
        return None
    form = ROWS["applications"].form
    texts = (found.text(item, _glob_complaint, form) for item in found.items(value, form) or ())
    return tuple(text for text in texts if text)


def _glob_complaint(text: str) -> str:
    return "" if text and text.isprintable() and text[:1] != "/" else "is no path in the repository"


def _sources(value: Value | None, found: Findings) -> tuple[str, ...]:
    """Each ends in "/", so that as a prefix it means that folder and no other."""
    if value is None:
        return ()
    form = ROWS["artifacts.sources"].form
    texts = (
        found.text(item, names.source_complaint, form, quote=False)
        for item in found.items(value, form) or ()
    )
    return tuple(dict.fromkeys(f"{text.rstrip('/')}/" for text in texts if text))


def _version_tag(value: Value | None, found: Findings) -> str:
    if value is None:
        return ""
    form = ROWS["version-name"].form
    if value.kind != "mapping":
        found.text(value, lambda text: "" if text == "number" else "names no version", form)
        return ""
    fields = found.fields(value, ["tag"], ["tag"]) or {}
    tag = fields.get("tag")
    return (found.text(tag, names.tag_key_complaint, form) if tag else None) or ""


def _environments(
    value: Value | None, found: Findings, default_branch: str, shared: Shared
) -> Mapping[str, Environment]:
    if value is None:
        return MappingProxyType({})
    entries = found.entries(value, ROWS["environments"].form)
    if entries is not None and not entries and not found.problems:
        found.add(value, "names no environment", hint="add one; docs/settings.md has an example")
    environments = {}
    for name, at in (entries or {}).items():
        if names.label_complaint(name):
            found.add(at, "the name is no DNS label", allowed=ROWS[ENVIRONMENT].form)
        environments[name] = _environment(name, at, found, shared)
    for name, what in path_clashes(environments.values(), default_branch):
        at = (entries or {})[name]
        found.add(
            at,
            what,
            hint="give each a folder outside the other's, or a branch of its own",
        )
    for name, what in branch_clashes(environments.values(), default_branch):
        hint = f"put `{{environment}}`, or another text, into `{ENVIRONMENT}.pull-request.branch`"
        found.add((entries or {})[name], f"its pull requests {what}", hint=hint)
    for name, what in value_clashes(environments.values(), default_branch):
        found.add((entries or {})[name], what, hint="give each a file, or a path, of its own")
    return MappingProxyType(environments)


def _environment(name: str, value: Value, found: Findings, shared: Shared) -> Environment:
    """What the environment says itself takes the place of what is `shared`."""
    fields = _fields(value, found, ENVIRONMENT) or {}
    row = ROWS[f"{ENVIRONMENT}.max-changes"]
    most, recurse = fields.get("max-changes"), fields.get("recurse")
    delivery = _text(fields, found, f"{ENVIRONMENT}.delivery", delivery_complaint)
    runtimes = read_runtimes(fields.get("runtimes"), found)
    unproved = _text(fields, found, f"{ENVIRONMENT}.unproved", _unproved_complaint)
    pulls = read_pull_request(fields.get("pull-request"), found)
    return Environment(
        name=name,
        select=_selector(fields.get("select"), found),
        path=read_folder(fields.get("path"), found),
        namespace=_text(fields, found, f"{ENVIRONMENT}.namespace", names.label_complaint),
        branch=_text(fields, found, f"{ENVIRONMENT}.branch", names.branch_complaint),
        delivery="pull-request" if delivery == "pull-request" else "commit",
        labels=pulls.labels,
        reviewers=pulls.reviewers,
        title=pulls.title,
        branch_name=pulls.branch_name,
        models=_models(fields.get("models"), found),
        max_changes=(found.number(most, row.form) if most else None) or int(row.default or 0),
        unproved="refuse" if unproved == "refuse" else "mark",
        endpoint=_endpoint(fields.get("endpoint"), found),
        values=read_rules(fields.get("values"), found, _models),
        storage_keys={
            **shared.storage_keys,
            **read_storage_keys(fields.get("storage-keys"), found),
        },
        gates=read_gates(fields.get("gates"), found),
        runtimes=tuple({**shared.runtimes, **runtimes}.values()),
        services=read_services(fields.get("services"), found),
        service_name=read_template(fields.get("service-name"), found),
        cluster=_text(fields, found, f"{ENVIRONMENT}.cluster", names.label_complaint),
        label=read_label(fields.get("label"), found, shared.label),
        exclude=read_exclude(fields.get("exclude"), found),
        recurse=found.flag(recurse, "true or false") if recurse else None,
    )


def _unproved_complaint(text: str) -> str:
    return "" if text in ("mark", "refuse") else "is neither `mark` nor `refuse`"


def _endpoint(value: Value | None, found: Findings) -> Endpoint:
    section = f"{ENVIRONMENT}.endpoint"
    fields = _fields(value, found, section) or {}
    url = fields.get("url")
    form = ROWS[f"{section}.url"].form
    text = found.text(url, names.endpoint_complaint, form, quote=False) if url else ""
    return Endpoint(
        url=(text or "").rstrip("/"),
        host=_text(fields, found, f"{section}.host", names.host_complaint),
        protocol=_text(fields, found, f"{section}.protocol", _protocol_complaint),
    )


def _protocol_complaint(text: str) -> str:
    return "" if text in ("v1", "v2", "mlflow") else "is no protocol that predictions go over"


def _models(value: Value | None, found: Findings) -> tuple[str, ...]:
    if value is None:
        return ("*",)
    form = ROWS[f"{ENVIRONMENT}.models"].form
    items = found.items(value, form)
    if items == ():
        found.add(value, "takes no model", allowed=form, hint='leave the key out, or write ["*"]')
    texts = (found.text(item, names.pattern_complaint, form) for item in items or ())
    return tuple(text for text in texts if text)


def _selector(value: Value | None, found: Findings) -> Selector:
    nothing = Selector("stage", "")
    if value is None:
        return nothing
    form = ROWS[f"{ENVIRONMENT}.select"].form
    problems = len(found.problems)
    fields = found.fields(value, ["stage", "alias", "tag"])
    if fields is None or len(found.problems) > problems:
        return nothing
    if len(fields) != 1:
        found.add(value, f"has {len(fields)} keys instead of one", allowed=form)
        return nothing
    ((kind, at),) = fields.items()
    if kind == "tag":
        return _tag_selector(at, found)
    if kind == "alias":
        return Selector("alias", found.text(at, names.alias_complaint, form) or "")
    stage = found.text(at, _stage_complaint, "Staging, Production")
    return Selector("stage", STAGES[stage.lower()] if stage else "")


def _stage_complaint(text: str) -> str:
    if text.lower() in STAGES:
        return ""
    if text.lower() in ("archived", "none"):
        return "is where versions go that are not deployed"
    return "is no stage"


def _tag_selector(value: Value, found: Findings) -> Selector:
    form = "exactly one pair, {<key>: <value>}"
    pairs = found.entries(value, form)
    if pairs is not None and len(pairs) != 1:
        found.add(value, f"has {len(pairs)} pairs instead of one", allowed=form)
    for key, at in (pairs or {}).items():
        wrong = names.tag_key_complaint(key)
        if wrong:
            found.add(at, f"the key {wrong}")
        return Selector("tag", key, found.text(at, _value_complaint, "a text") or "")
    return Selector("tag", "")


def _value_complaint(text: str) -> str:
    return "" if 0 < len(text) <= 5000 else "is empty, or longer than 5,000 characters"


def _fields(value: Value | None, found: Findings, section: str) -> Mapping[str, Value] | None:
    """The keys of one section of the reference, and no others."""
    if value is None:
        return None
    start = f"{section}." if section else ""
    rows = {key.removeprefix(start): row for key, row in ROWS.items() if key.startswith(start)}
    known = {key: row for key, row in rows.items() if "." not in key and "<" not in key}
    return found.fields(value, known, [key for key, row in known.items() if row.required])


def _text(
    fields: Mapping[str, Value], found: Findings, key: str, complaint: Callable[[str], str]
) -> str:
    """The text of a key, or its default; "" for one that is wrong."""
    row = ROWS[key]
    value = fields.get(key.rpartition(".")[2])
    if value is None:
        return row.default or ""

    def wrong(text: str) -> str:
        return "" if text == row.default else complaint(text)

    return found.text(value, wrong, row.form) or ""
