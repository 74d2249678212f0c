"""Who changed a service and why: the walk's steps, with what their commits say of people.

Reads Git alone. Writes nothing but the index.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice, takewhile

from mlflow_gitops.config import parse_settings
from mlflow_gitops.crediting import Crediting
from mlflow_gitops.errors import GitOpsError, RequestError
from mlflow_gitops.history import Historian
from mlflow_gitops.past import Standing, Step
from mlflow_gitops.planning.ledger import TIME_OF_PROPOSAL, Change, Row, held, undone
from mlflow_gitops.state import CommitFacts, Environment, ServiceKey, Settings
from mlflow_gitops.wish import did_you_mean

__all__ = ["Answer", "LookingBack", "check_known"]

SETTINGS = "mlflow-gitops.yaml"
OLDER_READ = 1000  # changes of one service, to find our newest delivery or what a revert undid


@dataclass(frozen=True, slots=True)
class Answer:
    """What stands, or stood, for a service, and the change that brought it; None without any.

    `before` is the change before that, `undone` the one that it took back. `hold` says why our
    newest delivery is not what stands.
    """

    key: ServiceKey
    service: str
    head: str
    standing: Standing
    row: Row | None = None
    before: Row | None = None
    undone: Row | None = None
    hold: str = ""


@dataclass(slots=True)
class LookingBack:
    """One environment, at the head that was fetched last."""

    historian: Historian
    settings: Settings
    crediting: Crediting
    end: int = -1

    def start(self) -> None:
        self.end = self.historian.sync()

    @property
    def environment(self) -> Environment:
        return self.historian.environment

    @property
    def name(self) -> str:
        return self.environment.name

    def has(self, service: str) -> bool:
        """Whether the service stands, or ever stood."""
        standing = self.historian.standing(service, self.end)
        if standing.spec or standing.problem:
            return True
        return next(self.historian.steps(service, self.end), None) is not None

    def known(self) -> frozenset[str]:
        return self.historian.known_services()

    def position_at(self, seconds: float) -> int:
        """The last commit that was on the branch by then, or -1.

        A fast-forward keeps the time of the proposal: where the forge tells, that of the merge
        counts.
        """
        position = self.historian.position_at(seconds)
        while position >= 0 and self._merged_after(position, seconds):
            position -= 1
        return position

    def _merged_after(self, position: int, seconds: float) -> bool:
        ask = self.crediting.merge
        if ask is None:
            return False
        (facts,) = self.historian.reader.facts([self._commit(position)])
        merge = None if facts.is_merge else ask(facts.commit, facts.time)
        if merge is None or not merge.time:
            return False
        return datetime.fromisoformat(merge.time).timestamp() > seconds

    def rows(self, service: str, until: int) -> Iterator[Row]:
        """Every change up to the position, newest first."""
        for row in self._rows(service, until):
            yield self._with_undone(service, row)

    def _rows(self, service: str, until: int) -> Iterator[Row]:
        key = ServiceKey(self.name, self.settings.names.model(service, self.environment))
        for step in self.historian.steps(service, until):
            yield self._row(key, service, step)

    def _with_undone(self, service: str, row: Row) -> Row:
        """The forges' reverts name a pull request, or nothing: its commit is looked for."""
        if row.change is not Change.REVERT or row.undoes:
            return row
        older = islice(self._rows(service, row.position - 1), OLDER_READ)
        found = undone(row, older)
        return replace(row, undoes=found.commit) if found else row

    def _row(self, key: ServiceKey, service: str, step: Step) -> Row:
        reader = self.historian.reader
        (facts,) = reader.facts([step.commit])
        sources = step.before.sources | step.after.sources
        commits = reader.merged(step.commit, sources) if facts.is_merge else ()
        merged = reader.facts(commits)
        row = self.crediting.row(key, service, step, facts, merged, sources)
        if self._is_proposals(row, facts):
            row = replace(row, notes=(*row.notes, TIME_OF_PROPOSAL))
        moved = self._moved(facts) if step.before.said == (None, False) else ""
        return replace(row, notes=(*row.notes, moved)) if moved else row

    def _is_proposals(self, row: Row, facts: CommitFacts) -> bool:
        """Whether it is our own commit, where only pull requests change the branch."""
        is_own = row.is_ours and not facts.is_merge and facts.author == facts.committer
        return is_own and self.environment.delivery == "pull-request"

    def _moved(self, facts: CommitFacts) -> str:
        """Why nothing is known of what stood before: the settings pointed to another folder."""
        if not facts.parents:
            return ""
        tree = self.historian.reader.narrow(facts.parents[0], [SETTINGS])
        try:
            text = tree.read_all([SETTINGS])[SETTINGS] if SETTINGS in tree else ""
            before = parse_settings(text, default_branch=self.historian.branch).environments
        except GitOpsError:
            return ""
        old, path = before.get(self.name), self.historian.environment.path
        if old is None or old.path == path:
            return ""
        return f"the settings had `path: {old.path}` before: what stood there is unknown"

    def why(self, model: str, until: int) -> Answer:
        service = self.settings.service(model, self.environment)
        standing = self.historian.standing(service, until, self._near(service))
        rows: list[Row] = []
        for row in islice(self.rows(service, until), OLDER_READ):
            rows.append(row)
            if len(rows) > 1 and any(each.is_ours for each in rows):
                break
        answer = Answer(ServiceKey(self.name, model), service, self._commit(until), standing)
        if not rows:
            return answer
        newest = rows[0]
        older = self.rows(service, newest.position - 1) if newest.undoes else iter(())
        return replace(
            answer,
            row=newest,
            before=rows[1] if len(rows) > 1 else None,
            undone=undone(newest, islice(older, OLDER_READ)),
            hold=held(rows),
        )

    def _commit(self, position: int) -> str:
        return self.historian.index.commit(position)

    def _near(self, service: str) -> frozenset[str]:
        """Where the service is read now: its files were mostly the same at other times."""
        return self.historian.standing(service, self.end).sources

    def audit(self, since: int, until: int) -> list[Row]:
        """Every change after the position `since`, up to `until`, newest first."""
        services = self.known() | self.historian.services(since) | self.historian.services(until)
        services |= self.historian.passing(since + 1, until, services)
        found = (
            row
            for service in services
            for row in takewhile(lambda row: row.position > since, self.rows(service, until))
        )
        return sorted(found, key=lambda row: (-row.position, row.service))


def check_known(model: str, known: Collection[str]) -> None:
    """Raises RequestError. `known` are the models that Git has, or had, services for."""
    if model not in known:
        raise RequestError(
            f"Git never had a service for the model `{model}`{did_you_mean(model, known)}",
            where="the environments' manifests",
            hint="`mlflow-gitops status` lists what there is",
        )
