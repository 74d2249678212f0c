"""`mlflow-gitops config check`: every problem of the settings at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from mlflow_gitops.cli.app import App, as_json
from mlflow_gitops.cli.look import tell_warnings
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.config import SETTINGS_FILE, Problem, check_settings, parse_settings
from mlflow_gitops.errors import ConfigError, GitOpsError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.render import clean, print_table
from mlflow_gitops.state import Settings

__all__ = ["config"]

COLUMNS = ("LINE", "KEY", "PROBLEM", "ALLOWED", "NEXT")


@click.group()
def config() -> None:
    """The settings, mlflow-gitops.yaml."""


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@as_json
@click.pass_obj
def check(app: App, file: Path | None, as_json: bool) -> int:
    """Tell every problem of the settings at once; exit code 1 where there is one.

    Reads FILE, or without it the repository's settings, from its default branch. Then it also
    warns of Argo CD and Flux objects in the repository that override what its files say.
    """
    where, text, branch = _read(app, file)
    problems = check_settings(text, default_branch=branch)
    if as_json:
        print_json({"where": where, "problems": [asdict(problem) for problem in problems]})
    else:
        _tell(where, problems)
    if not problems:
        settings = parse_settings(text, default_branch=branch)
        tell_warnings(settings)
        if file is None:
            _warn_of_overrides(app, settings)
    return int(bool(problems))


def _warn_of_overrides(app: App, settings: Settings) -> None:
    repository = app.session().repository
    for name, environment in settings.environments.items():
        try:
            tree = repository.tree(environment.branch or repository.default_branch)
            found = Manifests(
                tree,
                {name: environment},
                services=settings.services,
                repository=repository.identity,
                applications=settings.applications,
            ).overridden(name)
        except GitOpsError:  # its branch or its folder: the commands that read it say so
            continue
        for each in found:
            click.echo(f"Warning: {name}: {clean(str(each))}", err=True)


def _read(app: App, file: Path | None) -> tuple[str, str, str]:
    """Where the text is from, the text, and the default branch where it is known."""
    if file is None:
        repository = app.session().repository
        repository.fetch()
        where = f"{repository.identity}: {SETTINGS_FILE}"
        return where, repository.settings_text(), repository.default_branch
    path = file / SETTINGS_FILE if file.is_dir() else file
    try:
        return str(path), path.read_text(encoding="utf-8"), ""
    except (OSError, ValueError) as error:  # a path may hold a null byte
        raise ConfigError(
            f"the file cannot be read: {getattr(error, 'strerror', None) or 'it is no UTF-8 text'}",
            where=clean(str(path)),
            hint=f"name the file {SETTINGS_FILE}, or leave it out to check the repository's",
        ) from error


def _tell(where: str, problems: Sequence[Problem]) -> None:
    if not problems:
        click.echo(f"{clean(where)}: no problems.")
        return
    rows = ((str(p.line), p.path or "-", p.what, p.allowed, p.hint) for p in problems)
    print_table(COLUMNS, rows, sys.stdout)
    count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
    click.echo(f"{clean(where)}: {count}.", err=True)
