"""A pull request's text as Bitbucket takes it. PURE.

Bitbucket shows HTML as it is written and has no labels. So our mark is a link definition, which
nobody sees, a folded part is a heading, and the labels are the text's last line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlflow_gitops.adapters.forge.bodies import plain, shortened

__all__ = ["read", "written"]

LIMIT = 32_768  # characters
ROOM = 1_024  # of them for labels and escapes
MARK = re.compile(r"<!--\s*mlflow-gitops (\{.*?\})\s*-->", re.DOTALL)
HIDDEN = re.compile(r"^\[//\]: # \(mlflow-gitops (\{.*\})\)[ \t]*$", re.MULTILINE)
LABELS = re.compile(r"^Labels: (`[^`\n]+`(?:, `[^`\n]+`)*)[ \t]*$", re.MULTILINE)
SUMMARY = re.compile(r"<summary>(.*?)</summary>", re.DOTALL)
TAG = re.compile(r"</?details[^>\n]*>")
ESCAPES = {"(": "\\u0028", ")": "\\u0029"}  # what ends a link's title; JSON reads them as they were


def written(body: str, labels: Iterable[str]) -> str:
    """Return the description for a text and its labels."""
    text = TAG.sub("", SUMMARY.sub(r"\n**\1**\n", shortened(body, LIMIT - ROOM)))
    text = MARK.sub(_hidden, text)
    line = ", ".join(f"`{label}`" for label in labels)
    return plain(f"{text}\n\nLabels: {line}" if line else text)


def read(description: str) -> tuple[str, tuple[str, ...]]:
    """Return the text, with our mark as the other forges have it, and the labels.

    Only a line after the last mark names labels: what stands before may come from the registry.
    """
    text = plain(description)
    marks = list(HIDDEN.finditer(text))
    lines = list(LABELS.finditer(text, marks[-1].end() if marks else 0))
    if lines:
        text = text[: lines[-1].start()] + text[lines[-1].end() :]
    labels = re.findall(r"`([^`\n]+)`", lines[-1][1]) if lines else ()
    return plain(HIDDEN.sub(_shown, text)), tuple(labels)


def _hidden(found: re.Match[str]) -> str:
    values = "".join(ESCAPES.get(letter, letter) for letter in found[1])
    return f"[//]: # (mlflow-gitops {values})"


def _shown(found: re.Match[str]) -> str:
    values = found[1]
    for letter, escape in ESCAPES.items():
        values = values.replace(escape, letter)
    return f"<!-- mlflow-gitops {values} -->"
