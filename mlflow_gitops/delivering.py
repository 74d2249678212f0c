"""The one place that knows the order of effects: prove, publish, commit and push, record.

For one service, or for many with one push for each branch. After a crash at any point, running
again gives the same end state. One service's error never stops another. All decisions are made in
`planning` and `manifests`; all I/O goes through `ports`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeVar

from mlflow_gitops.batch import Batch, Job, Seen
from mlflow_gitops.drafter import Wanted
from mlflow_gitops.errors import GitOpsError, HeadMovedError, TerminalError, TransientError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.observe import Observer, View
from mlflow_gitops.outcome import Outcome, accepted, failed
from mlflow_gitops.planning.evidence_body import body_of
from mlflow_gitops.planning.gates import commit_statuses
from mlflow_gitops.planning.plan import Kind, waiting
from mlflow_gitops.planning.proposing import moot, outdated, unchecked
from mlflow_gitops.ports import Repository
from mlflow_gitops.previewing import Previewer
from mlflow_gitops.proposer import Proposal, Proposer
from mlflow_gitops.publishing import Placed, Publisher
from mlflow_gitops.pull_requests import PullRequest
from mlflow_gitops.stacking import Stack, draft_of, edit_of, unknown_runtime
from mlflow_gitops.state import Change, Request, Settings, Snapshot, State
from mlflow_gitops.take_up import RefusedError

__all__ = ["Deliverer"]

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Ready:
    """A service that passed every check. `placed` is None where no files are needed."""

    seen: Seen
    placed: Placed | None


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Acts on one look at Git, with `threads` services published and recorded at once. What is not
    published after `publish_wait` seconds is waited for after the others were pushed.

    What becomes of each service is in the batch: an outcome, or that its branch moved.
    """

    previewer: Previewer
    settings: Settings
    batch: Batch
    threads: int
    publish_wait: float

    @property
    def publisher(self) -> Publisher:
        return self.previewer.publisher

    @property
    def observer(self) -> Observer:
        return self.previewer.observer

    @property
    def repository(self) -> Repository:
        return self.observer.repository

    def deliver(self, jobs: Sequence[Job]) -> None:
        if len(jobs) == 1:  # many are proved together, with other builds
            with self._foreseen(jobs[0]):
                self._deliver(jobs)
        else:
            self._deliver(jobs)

    def _deliver(self, jobs: Sequence[Job]) -> None:
        looked = [seen for job in jobs for seen in self._look(job)]
        changing = [seen for seen in looked if seen.view.plan.changes_git]
        settled = [seen for seen in looked if not seen.view.plan.changes_git]
        for published in self._published(self._prepared(changing)):
            self._push(published)
        by_forge = [seen for seen in settled if seen.view.plan.place.by_pull_request]
        by_commit = [seen for seen in settled if not seen.view.plan.place.by_pull_request]
        self._each(self._settle, by_commit)
        for seen in by_forge:  # forges take many questions at once for an attack
            self._settle(seen)

    # Before anything is published: all that can refuse a change

    def _prepared(self, changing: Sequence[Seen]) -> list[Ready]:
        """Those that pass every check, with their proved edits."""
        if not changing:
            return []
        unsigned = self._unsigned()
        placed = self._each(lambda seen: self._place(seen, unsigned), changing)
        ready = [each for found in placed for each in found]
        proposed = [each for each in ready if each.seen.view.plan.place.by_pull_request]
        committed = [each for each in ready if not each.seen.view.plan.place.by_pull_request]
        groups = [[each] for each in proposed]  # a pull request is an edit on its own
        groups += [group for _, group in _by_branch(committed, lambda each: each.seen)]
        return [each for found in self._each(self._draft, groups) for each in found]

    def _place(self, seen: Seen, unsigned: GitOpsError | None) -> list[Ready]:
        placed: list[Ready] = []
        with self._own(seen.job):
            if unsigned is not None:
                raise unsigned
            found = self.publisher.place(seen.view, self.settings)
            view = found.view if found else seen.view
            placed.append(Ready(replace(seen, view=view), found))
        return placed

    @contextmanager
    def _foreseen(self, job: Job) -> Iterator[None]:
        """Build what a promotion would be, while Git's history, the registry and the storage are
        still asked whether it is one.
        """

        with _pool(2) as pool:
            try:
                view = self.observer.view(
                    job.snapshot, job.environment, self.settings, recover=False
                )
                if view.plan.changes_git:
                    self.previewer.drafter.foresee(view, pool)
            except GitOpsError:
                log.debug("%s: nothing is built ahead", job.key)
            yield

    def _draft(self, group: Sequence[Ready]) -> list[Ready]:
        wanted = [
            Wanted(each.seen.view, each.placed.contents if each.placed else None) for each in group
        ]
        drafted: list[Ready] = []
        found = self.previewer.drafter.draft_together(wanted)
        for each, result in zip(group, found, strict=True):
            with self._own(each.seen.job):
                if isinstance(result, GitOpsError):
                    raise result
                view, draft = result
                drafted.append(replace(each, seen=replace(each.seen, view=view, draft=draft)))
        return drafted

    def _published(self, ready: Sequence[Ready]) -> Iterator[list[Seen]]:
        """What is published, in their order; a version that takes long holds nobody else up."""
        shows = self.publisher.progress is not None  # of one at a time
        if len(ready) < 2 or self.threads < 2 or shows:
            yield [seen for each in ready for seen in self._publish(each)]
            return
        with _pool(min(self.threads, len(ready))) as pool:
            left = [pool.submit(self._publish, each) for each in ready]
            while left:
                wait(left, self.publish_wait)
                wait(left, return_when=FIRST_COMPLETED)
                done = [each for each in left if each.done()]
                left = [each for each in left if each not in done]
                yield [seen for each in done for seen in each.result()]

    def _push(self, ready: Sequence[Seen]) -> None:
        proposed = [seen for seen in ready if seen.view.plan.place.by_pull_request]
        committed = [seen for seen in ready if not seen.view.plan.place.by_pull_request]
        for branch, group in _by_branch(committed, lambda seen: seen):
            self._commit(branch, group)
        self._open(proposed)

    def _look(self, job: Job) -> list[Seen]:
        seen: list[Seen] = []
        with self._own(job):
            job = replace(job, snapshot=self._taken_up(job))
            with self._own(job):  # with what was taken up, should it be looked at again
                view = self.observer.view(
                    job.snapshot, job.environment, self.settings, recover=True
                )
                seen.append(Seen(job, view))
        return seen

    def _taken_up(self, job: Job) -> Snapshot:
        def check(after: Snapshot, request: Request) -> None:
            accepted(self.previewer.preview(after, job.environment, self.settings), request)

        return self.previewer.desk.take_up(job.snapshot, job.environment, check)

    def _settle(self, seen: Seen) -> None:
        """What changes nothing in Git."""
        with self._own(seen.job):
            placed = self.publisher.place(seen.view, self.settings)
            view = placed.view if placed else seen.view
            revision = self.publisher.publish(placed, self.settings) if placed else None
            if (old := moot(view.plan)) is not None:
                self._proposer().withdraw(view, old)
            view = self._refresh(view)
            self._finish(replace(seen, view=view, revision=revision))

    def _unsigned(self) -> GitOpsError | None:
        try:
            self.repository.check_signing()
        except GitOpsError as error:
            return error
        return None

    def _publish(self, ready: Ready) -> list[Seen]:
        published: list[Seen] = []
        with self._own(ready.seen.job):
            placed = ready.placed
            revision = self.publisher.publish(placed, self.settings) if placed else None
            published.append(replace(ready.seen, revision=revision))
        return published

    def _commit(self, branch: str, group: Sequence[Seen]) -> None:
        """A commit for each service, and one push."""
        stack, stacked = Stack(group[-1].view.tree.head), []
        for seen in group:
            with self._own(seen.job):
                stack.check(seen.view)
                drafted = self._drafted_on(seen, stack.manifests)
                assert drafted.draft is not None
                stack.add(drafted.view, drafted.draft, drafted.revision)
                stacked.append(drafted)
        if not stacked:
            return
        try:
            changes = self.repository.push(branch, stack.base, stack.edits)
        except GitOpsError as error:
            self._not_pushed(branch, stacked, error)
            return
        self.batch.refusals.pop(branch, None)
        pairs = list(zip(stacked, changes, strict=True))
        self._each(lambda pair: self._finish(*pair), pairs)

    def _drafted_on(self, seen: Seen, manifests: Manifests | None) -> Seen:
        """With the edit made on these manifests: where one before it was not published, anew."""
        on, draft = manifests or seen.view.manifests, seen.draft
        assert draft is not None
        if draft.on is on:
            return seen
        made = draft_of(seen.view, draft.contents, on)
        if made.files == draft.files:
            return replace(seen, draft=replace(made, proof=draft.proof))
        view, draft = self.previewer.drafter.draft(seen.view, draft.contents, on)
        return replace(seen, view=view, draft=draft)

    def _not_pushed(self, branch: str, group: Sequence[Seen], error: GitOpsError) -> None:
        """The server may refuse what one service brings: then the others go without it."""
        if isinstance(error, TerminalError) and len(group) == 1:
            self.batch.refuse(branch)
        if not isinstance(error, TerminalError) or len(group) == 1:
            self._fail(group, error)
            return
        half = len(group) // 2
        for part in (group[:half], group[half:]):
            if self.batch.is_closed(branch):
                self._fail(part, error)
            else:
                self.deliver([seen.job for seen in part])

    def _fail(self, group: Iterable[Seen], error: GitOpsError) -> None:
        for seen in group:
            with self._own(seen.job):
                raise error

    def _open(self, group: Sequence[Seen]) -> None:
        """A pull request for each service: all branches with one push, then the forge."""
        cleared: dict[str, tuple[Seen, Proposal]] = {}
        for seen in group:
            with self._own(seen.job):
                proposal = self._propose(seen)
                proposal = self._proposer().clear(proposal, cleared)
                cleared[proposal.branch] = (seen, proposal)
        if not cleared:
            return
        proposer = self._proposer()
        try:
            pushed = proposer.push([proposal for _, proposal in cleared.values()])
        except GitOpsError as error:
            pushed = dict.fromkeys(cleared, error)
        for branch, (seen, proposal) in cleared.items():
            with self._own(seen.job):
                result = pushed[branch]
                if isinstance(result, GitOpsError):
                    raise result
                self._finish(seen, result, proposer.show(proposal, result))

    def _propose(self, seen: Seen) -> Proposal:
        view, revision, draft = seen.view, seen.revision, seen.draft
        assert draft is not None
        edit = edit_of(view, draft, revision)
        contents, digest = (revision.contents, revision.digest) if revision else (None, "")
        evidence = self.previewer.gatherer.gather(view, draft, self.settings, contents, digest)
        is_same = self.observer.is_proposed(view, draft.files, self.settings)
        statuses = commit_statuses(evidence.gates)
        return Proposal(view, edit, body_of(evidence), statuses, is_same=is_same)

    def _refresh(self, view: View) -> View:
        """Bring the pull request of a version that waits to what it should be: people may have
        updated its branch, and more may be known of the version. What cannot be looked up now is
        at the next look. Returns the view, with a note where people wrote to the branch, or where
        the next look will not help either.
        """
        plan = view.plan
        if plan.state is not State.PROPOSED or plan.pull is None:
            return view
        kind = Kind.RETIRE if plan.after is None else Kind.PROMOTE
        asked = replace(view, plan=replace(plan, kind=kind))
        try:
            asked, contents, digest = self.publisher.loadable(asked, self.settings)
            asked, draft = self.previewer.drafter.draft(asked, contents)
            edit = edit_of(asked, draft)
            evidence = self.previewer.gatherer.gather(asked, draft, self.settings, contents, digest)
            statuses = commit_statuses(evidence.gates)
            proposal = Proposal(asked, edit, body_of(evidence), statuses)
            foreign = self._proposer().refresh(proposal, plan.pull)
        except GitOpsError as error:
            log.info("%s: the pull request is not brought up to date: %s", plan.key, error.what)
            if not isinstance(error, TerminalError):
                return view
            note = outdated(error)
        else:
            note = unchecked(foreign) if foreign else ""
        notes = (*plan.notes, note) if note else plan.notes
        return replace(view, plan=replace(plan, notes=notes))

    def _proposer(self) -> Proposer:
        forge = self.observer.forge(self.settings)
        return Proposer(forge, self.repository, self.settings.environments)

    def _finish(
        self, seen: Seen, change: Change | None = None, opened: PullRequest | None = None
    ) -> None:
        """Record what was done: `change` is the commit, on its branch or in a pull request."""
        with self._own(seen.job):
            view, plan, head, commit = seen.view, seen.view.plan, seen.view.tree.head, ""
            if change is not None and opened is None:
                head, commit = change.commit or change.parent, change.commit
            pull = opened or plan.pull
            if plan.changes_git and pull is not None:
                plan = replace(plan, reason=waiting(plan.reason, pull))
                view = replace(view, plan=plan)
            self.publisher.reporter.record(view, seen.revision, head, commit, pull)
            diff = change.diff if change else ""
            if seen.draft is not None:
                unknown = unknown_runtime(seen.view, seen.revision)
                plan = replace(plan, notes=(*plan.notes, *seen.draft.notes, *unknown))
            outcome = Outcome(plan.key, plan.state, plan.reason, plan, seen.revision, commit, diff)
            self.batch.results.add(replace(outcome, pull=pull))

    @contextmanager
    def _own(self, job: Job) -> Iterator[None]:
        """What fails is this service's own."""
        try:
            yield
        except HeadMovedError as moved:
            self.batch.again[job.key] = (job, moved)
        except RefusedError as refused:  # who asked was told
            self.batch.results.add(failed(job.key, refused.error))
        except GitOpsError as error:
            reporter = self.publisher.reporter
            if isinstance(error, TerminalError):
                reporter.failed(job.snapshot, job.environment, error)
            elif isinstance(error, TransientError):
                reporter.waits(job.snapshot, job.environment, self.settings, error)
            self.batch.results.add(failed(job.key, error))

    def _each(self, act: Callable[[T], R], items: Sequence[T]) -> list[R]:
        if len(items) < 2 or self.threads < 2:
            return [act(item) for item in items]
        with _pool(min(self.threads, len(items))) as pool:
            return list(pool.map(act, items))


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Where it is left by an error or an interrupt, what was not begun is not begun any more."""
    with ThreadPoolExecutor(threads, "gitops-service") as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _by_branch(group: Sequence[T], seen_of: Callable[[T], Seen]) -> Iterator[tuple[str, list[T]]]:
    def branch(each: T) -> str:
        return seen_of(each).view.plan.place.branch

    for name, found in groupby(sorted(group, key=branch), branch):
        yield name, list(found)
