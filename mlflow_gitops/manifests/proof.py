"""Whether an edit does to the built objects what it is meant to do, and nothing else. PURE.

An edit that is right as text may still deploy nothing: a transformer, a prefix or an outer patch
may set another value. So the objects before and after are compared. Exactly the wanted objects may
differ, in exactly the wanted values, and each is there once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.facts import KINDS
from mlflow_gitops.manifests.fields import FRAMEWORKS
from mlflow_gitops.manifests.nodes import (
    Node,
    child,
    is_mapping,
    is_scalar,
    is_sequence,
    text_of,
)
from mlflow_gitops.manifests.objects import (
    Compared,
    Difference,
    ObjectId,
    compare,
    differences,
    documents_with,
)
from mlflow_gitops.state import LABEL, ServiceSpec

__all__ = ["PROVED", "Built", "Intent", "Proof", "check_built"]

MOST_TEXT = 200  # characters of a value in a message


@dataclass(frozen=True, slots=True)
class Intent:
    """What one edit is meant to do. `before` and `after` are None where the service is absent.

    `name` is the object's in the build, with the prefixes and suffixes of its kustomizations.
    `is_elsewhere` says that a rule or a marker names the value: it may be in any object. `label` is
    the key of the label that carries the version, "" for none.
    """

    name: str
    before: ServiceSpec | None
    after: ServiceSpec | None
    is_elsewhere: bool = False
    label: str = LABEL


@dataclass(frozen=True, slots=True)
class Proof:
    """`why` says in one sentence why the edit is not proved, "" where it is."""

    why: str = ""

    @property
    def is_proved(self) -> bool:
        return not self.why


PROVED = Proof()


@dataclass(frozen=True, slots=True)
class Built:
    """One environment before and after an edit, each as texts of YAML documents.

    `place` names the environment's folder, `files` are the texts that were built, after the edit.
    """

    before: Sequence[str]
    after: Sequence[str]
    place: str
    files: Mapping[str, str]


def check_built(built: Built, intents: Sequence[Intent]) -> Proof:
    """Raise ManifestError where the build does not do what the intents say, and only that.

    A value in another object than a service proves nothing of the service that is made of it.
    """
    compared = compare(built.before, built.after, built.place)
    explained: set[ObjectId] = set()
    why = ""
    for intent in intents:
        found = _found(intent, compared, built)
        explained |= found
        if intent.is_elsewhere and not any(key.kind in KINDS for key in found):
            why = why or f"no build here shows what is made of {min(found)}"
    for key in (*compared.changed, *compared.removed):
        if key not in explained:
            raise _collateral(key, compared, built)
    additions = [key for key in compared.added if key not in explained]
    is_scaffold = any(intent.before is None for intent in intents)
    for key in additions:
        if not is_scaffold or key.kind in KINDS:
            raise _collateral(key, compared, built)
    if compared.twice:
        raise ManifestError(
            f"the edit would apply {compared.twice[0]} twice",
            where=built.place,
            hint="remove or rename one of the two",
        )
    return Proof(why)


def _found(intent: Intent, compared: Compared, built: Built) -> set[ObjectId]:
    """The objects that the intent explains. Raises ManifestError where it is not fulfilled."""
    if intent.after is None:
        return _retired(intent, compared, built)
    candidates: dict[ObjectId, list[Difference]] = {
        key: differences(*pair)
        for key, pair in compared.changed.items()
        if intent.is_elsewhere or (key.kind in KINDS and key.name == intent.name)
    }
    if intent.is_elsewhere:
        kept = {
            key
            for key, found in candidates.items()
            if all(_is_meant(key, each, intent.after) for each in found)
        }
        if not kept:
            raise ManifestError(
                f"the edit changes no object that {built.place or 'the repository'} builds",
                where=built.place,
                hint="let the rule or the marker name the value that the build uses",
            )
        return kept
    added = {k for k in compared.added if k.kind in KINDS and k.name == intent.name}
    if not candidates and not added:
        raise _without_effect(intent, compared, built)
    for key, found in candidates.items():
        for each in found:
            if not _is_meant(key, each, intent.after):
                raise _collateral(key, compared, built)
    _check_once(intent, built)
    for key in (*candidates, *added):
        node = compared.changed[key][1] if key in compared.changed else compared.added[key]
        _check_values(key, node, intent, built)
    return {*candidates, *added}


def _retired(intent: Intent, compared: Compared, built: Built) -> set[ObjectId]:
    gone = {k for k in compared.removed if k.kind in KINDS and k.name == intent.name}
    if not gone:
        left = next(iter(_named(built, intent.name)), None)
        where = _file_with(built, intent.name) if left else built.place
        raise ManifestError(
            f"the edit would remove nothing: "
            f"{f'{left[0]} is still built' if left else f'no build has `{intent.name}`'}",
            where=where,
            hint="remove by hand what brings the service in",
        )
    return gone


def _check_once(intent: Intent, built: Built) -> None:
    found = sorted(key for key, _ in _named(built, intent.name))
    if len(found) > 1:
        raise ManifestError(
            f"`{intent.name}` would be built {len(found)} times: {', '.join(map(str, found))}",
            where=built.place,
            hint="keep one of them in this environment; a name may be made by variables, "
            "replacements or prefixes",
        )


def _check_values(key: ObjectId, node: Node, intent: Intent, built: Built) -> None:
    assert intent.after is not None
    uri = intent.after.uri
    values = dict(_scalars(child(node, "spec")))
    if uri not in values.values() and not any(_is_path_of(v, uri) for v in values.values()):
        place, value = next(
            ((".".join(("spec", *p)), v) for p, v in values.items() if "uri" in p[-1].lower()),
            ("spec", ""),
        )
        raise _other_value(key, place, value, built)
    _check_one_framework(key, node, built)
    label = text_of(child(node, "metadata", "labels", intent.label)) if intent.label else None
    if intent.label and label != intent.after.version:
        raise ManifestError(
            f"the edit would not set the version: {key} is still built with the label "
            f"{intent.label} `{_short(label or '')}`",
            where=_setter_of_label(intent, built),
            hint="remove what sets this label, or let it hold the service's own version",
        )


def _check_one_framework(key: ObjectId, node: Node, built: Built) -> None:
    """What sets a value in the build may make a second framework beside the edited one."""
    keys = [name for name in FRAMEWORKS if is_mapping(child(node, "spec", "predictor", name))]
    if len(keys) > 1:
        raise ManifestError(
            f"{key} would be built with {' and '.join(f'spec.predictor.{each}' for each in keys)}: "
            "KServe serves one of them and ignores the other without a word",
            where=_file_with(built, *(f"predictor{sep}{each}" for each in keys for sep in "./")),
            hint="keep one: remove what adds the other",
        )


def _setter_of_label(intent: Intent, built: Built) -> str:
    """A built file with the label that does not have the new version."""
    assert intent.after is not None
    texts = sorted(built.files.items())
    named = (path for path, text in texts if intent.label in text and intent.after.uri not in text)
    return next(named, built.place)


def _without_effect(intent: Intent, compared: Compared, built: Built) -> ManifestError:
    """Nothing of the wanted object changed: say which value wins, or under which name it is."""
    found = next(iter(_named(built, intent.name)), None)
    if found is not None:
        key, node = found
        values = dict(_scalars(child(node, "spec")))
        for path, value in values.items():
            if path[-1].lower().endswith("uri") or path[-1] == "path":
                return _other_value(key, ".".join(("spec", *path)), value, built)
        return ManifestError(
            f"the edit would deploy nothing: {key} is built without a URI",
            where=built.place,
            hint="look at what removes it from the build",
        )
    other = next((k for k in (*compared.changed, *compared.added) if k.kind in KINDS), None)
    if other is not None:
        where = _file_with(built, "namePrefix:", "nameSuffix:", "vars:", "replacements:")
        return ManifestError(
            f"the service is built under another name: `{other.name}`, not `{intent.name}`",
            where=where,
            hint=f"map the model to that name in the settings (services: {{<model>: "
            f"{other.name}}}), or remove what renames it",
        )
    renamed = next(
        (key for key, _ in documents_with(built.after, intent.name) if key.kind in KINDS), None
    )
    shown = f", but it builds `{renamed.name}`" if renamed else ""
    return ManifestError(
        f"the edit would deploy nothing: the build has no `{intent.name}`{shown}",
        where=_file_with(built, "namePrefix:", "nameSuffix:", "vars:") if renamed else built.place,
        hint="give the service one name in all of its files, without prefixes and variables",
    )


def _other_value(key: ObjectId, place: str, value: str, built: Built) -> ManifestError:
    return ManifestError(
        f"the edit would deploy nothing: {key} is still built with {place} `{_short(value)}`",
        where=_file_with(built, value),
        hint="remove what sets this value, or let it hold the service's own value",
    )


def _collateral(key: ObjectId, compared: Compared, built: Built) -> ManifestError:
    if key in compared.changed:
        first = differences(*compared.changed[key])[0]
        what = f"change {first.place} of {key}"
    else:
        what = f"{'add' if key in compared.added else 'remove'} {key}"
    return ManifestError(
        f"the edit would also {what}",
        where=built.place,
        hint="give each service files of its own, or make this change by hand",
    )


def _is_meant(key: ObjectId, difference: Difference, spec: ServiceSpec) -> bool:
    """Whether every value that the difference brings is the wanted URI or version."""
    if difference.after is None:
        return False
    leaves = list(_scalars(difference.after))
    if not leaves:
        return False
    for below, value in leaves:
        path = (*difference.path, *below)
        if key.kind in KINDS and path[:1] not in (("spec",), ("metadata",)):
            return False
        is_uri = value == spec.uri or _is_path_of(value, spec.uri)
        is_version = value == spec.version
        if not (is_uri or is_version or _is_edited_text(difference, value, spec)):
            return False
    return True


def _is_path_of(value: str, uri: str) -> bool:
    """Whether it is the URI without its bucket, as `storage.path` has it."""
    rest = uri.partition("://")[2].partition("/")[2]
    return bool(rest) and value.strip("/") == rest.strip("/")


def _is_edited_text(difference: Difference, value: str, spec: ServiceSpec) -> bool:
    """Whether only lines of a text that now name the URI or the version differ."""
    before = text_of(difference.before)
    if before is None or "\n" not in value:
        return False
    old, new = before.split("\n"), value.split("\n")
    changed = [now for was, now in zip(old, new, strict=False) if was != now]
    return len(old) == len(new) and all(spec.uri in n or spec.version in n for n in changed)


def _scalars(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every scalar below a node, as text; a node that is met again is passed over."""
    todo, seen = [(path, node)], set()
    while todo:
        here, each = todo.pop()
        if each is None or (id(each) in seen and not is_scalar(each)):
            continue
        seen.add(id(each))
        if is_scalar(each):
            yield here, str(each.value)
        elif is_mapping(each):
            todo += [((*here, str(key.value)), value) for key, value in reversed(each.value)]
        elif is_sequence(each):
            todo += [((*here, str(i)), value) for i, value in enumerate(each.value)]


def _named(built: Built, service: str) -> Iterable[tuple[ObjectId, Node]]:
    """The serving objects of this name after the edit."""
    return [
        (key, node)
        for key, node in documents_with(built.after, service)
        if key.kind in KINDS and key.name == service
    ]


def _file_with(built: Built, *texts: str) -> str:
    """The built file that has one of the texts, else the environment's folder."""
    found = (path for path, text in sorted(built.files.items()) if any(t in text for t in texts))
    return next((path for path in found if texts[0]), built.place)


def _short(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= MOST_TEXT else f"{line[:MOST_TEXT]}..."
