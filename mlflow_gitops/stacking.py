"""Turns plans into commits to be: each service's edit, made on top of those before it.

Several services may share a file. Each commit then holds only its own service's change, and each
can be reverted on its own. Decides nothing and pushes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlflow_gitops.errors import HeadMovedError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.observe import View
from mlflow_gitops.planning.commit_style import styled_subject, styled_trailers
from mlflow_gitops.planning.loadable import default_predictor
from mlflow_gitops.planning.messages import commit_message
from mlflow_gitops.planning.proposing import hold_told
from mlflow_gitops.state import Edit, ModelFiles, Predictor, Revision

__all__ = ["Stack", "edit_of", "predictor_of"]


def predictor_of(view: View, contents: ModelFiles) -> Predictor:
    plan = view.plan
    assert plan.after is not None
    found = view.manifests.foreseen(plan.key.environment, plan.place.service, plan.after)
    return found or default_predictor(contents)


def edit_of(
    view: View,
    contents: ModelFiles | None,
    revision: Revision | None = None,
    manifests: Manifests | None = None,
) -> Edit:
    """The files' new texts and the commit's message, for a plan that changes Git.

    `manifests` are those to edit, where they are not the view's any more.
    """
    plan = view.plan
    assert plan.request is not None
    manifests = manifests or view.manifests
    name, service = plan.key.environment, plan.place.service
    if plan.after is None:
        files = manifests.remove_service(name, service)
    else:
        assert contents is not None
        files = manifests.set_service(name, service, plan.after, predictor_of(view, contents))
    undoes = view.delivered.commit if view.delivered and plan.request.action == "rollback" else ""
    message = commit_message(
        environment=name,
        service=service,
        model=plan.key.model,
        action=plan.request.action,
        before=plan.before,
        after=plan.after,
        version=plan.version,
        request=plan.request,
        digest=revision.digest if revision else "",
        undoes=undoes,
        hold=hold_told(plan),
        subject=styled_subject(view.style, plan),
        trailers=styled_trailers(view.style, plan),
    )
    return Edit(files=files, message=message, sign_off=view.style.sign_off)


@dataclass(slots=True)
class Stack:
    """Edits of one branch, all for the one commit `base`, each on top of those before it."""

    base: str
    edits: list[Edit] = field(default_factory=list)
    _manifests: Manifests | None = None

    def add(self, view: View, revision: Revision | None) -> None:
        """Raises HeadMovedError where the view is of another commit, or of what is no more."""
        plan = view.plan
        manifests = self._manifests or view.manifests
        stands = manifests.committed(plan.key.environment, plan.place.service)
        if view.tree.head != self.base or stands != plan.before:
            raise HeadMovedError(
                f"the branch {plan.place.branch} changed since it was looked at",
                where=str(plan.key),
                hint="plan again on the new head",
            )
        edit = edit_of(view, revision.contents if revision else None, revision, manifests)
        self._manifests = manifests.edited(edit.files)
        self.edits.append(edit)
