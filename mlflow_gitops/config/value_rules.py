"""`environments.<name>.values`: rules for URIs that other YAML files than manifests hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from mlflow_gitops.config import names
from mlflow_gitops.config.document import Findings, Value
from mlflow_gitops.config.reference_settings import SETTINGS
from mlflow_gitops.state import Environment, ValueRule
from mlflow_gitops.value_path import parse_path

__all__ = ["clashes", "read_rules"]

SECTION = "environments.<name>.values"
ROWS = {
    row.key.removeprefix(f"{SECTION}[]."): row
    for row in SETTINGS
    if row.key.startswith(f"{SECTION}[].")
}
IN_FILE = {"service", "model", "environment"}
PROTOCOLS = ("v1", "v2", "grpc-v1", "grpc-v2")
OWN_FILES = ("mlflow-gitops.yaml",)
_BRACES = re.compile(r"\{([^{}]*)\}")
_WORD = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

Patterns = Callable[[Value | None, Findings], tuple[str, ...]]


def read_rules(value: Value | None, found: Findings, models: Patterns) -> tuple[ValueRule, ...]:
    """`models` reads a list of patterns."""
    if value is None:
        return ()
    form = next(row.form for row in SETTINGS if row.key == SECTION)
    return tuple(_rule(item, found, models) for item in found.items(value, form) or ())


def _rule(value: Value, found: Findings, models: Patterns) -> ValueRule:
    required = [key for key, row in ROWS.items() if row.required]
    fields = found.fields(value, ROWS, required) or {}

    def text(key: str, complaint: Callable[[str], str]) -> str:
        if key not in fields:
            return ROWS[key].default or ""
        return found.text(fields[key], complaint, ROWS[key].form) or ""

    rule = ValueRule(
        file=text("file", file_complaint),
        path=text("path", path_complaint),
        models=models(fields.get("models"), found),
        version_path=text("version-path", path_complaint),
        model_format=text("format", _word_complaint),
        protocol=text("protocol", lambda text: "" if text in PROTOCOLS else "is no protocol"),
        runtime=text("runtime", names.label_complaint),
    )
    if rule.file and rule.path:
        _check_one_place_each(value, rule, found)
    return rule


def _check_one_place_each(value: Value, rule: ValueRule, found: Findings) -> None:
    if rule.path == rule.version_path:
        found.add(value, "has the same path for the URI and the version")
    each = ("{service}", "{model}")
    tells = any(name in rule.file for name in each)
    is_one = len(rule.models) == 1 and not any(c in rule.models[0] for c in "*?[")
    for path in (rule.path, rule.version_path):
        if path and not tells and "{service}" not in path and not is_one:
            found.add(
                value,
                f"leads every model to the same value, `{path}`",
                hint="put `{service}` into `file` or the paths, or take one model by its name",
            )
            return


def file_complaint(text: str) -> str:
    unknown = set(_BRACES.findall(text)) - IN_FILE
    filled = _BRACES.sub("x", text)
    if unknown or "{" in filled or "}" in filled:
        return "has something else in braces than `{service}`, `{model}` or `{environment}`"
    if filled in OWN_FILES:
        return "is the file of these settings"
    if filled == ".":
        return "is no file"
    return names.path_complaint(filled)


def path_complaint(text: str) -> str:
    if set(_BRACES.findall(text)) - {"service"}:
        return "has something else in braces than `{service}`"
    try:
        parse_path(text)
    except ValueError as error:
        return str(error)
    return ""


def _word_complaint(text: str) -> str:
    return "" if _WORD.fullmatch(text) else "is no name of a format"


def clashes(environments: Iterable[Environment], default_branch: str) -> Iterator[tuple[str, str]]:
    """(environment, why) for each rule that leads to the value of another one."""
    placed: dict[tuple[str, ...], list[tuple[str, ValueRule]]] = {}
    for environment in environments:
        for rule in environment.values:
            for path in filter(None, (rule.path, rule.version_path)):
                file = rule.file.replace("{environment}", environment.name)
                key = (environment.branch or default_branch, file, path)
                for other, earlier in placed.get(key, ()):
                    if _meet(rule, earlier, is_same=other == environment.name):
                        yield environment.name, _clash(path, file, environment.name, other)
                placed.setdefault(key, []).append((environment.name, rule))


def _meet(one: ValueRule, two: ValueRule, *, is_same: bool) -> bool:
    """Whether a change by one is a change for the other, as far as their patterns tell."""
    names_service = any("{service}" in text or "{model}" in text for text in (one.file, one.path))
    if not names_service:
        return True
    return not is_same and (one.models == two.models or ("*",) in (one.models, two.models))


def _clash(path: str, file: str, name: str, other: str) -> str:
    whose = "another rule" if other == name else f"the environment `{other}`"
    return f"has a value that {whose} has too: `{path}` in {file}"
