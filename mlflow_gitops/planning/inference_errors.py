"""What a server's refusal of a prediction means for people, in the server's own words. PURE."""

from __future__ import annotations

import html
import re
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from mlflow_gitops.errors import (
    ConfigError,
    GitOpsError,
    PredictionError,
    RequestError,
    TransientError,
)
from mlflow_gitops.planning.foreign import one_line
from mlflow_gitops.planning.inference import parsed
from mlflow_gitops.state import Reply

__all__ = ["refused", "words"]

DEEPEST = 8
KEYS = ("error", "message", "detail", "msg", "reason")
OPENING = re.compile(r"<(script|style|head)\b|<!--", re.IGNORECASE)
CLOSING = re.compile(r"</(script|style|head)\s*>|-->", re.IGNORECASE)
TAG = re.compile(r"<[^<>]*>")
TRACEBACK = "Traceback (most recent call last):"
FRAME = re.compile(r'\s+File "')
BUSY = frozenset({408, 429, 502, 503, 504})


def words(answer: Reply) -> str:
    """What the server said, on one short printable line; "" where it said nothing."""
    found = parsed(answer.body)
    return one_line(_raised(_said(found) if found is not None else _text(answer)))


def refused(answer: Reply, where: str, model: str, taken: str = "") -> GitOpsError:
    """`model` is the name that was asked for; `taken` what it takes and what was sent, if known."""
    said = words(answer)
    told = f"HTTP {answer.status}: {said}" if said else f"HTTP {answer.status}"
    if 300 <= answer.status < 400:
        return ConfigError(
            f"the address sends us to another one, which is not followed (HTTP {answer.status})",
            where=where,
            hint="set `environments.<name>.endpoint.url` to the address that answers itself",
        )
    if answer.status in (401, 403):
        return ConfigError(
            f"the service does not let us in ({told})",
            where=where,
            hint="set MLFLOW_GITOPS_PREDICT_TOKEN or MLFLOW_GITOPS_PREDICT_TOKEN_FILE to a token "
            "that it accepts",
        )
    if answer.status in (404, 405):
        return PredictionError(
            f"there is no `{model}` to ask at this address ({told})",
            where=where,
            hint="the model may not be loaded, or its server speaks another protocol: look at "
            "`endpoint` of the environment in mlflow-gitops.yaml, and at the pod's log",
        )
    if answer.status in BUSY:
        return TransientError(
            f"the service cannot answer now ({told})",
            where=where,
            hint="wait until the pod is ready (`kubectl get inferenceservice`), then ask again",
        )
    hint = "compare the input with the model's signature" + (f": {taken}" if taken else "")
    if answer.status < 500:
        return RequestError(f"the service refuses the input ({told})", where=where, hint=hint)
    return PredictionError(
        f"the service failed on the input ({told})",
        where=where,
        hint=f"{hint}; the pod's log has the server's traceback",
    )


def _raised(text: str) -> str:
    """MLServer answers with a whole traceback while its `debug` is on: the error at its end."""
    _, traceback, frames = text.rpartition(TRACEBACK)
    if not traceback:
        return text
    lines = frames.splitlines()
    last = max((i for i, line in enumerate(lines) if FRAME.match(line)), default=-1)
    error = (i for i, line in enumerate(lines) if i > last and line[:1].strip())
    return "\n".join(lines[next(error, 0) :])


def _text(answer: Reply) -> str:
    text = answer.body[: 64 * 1024].decode(errors="replace")
    if "html" in answer.kind.lower() or text.lstrip()[:1] == "<":
        return html.unescape(TAG.sub(" ", _visible(text)))
    return text


def _visible(page: str) -> str:
    """The page without scripts, styles, its head and comments. Reads it once."""
    closings: dict[str, list[tuple[int, int]]] = {}
    for found in CLOSING.finditer(page):
        closings.setdefault((found[1] or "").lower(), []).append(found.span())
    kept, at = [], 0
    for found in OPENING.finditer(page):
        if found.start() < at:
            continue
        ends = closings.get((found[1] or "").lower(), [])
        index = bisect_left(ends, (found.end(), 0))
        if index < len(ends):
            kept.append(page[at : found.start()])
            at = ends[index][1]
    return " ".join([*kept, page[at:]])


def _said(found: Any, depth: int = 0) -> str:
    """Of `{"error": …}`, `{"error_code": …, "message": …}`, `{"detail": [{"msg": …}]}`, …"""
    if depth > DEEPEST:
        return ""
    if isinstance(found, Mapping):
        return _said(next((found[key] for key in KEYS if found.get(key)), None), depth + 1)
    if isinstance(found, list):
        return "; ".join(filter(None, (_said(each, depth + 1) for each in found[:3])))
    return str(found) if found is not None else ""
