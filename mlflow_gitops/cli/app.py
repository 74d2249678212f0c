"""What all verbs share: the process's environment, the options and the names that they take.

Exit codes: 0 done, 1 a known error, 2 wrong use, 3 a bug of ours, 130 interrupted, 141 nobody reads
the output any more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import click

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.cli.output import exit_code, reader_gone, wants_json
from mlflow_gitops.config import Process
from mlflow_gitops.ports import Progress
from mlflow_gitops.render import clean
from mlflow_gitops.state import Settings
from mlflow_gitops.surveying import unknown_environment
from mlflow_gitops.wish import did_you_mean

__all__ = ["App", "Commands", "as_json", "environments_option", "known_environments"]


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
        words = sys.argv[1:] if args is None else args
        as_json = wants_json(words)
        run = partial(super().main, args, **call)
        sys.exit(exit_code(run, as_json=as_json, debug=lambda: app.debug))

    def invoke(self, ctx: click.Context) -> Any:
        """Click's own, but a reader that went away has an exit code of its own."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise click.exceptions.Exit(reader_gone()) from None

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


environments_option = click.option(
    "-e",
    "--environment",
    "environments",
    metavar="ENV",
    multiple=True,
    help="Only this environment; may be given several times.",
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
"""Its errors are JSON, too: `output` looks for the option before anything is parsed."""


def known_environments(names: Sequence[str], settings: Settings) -> tuple[str, ...]:
    """The environments that were named, or all of them. Raises RequestError."""
    for name in names:
        if name not in settings.environments:
            error = unknown_environment(clean(name), settings)
            error.what += did_you_mean(name, settings.environments)
            raise error
    return tuple(e for e in settings.environments if not names or e in names)
