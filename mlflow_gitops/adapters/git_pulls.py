"""Heads of pull requests, which forges keep as refs: what a squashed or rebased commit was made of.

They need no token beyond Git's own. Every answer is optional: a server without such refs, or one
that cannot be reached now, gives none. What was fetched is kept under refs of the clone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mlflow_gitops.adapters.git_cache import Cache
from mlflow_gitops.adapters.git_log import GitLog
from mlflow_gitops.adapters.git_process import GitProcess
from mlflow_gitops.adapters.git_tree import is_commit
from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.planning.commit_facts import pull_requests
from mlflow_gitops.planning.own_branch import edit_mark
from mlflow_gitops.state import CommitFacts, Landing

__all__ = ["Pulls"]

log = logging.getLogger(__name__)

KEPT = "refs/mlflow-gitops/pulls/"
PATTERNS = ("refs/pull/*/head", "refs/merge-requests/*/head", "refs/pull-requests/*/from")
"""GitHub, Gitea and Forgejo; GitLab; Bitbucket Data Center."""
REF = re.compile(r"refs/(pull|merge-requests|pull-requests)/(\d{1,9})/(?:head|from)")
AT_ONCE = 50  # pull requests whose heads one fetch gets
LOCK_WAIT = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Head:
    """A pull request's newest commit; `ref` is where the server has it."""

    ref: str
    commit: str

    @property
    def reference(self) -> str:
        kind, number = self.ref.split("/")[1:3]
        return f"{'!' if kind == 'merge-requests' else '#'}{number}"


@dataclass(slots=True)
class Pulls:
    """`git`, `cache` and `log` are those of the clone. For one thread at a time."""

    git: GitProcess
    cache: Cache
    log: GitLog
    _heads: dict[int, Head] = field(default_factory=dict)
    _listed: int = -1

    def landing(
        self, facts: CommitFacts, paths: Iterable[str], fetched: int, tip: str = "", head: str = ""
    ) -> Landing | None:
        """The pull request that became the commit, as far as Git can tell.

        `fetched` counts the fetches: the refs are listed once for each. `tip` is a branch that it
        may have been made from, `head` what a forge says.
        """
        if not facts.parents:
            return None
        wanted = sorted(paths)
        for reference, commit in self._candidates(facts, fetched, tip, head):
            if self._is_same(facts, commit, wanted):
                made = self.log.facts(self._made(commit, facts.parents[0], wanted))
                if reference or commit == head or _has_its_subject(facts, made):
                    return Landing(reference, commit, tuple(made))
        return None

    def _candidates(
        self, facts: CommitFacts, fetched: int, tip: str, head: str
    ) -> Iterator[tuple[str, str]]:
        numbers = pull_requests(facts.message)
        if numbers or (head and not self._is_here(head)):
            heads = self._list(fetched)
            named = [heads[number] for number in numbers if number in heads]
            for each in [*(h for h in heads.values() if head and h.commit == head), *named]:
                if self._get(each):
                    yield each.reference, each.commit
        for commit in (head, tip):
            if self._is_here(commit):
                yield "", commit

    def _list(self, fetched: int) -> Mapping[int, Head]:
        """Those of the server, and those that were fetched before: some forges drop them."""
        if self._listed == fetched:
            return self._heads
        self._listed = fetched
        kept = self.git.run("for-each-ref", "--format=%(objectname)\t%(refname)", KEPT)
        lines = kept.out.decode("utf-8", "replace").replace(KEPT, "refs/")
        try:
            url = self.git.address.url
            answer = self.git.run("ls-remote", "--", url, *PATTERNS, remote=True)
            lines += answer.out.decode("utf-8", "replace")
        except GitOpsError as error:
            log.info("the refs of pull requests are not listed: %s", error.what)
        for line in lines.split("\n"):
            commit, _, ref = line.partition("\t")
            if (found := REF.fullmatch(ref)) and is_commit(commit):
                self._heads[int(found[2])] = Head(ref, commit)
        return self._heads

    def _get(self, head: Head) -> bool:
        """Whether its commit is in the clone; it is fetched with those before it."""
        if self._is_here(head.commit):
            return True
        number = int(head.ref.split("/")[2])
        near = [self._heads[n] for n in range(number - AT_ONCE + 1, number) if n in self._heads]
        return self._fetch([*near, head], head) or self._fetch([head], head)

    def _fetch(self, heads: Sequence[Head], wanted: Head) -> bool:
        specs = [f"+{each.ref}:{KEPT}{each.ref.removeprefix('refs/')}" for each in heads]
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no")
        try:
            with self.cache.locked(LOCK_WAIT):
                answer = self.git.run(
                    "fetch", *options, "--", self.git.address.url, *specs, remote=True
                )
        except GitOpsError as error:
            log.info("%s is not fetched: %s", wanted.ref, error.what)
            return False
        return answer.code == 0 and self._is_here(wanted.commit)

    def _is_here(self, commit: str) -> bool:
        return is_commit(commit) and self.log.objects.has(commit)

    def _is_same(self, facts: CommitFacts, head: str, paths: Sequence[str]) -> bool:
        """Whether both change the same lines of the files, wherever these are by now."""
        if self.git.run("merge-base", "--is-ancestor", head, facts.commit).code == 0:
            return False  # it is in the history itself
        parent = facts.parents[0]
        fork = self.git.run("merge-base", parent, head).out.decode().split()
        landed = self._diff(parent, facts.commit, paths)
        if not (fork and landed):
            return False
        return edit_mark(landed) == edit_mark(self._diff(fork[0], head, paths))

    def _diff(self, base: str, head: str, paths: Sequence[str]) -> str:
        options = ("-r", "-p", "-U0", "--no-renames", "--no-ext-diff", "--no-textconv")
        answer = self.git.run(
            "--literal-pathspecs", "diff-tree", *options, base, head, "--", *paths
        )
        return answer.out.decode("utf-8", "replace")

    def _made(self, head: str, base: str, paths: Sequence[str]) -> Sequence[str]:
        answer = self.git.run(
            *("--literal-pathspecs", "rev-list", "--no-merges", head, "--not", base, "--"), *paths
        )
        return answer.out.decode().split()


def _has_its_subject(facts: CommitFacts, made: Iterable[CommitFacts]) -> bool:
    """A squash that names no pull request has the title, which is that of our commit. A person
    may have made the same change without it.
    """
    subject = facts.message.partition("\n")[0]
    return any(each.message.partition("\n")[0] == subject for each in made)
