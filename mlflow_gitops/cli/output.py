"""What reaches stdout and stderr, and how a command ends.

With `--json` stdout holds one JSON document, whatever happens: the result, or `{"error": …}`. For
people an error is on stderr, with and without `--json`. A reader that went away (`| head`) ends the
command quietly; what was begun before anything was printed is done.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import click

from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.render import clean, error_fields

__all__ = ["exit_code", "print_json", "reader_gone", "wants_json"]

BUG, INTERRUPTED, READER_GONE = 3, 130, 141
CONTROLS = {code: f"\\u{code:04x}" for code in range(127, 160)}  # json escapes those below 32


def wants_json(args: Sequence[str]) -> bool:
    """Known before the arguments are parsed, since parsing them can fail."""
    options = args[: args.index("--")] if "--" in args else args
    return "--json" in options


def print_json(value: Any) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or ""
    is_unicode = encoding.lower().replace("-", "").startswith("utf")
    text = json.dumps(value, indent=2, ensure_ascii=not is_unicode)
    click.echo(text.translate(CONTROLS))


def exit_code(run: Callable[[], Any], *, as_json: bool, debug: Callable[[], bool]) -> int:
    """Run a command to its end, and tell what went wrong. `debug` is asked after the run."""
    _prepare_streams()
    try:
        code = _run(run, as_json, debug)
        sys.stdout.flush()
    except BrokenPipeError:
        return reader_gone()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _drop_output()
        click.echo("Error: the disk is full, nothing more can be written", err=True)
        return 1
    return code


def reader_gone() -> int:
    _drop_output()
    return READER_GONE


def _run(run: Callable[[], Any], as_json: bool, debug: Callable[[], bool]) -> int:
    try:
        result = run()
    except click.ClickException as error:
        error.show()
        return _ended(error.exit_code, as_json, what=clean(error.format_message()))
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return _ended(INTERRUPTED, as_json, what="interrupted")
    except GitOpsError as error:
        click.echo(_error_text(error), err=True)
        return _ended(1, as_json, **error_fields(error))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.ENOSPC):
            raise
        return _tell_bug(error, as_json, debug=debug())
    return result if isinstance(result, int) else 0


def _ended(code: int, as_json: bool, *, what: str, where: str = "", hint: str = "") -> int:
    if as_json:
        print_json({"error": {"what": what, "where": where, "hint": hint}})
    return code


def _error_text(error: GitOpsError) -> str:
    lines = [f"Error: {error.what}"]
    if error.where:
        lines.append(f"  where: {error.where}")
    if error.hint:
        lines.append(f"  next: {error.hint}")
    return clean("\n".join(lines))


def _tell_bug(error: Exception, as_json: bool, *, debug: bool) -> int:
    """Only the exception's type by default: its text may quote a secret."""
    if debug:
        click.echo(traceback.format_exc(), err=True)
    what = f"this is a bug in mlflow-gitops: unexpected {type(error).__name__}"
    hint = (
        "run it again with `mlflow-gitops --debug …` (or MLFLOW_GITOPS_DEBUG=1) for the traceback, "
        "and report it"
    )
    click.echo(f"Error: {what}\n  next: {hint}", err=True)
    return _ended(BUG, as_json, what=what, hint=hint)


def _drop_output() -> None:
    """Nothing more can be printed to stdout, also not by Python when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _prepare_streams() -> None:
    """A closed stdout is no failure, nor is a name that the terminal's encoding lacks."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  it is the process's own
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
