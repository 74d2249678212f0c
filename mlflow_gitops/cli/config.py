"""`mlflow-gitops config check`: every problem of the settings at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import click

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.cli.app import App, as_json
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.config import (
    SETTINGS_FILE,
    Problem,
    check_settings,
    parse_settings,
    settings_warnings,
)
from mlflow_gitops.errors import ConfigError, ManifestError, RepositoryError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.ports import Repository
from mlflow_gitops.render import clean, print_table
from mlflow_gitops.rendering import cannot_build
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

    Reads FILE, or without it the repository's settings, from its default branch. Warns of what the
    settings allow and will not work: in the manifests, in the Argo CD and Flux objects that
    override them, and on this machine.
    """
    session = None
    if file is not None:
        where, text, branch = _from_file(file)
    else:
        session = app.session()
        where, text, branch = _from_git(session)
    problems = check_settings(text, default_branch=branch)
    warnings: list[str] = []
    if not problems:
        settings = parse_settings(text, default_branch=branch)
        warnings += settings_warnings(settings)
        warnings += _of_manifests(session.repository, settings) if session else []
    if session and (why := cannot_build(session.renderer)):
        warnings.append(why)
    if as_json:
        told = [asdict(problem) for problem in problems]
        print_json({"where": where, "problems": told, "warnings": warnings})
    else:
        _tell(where, problems)
    for warning in warnings:
        click.echo(f"Warning: {clean(warning)}", err=True)
    return int(bool(problems))


def _of_manifests(repository: Repository, settings: Settings) -> list[str]:
    """Return what Git says of each environment, but does not do what people expect.

    Manifests that cannot be read are not the settings' fault: `status` reports them.
    """
    found: list[str] = []
    for environment in settings.environments.values():
        with suppress(ManifestError, RepositoryError):
            tree = repository.tree(environment.branch or repository.default_branch)
            manifests = Manifests(
                tree,
                {environment.name: environment},
                services=settings.services,
                repository=repository.identity,
                applications=settings.applications,
            )
            overridden = manifests.overridden(environment.name)
            found += (f"{environment.name}: {each}" for each in overridden)
            found += map(str, manifests.warnings(environment.name))
    return found


def _from_git(session: Session) -> tuple[str, str, str]:
    """Return where the text is from, the text, and the default branch."""
    repository = session.repository
    repository.fetch()
    where = f"{repository.identity}: {SETTINGS_FILE}"
    return where, repository.settings_text(), repository.default_branch


def _from_file(file: Path) -> tuple[str, str, str]:
    """Return the same; which branch is the default is not known."""
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
