"""What people see on a terminal, in a pipe and in a notebook: tables, diffs, progress.

Texts from the registry and from Git are made safe here: no markup, no control characters. On a
terminal lines wrap and colours help (NO_COLOR is respected); in a pipe nothing is cut or wrapped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlflow_gitops.ask import ANY_FLAVOR, Answer
from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.gates import ALWAYS_REQUIRED, Gate
from mlflow_gitops.reconcile import Outcome
from mlflow_gitops.state import ServiceSpec, State

__all__ = [
    "answer_fields",
    "answer_text",
    "clean",
    "error_fields",
    "gates_text",
    "outcome_fields",
    "print_diff",
    "print_table",
    "spec_text",
]


CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)
}
STYLES = (("+++", "bold"), ("---", "bold"), ("@@", "cyan"), ("+", "green"), ("-", "red"))


def clean(text: str) -> str:
    """No control character reaches a terminal; line ends and tabs stay."""
    return text.replace("\r\n", "\n").translate(CONTROLS)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], out: IO[str]) -> None:
    console = Console(file=out, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        out.write(_plain_table(columns, rows))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    console.print(table)


def _plain_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """One line for each row, whatever is in it."""
    lines = [list(columns), *([" ".join(clean(cell).split()) for cell in row] for row in rows)]
    widths = [max(cell_len(line[index]) for line in lines) for index in range(len(columns))]
    return "".join(
        "  ".join(_padded(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )


def _padded(cell: str, width: int) -> str:
    """By what it takes on a screen: a Chinese sign takes two columns."""
    return cell + " " * (width - cell_len(cell))


def print_diff(diff: str, out: IO[str]) -> None:
    console = Console(file=out, highlight=False, markup=False, emoji=False, soft_wrap=True)
    for line in clean(diff).splitlines():
        if console.is_terminal:
            console.print(Text(line, style=_style(line)))
        else:
            out.write(f"{line}\n")


def _style(line: str) -> str:
    return next((style for start, style in STYLES if line.startswith(start)), "")


def spec_text(spec: ServiceSpec | None) -> str:
    """A service's managed part in few words: its version, else its URI."""
    if spec is None:
        return "(no service)"
    return spec.version or spec.uri or "(no version)"


def answer_text(answer: Answer) -> str:
    """What was committed, or would be: for the plugin."""
    change = f"{spec_text(answer.before)} -> {spec_text(answer.after)}"
    if answer.relayed:
        head = f"{answer.name}: version {answer.version.number}: {_relayed(answer)}"
    elif answer.already:
        head = f"{answer.name}: version {spec_text(answer.after)} is committed already"
    elif answer.dry_run and not answer.diff:
        head = f"{answer.name}: {change}: Git says so already, only the request would be recorded"
    elif answer.dry_run:
        how = "proposed" if answer.state is State.PROPOSED else "committed"
        head = f"{answer.name}: {change}: would be {how} to {answer.branch}"
    elif answer.state is State.PROPOSED:
        head = f"{answer.name}: {change}: proposed to {answer.branch}: {answer.pull}"
    elif answer.commit:
        head = f"{answer.name}: {change}: committed to {answer.branch} as {answer.commit}"
    else:
        head = f"{answer.name}: {change}: Git said so already, the request is recorded"
    lines = [head, f"  reason: {answer.message}"]
    if answer.after is not None:
        lines.append(f"  uri: {answer.after.uri}")
    if answer.digest:
        lines.append(f"  digest: {answer.digest}")
    lines += [f"  note: {note}" for note in answer.notes]
    if answer.dry_run:
        lines.append("  dry run: nothing was written")
    return clean("\n".join([*lines, *([answer.diff.rstrip("\n")] if answer.diff else [])]))


def _relayed(answer: Answer) -> str:
    if answer.state is State.REQUESTED:
        return "the request is recorded"
    commit = f" as {answer.commit}" if answer.commit else ""
    branch = f" on {answer.branch}" if answer.branch else ""
    return f"{answer.state.value} by the service{branch}{commit}"


def answer_fields(answer: Answer, flavor: str | None = None) -> dict[str, Any]:
    """An answer for a script, and for the plugin, whose users expect `name` and `flavor`."""
    return {
        "name": answer.name,
        "flavor": flavor or ANY_FLAVOR,
        "environment": answer.environment,
        "model": answer.model,
        "service": answer.service,
        "version": answer.version.number,
        "before": spec_text(answer.before),
        "after": spec_text(answer.after),
        "uri": answer.after.uri if answer.after else "",
        "digest": answer.digest,
        "branch": answer.branch,
        "commit": answer.commit,
        "pull_request": answer.pull,
        "diff": answer.diff,
        "state": answer.state.value,
        "message": answer.message,
        "notes": list(answer.notes),
        "dry_run": answer.dry_run,
        "already": answer.already,
    }


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """An outcome for a script: the shape of `--json`."""
    plan, error = outcome.plan, outcome.error
    return {
        "environment": outcome.key.environment,
        "model": outcome.key.model,
        "service": plan.place.service if plan else "",
        "state": outcome.state.value,
        "action": plan.kind.value if plan else "none",
        "message": outcome.message,
        "notes": list(plan.notes) if plan else [],
        "not_proved": plan.not_proved if plan else "",
        "before": _spec_fields(plan.before if plan else None),
        "after": _spec_fields(plan.after if plan else None),
        "commit": outcome.commit,
        "pull_request": outcome.pull.url if outcome.pull else "",
        "digest": outcome.revision.digest if outcome.revision else "",
        "diff": outcome.diff,
        "error": error_fields(error) if error else None,
        "gates": [_gate_fields(gate) for gate in outcome.verdicts],
    }


def gates_text(gates: Iterable[Gate]) -> str:
    """The gates that had something to judge, in few words."""
    judged = (gate for gate in gates if _is_told(gate))
    return "; ".join(f"{gate.name} {gate.verdict}: {gate.text}" for gate in judged)


def _is_told(gate: Gate) -> bool:
    """Files that are not whole, or would not load, are an error that is shown anyway."""
    if gate.name in ALWAYS_REQUIRED:
        return gate.name == "runtime" and gate.verdict == "not known"
    return gate.verdict != "skipped"


def _gate_fields(gate: Gate) -> dict[str, object]:
    return {
        "name": gate.name,
        "verdict": gate.verdict,
        "text": gate.text,
        "required": gate.required,
    }


def error_fields(error: GitOpsError) -> dict[str, str]:
    """An error for a script, wherever one stands in `--json`."""
    return {"what": error.what, "where": error.where, "hint": error.hint}


def _spec_fields(spec: ServiceSpec | None) -> Mapping[str, str] | None:
    return {"version": spec.version, "uri": spec.uri, "rollout": spec.rollout} if spec else None
