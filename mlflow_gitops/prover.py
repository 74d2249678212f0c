"""Proves edits before anything is published: builds the environment before and after, compares.

What the objects have to be is decided in `manifests/proof.py`; here the builds are run. An edit
that the build disproves is an error. One that cannot be built here is not proved, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

from mlflow_gitops.errors import CannotBuildError, ManifestError, RenderError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.manifests.closure import Build, Closure
from mlflow_gitops.manifests.objects import has_objects, split_documents
from mlflow_gitops.manifests.proof import PROVED, Built, Intent, Proof, check_built
from mlflow_gitops.ports import Renderer

__all__ = ["NO_PROGRAM", "Prover"]

NO_PROGRAM = "this machine has neither kustomize nor kubectl"
EMPTY = "kustomization.yaml is empty"
Changes = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Prover:
    """`renderer` is None where nothing can be built. Builds of the same files run once."""

    renderer: Renderer | None

    def prove(
        self,
        manifests: Manifests,
        environment: str,
        services: Sequence[str],
        intents: Sequence[Intent],
        changes: Changes,
        edited: Manifests,
    ) -> Proof:
        """Of all intents together, and the changes that make `edited` of the manifests.

        Raises ManifestError where the build does not do what is meant, and only that.
        """
        if not changes:
            return PROVED
        try:
            closure = manifests.closure(environment, services, changes, edited=edited)
            try:
                proof = self._proof(manifests, environment, closure, intents, changes)
            except _PartFailedError:
                closure = manifests.closure(
                    environment, services, changes, edited=edited, may_be_part=False
                )
                proof = self._proof(manifests, environment, closure, intents, changes)
            if not proof.is_proved:
                return proof
            return self._proof_beside(manifests, environment, intents, edited)
        except CannotBuildError as error:
            return Proof(f"{error.where}: {error.what}" if error.where else error.what)

    def start(
        self,
        manifests: Manifests,
        environment: str,
        services: Sequence[str],
        changes: Changes,
        edited: Manifests,
        pool: Executor,
    ) -> None:
        """Run the builds that `prove` will ask for."""
        if self.renderer is None:
            return
        for build in manifests.closure(environment, services, changes, edited=edited).builds:
            for files in filter(None, (build.before, build.after)):
                pool.submit(self.renderer.render, files, build.folder)

    def _proof_beside(
        self,
        manifests: Manifests,
        environment: str,
        intents: Sequence[Intent],
        edited: Manifests,
    ) -> Proof:
        """Of what else deploys the environment: Applications' options, kustomizations around it."""
        for place, build in manifests.builds_beside(environment, edited):
            texts = self._built(build) if self.renderer is not None else None
            if texts is None:
                return Proof(NO_PROGRAM)
            before, after = (split_documents(text) for text in texts)
            proof = check_built(Built(before, after, place, build.after or {}), intents)
            if not proof.is_proved:
                return proof
        return PROVED

    def _proof(
        self,
        manifests: Manifests,
        environment: str,
        closure: Closure,
        intents: Sequence[Intent],
        changes: Changes,
    ) -> Proof:
        before: list[str] = []
        after: list[str] = []
        files: dict[str, str] = {}
        for build in closure.builds:
            if self.renderer is None:
                return Proof(NO_PROGRAM)
            texts = self._built(build)
            if texts is None:
                return Proof(NO_PROGRAM)
            before += split_documents(texts[0])
            after += split_documents(texts[1])
            files |= build.after or {}
        unread = list(closure.unread)
        for path in closure.plain:
            was, now = manifests.text(path), changes[path]
            if not any(has_objects(text, path) for text in (was, now) if text is not None):
                unread.append(path)  # the values of a chart, for one
                continue
            before += [was] if was is not None else []
            after += [now] if now is not None else []
            files |= {path: now} if now is not None else {}
        if unread and not before and not after:
            return Proof(f"no build of {environment} reads {unread[0]}")
        return check_built(Built(before, after, manifests.folder(environment), files), intents)

    def _built(self, build: Build) -> tuple[str, str] | None:
        """Both sides, at the same time; None where this machine cannot build."""
        renderer = self.renderer
        assert renderer is not None

        def render(files: Mapping[str, str] | None) -> str | RenderError | None:
            try:
                return "" if files is None else renderer.render(files, build.folder)
            except RenderError as error:
                return error

        with ThreadPoolExecutor(1, "gitops-build") as pool:
            first = pool.submit(render, build.before)
            after = render(build.after)
            before = first.result()
        sides = (before,) if isinstance(before, str) else (before, after)
        for side in sides:  # what built before and does not any more is broken by the edit
            if isinstance(side, CannotBuildError):
                raise side
        if before is None or after is None:
            return None
        if isinstance(before, RenderError) and EMPTY in before.what:
            before = ""
        if isinstance(before, str) and isinstance(after, str):
            return before, after
        if build.is_part:
            raise _PartFailedError
        raise _broken(before, after)


class _PartFailedError(Exception):
    """A part of an environment does not build; the whole may."""


def _broken(before: str | RenderError, after: str | RenderError) -> ManifestError:
    if isinstance(after, RenderError):
        what = "does not build, so nothing would be deployed"
        if isinstance(before, str):
            what = "would not build any more after the edit"
        return ManifestError(
            f"the environment {what}: {after.what}", where=after.where, hint=after.hint
        )
    assert isinstance(before, RenderError)
    return ManifestError(
        f"the environment does not build as it is, so the edit cannot be compared: {before.what}",
        where=before.where,
        hint=before.hint,
    )
