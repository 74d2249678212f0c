"""`mlflow-gitops revisions`: what of a model was published, and where each is used."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.cli.app import App, as_json
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.planning.figures import size_text
from mlflow_gitops.planning.revisions import Published, total
from mlflow_gitops.render import clean, print_table
from mlflow_gitops.shelving import Shelving
from mlflow_gitops.state import Snapshot
from mlflow_gitops.wish import model_of

__all__ = ["revision_fields", "revisions"]


@click.command(short_help="List what of a model was published, and where it is used.")
@click.argument("model")
@as_json
@click.pass_obj
def revisions(app: App, model: str, as_json: bool) -> None:
    """List the published revisions of MODEL, oldest first: size, digest, and who points to each.

    What the registry selects is shown where it answers. Writes nothing.
    """
    session = app.session()
    settings = session.settings_from_git()
    name = model_of(model, settings)
    snapshot = _snapshot(session, name)
    found = Shelving(session.repository, session.shelf, settings).revisions(name, snapshot)
    files, size = total(found)
    if as_json:
        rows = [revision_fields(each) for each in found]
        print_json({"revisions": rows, "files": files, "size": size})
        return
    columns = ("REVISION", "STATE", "LAYOUT", "PUBLISHED", "FILES", "SIZE", "DIGEST", "USED BY")
    if found:
        print_table(columns, map(_cells, found), sys.stdout)
    click.echo(f"{_told(found)}, {files} files, {size_text(size)}.")


def _snapshot(session: Session, model: str) -> Snapshot | None:
    process = session.process
    if not (process.tracking_uri or process.registry_uri):
        return None
    try:
        return session.registry.snapshot(model)
    except GitOpsError as error:
        click.echo(f"Warning: the registry cannot be asked: {clean(error.what)}", err=True)
        return None


def _told(found: Sequence[Published]) -> str:
    count = f"{len(found)} revision{'' if len(found) == 1 else 's'}"
    left = [
        f"{number} {state}"
        for state in ("unfinished", "damaged")
        if (number := sum(each.state == state for each in found))
    ]
    return f"{count} ({', '.join(left)})" if left else count


def _cells(each: Published) -> tuple[str, ...]:
    shelved = each.shelved
    return (
        each.name,
        each.state,
        each.claim.layout if each.claim else "",
        each.time[:19],
        str(shelved.files),
        size_text(shelved.size),
        each.digest.removeprefix("sha256:")[:12],
        ", ".join(each.used) or each.problem or "-",
    )


def revision_fields(each: Published) -> dict[str, object]:
    claim = each.claim
    return {
        "uri": each.shelved.uri,
        "state": each.state,
        "model": claim.model if claim else "",
        "version": claim.number if claim else "",
        "layout": claim.layout if claim else "",
        "published": each.time,
        "files": each.shelved.files,
        "size": each.shelved.size,
        "digest": each.digest,
        "used-by": list(each.used),
        "problem": each.problem,
    }
