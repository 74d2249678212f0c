"""`mlflow-gitops why`: what runs, or ran, since which commit, who asked for it and who approved."""

from __future__ import annotations

from dataclasses import replace

import click

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.cli.app import App, as_json, environments_option
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.cli.past import check_model, no_forge_option, pasts, tell_failure, time_of
from mlflow_gitops.cli.rows import UNKNOWN, asked_text, row_fields, spec_fields
from mlflow_gitops.drifts import Drift, drift_of
from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.looking_back import Answer, LookingBack
from mlflow_gitops.planning.ledger import Row
from mlflow_gitops.render import clean, spec_text
from mlflow_gitops.reviewed import Proposal, Reviewed
from mlflow_gitops.state import Settings

__all__ = ["why"]


@click.command(short_help="Show what runs, who changed it and why.")
@click.argument("model")
@environments_option
@click.option("--at", metavar="TIME", help="What ran then, as Git has it; default: now.")
@click.option("--no-registry", is_flag=True, help="Ask Git alone, also where MLflow answers.")
@no_forge_option
@as_json
@click.pass_obj
def why(
    app: App,
    model: str,
    environments: tuple[str, ...],
    at: str | None,
    no_registry: bool,
    no_forge: bool,
    as_json: bool,
) -> None:
    """Show what runs of MODEL (or ran at a time): version, run, digest, commit, and who did it.

    Read from Git. Whether the registry asks for something else is told where it answers; who
    approved and merged, and what is proposed, where there is a token for the forge.
    """
    moment = time_of(at, "--at", end_of_day=True) if at is not None else None
    session = app.session()
    settings = session.settings_from_git()
    reviewed = session.reviewed(settings, asks_forge=not no_forge)
    backs = pasts(session, settings, environments, reviewed)
    name = check_model(model, settings, backs)
    answers = [
        back.why(name, back.position_at(moment.timestamp()) if moment else back.end)
        for back in backs.values()
    ]
    answers = [_completed(a, backs[a.key.environment], reviewed) for a in answers]
    proposals = {} if moment else _proposals(answers, reviewed, settings)
    tell_failure(reviewed)
    asks = not (no_registry or moment)
    drifts = _drifts(session, settings, name, answers) if asks else {}
    now = [(a, drifts.get(a.key.environment), proposals.get(a.key.environment)) for a in answers]
    if as_json:
        print_json({"services": [_fields(*each) for each in now]})
        return
    for each in now:
        _print(*each)


def _completed(answer: Answer, back: LookingBack, reviewed: Reviewed) -> Answer:
    row = answer.row
    return replace(answer, row=reviewed.complete(row, back.historian.index)) if row else answer


def _proposals(
    answers: list[Answer], reviewed: Reviewed, settings: Settings
) -> dict[str, Proposal]:
    """By environment."""
    placed = ((a, settings.environments[a.key.environment]) for a in answers)
    found = (
        (place.name, reviewed.proposal(place, a.service, a.head, a.standing.spec))
        for a, place in placed
    )
    return {environment: each for environment, each in found if each is not None}


def _drifts(
    session: Session, settings: Settings, model: str, answers: list[Answer]
) -> dict[str, Drift]:
    """By environment; empty where the registry does not answer."""
    process = session.process
    if not (process.tracking_uri or process.registry_uri):
        return {}
    try:
        snapshot = session.registry.snapshot(model)
        taking = settings.environments_for(model)
        return {
            each.name: drift_of(session.reconciler.preview(snapshot, each, settings))
            for each in taking
            if any(answer.key.environment == each.name for answer in answers)
        }
    except GitOpsError as error:
        click.echo(f"Warning: the registry cannot be asked: {clean(error.what)}", err=True)
        return {}


def _print(answer: Answer, drift: Drift | None, proposal: Proposal | None) -> None:
    standing, row = answer.standing, answer.row
    says = f"unknown: {standing.problem}" if standing.problem else spec_text(standing.spec)
    lines = [("version", says), ("uri", standing.spec.uri if standing.spec else "")]
    if standing.spec and standing.spec.rollout:
        lines.append(("rollout", standing.spec.rollout))
    if row is None:
        lines.append(("changed by", "no commit of this branch"))
    else:
        lines += _row_lines(row, answer)
    lines.append(("proposed", _proposal_text(proposal) if proposal else ""))
    lines.append(("hold", answer.hold or "none"))
    lines.append(("drift", UNKNOWN if drift is None else drift.text))
    click.echo(clean(str(answer.key)))
    for name, value in lines:
        if value:
            click.echo(f"  {name:13} {' '.join(clean(value).split())}")


def _proposal_text(proposal: Proposal) -> str:
    what = f"version {proposal.version}" if proposal.version else "a change"
    pull = proposal.pull
    if pull is None:
        return (
            f"{what} on the branch {proposal.branch} ({proposal.commit[:12]}); whether its pull "
            "request is still open is known to the forge"
        )
    by = [approval.by for approval in pull.approvals if approval.commit == pull.head]
    approved = f"approved by {', '.join(by)}" if by else "nobody approved it yet"
    return f"{what} by pull request {pull.number}, {approved}: {pull.url}"


def _proposal_fields(proposal: Proposal) -> dict[str, object]:
    pull = proposal.pull
    return {
        "branch": proposal.branch,
        "commit": proposal.commit,
        "version": proposal.version,
        "pull-request": pull.number if pull else None,
        "pull-request-url": pull.url if pull else "",
        "approvers": [a.by for a in pull.approvals if a.commit == pull.head] if pull else [],
    }


def _row_lines(row: Row, answer: Answer) -> list[tuple[str, str]]:
    undid = row.undoes[:12]
    if answer.undone:
        undid += f", which brought {spec_text(answer.undone.after)}"
    elif undid:
        undid += ", as it says: what it leaves is not what stood before that commit"
    return [
        ("run", row.run_id or UNKNOWN),
        ("digest", row.digest or UNKNOWN),
        ("commit", row.commit),
        ("made as", row.made),
        ("when", row.time),
        ("change", row.change.value),
        ("author", row.author or UNKNOWN),
        ("committer", row.committer or UNKNOWN),
        ("asked by", asked_text(row)),
        ("asked at", row.asked_at),
        ("pull request", f"{row.pull_request} {row.pull_url}" if row.pull_request else UNKNOWN),
        ("approvers", ", ".join(row.approvers) or UNKNOWN),
        ("merged by", row.merger or UNKNOWN),
        ("before", spec_text(row.before)),
        ("reason", row.why),
        ("undoes", undid),
        ("notes", "; ".join(row.notes)),
    ]


def _fields(answer: Answer, drift: Drift | None, proposal: Proposal | None) -> dict[str, object]:
    return {
        "environment": answer.key.environment,
        "model": answer.key.model,
        "service": answer.service,
        "head": answer.head,
        "stands": spec_fields(answer.standing.spec),
        "problem": answer.standing.problem,
        "change": row_fields(answer.row) if answer.row else None,
        "earlier": row_fields(answer.before) if answer.before else None,
        "undone": row_fields(answer.undone) if answer.undone else None,
        "proposed": _proposal_fields(proposal) if proposal else None,
        "hold": answer.hold,
        "drift": drift.fields if drift else None,
    }
