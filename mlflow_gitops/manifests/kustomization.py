"""A kustomization file as values: what it reaches and in which order its patches apply.

kustomize applies `patchesStrategicMerge`, then `patches`, then `patchesJson6902`. Nothing is
rendered here; what would change a URI or a label behind our back is told as `obstacles`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.nodes import (
    Node,
    child,
    entries,
    is_mapping,
    is_null,
    is_scalar,
    items,
    own_entry,
    parse,
    text_of,
)

__all__ = [
    "FILE_NAMES",
    "PATCHES",
    "URI_PATHS",
    "Kustomization",
    "Obstacle",
    "PatchEntry",
    "Target",
    "is_inline",
    "plain_form",
    "read_kustomization",
]

URI_PATHS = ("storageUri", "spec.model.uri", "storage.path", "STORAGE_URI")
LONGEST_NAME = 63  # characters of a service's name, since it becomes a DNS label
LONGEST_PATTERN = 1000
MOST_REPEATS, MOST_BRANCHES = 3, 8
REPEAT = re.compile(r"[*+?{]")
REPEATED_GROUP = re.compile(r"\)[*+?{]")

PATCHES = ("patchesStrategicMerge", "patches", "patchesJson6902")
"""The fields with patches, in the order in which kustomize applies them."""

FILE_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")

_REF = r"[A-Za-z0-9_./][A-Za-z0-9_./-]*"
_PLAIN_FORM = re.compile(
    r"(?:apiVersion: kustomize\.config\.k8s\.io/v1beta1\n|kind: Kustomization\n"
    r"|namespace: (?P<namespace>(?!null\n)[a-z][-a-z]*)\n|#[ -~]*\n|\n)*"
    rf"resources:\n(?P<resources>(?P<indent> *)- {_REF}\n(?:(?P=indent)- {_REF}\n)*)"
    r"(?:patches:\n *- path: (?P<path>[A-Za-z_][A-Za-z0-9_-]*\.ya?ml)\n)?"
)


@dataclass(frozen=True, slots=True)
class Target:
    """Which objects a patch applies to: anchored regular expressions, "" for any."""

    kind: str = ""
    name: str = ""
    group: str = ""
    version: str = ""
    namespace: str = ""
    selector: str = ""

    def may_match(
        self, kind: str, name: str, group: str, version: str, namespaces: Iterable[str]
    ) -> bool:
        """`namespaces` are the object's first and its present one: either counts."""
        pairs = ((self.kind, kind), (self.name, name), (self.group, group), (self.version, version))
        return all(not pattern or _matches(pattern, value) for pattern, value in pairs) and (
            not self.namespace or any(_matches(self.namespace, each) for each in namespaces)
        )

    def is_only(self, name: str) -> bool:
        """Whether no other service can match."""
        return self.name == name


def _matches(pattern: str, value: str) -> bool:
    """`pattern` was checked by `_is_slow`."""
    try:
        return len(value) <= LONGEST_NAME and re.fullmatch(pattern, value) is not None
    except (re.error, OverflowError, RecursionError):
        return pattern == value


def _is_slow(pattern: str) -> bool:
    """Whether `re` might take long for it: it goes back, where Go's expressions never do.

    Time grows with the repeats and branches that follow one another, and has no bound where a
    repeat is itself repeated.
    """
    if len(pattern) > LONGEST_PATTERN or REPEATED_GROUP.search(pattern):
        return True
    is_flat = not any(sign in pattern for sign in "([")
    if not is_flat and pattern.count("|") > MOST_BRANCHES:
        return True
    parts = pattern.split("|") if is_flat else [pattern]
    return any(len(REPEAT.findall(part)) > MOST_REPEATS for part in parts)


