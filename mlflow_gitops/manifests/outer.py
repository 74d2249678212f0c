"""What deploys an environment beside its own folder's build: options, and kustomizations around it.

An Application may add options to the folder's kustomization, or deploy another folder whose
kustomization includes this one. Both are built too, since what they make is what the cluster gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.closure import Build, whole_build
from mlflow_gitops.manifests.deployments import Deployments, Match
from mlflow_gitops.manifests.graph import build_graph

__all__ = ["builds_around", "builds_with_options"]

MOST_FOLDERS = 200  # folders of Applications that are looked at

Options = tuple[tuple[Match, Mapping[str, str]], ...]


def builds_with_options(
    before: Catalog, after: Catalog, folder: str, options: tuple[Options, Options]
) -> Iterator[tuple[str, Build]]:
    """Yield the folder's build with each Application's options, and the Application's file.

    `options` are those of both sides, as `Manifests.with_options` gives them.
    """
    then = {match.key: texts for match, texts in options[0]}
    for match, now in options[1]:
        if not now:
            continue
        build = whole_build(before, after, folder)
        was = then.get(match.key, {})
        yield (
            match.written_in,
            Build(folder, _laid_over(build.before, was), _laid_over(build.after, now)),
        )


def builds_around(
    before: Catalog, after: Catalog, folder: str, deployments: Deployments
) -> Iterator[tuple[str, Build]]:
    """Yield the builds of other folders that are deployed and include this one."""
    layout = after.layout()
    others = [path for path in deployments.folders() if path != folder and path in layout]
    for path in others[:MOST_FOLDERS]:
        graph = build_graph(after.tree, path, layout, after.kustomization)
        if folder in graph.visited:
            yield path, whole_build(before, after, path)


def _laid_over(files: Mapping[str, str] | None, texts: Mapping[str, str]) -> Mapping[str, str]:
    return {**(files or {}), **texts}
