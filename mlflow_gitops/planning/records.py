"""What this tool stores in the registry's tags, as text. PURE: JSON text to values and back.

Three kinds of tags, fixed formats:

- `gitops.request.<key>`, on a version: somebody asked for it. `<key>` is an environment's name,
  or a selector's key (`stage.Production`), since a tracking server knows no environments.
- `gitops.status.<environment>`, on a version: what people are told.
- `gitops.delivered.<environment>`, on a registered model: what was delivered last; it is in
  `deliveries`.

Anybody who may write tags can write these. So nothing read here takes a model down: what cannot
be read is left out, and `malformed` says why. A request's `by` is proven only
where its signature, made with a secret that the tracking server and this tool share, fits this
very model, version and tag.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import get_args

from mlflow_gitops.planning.fields import Fields, UnreadableError, read_object
from mlflow_gitops.state import (
    Action,
    Environment,
    ModelVersion,
    Request,
    Selector,
    State,
    Status,
)

__all__ = [
    "OWN",
    "REQUESTS",
    "STATUS",
    "addressees",
    "canonical_stage",
    "is_moving",
    "is_relayed",
    "malformed",
    "parse_request",
    "parse_status",
    "pending_for",
    "record_of",
    "request_for",
    "request_text",
    "request_times",
    "same_news",
    "selector_key",
    "status_of",
    "status_text",
]

OWN = "gitops."
REQUESTS = "gitops.request."
STATUS = "gitops.status."

STAGES = {stage.lower(): stage for stage in ("None", "Staging", "Production", "Archived")}
ACTIONS: tuple[Action, ...] = get_args(Action)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
MOST_REQUEST = 10_000  # characters; a record has about 200
MOST = 100_000  # characters: what a tag of MLflow's can hold


def canonical_stage(stage: str) -> str:
    """MLflow takes a stage in any case, and stores it in one."""
    return STAGES.get(stage.lower(), stage)


def selector_key(selector: Selector) -> str:
    """The key of the request record that a tracking server writes for this selector."""
    if selector.kind == "stage":
        return f"stage.{canonical_stage(selector.name)}"
    return selector.key


# Requests


def request_text(
    request: Request,
    *,
    model: str,
    tag: str,
    key: bytes | None = None,
    moving: bool = False,
    relayed: bool = False,
) -> str:
    """The record, signed where a key is given.

    `moving` says that the writer moves the selector next: what the tracking server then records
    of the move is this same request. `relayed` says that the writer is not who asks.
    """
    record: dict[str, object] = {
        "id": request.id,
        "action": request.action,
        "rollout": request.rollout,
        "time": request.time,
        "by": request.by,
    }
    if request.reason:
        record["reason"] = request.reason
    if request.pending:
        record["pending"] = True
    if request.closed:
        record["closed"] = True
    if moving:
        record["moving"] = True
    if relayed:
        record["relayed"] = True
    if key:
        record["sig"] = _signature(record, model, request.version, tag, key)
    return _compact(record)


def parse_request(
    text: str, *, model: str, version: str, tag: str, key: bytes | None = None
) -> Request:
    """Raises UnreadableError. A record with a wrong signature is one without."""
    fields = Fields(read_object(text, MOST_REQUEST))
    request_id = fields.text("id")
    if not request_id or request_id.startswith("seen:"):
        raise UnreadableError("`id` has to be the request's own")
    return Request(
        id=request_id,
        version=version,
        action=fields.choice("action", ACTIONS),
        time=_time(fields),
        by=fields.text("by", ""),
        signed=bool(key) and _is_signed(fields.values, model, version, tag, key or b""),
        reason=fields.text("reason", ""),
        rollout=fields.text("rollout", ""),
        pending=fields.flag("pending"),
        closed=fields.flag("closed"),
    )


def is_moving(text: str) -> bool:
    """Whether a record announces a move of its selector that was not recorded yet."""
    return _has_flag(text, "moving")


def is_relayed(text: str) -> bool:
    """Whether the move that a record announces is made for somebody else."""
    return _has_flag(text, "relayed")


def _has_flag(text: str, name: str) -> bool:
    try:
        return Fields(read_object(text, MOST_REQUEST)).flag(name)
    except UnreadableError:
        return False


def pending_for(version: ModelVersion, environment: str) -> Request | None:
    """The version's request by the environment's name, if its selector is still to be moved."""
    record = record_of(version, environment)
    return record if record is not None and record.pending else None


def record_of(version: ModelVersion, environment: str) -> Request | None:
    """The version's record by the environment's name, whatever became of it."""
    tag = REQUESTS + environment
    text = version.tags.get(tag)
    if text is None:
        return None
    try:
        return parse_request(text, model=version.model, version=version.number, tag=tag)
    except UnreadableError:
        return None


def request_times(version: ModelVersion) -> tuple[str, ...]:
    """When the version was asked for, by all of its records that can be read."""
    found = []
    for tag in (REQUESTS + key for key in addressees(version)):
        try:
            text = version.tags[tag]
            found.append(
                parse_request(text, model=version.model, version=version.number, tag=tag).time
            )
        except UnreadableError:
            continue
    return tuple(found)


def addressees(version: ModelVersion) -> tuple[str, ...]:
    """The keys of all request records of the version, readable or not."""
    return tuple(tag.removeprefix(REQUESTS) for tag in version.tags if tag.startswith(REQUESTS))


def request_for(
    version: ModelVersion, environment: Environment, key: bytes | None
) -> Request | None:
    """The version's latest request in the environment; malformed and closed ones are passed over.

    It is by the environment's name, or by its selector as a tracking server wrote it.
    """
    found = (
        request
        for _, request in _requests(version, environment, key)
        if isinstance(request, Request) and not request.closed
    )
    return max(found, key=lambda r: (r.time, r.id, r.signed), default=None)


def malformed(version: ModelVersion, environment: Environment) -> Mapping[str, str]:
    """The tags of the version that should be requests for the environment, and why they are not."""
    found = _requests(version, environment, None)
    return {tag: str(problem) for tag, problem in found if isinstance(problem, UnreadableError)}


def _requests(
    version: ModelVersion, environment: Environment, key: bytes | None
) -> Iterator[tuple[str, Request | UnreadableError]]:
    if not version.tags:
        return
    select = environment.select
    for suffix in dict.fromkeys((environment.name, select.key, selector_key(select))):
        tag = REQUESTS + suffix
        text = version.tags.get(tag)
        if text is None:
            continue
        try:
            yield (
                tag,
                parse_request(text, model=version.model, version=version.number, tag=tag, key=key),
            )
        except UnreadableError as problem:
            yield tag, problem


def _time(fields: Fields) -> str:
    time = fields.text("time")
    try:
        if TIME.fullmatch(time) and datetime.fromisoformat(time):
            return time
    except ValueError:
        pass
    raise UnreadableError("`time` has to be like 2026-11-23T02:31:00.123Z")


def _signature(record: Mapping[str, object], model: str, version: str, tag: str, key: bytes) -> str:
    """Over everything in the record, known or not, and where it is."""
    signed = {name: value for name, value in record.items() if name != "sig"}
    place = {"record": signed, "model": model, "version": version, "tag": tag}
    text = json.dumps(place, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _is_signed(
    record: Mapping[str, object], model: str, version: str, tag: str, key: bytes
) -> bool:
    sig = record.get("sig")
    if not isinstance(sig, str) or not sig.isascii():
        return False
    try:
        return hmac.compare_digest(sig, _signature(record, model, version, tag, key))
    except RecursionError:  # nested deeper than it can be written again
        return False


# What people are told


def status_text(status: Status) -> str:
    return _compact(asdict(status))


def parse_status(text: str) -> Status | None:
    try:
        fields = Fields(read_object(text, MOST))
        return Status(
            state=fields.choice("state", tuple(State)),
            message=fields.text("message"),
            commit=fields.text("commit", ""),
            uri=fields.text("uri", ""),
            digest=fields.text("digest", ""),
            time=fields.text("time", ""),
            request=fields.text("request", ""),
            pull=fields.text("pull", ""),
        )
    except UnreadableError:
        return None


def status_of(version: ModelVersion, environment: str) -> Status | None:
    """What the version's tag says, if it says anything that this tool would."""
    text = version.tags.get(STATUS + environment)
    return parse_status(text) if text is not None else None


def same_news(told: Status | None, status: Status) -> bool:
    """Whether the status says nothing new, whenever it was said."""
    return told is not None and _news(told) == _news(status)


def _news(status: Status) -> tuple[str, ...]:
    told = (status.state, status.message, status.commit, status.uri, status.digest)
    return (*told, status.request, status.pull)


def _compact(record: Mapping[str, object]) -> str:
    return json.dumps(record, separators=(",", ":"))
