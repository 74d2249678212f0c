"""The Git manifests repository, through a bare local clone. Implements `ports.Repository`.

Knows in which order Git's parts are used, and nothing of manifests or models. What this process
takes for the branches' heads is one value, replaced by a fetch or by a push that succeeded.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from mlflow_gitops.adapters.commit_signing import CommitSigner
from mlflow_gitops.adapters.git_address import Address
from mlflow_gitops.adapters.git_branches import Branches
from mlflow_gitops.adapters.git_cache import Cache
from mlflow_gitops.adapters.git_commits import Commits, shown
from mlflow_gitops.adapters.git_history import History
from mlflow_gitops.adapters.git_log import GitLog
from mlflow_gitops.adapters.git_mentions import find_mentions
from mlflow_gitops.adapters.git_objects import Objects
from mlflow_gitops.adapters.git_process import Credentials, GitProcess
from mlflow_gitops.adapters.git_pulls import Pulls
from mlflow_gitops.adapters.git_remote import Got, Heads, Move, Remote
from mlflow_gitops.adapters.git_tree import Trees
from mlflow_gitops.branches import Ahead
from mlflow_gitops.errors import (
    ConfigError,
    GitOpsError,
    HeadMovedError,
    RepositoryError,
    TransientError,
)
from mlflow_gitops.ports import Tree
from mlflow_gitops.state import BranchPush, Change, CommitFacts, Delivery, Edit, Landing, People

__all__ = ["GitRepository"]

log = logging.getLogger(__name__)

SETTINGS = "mlflow-gitops.yaml"
TIDY_EACH = 100  # pushes and fetches
KEEP_WAIT = 5.0  # seconds for the lock, to keep what was pushed: the next fetch would get it
TAKE_ATTEMPTS = 4
BAD_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[/-]|/$|\.lock(/|$)|(^|/)\.|\.$|^$")


class GitRepository:
    """Safe for threads and, through the file lock of its clone, for several processes.

    `branch_default` is taken instead of the remote's own default branch. `credentials` gives user
    name and token, read again for each use. `people` tells author and committer, `signer` signs
    what is pushed; without it nothing is signed. `timeout` is seconds for one command of Git.
    Nothing is connected before the first use.
    """

    def __init__(
        self,
        url: str,
        state_dir: Path | str,
        *,
        branch_default: str | None = None,
        credentials: Credentials | None = None,
        people: Callable[[], People] = People,
        signer: CommitSigner | None = None,
        timeout: float = 120.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._address = Address.parse(url)
        name = hashlib.sha256(self._address.identity.encode()).hexdigest()[:32]
        folder = Path(state_dir).absolute() / "repositories" / f"{name}.git"
        self._git = GitProcess(folder, self._address, timeout, credentials)
        self._cache = Cache(self._git)
        self._objects = Objects(self._git, lambda: self._cache.mark_damaged(self._made))
        self._remote = Remote(self._git, self._cache, self._objects)
        self._trees = Trees(self._git, self._objects)
        self._history = History(self._git, self._objects)
        self._people = people
        self._pulls = Pulls(self._git, self._cache, self.log)
        self._branches = Branches(self._git, self._objects, self.log, self._committer)
        self._signer = signer
        sign = signer.sign if signer else None
        self._commits = Commits(self._git, self._objects, self._trees, people, clock, sign)
        self._branch_default = branch_default
        self._talking = threading.RLock()  # held while this process talks with the remote
        self._heads: Heads | None = None
        self._made: tuple[int, int] | None = None
        self._started = self._finished = self._writes = 0
        self._failure: GitOpsError | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.identity!r})"

    def close(self) -> None:
        """End the process that reads objects; it is started again when it is needed."""
        self._objects.close()

    @property
    def identity(self) -> str:
        return self._address.identity

    @property
    def default_branch(self) -> str:
        heads = self._known_heads()
        name = self._branch_default or heads.default
        if name in heads.commits:
            return name
        if not heads.commits:
            raise ConfigError(
                "the repository is empty",
                where=self.identity,
                hint="run `mlflow-gitops init` to fill it with a first layout",
            )
        raise RepositoryError(
            f"the repository has no default branch{f' {name}' if name else ''}",
            where=self.identity,
            hint=f"make one of its branches the default one: {_some(heads.commits)}",
        )

    def settings_text(self) -> str:
        branch = self.default_branch
        tree = self.log.narrow(self._head(branch), [SETTINGS])
        if SETTINGS not in tree:
            raise ConfigError(
                f"there is no {SETTINGS} in the default branch {branch}",
                where=self.identity,
                hint="run `mlflow-gitops init`, or add the file at the repository's root",
            )
        return tree.read(SETTINGS)

    # Reading what was fetched

    @property
    def log(self) -> GitLog:
        """The history of the branches, as last fetched."""
        return GitLog(self._git, self._objects, self._trees, self._head)

    def tree(self, branch: str) -> Tree:
        return self._trees.at(self._head(branch))

    def _head(self, branch: str) -> str:
        heads = self._known_heads()
        commit = heads.commits.get(branch)
        if commit is None:
            raise RepositoryError(
                f"there is no branch {branch!r}",
                where=self.identity,
                hint=f"make it, or name one of: {_some(heads.commits)}",
            )
        return commit

    def tree_at(self, commit: str) -> Tree:
        self._known_heads()
        return self._trees.at(commit)

    def narrow(self, commit: str, paths: Iterable[str]) -> Tree:
        self._known_heads()
        return self.log.narrow(commit, paths)

    def is_ancestor(self, commit: str, of: str) -> bool:
        self._known_heads()
        return self._history.is_ancestor(commit, of)

    def deliveries(self, service: str, head: str, since: str = "") -> Iterator[Delivery]:
        self._known_heads()
        return self._history.deliveries(service, head, since)

    def touching(
        self, paths: Collection[str], head: str, since: str = "", *, most: int
    ) -> Sequence[CommitFacts]:
        self._known_heads()
        return self.log.touching(paths, head, since, most)

    def merged(self, merge: str, paths: Collection[str]) -> Sequence[CommitFacts]:
        self._known_heads()
        return self.log.facts(self.log.merged(merge, paths))

    def message(self, commit: str) -> str:
        self._known_heads()
        return self.log.message(commit)

    def landing(
        self, facts: CommitFacts, paths: Collection[str], branch: str = "", head: str = ""
    ) -> Landing | None:
        with self._talking:
            tip = self.branch_head(branch) if branch else ""
            return self._pulls.landing(facts, paths, self._finished, tip, head)

    def mentions(self, text: str, since: str) -> Iterable[tuple[str, str]]:
        return find_mentions(self._git, self._known_heads().commits, text, since)

    def diff(self, base: str, edits: Sequence[Edit]) -> str:
        self._known_heads()
        return self._commits.diff(base, self._commits.build(base, edits, to_push=False).tip)

    # The remote

    def fetch(self) -> None:
        """Callers that waited for another's fetch share one that began after they came."""
        wanted = self._started + 1
        with self._talking:
            if self._finished < wanted:
                self._started += 1
                self._failure = self._fetch()
                self._finished = self._started
            if self._failure is not None:
                failure = self._failure
                raise type(failure)(failure.what, where=failure.where, hint=failure.hint)

    def _fetch(self) -> GitOpsError | None:
        try:
            heads = self._remote.heads()
            if heads != self._heads or self._objects.damaged or self._made is None:
                heads = self._take(heads)
            self._set_heads(heads)
        except GitOpsError as error:
            return error
        return None

    def check_signing(self) -> None:
        if self._signer is not None:
            self._signer.check()

    def push(self, branch: str, base: str, edits: Sequence[Edit]) -> Sequence[Change]:
        """See `ports.Repository`. `base` is "" to make a branch that is not there yet.

        An edit that changes nothing makes no commit: its Change has the commit "", an empty diff,
        and as its parent the head that it would have had.
        """
        self._check_branch(branch)
        with self._talking:
            heads = self._known_heads()
            if heads.commits.get(branch, "") != base:
                raise self._moved(branch, base)
            built = self._commits.build(base, edits)
            if built.tip == base:
                return self._commits.changes(built)
            move = Move(branch, base, built.tip)
            with ThreadPoolExecutor(1, "gitops-diff") as beside:  # the server takes its time
                changes = beside.submit(self._commits.changes, built)
                for error in self._remote.send([move]).values():
                    raise error
            self._moved_to([move])
            self._trees.add(built.tip, built.entries)
            return changes.result()

    def branch_head(self, branch: str) -> str:
        return self._known_heads().commits.get(branch, "")

    def _committer(self) -> str:
        return shown(self._people().committer)

    def ahead(self, base: str, head: str) -> Ahead:
        self._known_heads()
        return self._branches.ahead(base, head)

    def first_parent(self, commit: str) -> str:
        self._known_heads()
        parents = self.log.facts([commit])[0].parents
        return parents[0] if parents else ""

    def conflicts(self, base: str, head: str) -> bool | None:
        self._known_heads()
        return self._branches.conflicts(base, head)

    def branches(self, prefix: str) -> Mapping[str, str]:
        heads = self._known_heads().commits
        return {name: commit for name, commit in heads.items() if name.startswith(prefix)}

    def keep(self, branch: str, commit: str) -> None:
        self._check_branch(branch)
        with self._talking:
            if self.branch_head(branch) == commit:
                return
            move = Move(branch, "", commit)
            for error in self._remote.send([move]).values():
                raise error
            self._moved_to([move])

    def propose(self, pushes: Sequence[BranchPush]) -> Mapping[str, Change | GitOpsError]:
        results: dict[str, Change | GitOpsError] = {}
        moves: list[Move] = []
        with self._talking:
            self._known_heads()
            for each in pushes:
                try:
                    results[each.branch] = made = self._proposed(each)
                except GitOpsError as error:
                    results[each.branch] = error
                    continue
                if made.commit or not each.edits:
                    moves.append(Move(each.branch, each.expected, made.commit))
            if moves:
                refused = self._remote.send(moves)
                self._moved_to([move for move in moves if move.branch not in refused])
                results |= refused
        return results

    def _proposed(self, push: BranchPush) -> Change:
        """What the branch is to be, made here; without a commit where nothing changes."""
        self._check_branch(push.branch)
        if self.branch_head(push.branch) != push.expected:
            raise self._moved(push.branch, push.expected)
        if not push.edits:
            return Change("", push.base, "")
        if push.is_merge:
            (edit,) = push.edits
            return self._commits.merge(push.base, edit, push.expected)
        built = self._commits.build(push.base, push.edits)
        tip = built.tip if built.tip != push.base else ""
        diffs = (change.diff for change in self._commits.changes(built))
        return Change(tip, push.base, "".join(diffs))

    def _moved_to(self, moves: Sequence[Move]) -> None:
        """Know of what was pushed, and keep it."""
        heads = self._known_heads()
        commits = {**heads.commits, **{move.branch: move.new for move in moves}}
        there = {name: commit for name, commit in commits.items() if commit}
        self._set_heads(replace(heads, commits=there))
        self._keep(moves)

    def _moved(self, branch: str, base: str) -> HeadMovedError:
        return HeadMovedError(
            f"the branch {branch} is no longer at {base[:12] or 'nothing'}",
            where=self.identity,
            hint="plan again on the new head, push again",
        )

    def _check_branch(self, branch: str) -> None:
        if BAD_BRANCH.search(branch):
            raise RepositoryError(
                f"{branch!r} is no name of a branch", where=self.identity, hint="name another"
            )

    def _known_heads(self) -> Heads:
        if self._heads is None:
            self.fetch()
        assert self._heads is not None
        return self._heads

    def _set_heads(self, heads: Heads) -> None:
        self._objects.expected = frozenset(heads.commits.values())
        self._heads = heads

    def _take(self, heads: Heads) -> Heads:
        """Bring the clone to the remote's state. Returns the heads that it ended with."""
        for _ in range(TAKE_ATTEMPTS):
            with self._cache.locked(2 * self._git.timeout):
                self._cache.make_ready(heads.object_format)
                self._forget_other_clone()
                got = self._remote.get(heads)
                if got is Got.ALL:
                    self._made = self._cache.made
                    self._tidy()
                    return heads
                if got is Got.DAMAGED:
                    self._cache.mark_damaged(self._cache.made)
            heads = self._remote.heads()
        raise TransientError(
            "the branches cannot be brought into the clone",
            where=str(self._cache.folder),
            hint="it is tried again; check the state folder and its disk",
        )

    def _forget_other_clone(self) -> None:
        """Another process, or this one, has made it again: nothing read from it before counts."""
        if self._cache.made != self._made or self._objects.damaged:
            self._objects.forget()
            self._trees.forget()
            self._history.forget()
            self._made = None

    def _keep(self, moves: Sequence[Move]) -> None:
        """Best effort: what was pushed is pushed."""
        try:
            with self._cache.locked(KEEP_WAIT):
                self._cache.move_heads([(move.branch, move.old, move.new) for move in moves])
                self._tidy()
        except GitOpsError as error:
            log.warning("the clone does not know of the push yet: %s", error)

    def _tidy(self) -> None:
        if self._writes % TIDY_EACH == 0:
            self._cache.tidy()
        self._writes += 1


def _some(branches: Mapping[str, str]) -> str:
    names = sorted(branches)
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
