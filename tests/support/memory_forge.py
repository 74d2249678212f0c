"""A forge without a network: `ports.Forge` over a repository in memory, and what people do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mlflow_gitops.errors import ForgeError, GitOpsError, TransientError
from mlflow_gitops.pull_requests import (
    WITHDRAWN,
    Approval,
    CommitStatus,
    Draft,
    Protection,
    PullRequest,
)
from tests.support.memory_repository import MemoryRepository

__all__ = ["MemoryForge"]

URL = "https://git.example.com/ml/manifests/pulls"


@dataclass
class MemoryForge:
    """`failure` is raised by every call while it is set; `asked` counts the calls."""

    repository: MemoryRepository
    kind: str = "github"
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    statuses: dict[str, Sequence[CommitStatus]] = field(default_factory=dict)
    comments: dict[int, list[str]] = field(default_factory=dict)
    protections: dict[str, Protection] = field(default_factory=dict)
    failure: GitOpsError | None = None
    asked: int = 0

    # What people do

    def merge(self, number: int, by: str = "rita") -> str:
        """By squashing: a commit without our trailers. Returns it."""
        pull = self.get(number)
        ours = self.repository.commits[pull.head]
        before = self.repository.commits[ours.parent].files if ours.parent else {}
        paths = {p for p in {*ours.files, *before} if ours.files.get(p) != before.get(p)}
        files = {path: ours.files.get(path) for path in paths}
        made = self.repository.person_commits(files, f"{pull.title} (#{number})", pull.base)
        self.pulls[number] = replace(pull, state="merged", merge_commit=made, decided_by=by)
        return made

    def close(self, number: int, by: str = "rita", comment: str = "") -> None:
        pull = self.get(number)
        self.pulls[number] = replace(pull, state="closed", decided_by=by, comment=comment)

    def reopen(self, number: int) -> None:
        self.pulls[number] = replace(self.get(number), state="open", decided_by="")

    def approve(self, number: int, by: str = "rita") -> None:
        pull = self.get(number)
        self.pulls[number] = replace(pull, approvals=(*pull.approvals, Approval(by, pull.head)))

    def dismiss(self, number: int) -> None:
        self.pulls[number] = replace(self.get(number), approvals=())

    def says_conflict(self, number: int) -> None:
        self.pulls[number] = replace(self.get(number), mergeable=False)

    def opened(self) -> list[PullRequest]:
        return [self._now(p) for p in self.pulls.values() if p.state == "open"]

    # ports.Forge

    def newest(self, branch: str) -> PullRequest | None:
        self._ask()
        found = [p for p in self.pulls.values() if p.branch == branch]
        found.sort(key=lambda p: (p.state == "open", p.number))
        return self._now(found[-1]) if found else None

    def get(self, number: int) -> PullRequest:
        self._ask()
        if number not in self.pulls:
            raise ForgeError(f"there is no pull request #{number}", where=URL)
        return self._now(self.pulls[number])

    def glance(self, number: int) -> PullRequest:
        pull = self.get(number)
        return replace(pull, approvals=(), asked=()) if pull.state == "open" else pull

    def open(self, branch: str, base: str, draft: Draft) -> PullRequest:
        self._ask()
        if any(p.branch == branch and p.state == "open" for p in self.pulls.values()):
            raise TransientError("there is one already", where=branch)
        number = len(self.pulls) + 1
        self.pulls[number] = PullRequest(
            number,
            f"{URL}/{number}",
            "open",
            branch,
            base,
            self.repository.remote[branch],
            draft.title,
            draft.body,
            tuple(draft.labels),
            "mlflow-gitops",
            asked=tuple(draft.reviewers),
        )
        return self.get(number)

    def update(self, pull: PullRequest, draft: Draft) -> None:
        self._ask()
        now = self.get(pull.number)
        labels = tuple(dict.fromkeys((*now.labels, *draft.labels)))
        asked = tuple(dict.fromkeys((*now.asked, *draft.reviewers)))
        changed = replace(now, title=draft.title, body=draft.body, labels=labels, asked=asked)
        self.pulls[pull.number] = changed

    def withdraw(self, pull: PullRequest, comment: str) -> None:
        self._ask()
        now = self.get(pull.number)
        if now.state == "open":
            labels = (*now.labels, WITHDRAWN)
            self.pulls[pull.number] = replace(now, state="closed", labels=labels)
            self.comment(pull.number, comment)

    def comment(self, number: int, text: str) -> None:
        self._ask()
        said = self.comments.setdefault(number, [])
        if text not in said:
            said.append(text)

    def set_statuses(
        self, commit: str, statuses: Sequence[CommitStatus], *, is_new: bool = False
    ) -> None:
        self._ask()
        assert not (is_new and commit in self.statuses)
        self.statuses[commit] = tuple(statuses)

    def verdicts(self, commit: str) -> Sequence[CommitStatus]:
        self._ask()
        return self.statuses.get(commit, ())

    def of_commit(self, commit: str) -> PullRequest | None:
        self._ask()
        return next((p for p in self.pulls.values() if p.merge_commit == commit), None)

    def check(self) -> str:
        self._ask()
        return "mlflow-gitops"

    def protection(self, branch: str) -> Protection:
        self._ask()
        return self.protections.get(branch, Protection())

    def _ask(self) -> None:
        self.asked += 1
        if self.failure is not None:
            raise self.failure

    def _now(self, pull: PullRequest) -> PullRequest:
        """An open one's head is its branch's, and a new head leaves a conflict behind."""
        if pull.state != "open":
            return pull
        head = self.repository.remote.get(pull.branch, pull.head)
        known = pull if head == pull.head else replace(pull, head=head, mergeable=None)
        self.pulls[pull.number] = known
        return known
