"""`mlflow-gitops verify`: whether the bytes that are served are the bytes that were registered."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click

from mlflow_gitops.cli.app import App, as_json, environments_option, known_environments
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.planning.verifying import Chain
from mlflow_gitops.progress import make_progress
from mlflow_gitops.render import clean, print_table
from mlflow_gitops.verification import Verification
from mlflow_gitops.wish import model_of

__all__ = ["verify"]

BROKEN = 2


@click.command(short_help="Prove that what is served is what was registered.")
@click.argument("model")
@environments_option
@click.option("--deep", is_flag=True, help="Read every byte, and compare its SHA-256.")
@as_json
@click.pass_obj
def verify(app: App, model: str, environments: tuple[str, ...], deep: bool, as_json: bool) -> int:
    """Compare Git, the claim, manifest and signature, the files and the registry for MODEL.

    For each environment the first broken link is named. Exit code 2 where there is one, 0 where
    there is none, 1 where Git or the storage cannot be read. Writes nothing.
    """
    session = app.session()
    settings = session.settings_from_git()
    names = known_environments(environments, settings)
    process = session.process
    chains = Verification(
        session.repository,
        session.shelf,
        settings,
        session.model_signer,
        session.registry if process.tracking_uri or process.registry_uri else None,
        make_progress() if deep else None,
    ).verify(model_of(model, settings), names, deep=deep)
    if as_json:
        print_json({"services": [_fields(each) for each in chains]})
    else:
        _print(chains)
    return BROKEN if any(each.broken for each in chains) else 0


def _print(chains: Sequence[Chain]) -> None:
    rows = [
        (str(chain.committed.key), link.name, link.verdict.value, link.why)
        for chain in chains
        for link in chain.links
    ]
    print_table(("SERVICE", "LINK", "VERDICT", "WHY"), rows, sys.stdout)
    for line in _found(chains):
        click.echo(clean(line))
    for chain in chains:
        key, broken = chain.committed.key, chain.broken
        if broken is not None:
            text = f"{key}: the first broken link is `{broken.name}`: {broken.why}"
        else:
            text = f"{key}: no broken link; digest {chain.digest}"
        click.echo(clean(text))


def _found(chains: Sequence[Chain]) -> Iterator[str]:
    """As `sha256sum` writes it."""
    for chain in chains:
        if chain.found:
            yield f"{chain.committed.key}: SHA-256 of files that the storage copied by itself:"
        yield from (f"{sha256}  {path}" for path, sha256 in sorted(chain.found.items()))


def _fields(chain: Chain) -> dict[str, object]:
    committed, broken = chain.committed, chain.broken
    return {
        "environment": committed.key.environment,
        "model": committed.key.model,
        "service": committed.service,
        "version": committed.spec.version,
        "uri": committed.spec.uri,
        "digest": chain.digest,
        "broken": broken.name if broken else "",
        "links": [
            {"link": link.name, "verdict": link.verdict.value, "why": link.why}
            for link in chain.links
        ],
        "sha256": dict(chain.found),
    }
