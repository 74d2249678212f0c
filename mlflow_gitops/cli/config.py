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
from mlflow_gitops.cli.look import tell_all
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.config import (
    SETTINGS_FILE,
    Problem,
    check_settings,
    name_warnings,
    parse_settings,
    settings_warnings,
)
from mlflow_gitops.errors import ConfigError, GitOpsError, ManifestError, RepositoryError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.planning.misses import misses
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
    override them, and on this machine. Where MLFLOW_TRACKING_URI names a server, also of selectors
    and patterns that match nothing there. With a token for the forge, also asks the forge: whether
    the token may do its work, and whether the protection of the branches fits the delivery.
    """
    session = _session(app, is_needed=file is None)
    if file is not None:
        where, text, branch = _from_file(file)
    else:
        assert session is not None
        where, text, branch = _from_git(session)
    problems = list(check_settings(text, default_branch=branch))
    warnings = _warnings(session, text, branch)
    if session is not None and file is None:
        warnings += _of_repository(session, text, branch)
        if not problems:
            report = session.forge_check().look(parse_settings(text, default_branch=branch), branch)
            problems += _of_forge(report.failure)
            warnings += report.warnings
    if as_json:
        found = [asdict(problem) for problem in problems]
        print_json({"where": where, "problems": found, "warnings": warnings})
    else:
        _tell(where, problems)
    tell_all(warnings)
    return int(bool(problems))


def _session(app: App, *, is_needed: bool) -> Session | None:
    """A file can be checked in an environment that names no repository, or names it wrongly."""
    try:
        return app.session()
    except ConfigError:
        if is_needed:
            raise
        return None


def _warnings(session: Session | None, text: str, branch: str) -> list[str]:
    """What may be meant as it is; compared with the registry where a server is named."""
    try:
        settings = parse_settings(text, default_branch=branch)
    except ConfigError:
        return []
    found = [*settings_warnings(settings), *name_warnings(settings)]
    if session and (session.process.tracking_uri or session.process.registry_uri):
        try:
            found += misses(settings, settings.environments, session.registry.snapshots())
        except GitOpsError as error:
            found.append(f"not compared with the registry, which does not answer: {error.what}")
    return found


def _of_repository(session: Session, text: str, branch: str) -> list[str]:
    """What the repository's manifests and this machine make of the settings."""
    found: list[str] = []
    with suppress(ConfigError):
        found += _of_manifests(session.repository, parse_settings(text, default_branch=branch))
    why = cannot_build(session.renderer)
    return [*found, why] if why else found


def _of_forge(failure: GitOpsError | None) -> list[Problem]:
    if failure is None:
        return []
    what = f"{failure.what} ({failure.where})" if failure.where else failure.what
    return [Problem("forge", 0, what, hint=failure.hint)]


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
                names=settings.names,
                repository=repository.identity,
                applications=settings.applications,
            )
            overridden = manifests.overridden(environment.name)
            found += (f"{environment.name}: {each}" for each in overridden)
            found += map(str, manifests.warnings(environment.name))
            found += map(str, manifests.not_followed(environment.name))
    return list(dict.fromkeys(found))


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
    rows = ((str(p.line or "-"), p.path or "-", p.what, p.allowed, p.hint) for p in problems)
    print_table(COLUMNS, rows, sys.stdout)
    count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
    click.echo(f"{clean(where)}: {count}.", err=True)
