"""Generates manifests as people write them, and knows where the two values are.

A file is a list of pieces: text that must survive, and slots for the URI and the label. The same
pieces with other values are what the edit has to give, so the check owes nothing to the editor.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

__all__ = ["HandWritten", "hand_written"]

URI, LABEL = "\0URI\0", "\0LABEL\0"
OLD_URI, OLD_LABEL = "s3://old-bucket/models/fraud/v12/", "12"


@dataclass(frozen=True)
class HandWritten:
    """`template` has slots; `uri_style` and `label_style` say how a value is written in them."""

    template: str
    uri_style: str
    label_style: str
    legacy: bool

    def text(self, uri: str = OLD_URI, label: str = OLD_LABEL, *, edited: bool = False) -> str:
        style = self.label_style
        if style == "plain number" and edited:
            style = "double"  # a plain number would be read as one
        return self.template.replace(URI, _written(uri, self.uri_style)).replace(
            LABEL, _written(label, style)
        )


def _written(value: str, style: str) -> str:
    if style == "double":
        return f'"{value}"'
    if style == "single":
        return f"'{value}'"
    return f"v{value}" if style == "plain word" else value


COMMENTS = (
    "# storageUri: s3://not/this/one/",
    '# model-version: "9"\tuntil\twhen?',
    "#",
    "# größer, 模型, ✓ — & * ! | > % @ `",
    "# name: fraud-detector # twice",
)
EXTRA_ROOT = (
    "x-notes: {storageUri: s3://not/this/either/, model-version: '3'}",
    "x-list:\n- storageUri: s3://no/\n-   model-version: 4",
    "x-anchored: &here {a: 1, b: [1, 2]}\nx-used: *here",
    "x-text: |\n  storageUri: s3://in/a/text/\n    model-version: 5\n\n  end",
    "x-folded: >+\n  kept\n\n",
    'x-quoted: "a\\tb \\u00e9 # no comment"',
    "x-empty:",
)
OTHER_DOCUMENTS = (
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: fraud-detector\ndata:\n  storageUri: s3://c/",
    "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n  name: other\n"
    "  labels: {model-version: '12'}\nspec:\n  predictor:\n    model:\n"
    "      storageUri: s3://old-bucket/models/fraud/v12/",
    "# nothing but a comment\nkind: Service\napiVersion: v1\nmetadata: {name: fraud-detector}",
    '{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}',
)


@st.composite
def hand_written(draw: st.DrawFn, *, labelled: bool = True) -> HandWritten:
    step = draw(st.sampled_from([2, 3, 4, 8]))
    legacy = draw(st.booleans())
    uri_style = draw(st.sampled_from(["plain", "plain", "single", "double", "block", "below"]))
    label_style = draw(st.sampled_from(["double", "single", "plain word", "plain number"]))
    sections = [
        ["apiVersion: serving.kserve.io/v1beta1"],
        ["kind: InferenceService"],
        _metadata(draw, step) if labelled else _metadata_without(draw, step),
        _spec(draw, step, uri_style, legacy=legacy),
    ]
    sections += [
        [extra] for extra in draw(st.lists(st.sampled_from(EXTRA_ROOT), max_size=2, unique=True))
    ]
    lines = [line for section in draw(st.permutations(sections)) for line in section]
    document = "\n".join(_decorated(draw, lines))
    text = _file(draw, document)
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    if draw(st.integers(0, 4)) == 0:
        text = "\ufeff" + text
    return HandWritten(text, uri_style, label_style, legacy)


def _metadata(draw: st.DrawFn, step: int) -> list[str]:
    pad = " " * step
    if draw(st.integers(0, 4)) == 0:
        return [f"metadata: {{ name: fraud-detector,labels: {{a: b , model-version: {LABEL}}} }}"]
    name = draw(
        st.sampled_from(
            ["name: fraud-detector", "name: 'fraud-detector'", '"name":   fraud-detector']
        )
    )
    labels = [
        f"{pad}{pad}team: risk",
        f"{pad}{pad}model-version:{draw(st.sampled_from([' ', '   ']))}{LABEL}",
    ]
    if draw(st.booleans()):
        labels.reverse()
    if draw(st.integers(0, 3)) == 0:
        blocks = [[f"{pad}{name}"], [f"{pad}labels: {{model-version: {LABEL}, team: risk}}"]]
    else:
        blocks = [[f"{pad}{name}"], [f"{pad}labels:", *labels]]
    if draw(st.booleans()):
        blocks.append([f"{pad}annotations: &notes", f"{pad}{pad}model-version: '1'"])
    head = draw(st.sampled_from(["metadata:", '"metadata":', "metadata: # what it is"]))
    return [head, *(line for block in draw(st.permutations(blocks)) for line in block)]


def _metadata_without(draw: st.DrawFn, step: int) -> list[str]:
    """Forms of metadata in which nobody wrote the label yet."""
    pad = " " * step
    forms = [
        ["metadata:", f"{pad}name: fraud-detector"],
        ["metadata: {name: fraud-detector}"],
        ["metadata: { name: fraud-detector, labels: {} }"],
        ["metadata:", f"{pad}labels: {{}}", f"{pad}name: fraud-detector"],
        ["metadata:", f"{pad}labels:", f"{pad}name: fraud-detector"],
        ["metadata:", f"{pad}name: fraud-detector", f"{pad}labels:", f"{pad}{pad}team: risk"],
        ["metadata:", f"{pad}labels: {{team: risk,}}", f"{pad}name: fraud-detector"],
        ["metadata:", f"{pad}annotations: {{a: b}}", f"{pad}name: 'fraud-detector'"],
        [
            "metadata:",
            f"{pad}labels:",
            f"{pad}  t: |+",
            f"{pad}    x",
            f"{pad}name: fraud-detector",
        ],
    ]
    return draw(st.sampled_from(forms))


def _spec(draw: st.DrawFn, step: int, uri_style: str, *, legacy: bool) -> list[str]:
    one, two, three = (" " * (step * depth) for depth in (1, 2, 3))
    key = "sklearn" if legacy else "model"
    uri = {
        "block": [f"{three}storageUri: >-", f"{three}  {URI}"],
        "below": [f"{three}storageUri:", f"{three}  {URI}"],
    }.get(uri_style, [f"{three}storageUri: {URI}"])
    entries = [
        uri,
        [
            f"{three}env:",
            f"{three}- name: A",
            f"{three}  value: 's3://old-bucket/models/fraud/v12/'",
        ],
        [f"{three}resources: {{limits: {{cpu: '1'}}}}"],
    ]
    if not legacy:
        entries.append([f"{three}modelFormat:", f"{three} name: mlflow"])
    if uri_style not in ("block", "below") and draw(st.integers(0, 5)) == 0:
        model = [f"{two}{key}: {{ runtime: r, storageUri: {URI} }}"]
    else:
        model = [
            f"{two}{key}:",
            *(line for entry in draw(st.permutations(entries)) for line in entry),
        ]
    blocks = [model, [f"{two}minReplicas: 1"], [f"{two}logger: {{storage: {{path: p}}}}"]]
    predictor = [line for block in draw(st.permutations(blocks)) for line in block]
    return ["spec:", f"{one}predictor:", *predictor]


def _decorated(draw: st.DrawFn, lines: list[str]) -> list[str]:
    """Comments, blank lines and trailing comments, where YAML allows them."""
    found: list[str] = []
    for line in lines:
        choice = draw(st.integers(0, 9))
        if choice == 0:
            found.append(" " * draw(st.sampled_from([0, 1, 7])) + draw(st.sampled_from(COMMENTS)))
        elif choice == 1:
            found.append(draw(st.sampled_from(["", "   "])))
        scalar = "\n" not in line and not line.rstrip().endswith((">-", "|")) and "#" not in line
        if choice == 2 and scalar and not line.lstrip().startswith((URI, "x-")):
            found.append(line + draw(st.sampled_from(["  # why", " #", "   ", "\t# tab"])))
            continue
        if choice in (0, 1) and line.lstrip().startswith(URI):
            found.pop()  # inside a block scalar it would be content
        found.append(line)
    return found


def _file(draw: st.DrawFn, document: str) -> str:
    others = draw(st.lists(st.sampled_from(OTHER_DOCUMENTS), max_size=1))
    at = draw(st.integers(0, len(others)))
    documents = [*others[:at], document, *others[at:]]
    separator = draw(st.sampled_from(["\n---\n", "\n...\n---\n", "\n--- # next\n"]))
    start = draw(st.sampled_from(["", "---\n", "# licence\n---\n", "\n\n"]))
    end = draw(st.sampled_from(["\n", "", "\n\n\n", "\n# the end\n", "\n...\n", "\n# the end"]))
    return start + separator.join(documents) + end
