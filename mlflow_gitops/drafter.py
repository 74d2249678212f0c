"""Makes edits and proves them: all that has to be right before anything is published.

Edits of one branch are made on top of each other and proved together, with one build. Where that
fails, each is proved on its own, so that one service's fault stops no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from mlflow_gitops.errors import GitOpsError, ManifestError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.manifests.proof import Proof
from mlflow_gitops.observe import View
from mlflow_gitops.planning.messages import clean
from mlflow_gitops.prover import Prover
from mlflow_gitops.stacking import Draft, draft_of, intent_of
from mlflow_gitops.state import ModelFiles

__all__ = ["Drafter", "Wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A service to change, and the files that it is to serve (None for a retirement)."""

    view: View
    contents: ModelFiles | None


MOST_WORDS = 300  # characters of a reason: it is kept in a tag
Drafted = tuple[View, Draft] | GitOpsError


@dataclass(frozen=True, slots=True)
class Drafter:
    prover: Prover

    def draft(
        self, view: View, contents: ModelFiles | None, on: Manifests | None = None
    ) -> tuple[View, Draft]:
        """The proved edit, and the view, whose plan notes an edit that is not proved.

        Raises ManifestError where the edit cannot be made, or does not do what it is meant to do.
        """
        draft = draft_of(view, contents, on)
        proof = self._proof([view], draft.on, draft.files, draft.after)
        return _marked(view, replace(draft, proof=proof))

    def foresee(self, view: View, pool: Executor) -> None:
        """Start the builds of a change whose files are still looked for. Raises GitOpsError."""
        if view.plan.before is None:
            return  # how a new service loads its files is not known yet
        draft = draft_of(view, ModelFiles({}))
        names = (view.environment.name, [view.plan.place.service])
        self.prover.start(draft.on, *names, draft.files, draft.after, pool)

    def draft_together(self, wanted: Sequence[Wanted]) -> list[Drafted]:
        """The edits of one branch, each made on top of those before it, or its error."""
        try:
            return list(self._stacked(wanted))
        except GitOpsError:
            return list(self._one_by_one(wanted))

    def _stacked(self, wanted: Sequence[Wanted]) -> Sequence[Drafted]:
        drafts: list[Draft] = []
        for each in wanted:
            drafts.append(draft_of(each.view, each.contents, drafts[-1].after if drafts else None))
        names = dict.fromkeys(each.view.plan.key.environment for each in wanted)
        proofs: dict[str, Proof] = {}
        for name in names:
            views: list[View] = []
            changes: dict[str, str | None] = {}
            for each, draft in zip(wanted, drafts, strict=True):
                if each.view.plan.key.environment == name:
                    views.append(each.view)
                    changes.update(draft.files)
            proofs[name] = self._proof(views, drafts[0].on, changes, drafts[-1].after)
        return [
            _marked(each.view, replace(draft, proof=proofs[each.view.plan.key.environment]))
            for each, draft in zip(wanted, drafts, strict=True)
        ]

    def _one_by_one(self, wanted: Sequence[Wanted]) -> Sequence[Drafted]:
        found: list[Drafted] = []
        on: Manifests | None = None
        for each in wanted:
            try:
                view, draft = self.draft(each.view, each.contents, on)
            except GitOpsError as error:
                found.append(error)
                continue
            on = draft.after
            found.append((view, draft))
        return found

    def _proof(
        self,
        views: Sequence[View],
        manifests: Manifests,
        changes: Mapping[str, str | None],
        edited: Manifests,
    ) -> Proof:
        environment = views[0].environment
        services = [view.plan.place.service for view in views]
        intents = [intent_of(view, edited) for view in views]
        proof = self.prover.prove(manifests, environment.name, services, intents, changes, edited)
        if not proof.is_proved and environment.unproved == "refuse":
            raise ManifestError(
                f"no build can prove the edit: {proof.why}",
                where=str(views[0].plan.key),
                hint=f"make it buildable here, or let environments.{environment.name}.unproved "
                "be `mark`",
            )
        return proof


def _marked(view: View, draft: Draft) -> tuple[View, Draft]:
    if draft.proof.is_proved:
        return view, draft
    why = clean(draft.proof.why, MOST_WORDS)
    return replace(view, plan=replace(view.plan, not_proved=why)), draft
