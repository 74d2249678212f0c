"""When a service changed: walks a branch back from what stands, and compares the trees.

A commit is compared only where it touched a file that the service's values come from. Which commit
touched which files is read from the newest commit on, only as far as a question needs it. It is
kept, like what was read of a service at a commit, so that the next look reads only what is new.
Decides nothing: `planning/ledger.py` says what a change was.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace

from mlflow_gitops.errors import ManifestError, RepositoryError, TransientError
from mlflow_gitops.manifests import (
    FILE_NAMES,
    MANIFESTS,
    Manifests,
    ParseCache,
    narrowed,
    newly_listed,
    service_names,
)
from mlflow_gitops.past import HistoryIndex, HistoryReader, Standing, Step, Touched
from mlflow_gitops.ports import Tree
from mlflow_gitops.state import Environment, Names

__all__ = ["Historian"]

SYNC_ATTEMPTS = 4
AT_ONCE = 1000  # commits whose paths one Git process reads
PROCESSES = min(4, os.cpu_count() or 1)
READING = 2  # raised where manifests are read otherwise, so that nothing kept counts any more
ABSENT = Standing(None)


@dataclass(slots=True)
class Historian:
    """One environment on one branch. Positions are those of the branch's first parents.

    `shows` is called with how many commits are read, of how many, while that takes long.
    """

    reader: HistoryReader
    index: HistoryIndex
    environment: Environment
    branch: str
    names: Names = field(default_factory=Names)
    shows: Callable[[int, int], None] | None = None
    at_once: int = AT_ONCE
    _whole: ParseCache = field(default_factory=ParseCache)
    _narrow: ParseCache = field(default_factory=ParseCache)
    _manifests: dict[int, Manifests] = field(default_factory=dict)

    def sync(self) -> int:
        """Bring the index to the branch's head, as last fetched. Returns the head's position.

        A branch that was rewritten is read again from where it parts from what was known. Of many
        commits at once only the line is read: their paths follow when they are asked for.
        """
        head = self.reader.head(self.branch)
        for _ in range(SYNC_ATTEMPTS):
            position, last = self.index.end()
            if last == head:
                return position
            if not self._goes_on(head, position, last):
                self._start_again(head, last)
        raise _busy()

    def _goes_on(self, head: str, position: int, last: str) -> bool:
        try:
            new = list(self.reader.touched(head, last)) if last else []
        except RepositoryError:  # what was known is no longer in the clone
            return False
        if not new or new[0].parent != last:
            return False
        self.index.extend(self._with_lists(new), position + 1)
        return True

    def _start_again(self, head: str, last: str) -> None:
        line, known = self.reader.line(head), self.index.commits()
        same = next(
            (n for n, (one, two) in enumerate(zip(line, known, strict=False)) if one[0] != two),
            min(len(line), len(known)),
        )
        if len(line) - same > self.at_once:
            self.index.restart(line, same, last)
            return
        new = list(self.reader.touched(head, line[same - 1][0] if same else ""))
        self.index.extend(self._with_lists(new), same)

    def _last_touch(self, paths: Iterable[str], until: int, above: int = -1) -> int:
        """The newest position in above..until that touched one of the paths, or one not above."""
        wanted = frozenset(paths)
        while True:
            low = self.index.low()
            found = self.index.last_touch(wanted, until)
            if found >= low or low <= above + 1 or low == 0:
                return found
            self._deepen(low)

    def _read_down_to(self, position: int) -> None:
        """Make the paths of all commits from the position on known."""
        while (low := self.index.low()) > position:
            self._deepen(low)

    def _deepen(self, low: int) -> None:
        """Read the paths of the commits before `low`: a Git process for each core."""
        ends = [low - n * self.at_once for n in range(PROCESSES)]
        parts = [(max(0, end - self.at_once), end) for end in ends if end > 0]
        heads = [self.index.commit(end - 1) for _, end in parts]
        sizes = [end - first for first, end in parts]
        with ThreadPoolExecutor(len(parts), "gitops-history") as pool:
            for (first, _), found in zip(parts, pool.map(self._touched, heads, sizes), strict=True):
                self.index.deepen(found, first)
        if self.index.low() == low:
            raise _busy()
        if self.shows is not None:
            total = self.index.end()[0] + 1
            self.shows(total - self.index.low(), total)

    def _touched(self, head: str, most: int) -> Sequence[Touched]:
        return self._with_lists(list(self.reader.touched(head, most=most)))

    def _with_lists(self, commits: list[Touched]) -> list[Touched]:
        """A kustomization that only lists one more service concerns none of the others."""
        shaping = [c for c in commits if any(p.endswith(FILE_NAMES) for p in c.paths)]
        listed: dict[str, dict[str, tuple[str, ...]]] = {}
        for commit, path, lines in self.reader.added_lines(shaping, FILE_NAMES):
            found = newly_listed(path, lines)
            if found is not None:
                listed.setdefault(commit, {})[path] = found
        return [replace(c, listed=listed[c.commit]) if c.commit in listed else c for c in commits]

    def position_at(self, seconds: float) -> int:
        """The last commit that was made by then, or -1."""
        return self.index.at_time(int(seconds))

    def steps(self, service: str, until: int) -> Iterator[Step]:
        """The commits up to the position that changed the service, newest first."""
        now = self.standing(service, until)
        at = until
        while at >= 0:
            at = self._last_touch(now.sources, at)
            if at < 0:
                return
            before = self.standing(service, at - 1, now.sources)
            if before.said != now.said:
                yield Step(at, self.index.commit(at), before, now)
            if not before.sources:
                before = replace(before, sources=now.sources)
            now, at = before, at - 1

    def standing(self, service: str, position: int, near: frozenset[str] = frozenset()) -> Standing:
        """What the commit says of the service. `near` are its sources at a commit close by."""
        if position < 0:
            return ABSENT
        kept = self.index.standing(self.scope, service, position)
        if kept is not None:
            at, known = kept
            if at == position:
                return known
            near = near or known.sources
            if known.spec and self._last_touch(known.sources, position, above=at) <= at:
                return known
        found = self._seen_narrowly(service, position, near) if near else None
        if found is None:
            found = self._seen(service, position, near)
        if found.sources:
            commit = self.index.commit(position)
            self.index.keep(self.scope, position, commit, {service: found})
        return found

    def services(self, position: int) -> frozenset[str]:
        """Every service that stands at the commit, and can be read."""
        if position < 0:
            return frozenset()
        try:
            found = self._manifests_at(position).services(self.environment.name)
        except ManifestError:  # nothing of the environment can be read
            return frozenset()
        return frozenset(found)

    def known_services(self) -> frozenset[str]:
        """Every service that was ever seen. The first time, all of the newest commit are read."""
        if not self.index.has_all(self.scope):
            end = self.index.end()[0]
            with suppress(ManifestError):  # told of each service that is asked for
                self._read_all(end)
            self.index.keep_all(self.scope)
        return frozenset(self.index.services(self.scope))

    def passing(self, first: int, last: int, known: Iterable[str]) -> frozenset[str]:
        """Services beside the known ones that commits from `first` to `last` may have touched."""
        covered = {path for each in known for path in self.standing(each, last).sources}
        names: set[str] = set()
        self._read_down_to(first)
        for position in range(first, last + 1):
            paths = [p for p in self.index.paths_at(position) if p.endswith(MANIFESTS)]
            names |= self._named(position, [path for path in paths if path not in covered])
        return frozenset(names)

    def _named(self, position: int, paths: list[str]) -> set[str]:
        names: set[str] = set()
        for each in (position, position - 1) if paths else ():
            if each >= 0:
                tree = self.reader.narrow(self.index.commit(each), paths)
                for path, text in tree.read_all(tree.paths()).items():
                    names |= service_names(text, path)
        return names

    def _read_all(self, position: int) -> None:
        if position < 0:
            return
        manifests = self._manifests_at(position)
        found = {
            service: Standing(spec, sources=manifests.sources(self.environment.name, service))
            for service, spec in manifests.services(self.environment.name).items()
        }
        self.index.keep(self.scope, position, self.index.commit(position), found)

    @property
    def scope(self) -> str:
        """What was read before counts only where the settings said the same of these."""
        here, named = self.environment, sorted(self.names.services.items())
        said = (READING, here.name, here.path, here.values)
        own = (sorted(here.services.items()), here.service_name, self.names.by_slug)
        read = (here.label, here.exclude, here.recurse, sorted(here.storage_keys.items()))
        return hashlib.sha256(repr((said, named, own, read)).encode()).hexdigest()[:32]

    def _seen_narrowly(self, service: str, position: int, near: frozenset[str]) -> Standing | None:
        """From the few files that set its values close by; None where they do not show it."""
        commit = self.index.commit(position)

        def look(paths: Iterable[str]) -> Tree:
            return self.reader.narrow(commit, paths)

        try:
            tree = narrowed(near, look, self._narrow)
            found = self._read(self._of(tree, self._narrow), service)
        except ManifestError:
            return None
        return found if found.spec else None

    def _seen(self, service: str, position: int, near: frozenset[str]) -> Standing:
        """From the whole tree. What is not there, or cannot be read, may come from many files."""
        try:
            found = self._read(self._manifests_at(position), service)
        except ManifestError as error:
            around = near | self._paths_named(service) | {error.where}
            return Standing(None, f"{error.where}: {error.what}", around)
        if found.spec:
            return found
        return replace(found, sources=near | self._paths_named(service))

    def _paths_named(self, service: str) -> frozenset[str]:
        """Where it may have been: that needs the paths of every commit."""
        self._read_down_to(0)
        return self.index.paths_named(service)

    def _read(self, manifests: Manifests, service: str) -> Standing:
        name = self.environment.name
        return Standing(manifests.committed(name, service), "", manifests.sources(name, service))

    def _manifests_at(self, position: int) -> Manifests:
        found = self._manifests.get(position)
        if found is None:
            tree = self.reader.tree_at(self.index.commit(position))
            found = self._of(tree, self._whole)
            self._manifests = {position: found}
        return found

    def _of(self, tree: Tree, cache: ParseCache) -> Manifests:
        environments: Mapping[str, Environment] = {self.environment.name: self.environment}
        return Manifests(tree, environments, cache, self.names, past=True)


def _busy() -> TransientError:
    return TransientError(
        "other processes write the index of the history all the time", hint="try again"
    )