@dataclass(frozen=True, slots=True)
class PatchEntry:
    """One entry of a list of patches: a `path`, or the text that stands `inline`.

    `field` and `index` say where the entry is in its kustomization.
    """

    field: str
    index: int
    path: str = ""
    inline: str = ""
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something that renders or changes services in a way that is not followed.

    `service` is the one that it concerns, "" for any. With `hides`, it may render services that
    no file of the tree shows; else it overrides values: those of the labels at `label`, or the URI
    where that is "".
    """

    what: str
    service: str = ""
    hides: bool = False
    label: str = ""

    def concerns(self, label: str) -> bool:
        """Whether it matters where this is the label that carries the version."""
        return not self.label or (bool(label) and f".{self.label}".endswith(f".{label}"))


@dataclass(frozen=True, slots=True)
class Kustomization:
    """`listed` are (field, index, reference), of what is included, in order.

    `replacements` are files of replacements: their text is looked at, nothing more. `transformers`
    are files, folders or texts of what changes all objects after the patches. `prefix` and `suffix`
    go around every name. `renames` says that an inline replacement sets names.
    """

    listed: tuple[tuple[str, int, str], ...] = ()
    patches: tuple[PatchEntry, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    replacements: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    namespace: str = ""
    transformers: tuple[str, ...] = ()
    prefix: str = ""
    suffix: str = ""
    renames: bool = False


def plain_form(text: str) -> re.Match[str] | None:
    """The groups `resources`, `path` (of its only patch) and `namespace` of the commonest form."""
    return _PLAIN_FORM.fullmatch(text)


def read_kustomization(text: str, where: str) -> Kustomization:
    plain = plain_form(text)
    if plain is not None:
        return _from_plain_form(plain)
    root = next(iter(parse(text, where)), None)
    if root is None or is_null(root):
        return Kustomization()
    if not is_mapping(root):
        raise ManifestError("not a kustomization", where=where, hint="it must be a mapping")
    listed = tuple(
        (field, index, text_of(node) or "")
        for field in ("resources", "bases", "components")
        for index, node in enumerate(_list(root, field, where))
    )
    return Kustomization(
        listed=listed,
        patches=tuple(_patches(root, where)),
        obstacles=tuple(_obstacles(root, where)),
        replacements=tuple(
            text_of(child(each, "path")) or "" for each in _list(root, "replacements", where)
        ),
        components=tuple(reference for field, _, reference in listed if field == "components"),
        namespace=text_of(child(root, "namespace", where=where)) or "",
        transformers=tuple(text_of(each) or "" for each in _list(root, "transformers", where)),
        prefix=text_of(child(root, "namePrefix", where=where)) or "",
        suffix=text_of(child(root, "nameSuffix", where=where)) or "",
        renames="metadata.name" in _replaced(root, where),
    )


def _from_plain_form(found: re.Match[str]) -> Kustomization:
    """The commonest form, without a YAML parser: ten times as fast, and thousands are read."""
    lines = enumerate(found["resources"].splitlines())
    listed = tuple(("resources", index, line.strip()[2:]) for index, line in lines)
    path = found["path"]
    patches = (PatchEntry("patches", 0, path),) if path else ()
    return Kustomization(listed, patches=patches, namespace=found["namespace"] or "")


def _list(root: Node, key: str, where: str) -> list[Node]:
    own = own_entry(root, key, where)
    value = own[1] if own else child(root, key, where=where)
    if value is None or is_null(value):
        return []
    if value.id != "sequence":
        raise ManifestError(f"`{key}` is no list", where=where, hint="write it as a list")
    return items(value)


def is_inline(entry: str) -> bool:
    """Whether an entry of a list is YAML itself, and not a path."""
    return "\n" in entry.strip() or ": " in entry


def _patches(root: Node, where: str) -> Iterator[PatchEntry]:
    for index, node in enumerate(_list(root, "patchesStrategicMerge", where)):
        value = text_of(node) or ""
        path, inline = ("", value) if is_inline(value) else (value.strip(), "")
        yield PatchEntry("patchesStrategicMerge", index, path, inline)
    for key in ("patches", "patchesJson6902"):
        for index, node in enumerate(_list(root, key, where)):
            if is_scalar(node):
                yield PatchEntry(key, index, path=text_of(node) or "")
                continue
            yield PatchEntry(
                key,
                index,
                path=text_of(child(node, "path", where=where)) or "",
                inline=text_of(child(node, "patch", where=where)) or "",
                target=_target(child(node, "target", where=where), where),
            )


def _target(node: Node, where: str) -> Target | None:
    if not is_mapping(node):
        return None

    def at(key: str) -> str:
        return text_of(child(node, key, where=where)) or ""

    selector = at("labelSelector") + at("annotationSelector")
    patterns = [at(key) for key in ("kind", "name", "group", "version", "namespace")]
    for pattern in filter(_is_slow, patterns):
        raise ManifestError(
            f"the pattern `{pattern[:60]}` of a patch's target is too complex to be followed",
            where=where,
            hint="write it with fewer `*`, `+`, `?` and `|`, and repeat no group",
        )
    kind, name, group, version, namespace = patterns
    return Target(kind, name, group, version, namespace, selector)


def _replaced(root: Node, where: str) -> list[str]:
    """The field paths of every inline replacement."""
    return [
        path
        for replacement in _list(root, "replacements", where)
        for target in items(child(replacement, "targets"))
        for path in _paths_of(target)
    ]


def _paths_of(target: Node) -> list[str]:
    return [text_of(path) or "" for path in items(child(target, "fieldPaths"))]


def _obstacles(root: Node, where: str) -> Iterator[Obstacle]:
    for key in ("helmCharts", "helmChartInflationGenerator", "generators"):
        if _list(root, key, where):
            yield Obstacle(f"`{key}`", hides=True)
    for replacement in _list(root, "replacements", where):
        for target in items(child(replacement, "targets")):
            name = text_of(child(target, "select", "name")) or ""
            for path in _paths_of(target):
                if any(word in path for word in URI_PATHS):
                    yield Obstacle("`replacements`", name)
                elif "labels" in path:
                    key = path.replace("[", "").replace("]", "")
                    yield Obstacle("`replacements`", name, label=key)
    labels = [child(each, "pairs") for each in _list(root, "labels", where)]
    for node in (*labels, child(root, "commonLabels", where=where)):
        for key, _ in entries(node):
            yield Obstacle(f"a `{key}` label for all resources", label=key)
