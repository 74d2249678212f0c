"""A manifests repository without Git: `ports.Repository` in memory, for tests without a disk.

The contract suite holds it and the real adapter to the same behaviour.
"""

from __future__ import annotations

import difflib
import hashlib
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mlflow_gitops.branches import Ahead, BranchCommit
from mlflow_gitops.errors import ConfigError, GitOpsError, HeadMovedError, RepositoryError
from mlflow_gitops.planning.messages import SERVICE, parse_trailers, trailer_lines
from mlflow_gitops.state import BranchPush, Change, CommitFacts, Delivery, Edit, Landing

__all__ = ["MemoryRepository"]

Files = Mapping[str, str]
PERSON = "Grace <grace@example.com>"


@dataclass(frozen=True)
class Commit:
    """`parent` is "" for a first commit."""

    parent: str
    files: Files
    message: str
    number: int
    merged: str = ""
    """The second parent of a merge."""
    is_own: bool = False


@dataclass(frozen=True)
class Snapshot:
    """Implements `ports.Tree`."""

    head: str
    files: Files

    def paths(self) -> Sequence[str]:
        return tuple(sorted(self.files))

    def __contains__(self, path: object) -> bool:
        return path in self.files

    def blob(self, path: str) -> str:
        return _blob(self.files[path])

    def read(self, path: str) -> str:
        return self.files[path]

    def read_all(self, paths: Iterable[str]) -> Mapping[str, str]:
        return {path: self.files[path] for path in paths}


