"""Takes one document out of a file that holds several."""

from __future__ import annotations

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.nodes import document_starts, is_null, parse
from mlflow_gitops.manifests.verify import differences

__all__ = ["remove_document"]


def remove_document(text: str, index: int, where: str) -> str | None:
    """The text without the document; None where no other is left."""
    before = parse(text, where)
    if all(is_null(root) for place, root in enumerate(before) if place != index):
        return None
    start, end = _span(text, index, where)
    new = text[:start] + text[end:]
    after = parse(new, where)
    kept = [root for place, root in enumerate(before) if place != index]
    same = len(kept) == len(after) and not any(
        list(differences(one, two)) for one, two in zip(kept, after, strict=True)
    )
    if not same:
        raise ManifestError(
            "its documents cannot be told apart",
            where=where,
            hint="put `---` before each of them",
        )
    return new


def _span(text: str, index: int, where: str) -> tuple[int, int]:
    """From the document's `---` (or its first character) to the next one's."""
    starts = document_starts(text, where)
    if index >= len(starts):
        raise ManifestError("its documents cannot be told apart", where=where, hint="split it up")
    end = starts[index + 1] if index + 1 < len(starts) else len(text)
    return starts[index], end
