"""What a change of a service was: ours, a revert, or a person's; who made it and who asked. PURE.

What changed is read from the trees. Trailers add who and why, and only where they fit what changed:
a copied or forged one is passed over, and the row says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from mlflow_gitops.past import Merge, Step
from mlflow_gitops.planning.commit_facts import (
    approvers,
    is_titled_revert,
    pull_request,
    quoted,
    reason,
    reverted,
)
from mlflow_gitops.planning.messages import SERVICE, clean, exact, parse_trailers, trailer_lines
from mlflow_gitops.pull_requests import PullRequest
from mlflow_gitops.state import CommitFacts, Landing, ServiceKey, ServiceSpec

__all__ = [
    "TIME_OF_PROPOSAL",
    "Change",
    "Row",
    "held",
    "ledger_row",
    "merge_of",
    "undone",
    "with_merge",
]

TEXT = 500
SAID_BY_HOSTS = ("Revert", "Reapply", "revert ")
TIME_OF_PROPOSAL = "its time may be that of the proposal: the forge knows when it was merged"


class Change(StrEnum):
    """How a change came about. A rollback is a delivery that names what it undoes."""

    DELIVERY = "delivery"
    ROLLBACK = "rollback"
    REVERT = "revert"
    HAND = "hand edit"


@dataclass(frozen=True, slots=True)
class Row:
    """One change of one service. Text that is not known is "".

    `commit` is the one that brought it to the branch, by `committer` at `time`; where that is a
    merge, `made` is the commit that made the change, if it was one. `author` wrote the change,
    `merger` merged it. `pull_url` is the pull request's address.
    `undoes` is the commit that it takes back, `undoes_pull` the number of the pull request where
    only that is said. `why` is what its author said; of a delivery, who asked for it.
    """

    key: ServiceKey
    service: str
    change: Change
    position: int
    commit: str
    time: str
    author: str
    committer: str
    before: ServiceSpec | None
    after: ServiceSpec | None
    made: str = ""
    run_id: str = ""
    digest: str = ""
    request: str = ""
    asked_by: str = ""
    asked_at: str = ""
    is_signed: bool = False
    undoes: str = ""
    why: str = ""
    pull_request: str = ""
    pull_url: str = ""
    merger: str = ""
    approvers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    undoes_pull: str = ""

    @property
    def is_ours(self) -> bool:
        return self.change in (Change.DELIVERY, Change.ROLLBACK)


def ledger_row(
    key: ServiceKey,
    service: str,
    step: Step,
    facts: CommitFacts,
    merged: Sequence[CommitFacts],
    landing: Landing | None = None,
    original: str = "",
) -> Row:
    """`merged` are the commits that a merge brought to the service's files, newest first.

    `landing` is the pull request that became the commit, whatever way it was merged. `original` is
    the message of the commit that a revert takes back.
    """
    before, after = step.before.spec, step.after.spec
    merged = landing.commits if landing else merged
    made = merged[0] if len(merged) == 1 else None
    source = made or facts
    trailers, doubt = _trusted(source.message, exact(f"{key.environment}/{service}"), after)
    if is_titled_revert(source.message):  # it may repeat ours
        trailers, doubt = {}, []
    taken_back = None if trailers else reverted(facts.message) or reverted(source.message)
    notes = [*doubt, *_notes(step, merged)]
    undoes = taken_back.commit if taken_back else trailers.get("Undoes", "")
    if trailers:
        change = Change.ROLLBACK if undoes else Change.DELIVERY
    else:
        change = Change.REVERT if taken_back else Change.HAND
    reviewers = [*approvers(facts.message), *(approvers(made.message) if made else ())]
    reference = landing.reference if landing else ""
    return Row(
        key=key,
        service=service,
        change=change,
        position=step.position,
        commit=facts.commit,
        time=facts.time,
        author=source.author,
        committer=facts.committer,
        before=before,
        after=after,
        made=made.commit if made else "",
        run_id=trailers.get("Run-Id", ""),
        digest=trailers.get("Artifact-Digest", ""),
        request=trailers.get("Gitops-Request", ""),
        asked_by=trailers.get("Requested-By") or trailers.get("Claimed-By", ""),
        asked_at=trailers.get("Requested-At", ""),
        is_signed="Requested-By" in trailers,
        undoes=undoes,
        why=clean(_why(source, facts, original, is_ours=bool(trailers)), TEXT),
        pull_request=pull_request(facts.message, is_merge=facts.is_merge)
        or reference
        or pull_request(source.message, is_merge=False),
        merger=facts.author if facts.is_merge else "",
        approvers=tuple(dict.fromkeys(reviewers)),
        notes=tuple(notes),
        undoes_pull=taken_back.pull if taken_back else "",
    )


def _why(source: CommitFacts, facts: CommitFacts, original: str, *, is_ours: bool) -> str:
    """People write the reason of a revert into its commit, or into what merges it."""
    if is_ours:
        return quoted(source.message)
    said = reason(source.message, original)
    subject = source.message.partition("\n")[0].strip()
    if source is facts or said != subject or reverted(facts.message) is None:
        return said
    merged = reason(facts.message, original)
    return said if merged == facts.message.partition("\n")[0].strip() else merged


def merge_of(pull: PullRequest, kind: str, commit: str) -> Merge:
    """What a forge of this kind says of the pull request that brought a commit. The time is known
    where the commit is what the merge made, or the pull request's head.
    """
    on_head = [a.by for a in pull.approvals if a.commit == pull.head]
    earlier = [a.by for a in pull.approvals if a.commit != pull.head]
    mark = "!" if kind == "gitlab" else "#"
    message = f"{pull.title}\n\n{pull.body}"
    why = reason(message) if reverted(message) else ""
    return Merge(
        f"{mark}{pull.number}",
        pull.url,
        pull.decided_by,
        tuple(on_head),
        tuple(earlier),
        _utc(pull.decided_at) if commit in (pull.merge_commit, pull.head) else "",
        pull.head,
        "" if why == pull.title.strip() else clean(why, TEXT),
    )


def _utc(time: str) -> str:
    """In the form of a commit's time."""
    try:
        moment = datetime.fromisoformat(time).astimezone(UTC)
    except ValueError:
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def with_merge(row: Row, merge: Merge) -> Row:
    """The forge knows better than the commit's words who merged it, when, and by which pull
    request.
    """
    if not merge.reference:
        return row
    others = [each for each in row.approvers if each.partition(" <")[0] not in merge.approvers]
    notes = [note for note in row.notes if note != TIME_OF_PROPOSAL or not merge.time]
    old = [f"{', '.join(merge.earlier)} approved an older commit of it"] if merge.earlier else []
    return replace(
        row,
        pull_request=merge.reference,
        pull_url=merge.url,
        merger=merge.merger or row.merger,
        approvers=tuple(dict.fromkeys([*merge.approvers, *others])),
        time=max(row.time, merge.time),
        why=merge.why if merge.why and row.why.startswith(SAID_BY_HOSTS) else row.why,
        notes=(*notes, *old),
    )