class MemoryRepository:
    """`branches` maps each branch to its first files (path to text).

    `fail_next_push` is raised by the next push, which then does nothing; `lose_next_answer` is
    raised by the next push after the remote took it; `fail_next_fetch` by the next fetch. A branch
    in `refused`, or a commit that changes a path in it, is not taken.
    """

    def __init__(
        self,
        branches: Mapping[str, Files] | None = None,
        *,
        default_branch: str = "main",
        identity: str = "git.example.com/ml/manifests",
    ) -> None:
        self._lock = threading.RLock()
        self._identity = identity
        self._default = default_branch
        self.commits: dict[str, Commit] = {}
        self.remote: dict[str, str] = {}
        """Branch to its head, where people push to."""
        self._fetched: dict[str, str] | None = None
        self.fail_next_push: GitOpsError | None = None
        self.lose_next_answer: GitOpsError | None = None
        self.fail_next_fetch: GitOpsError | None = None
        self.refused: set[str] = set()
        self.pushes = self.refusals = 0
        for branch, files in (branches or {}).items():
            self.remote[branch] = self._commit("", dict(files), "begin")

    # What people do

    def person_commits(
        self, files: Mapping[str, str | None], message: str = "by hand", branch: str = ""
    ) -> str:
        """Somebody pushes a commit (None deletes a file). Returns it; it is not fetched yet."""
        with self._lock:
            branch = branch or self._default
            head = self.remote.get(branch, "")
            self.remote[branch] = self._commit(head, _edited(self._files(head), files), message)
            return self.remote[branch]

    def person_merges(
        self, branch: str, base: str = "", files: Mapping[str, str | None] | None = None
    ) -> str:
        """Somebody merges the base into a branch, with `files` on top of what both sides make."""
        with self._lock:
            ours, theirs = self.remote[branch], self.remote[base or self._default]
            merged = self._merged(ours, theirs)
            held = _edited(self._files(ours) if merged is None else merged, files or {})
            message = f"Merge branch '{base or self._default}' into {branch}"
            self.remote[branch] = self._commit(ours, held, message, theirs)
            return self.remote[branch]

    def revert(self, commit: str, branch: str = "") -> str:
        """Somebody reverts a commit and pushes that. Returns the reverting commit."""
        made, before = self.commits[commit], self._files(self.commits[commit].parent)
        paths = {p for p in {*made.files, *before} if made.files.get(p) != before.get(p)}
        title = made.message.split("\n", 1)[0]
        message = f'Revert "{title}"\n\nThis reverts commit {commit}.\n'
        return self.person_commits({path: before.get(path) for path in paths}, message, branch)

    def force(self, branch: str, commit: str) -> None:
        """Somebody force-pushes; "" deletes the branch."""
        with self._lock:
            if commit:
                self.remote[branch] = commit
            else:
                self.remote.pop(branch, None)

    def files(self, branch: str = "") -> Files:
        """What the remote's branch holds now, fetched or not."""
        return self._files(self.remote[branch or self._default])

    def log(self, branch: str = "") -> Sequence[str]:
        """The messages on the remote's branch, newest first."""
        return [self.commits[c].message for c in self._line(self.remote[branch or self._default])]

    # ports.Repository

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def default_branch(self) -> str:
        heads = self._heads()
        if not heads:
            raise ConfigError(
                "the repository is empty", where=self._identity, hint="run `mlflow-gitops init`"
            )
        if self._default not in heads:
            raise RepositoryError(
                "the repository has no default branch", where=self._identity, hint="make one"
            )
        return self._default

    def settings_text(self) -> str:
        files = self.tree(self.default_branch).files
        if "mlflow-gitops.yaml" not in files:
            raise ConfigError(
                "there is no mlflow-gitops.yaml", where=self._identity, hint="run init"
            )
        return files["mlflow-gitops.yaml"]

    def fetch(self) -> None:
        failure, self.fail_next_fetch = self.fail_next_fetch, None
        if failure is not None:
            raise failure
        with self._lock:
            self._fetched = dict(self.remote)

    def tree(self, branch: str) -> Snapshot:
        head = self._heads().get(branch)
        if head is None:
            raise RepositoryError(f"there is no branch {branch!r}", where=self._identity, hint="?")
        return self.tree_at(head)

    def tree_at(self, commit: str) -> Snapshot:
        if commit not in self.commits:
            raise RepositoryError("there is no such commit", where=commit, hint="fetch")
        return Snapshot(commit, self._files(commit))

    def narrow(self, commit: str, paths: Iterable[str]) -> Snapshot:
        whole = self.tree_at(commit)
        return Snapshot(commit, {p: whole.files[p] for p in paths if p in whole.files})

    def is_ancestor(self, commit: str, of: str) -> bool:
        return commit in self.commits and commit in self._all(of)

    def deliveries(self, service: str, head: str, since: str = "") -> Iterator[Delivery]:
        known = set(self._line(since)) if since in self.commits else set()
        for commit in self._line(head):
            if commit in known:
                continue
            made = self.commits[commit]
            named = {value for key, value in trailer_lines(made.message) if key == SERVICE}
            if service in named:
                only = {SERVICE: service}
                trailers = parse_trailers(made.message) if len(named) == 1 else only
                yield Delivery(commit, made.parent, _time(made.number), trailers)

    def touching(
        self, paths: Collection[str], head: str, since: str = "", *, most: int
    ) -> Sequence[CommitFacts]:
        known = set(self._line(since)) if since in self.commits else set()
        line = [commit for commit in self._line(head) if commit not in known][:most]
        return [self._facts(commit) for commit in line if self._touched(commit) & set(paths)]

    def merged(self, merge: str, paths: Collection[str]) -> Sequence[CommitFacts]:
        del merge, paths  # nobody merges here
        return ()

    def message(self, commit: str) -> str:
        return self.commits[commit].message if commit in self.commits else ""

    def landing(
        self, facts: CommitFacts, paths: Collection[str], branch: str = "", head: str = ""
    ) -> Landing | None:
        del facts, paths, branch, head
        return None

    def mentions(self, text: str, since: str) -> Iterable[tuple[str, str]]:
        for branch, head in self._heads().items():
            for line in _all_lines(self._files(head)):
                if text in line:
                    yield line, f"branch {branch}"
            for commit in self._line(head):
                made = self.commits[commit]
                changed = _all_lines(made.files) ^ _all_lines(self._files(made.parent))
                for line in changed if _time(made.number) >= since else ():
                    if text in line:
                        yield line, f"commit {commit[:12]} of {_time(made.number)[:10]}"

    def _touched(self, commit: str) -> set[str]:
        made = self.commits[commit]
        before = self._files(made.parent)
        return {p for p in {*made.files, *before} if made.files.get(p) != before.get(p)}

    def _facts(self, commit: str) -> CommitFacts:
        made = self.commits[commit]
        parents = (made.parent,) if made.parent else ()
        time = _time(made.number).replace(".000Z", "Z")
        return CommitFacts(commit, parents, PERSON, PERSON, time, made.message)

    def diff(self, base: str, edits: Sequence[Edit]) -> str:
        after = before = self._files(base)
        for edit in edits:
            after = _edited(after, edit.files)
        return _diff(before, after)

    def check_signing(self) -> None:
        pass  # it signs nothing

    def push(self, branch: str, base: str, edits: Sequence[Edit]) -> Sequence[Change]:
        with self._lock:
            failure, self.fail_next_push = self.fail_next_push, None
            if failure is not None:
                raise failure
            heads = self._heads()
            if heads.get(branch, "") != base or self.remote.get(branch, "") != base:
                raise HeadMovedError("somebody pushed", where=branch, hint="fetch, plan again")
            changes = self._build(base, edits)
            tip = next((c.commit for c in reversed(changes) if c.commit), base)
            if any(self._touched(c.commit) & self.refused for c in changes if c.commit):
                self.refusals += 1
                raise RepositoryError("the server refused", where=branch, hint="ask it why")
            if tip != base:
                self.pushes += 1
                self.remote[branch] = tip
            lost, self.lose_next_answer = self.lose_next_answer, None
            if lost is not None:
                raise lost
            self._fetched = {**heads, branch: tip}
            return changes

    def branch_head(self, branch: str) -> str:
        return self._heads().get(branch, "")

    def ahead(self, base: str, head: str) -> Ahead:
        for commit in (base, head):
            if commit not in self.commits:
                raise RepositoryError("there is no such commit", where=commit, hint="fetch")
        own = self._all(head) - self._all(base)
        newest = sorted(own, key=lambda c: self.commits[c].number, reverse=True)
        return Ahead(
            tuple(self._classified(commit, own) for commit in newest),
            _diff(self._files(self._fork(base, head)), self._files(head)),
            self._merged(base, head) is None,
            self._fork(base, head),
        )

    def _classified(self, commit: str, own: set[str]) -> BranchCommit:
        made, kind = self.commits[commit], "commit"
        if made.merged and {made.parent, made.merged} <= own:
            kind = "merge"
        elif made.merged:
            is_clean = self._merged(made.parent, made.merged) == made.files
            kind = "update" if is_clean else "resolved"
        return BranchCommit(commit, "Grace", made.message, kind, made.is_own)  # type: ignore[arg-type]

    def _merged(self, ours: str, theirs: str) -> Files | None:
        """By whole files; None where both sides changed one to different texts."""
        before, mine, other = map(self._files, (self._fork(ours, theirs), ours, theirs))
        merged: dict[str, str | None] = {}
        for path in {*before, *mine, *other}:
            texts = (before.get(path), mine.get(path), other.get(path))
            if texts[0] != texts[1] != texts[2] != texts[0]:
                return None
            merged[path] = texts[2] if texts[1] == texts[0] else texts[1]
        return _edited({}, merged)

    def _fork(self, base: str, head: str) -> str:
        both = self._all(base) & self._all(head)
        return max(both, key=lambda c: self.commits[c].number, default="")

    def first_parent(self, commit: str) -> str:
        if commit not in self.commits:
            raise RepositoryError("there is no such commit", where=commit, hint="fetch")
        return self.commits[commit].parent

    def conflicts(self, base: str, head: str) -> bool | None:
        return self._merged(base, head) is None

    def branches(self, prefix: str) -> Mapping[str, str]:
        return {n: commit for n, commit in self._heads().items() if n.startswith(prefix)}

    def keep(self, branch: str, commit: str) -> None:
        with self._lock:
            if self._heads().get(branch) == commit:
                return
            if branch in self.remote:
                raise HeadMovedError("somebody pushed", where=branch, hint="fetch, plan again")
            self.remote[branch] = commit
            self._fetched = {**self._heads(), branch: commit}

    def propose(self, pushes: Sequence[BranchPush]) -> Mapping[str, Change | GitOpsError]:
        with self._lock:
            failure, self.fail_next_push = self.fail_next_push, None
            if failure is not None:
                raise failure
            before = dict(self.remote)
            results = {each.branch: self._proposed(each) for each in pushes}
            self.pushes += self.remote != before
            lost, self.lose_next_answer = self.lose_next_answer, None
            if lost is not None:
                raise lost
            return results

    def _proposed(self, push: BranchPush) -> Change | GitOpsError:
        heads, known = self._heads(), push.expected
        if heads.get(push.branch, "") != known or self.remote.get(push.branch, "") != known:
            return HeadMovedError("somebody pushed", where=push.branch, hint="fetch, plan again")
        if push.branch in self.refused or push.base not in self.commits:
            return RepositoryError("the server refused", where=push.branch, hint="ask it why")
        changes = self._build(push.base, push.edits)
        tip = next((c.commit for c in reversed(changes) if c.commit), "")
        if tip and push.is_merge:
            self.commits[tip] = replace(self.commits[tip], merged=known)
        if tip or not push.edits:
            self.force(push.branch, tip)
            self._fetched = {name: c for name, c in heads.items() if name != push.branch}
            self._fetched |= {push.branch: tip} if tip else {}
        return Change(tip, push.base, "".join(change.diff for change in changes))

    def _build(self, base: str, edits: Sequence[Edit]) -> Sequence[Change]:
        changes, parent = [], base
        for edit in edits:
            before = self._files(parent)
            after = _edited(before, edit.files)
            off = "Signed-off-by: mlflow-gitops <mlflow-gitops@localhost>\n"
            message = edit.message.rstrip() + f"\n{off}" if edit.sign_off else edit.message
            commit = self._commit(parent, after, message) if after != before else ""
            if commit:
                self.commits[commit] = replace(self.commits[commit], is_own=True)
            changes.append(Change(commit, parent, _diff(before, after)))
            parent = commit or parent
        return changes

    def _heads(self) -> Mapping[str, str]:
        if self._fetched is None:
            self.fetch()
        return dict(self._fetched or {})

    def _files(self, commit: str) -> Files:
        return self.commits[commit].files if commit else {}

    def _line(self, head: str) -> list[str]:
        line = []
        while head:
            line.append(head)
            head = self.commits[head].parent
        return line

    def _all(self, head: str) -> set[str]:
        found, left = set[str](), [head]
        while left:
            commit = left.pop()
            if commit and commit not in found:
                found.add(commit)
                left += [self.commits[commit].parent, self.commits[commit].merged]
        return found

    def _commit(self, parent: str, files: Files, message: str, merged: str = "") -> str:
        with self._lock:
            number = len(self.commits)
            text = f"{parent}\n{merged}\n{number}\n{message}\n{sorted(files.items())}"
            commit = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            self.commits[commit] = Commit(parent, dict(files), message, number, merged)
            return commit


