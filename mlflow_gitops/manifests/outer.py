"""What deploys an environment beside its own folder's build: options, and kustomizations around it.

An Application may add options to the folder's kustomization, or deploy another folder whose
kustomization includes this one. Both are built too, since what they make is what the cluster gets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from mlflow_gitops.errors import CannotBuildError, ManifestError
from mlflow_gitops.manifests.applications import TEMPLATE_PATCH
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.closure import Build, whole_build
from mlflow_gitops.manifests.deployments import Deployments, Match
from mlflow_gitops.manifests.tree import resolve

__all__ = ["builds_around", "builds_with_options", "check_followed"]

HINT = "look at what Argo CD makes of it"

Options = tuple[tuple[Match, Mapping[str, str]], ...]


def check_followed(matches: Iterable[Match]) -> None:
    """Raise CannotBuildError where no build here shows what an Application makes of its folder."""
    for match in matches:
        application = match.application
        if match.source.plugin:
            raise CannotBuildError(
                f"the Application `{application.name}` has the folder rendered by a plugin",
                where=match.where("plugin"),
                hint=HINT,
            )
        if application.unclear == TEMPLATE_PATCH:
            raise CannotBuildError(
                f"the ApplicationSet of `{application.name}` patches its Applications, which is "
                "not followed",
                where=f"{application.file}: {TEMPLATE_PATCH}",
                hint=HINT,
            )


def builds_with_options(
    before: Catalog, after: Catalog, folder: str, options: tuple[Options, Options]
) -> Iterator[tuple[str, Build]]:
    """Yield the folder's build with each Application's options, and the Application's file.

    `options` are those of both sides, as `Manifests.with_options` gives them.
    """
    then = {match.key: texts for match, texts in options[0]}
    changed = [(match, now) for match, now in options[1] if now]
    if not changed:
        return
    build = whole_build(before, after, folder)
    for match, now in changed:
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
    cleared: set[str] = set()
    for path in deployments.folders():
        if path != folder and path in layout and _includes(after, path, folder, cleared):
            yield path, whole_build(before, after, path)


def _includes(catalog: Catalog, start: str, folder: str, cleared: set[str]) -> bool:
    """Whether the kustomization of `start` includes the folder, directly or through others.

    `cleared` are folders that do not; they grow from call to call, so that each is read once.
    """
    layout = catalog.layout()
    seen, todo = set(cleared), [start]
    while todo:
        here = todo.pop()
        if here == folder:
            return True
        files = layout.get(here, ())
        if here in seen or len(files) != 1:  # kustomize refuses a second file
            continue
        seen.add(here)
        with suppress(ManifestError):
            listed = catalog.kustomization(files[0]).listed
            found = (resolve(here, reference) for _, _, reference in listed)
            todo += [path for path in found if path is not None]
    cleared |= seen
    return False


def _laid_over(files: Mapping[str, str] | None, texts: Mapping[str, str]) -> Mapping[str, str]:
    return {**(files or {}), **texts}
