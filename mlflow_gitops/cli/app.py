"""What all verbs share: the process's environment, the exit codes and how an error looks.

Exit codes: 0 done, 1 a known error, 2 wrong use, 3 a bug of ours, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.config import Process
from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.ports import Progress
from mlflow_gitops.reconcile import unknown_environment
from mlflow_gitops.render import clean
from mlflow_gitops.state import Settings
from mlflow_gitops.wish import did_you_mean

__all__ = ["App", "Commands", "as_json", "environments_option", "known_environments", "print_json"]

BUG, INTERRUPTED = 3, 130


@dataclass(slots=True)
class App:
    """One invocation. `connect` builds the session: the tests put their own in its place."""

    repository: str | None = None
    debug: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    connect: Callable[[Process, Progress | None], Session] = Session

    def process(self) -> Process:
        """The environment's settings. Tells its warnings; raises ConfigError."""
        process = Process.from_environ(self.environ, repository=self.repository)
        for warning in process.warnings:
            click.echo(f"Warning: {clean(warning)}", err=True)
        return process

    def session(self, progress: Progress | None = None) -> Session:
        return self.connect(self.process(), progress)


class Commands(click.Group):
    """A group whose `main` ends with this tool's exit codes, and never with a bare traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        app = extra.pop("obj", None) or App()
        call = {
            "prog_name": prog_name or "mlflow-gitops",
            "complete_var": complete_var,
            "standalone_mode": False,
            "windows_expand_args": windows_expand_args,
            "obj": app,
            **extra,
        }
        if not standalone_mode:
            return super().main(args, **call)
        sys.exit(_exit_code(app, lambda: super(Commands, self).main(args, **call)))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Click's own, with the verb that was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if not args or args[0].startswith("-"):
                raise
            hint = did_you_mean(args[0], self.list_commands(ctx))
            text = f"There is no command `{clean(args[0])}`{hint}"
            raise click.UsageError(text, ctx) from error


def _exit_code(app: App, run: Callable[[], Any]) -> int:
    try:
        result = run()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except GitOpsError as error:
        click.echo(error_text(error), err=True)
        return 1
    except Exception as error:
        _tell_bug(app, error)
        return BUG
    return result if isinstance(result, int) else 0


def error_text(error: GitOpsError) -> str:
    lines = [f"Error: {error.what}"]
    if error.where:
        lines.append(f"  where: {error.where}")
    if error.hint:
        lines.append(f"  next: {error.hint}")
    return clean("\n".join(lines))


def _tell_bug(app: App, error: Exception) -> None:
    """Only the exception's type by default: its text may quote a secret."""
    if app.debug:
        click.echo(traceback.format_exc(), err=True)
    click.echo(
        f"Error: this is a bug in mlflow-gitops: unexpected {type(error).__name__}\n"
        "  next: run it again with `mlflow-gitops --debug …` (or MLFLOW_GITOPS_DEBUG=1) for the "
        "traceback, and report it",
        err=True,
    )


environments_option = click.option(
    "-e",
    "--environment",
    "environments",
    metavar="ENV",
    multiple=True,
    help="Only this environment; may be given several times.",
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def known_environments(names: Sequence[str], settings: Settings) -> tuple[str, ...]:
    """The environments that were named, or all of them. Raises RequestError."""
    for name in names:
        if name not in settings.environments:
            error = unknown_environment(clean(name), settings)
            error.what += did_you_mean(name, settings.environments)
            raise error
    return tuple(e for e in settings.environments if not names or e in names)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
