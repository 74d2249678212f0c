"""Turns plans into commits to be: each service's edit, made on top of those before it.

Several services may share a file. Each commit then holds only its own service's change, and each
can be reverted on its own. Decides nothing and pushes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlflow_gitops.errors import HeadMovedError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.manifests.proof import PROVED, Intent, Proof
from mlflow_gitops.observe import View
from mlflow_gitops.planning.commit_style import styled_body, styled_subject, styled_trailers
from mlflow_gitops.planning.loadable import not_known
from mlflow_gitops.planning.messages import commit_message
from mlflow_gitops.planning.proposing import hold_told
from mlflow_gitops.state import Edit, ModelFiles, Revision

__all__ = ["Draft", "Stack", "draft_of", "edit_of", "intent_of", "unknown_runtime"]


@dataclass(frozen=True, slots=True)
class Draft:
    """One service's edit: path to new text, the manifests that it was made on, and what they
    become. `contents` are the files to be served, None for a retirement. `notes` are about other
    objects that the edit leaves behind.
    """

    files: Mapping[str, str | None]
    on: Manifests
    after: Manifests
    contents: ModelFiles | None
    notes: tuple[str, ...] = ()
    proof: Proof = PROVED


def draft_of(view: View, contents: ModelFiles | None, on: Manifests | None = None) -> Draft:
    """The files' new texts, for a plan that changes Git.

    `on` are the manifests to edit, where they are not the view's any more.
    """
    plan, manifests = view.plan, on or view.manifests
    name, service = plan.key.environment, plan.place.service
    if plan.after is None:
        files = manifests.remove_service(name, service)
    else:
        assert contents is not None
        files = manifests.set_service(name, service, plan.after, view.predictor(contents))
    notes = view.manifests.left_behind(name, service, plan.after, files)
    return Draft(files, manifests, manifests.edited(files), contents, notes)


def edit_of(view: View, draft: Draft, revision: Revision | None = None) -> Edit:
    """The draft with the commit's message."""
    plan = view.plan
    assert plan.request is not None
    undoes = view.delivered.commit if view.delivered and plan.request.action == "rollback" else ""
    message = commit_message(
        environment=plan.key.environment,
        service=plan.place.service,
        model=plan.key.model,
        action=plan.request.action,
        before=plan.before,
        after=plan.after,
        version=plan.version,
        request=plan.request,
        digest=revision.digest if revision else "",
        undoes=undoes,
        hold=hold_told(plan),
        not_proved=draft.proof.why,
        subject=styled_subject(view.style, plan),
        further=styled_body(view.style, plan),
        trailers=styled_trailers(view.style, plan),
    )
    return Edit(files=draft.files, message=message, sign_off=view.style.sign_off)


def intent_of(view: View, edited: Manifests) -> Intent:
    """What the plan means to do to the objects that are built; `edited` are the manifests then."""
    plan, manifests = view.plan, view.manifests if view.plan.after is None else edited
    environment, service = plan.key.environment, plan.place.service
    is_elsewhere = view.manifests.is_elsewhere(environment, service)
    name = service if is_elsewhere else manifests.built_name(environment, service)
    return Intent(name, plan.before, plan.after, is_elsewhere, view.environment.label)


def unknown_runtime(view: View, revision: Revision | None) -> tuple[str, ...]:
    """A note where nobody can say whether the published files load."""
    why = not_known(view.predictor(revision.contents)) if revision else ""
    return (f"runtime not known: {why}",) if why else ()


@dataclass(slots=True)
class Stack:
    """Edits of one branch, all for the one commit `base`, each on top of those before it."""

    base: str
    edits: list[Edit] = field(default_factory=list)
    _manifests: Manifests | None = None

    @property
    def manifests(self) -> Manifests | None:
        """As the edits so far leave them; None where there are none yet."""
        return self._manifests

    def check(self, view: View) -> None:
        """Raise HeadMovedError where the view is of another commit, or of what is no more."""
        plan = view.plan
        manifests = self._manifests or view.manifests
        stands = manifests.committed(plan.key.environment, plan.place.service)
        if view.tree.head != self.base or stands != plan.before:
            raise HeadMovedError(
                f"the branch {plan.place.branch} changed since it was looked at",
                where=str(plan.key),
                hint="plan again on the new head",
            )

    def add(self, view: View, draft: Draft, revision: Revision | None) -> None:
        """`draft` was made on the manifests as they are now."""
        self._manifests = draft.after
        self.edits.append(edit_of(view, draft, revision))
