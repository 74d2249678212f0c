"""What the documentation says is there: links, commands, options, variables, settings, errors."""

from __future__ import annotations

import ast
import json
import re
import shlex
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
import yaml

from mlflow_gitops.cli import main
from mlflow_gitops.config import check_settings
from mlflow_gitops.config.reference_settings import SETTINGS
from mlflow_gitops.config.reference_variables import PREFIX, VARIABLES
from mlflow_gitops.deployment_options import KEYS
from mlflow_gitops.planning.records import parse_status, status_text
from mlflow_gitops.state import State
from webhook.counters import METRICS

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")]
NAMES = [str(path.relative_to(ROOT)) for path in sorted(SHIPPED)]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
FRAGMENT = "# part of "
"""The first line of a block that is no whole file says what it is a part of."""


@cache
def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose(name: str) -> str:
    return FENCE.sub("", text(name))


def anchors(name: str) -> set[str]:
    """As GitHub makes them from headings."""
    heads = re.findall(r"^#{1,6} +(.+)$", prose(name), re.MULTILINE)
    return {_anchor(INLINE.sub(r"\1", head)) for head in heads}


def _anchor(head: str) -> str:
    kept = (c for c in head.lower() if c in " -_" or unicodedata.category(c)[0] in "LN")
    return "".join(kept).strip().replace(" ", "-")


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    broken = []
    for target in LINK.findall(prose(name)):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (ROOT / name).parent / path if path else ROOT / name
        is_there = file.exists() and file.resolve().is_relative_to(ROOT)
        if not is_there or (
            anchor and anchor not in anchors(str(file.resolve().relative_to(ROOT)))
        ):
            broken.append(target)
    assert broken == []


def commands(name: str) -> Iterator[list[str]]:
    """Every `mlflow-gitops …` and `mlflow …`, in blocks and in the text."""
    for snippet in snippets(name):
        line = re.sub(r"^\s*(- run: )?", "", snippet).partition("  #")[0]
        for part in re.split(r"&&|;|\||>", line):
            words = _words(part)
            if words and words[0] in ("mlflow-gitops", "mlflow"):
                yield words


def snippets(name: str) -> Iterator[str]:
    for _, block in FENCE.findall(text(name)):
        yield from block.replace("\\\n", " ").splitlines()
    for line in prose(name).replace("\\\n", " ").splitlines():
        yield from [line] if line.startswith("    ") else INLINE.findall(line)


def _words(part: str) -> list[str]:
    try:
        return shlex.split(part)
    except ValueError:  # a sentence with an apostrophe
        return []


def unknown(words: list[str]) -> list[str]:
    """What the command line does not know of a command, placeholders left out."""
    command: click.Command = main
    known = set(main_options := _options(main))
    for word in words[1:]:
        if isinstance(command, click.Group) and not word.startswith("-"):
            if word in command.commands:
                command = command.commands[word]
                known = {*main_options, *_options(command)}
            elif re.fullmatch(r"[a-z]+", word):
                return [word]
            else:
                return []  # VERB, …
    named = [word.partition("=")[0] for word in words if re.match(r"-{1,2}[a-z]", word)]
    return [option for option in named if option not in known]


def _options(command: click.Command) -> set[str]:
    return {spelling for param in command.params for spelling in param.opts} | {"--help", "-h"}


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_option_is_there(name: str) -> None:
    wrong = {
        " ".join(words): unknown(words)
        for words in commands(name)
        if words[0] == "mlflow-gitops" and unknown(words)
    }
    assert wrong == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_option_of_the_plugin_is_there(name: str) -> None:
    for words in commands(name):
        if words[:2] == ["mlflow", "deployments"]:
            given = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "-C"]
            assert {each.partition("=")[0] for each in given} <= set(KEYS), words


def test_commands_are_found_where_they_are_written() -> None:
    found = [words for name in NAMES for words in commands(name)]
    verbs = {words[1] for words in found if words[0] == "mlflow-gitops" and len(words) > 1}
    assert verbs >= set(main.commands)
    assert any(words[:3] == ["mlflow", "deployments", "delete"] for words in found)
    assert unknown(["mlflow-gitops", "plan", "--nonsense"]) == ["--nonsense"]
    assert unknown(["mlflow-gitops", "nonsense"]) == ["nonsense"]


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_is_in_the_reference(name: str) -> None:
    named = set(re.findall(rf"{PREFIX}[A-Z0-9_]*[A-Z0-9]", text(name)))
    assert named <= {row.name for row in VARIABLES}


@pytest.mark.parametrize("name", NAMES)
def test_every_yaml_block_is_right(name: str) -> None:
    for language, block in FENCE.findall(text(name)):
        if language != "yaml":
            continue
        documents = list(yaml.safe_load_all(block))
        is_settings = any(isinstance(each, dict) and "environments" in each for each in documents)
        if is_settings and not block.startswith(FRAGMENT):
            assert check_settings(block) == [], block


@pytest.mark.parametrize("name", NAMES)
def test_every_python_and_json_block_can_be_read(name: str) -> None:
    for language, block in FENCE.findall(text(name)):
        if language == "python":
            compile(block, name, "exec")
        if language == "json":
            json.loads(block)


def test_every_settings_key_in_the_prose_is_in_the_reference() -> None:
    parts = {part for row in SETTINGS for part in row.key.split(".")} | {"yaml"}
    pattern = re.compile(r"(?:artifacts|environments|services)\.[a-z<>.-]+[a-z>]")
    named = {key for name in NAMES for key in pattern.findall(prose(name))}
    assert named, "the documents name settings"
    assert not [key for key in named if not set(key.split(".")) - {"<name>", "<model>"} <= parts]


def test_every_state_is_explained() -> None:
    states = text("docs/ml-engineers.md").partition("\n## States\n")[2].partition("\n## ")[0]
    assert not [state.value for state in State if f"`{state.value}`" not in states]


def test_the_status_that_is_shown_is_one() -> None:
    (shown,) = [
        b for language, b in FENCE.findall(text("docs/ml-engineers.md")) if language == "json"
    ]
    status = parse_status(shown)
    assert status is not None
    assert json.loads(status_text(status)) == json.loads(shown)


def test_every_metric_that_is_named_is_there() -> None:
    known = {f"mlflow_gitops_{name}_total" for name in METRICS} | {"mlflow_gitops_models"}
    named = set(re.findall(r"mlflow_gitops_[a-z_]+", prose("docs/platform-engineers.md")))
    assert named
    assert named <= known


def test_every_error_that_is_explained_is_one_of_the_code() -> None:
    table = text("docs/ml-engineers.md").partition("\n## Errors, and the next step\n")[2]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert cells
    messages = [piece for cell in cells for piece in INLINE.findall(cell)]
    fragments = [part.strip() for message in messages for part in message.split("…")]
    said = "\n".join(_constants())
    assert not [part for part in fragments if len(part) > 3 and part not in said]


def _constants() -> Iterator[str]:
    for path in (ROOT / "mlflow_gitops").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