def _edited(files: Files, changes: Mapping[str, str | None]) -> Files:
    kept = {path: text for path, text in files.items() if path not in changes}
    return kept | {path: text for path, text in changes.items() if text is not None}


def _diff(before: Files, after: Files) -> str:
    paths = sorted(p for p in {*before, *after} if before.get(p) != after.get(p))
    return "".join(_file_diff(path, before.get(path), after.get(path)) for path in paths)


def _file_diff(path: str, before: str | None, after: str | None) -> str:
    old, new = _blob(before)[:7], _blob(after)[:7]
    head = f"diff --git a/{path} b/{path}\n"
    if before is None:
        head += f"new file mode 100644\nindex {old}..{new}\n"
    elif after is None:
        head += f"deleted file mode 100644\nindex {old}..{new}\n"
    else:
        head += f"index {old}..{new} 100644\n"
    lines = difflib.unified_diff(
        _lines(before or ""),
        _lines(after or ""),
        "/dev/null" if before is None else f"a/{path}",
        "/dev/null" if after is None else f"b/{path}",
    )
    missing = "\n\\ No newline at end of file\n"
    return head + "".join(line if line.endswith("\n") else line + missing for line in lines)


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + [line for line in lines[-1:] if line]


def _all_lines(files: Files) -> set[str]:
    return {line for text in files.values() for line in text.splitlines()}


def _blob(text: str | None) -> str:
    if text is None:
        return "0" * 40
    data = text.encode()
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data), usedforsecurity=False).hexdigest()


def _time(number: int) -> str:
    minutes, seconds = divmod(number, 60)
    hours, minutes = divmod(minutes, 60)
    return f"2026-01-01T{hours:02}:{minutes:02}:{seconds:02}.000Z"
