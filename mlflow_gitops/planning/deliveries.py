"""The registered-model tag `gitops.delivered.<environment>`. PURE: JSON to values and back.

It is a cache of what Git says, and anybody who may write tags can write it: what is not exactly
what this tool writes is reported as unreadable, and then Git is asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import fields as fields_of
from typing import get_args

from mlflow_gitops.planning.fields import Fields, UnreadableError, read_object
from mlflow_gitops.state import Action, Delivered, Identity, Request, ServiceSpec

__all__ = ["DELIVERED", "delivered_text", "deliveries", "parse_delivered"]

DELIVERED = "gitops.delivered."

FORMAT = 1
ACTIONS: tuple[Action, ...] = get_args(Action)
LEFT = ("", "moved on", "dropped", "gone", "adopted")
COMMIT = re.compile(r"([0-9A-Za-z][0-9A-Za-z._/-]{0,254})?")
MOST = 100_000  # characters: what a tag of MLflow's can hold


def delivered_text(delivered: Delivered) -> str:
    record = {f.name: getattr(delivered, f.name) for f in fields_of(delivered)}
    request = asdict(delivered.request)
    del request["pending"], request["closed"]  # it was answered
    record["request"] = request
    record["identity"] = asdict(delivered.identity)
    record["spec"] = asdict(delivered.spec) if delivered.spec else None
    record["matched"] = dict(delivered.matched)
    return json.dumps({"format": FORMAT, **record}, separators=(",", ":"))


def parse_delivered(text: str) -> Delivered:
    """Raises UnreadableError."""
    fields = Fields(read_object(text, MOST))
    if fields.number("format") != FORMAT:
        raise UnreadableError(f"its format is {fields.number('format')}, and {FORMAT} is known")
    spec = fields.object_or_none("spec")
    return Delivered(
        request=_delivered_request(fields.object("request")),
        identity=_identity(fields.object("identity")),
        model=fields.text("model"),
        service=fields.text("service"),
        repository=fields.text("repository"),
        branch=fields.text("branch"),
        head=_commit(fields, "head"),
        spec=ServiceSpec(spec.text("uri"), spec.text("version"), spec.text("rollout", ""))
        if spec
        else None,
        commit=_commit(fields, "commit"),
        digest=fields.text("digest", ""),
        matched=fields.mapping("matched"),
        refused=fields.texts("refused"),
        left=fields.choice("left", LEFT, ""),
        adopted=fields.flag("adopted"),
        pull=fields.number("pull", 0),
        not_proved=fields.text("not_proved", ""),
    )


def deliveries(tags: Mapping[str, str]) -> tuple[Mapping[str, Delivered], Mapping[str, str]]:
    """Environment to what was delivered, and to why its tag cannot be read."""
    delivered: dict[str, Delivered] = {}
    unreadable: dict[str, str] = {}
    for tag, text in tags.items():
        if not tag.startswith(DELIVERED):
            continue
        environment = tag.removeprefix(DELIVERED)
        try:
            delivered[environment] = parse_delivered(text)
        except UnreadableError as problem:
            unreadable[environment] = f"the tag `{tag}` is not what was written: {problem}"
    return delivered, unreadable


def _delivered_request(fields: Fields) -> Request:
    return Request(
        id=fields.text("id"),
        version=fields.text("version"),
        action=fields.choice("action", ACTIONS),
        time=fields.text("time"),
        by=fields.text("by", ""),
        signed=fields.flag("signed"),
        reason=fields.text("reason", ""),
        rollout=fields.text("rollout", ""),
    )


def _identity(fields: Fields) -> Identity:
    return Identity(
        fields.number("created"), fields.text("run_id", ""), fields.text("model_id", "")
    )


def _commit(fields: Fields, name: str) -> str:
    """It is given to Git: nothing that Git could take for an option or a range."""
    commit = fields.text(name, "")
    if not COMMIT.fullmatch(commit) or ".." in commit:
        raise UnreadableError(f"`{name}` is no commit")
    return commit