def _trusted(
    message: str, service: str, after: ServiceSpec | None
) -> tuple[dict[str, str], list[str]]:
    """The trailers, where they are of this service alone and name what the commit did."""
    services = {value for name, value in trailer_lines(message) if name == SERVICE}
    if service not in services:
        return {}, []
    if len(services) > 1:
        return {}, ["its trailers name several services: they are passed over"]
    trailers = dict(parse_trailers(message))
    uri = exact(after.uri) if after else ""
    if trailers.get("Artifact-Uri", "") != uri:
        return {}, ["its trailers name another change than it made: they are passed over"]
    return trailers, []


def _notes(step: Step, merged: Sequence[CommitFacts]) -> Iterable[str]:
    if step.before.problem:
        yield f"what stood before cannot be read: {clean(step.before.problem, TEXT)}"
    if step.after.problem:
        yield f"what stands since cannot be read: {clean(step.after.problem, TEXT)}"
    if len(merged) > 1:
        hashes = ", ".join(each.commit[:12] for each in merged[:5])
        yield f"the merge brought {len(merged)} commits to its files, the newest first: {hashes}"


def undone(row: Row, older: Iterable[Row]) -> Row | None:
    """The row that a revert or a rollback took back, if the service then stood as before it.

    A revert that names nothing takes back the change before it.
    """
    for each in older:
        if _names(row, each):
            return each if each.before == row.after else None
    return None


def _names(row: Row, each: Row) -> bool:
    if row.undoes:
        return any(name.startswith(row.undoes) for name in (each.commit, each.made) if name)
    if row.undoes_pull:
        return re.sub(r".*[#!]", "", each.pull_request) == row.undoes_pull
    return row.change is Change.REVERT


def held(rows: Sequence[Row]) -> str:
    """Why our newest delivery is not what stands, or "". `rows` are one service's, newest first."""
    if not rows or rows[0].is_ours:
        return ""
    ours = next((row for row in rows if row.is_ours), None)
    if ours is None or ours.after == rows[0].after:
        return ""
    wanted = f"version {ours.after.version}" if ours.after else "no service"
    return (
        f"{rows[0].author or 'somebody'} changed it in {rows[0].commit[:12]} ({rows[0].change}); "
        f"our newest delivery, {ours.commit[:12]}, was {wanted}"
    )
