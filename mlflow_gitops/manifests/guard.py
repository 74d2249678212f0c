"""Refuses edits that would replace something else than a model's URI and its version.

An edit is computed before a byte is published: what is refused here has had no effect at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.advice import About, Advice
from mlflow_gitops.manifests.fields import label_field
from mlflow_gitops.manifests.located import Spot, is_plain_number, node_of, scalar_at, shown
from mlflow_gitops.manifests.nodes import Node, child, parse, text_of
from mlflow_gitops.manifests.patches import Setter
from mlflow_gitops.manifests.replaceable import (
    label_complaint,
    uri_complaint,
    version_complaint,
    version_in,
)
from mlflow_gitops.manifests.services import Service
from mlflow_gitops.state import ServiceSpec

__all__ = ["Guard", "holds_texts"]


@dataclass(frozen=True, slots=True)
class Guard:
    """Its methods raise ManifestError, with the rule that would work where there is one."""

    advice: Advice

    def check_secret(
        self, roots: Sequence[Node], file: str, uri: Spot, version: Spot | None
    ) -> None:
        """Check values in a Secret: what is neither a URI nor a version is not even read."""
        for spot in filter(None, (uri, version)):
            if text_of(child(_object_at(roots, spot), "kind")) != "Secret":
                continue
            where = f"{file}:{spot.line}"
            if "data" in (spot.path if spot.text is None else spot.text)[:-1]:
                raise ManifestError(
                    f"`{spot.shown}` is in the `data` of a Secret, which is base64",
                    where=where,
                    hint="write it under `stringData`, or in a ConfigMap",
                )
            wrong = (
                uri_complaint(uri.value) if spot is uri else _version_complaint(roots, uri, spot)
            )
            if wrong:
                what = "a model URI" if spot is uri else "a version"
                raise ManifestError(
                    f"`{spot.shown}` of a Secret is not {what}",
                    where=where,
                    hint="correct the path in the settings",
                )

    def check_uri(self, file: str, uri: Spot, *, by_rule: bool, about: About) -> None:
        """Check the URI that a rule (or else a marker) leads to."""
        what = uri_complaint(uri.value)
        if what:
            hint = self._way_out(uri, what, by_rule, about)
            raise _kept(uri.shown, what, "model URIs", f"{file}:{uri.line}", hint)

    def check_version(
        self, roots: Sequence[Node], file: str, uri: Spot, version: Spot, *, by_rule: bool
    ) -> None:
        """Check the version that a rule (or else a marker) leads to."""
        what = _version_complaint(roots, uri, version)
        if what:
            wrong = "`version-path` in the settings" if by_rule else "the marker"
            hint = f"correct {wrong}; or write the version there, or nothing: then it is set"
            raise _kept(version.shown, what, "the version", f"{file}:{version.line}", hint)

    def check_service(self, service: Service, spec: ServiceSpec, about: About) -> None:
        """Check what a service of KServe says itself, in its base or a patch."""
        current, fields = service.spec, service.fields
        if current.uri != spec.uri:
            what = uri_complaint(current.uri)
            if what:
                raise self._refused(service, service.uri_field, what, about)
        if service.label and current.version != spec.version:
            name = label_field(service.label)
            what = label_complaint(fields.get(name))
            if what:
                raise self._refused(service, name, what, about)

    def _refused(self, service: Service, name: str, what: str, about: About) -> ManifestError:
        setter = next(each for each in reversed(service.setters) if name in each.fields)
        path = setter.path_of(name) or ()
        fields = service.fields
        label = label_field(service.label)
        value, version = fields.get(service.uri_field, ""), fields.get(label, "")
        hint = "write a URI there, or nothing: then it is set"
        if name == label:
            hint = "write the version there, or leave the label out"
        elif "${" in value:
            rule = self.advice.filled_in(about, value, version)
            hint = f"promote the value that is filled in, by a rule in the settings: {rule}"
        elif what.endswith("fills in"):
            hint = f"promote the value that is filled in, by a rule: {self.advice.any_rule(about)}"
        only = "the version" if name == label else "model URIs"
        return _kept(shown(path), what, only, self._where(setter, path), hint)

    def _where(self, setter: Setter, path: tuple[str | int, ...]) -> str:
        if setter.entry is not None and setter.entry.inline:
            return setter.file
        text = self.advice.catalog.text(setter.file)
        node = scalar_at(parse(text, setter.file), setter.document, path)
        return f"{setter.file}:{node.start_mark.line + 1}" if node is not None else setter.file

    def _way_out(self, uri: Spot, what: str, by_rule: bool, about: About) -> str:
        value, key = uri.value or "", uri.shown
        if "\n" in value.strip():
            inside = self.advice.inside(value) if by_rule and uri.text is None else ""
            if inside:
                return f"let the path lead to the URI in the text: `path: {key}.{inside}`"
            mapping = "`valuesObject`" if uri.path[-1] == "values" else "a mapping"
            return f"write it as {mapping}, and let the path lead to the URI in it"
        if "${" in value:
            rule = self.advice.filled_in(about, value, "")
            return f"let a rule lead to the value that is filled in: {rule}"
        wrong = "the rule under `values`" if by_rule else "the marker"
        if what.startswith(("a number", "true or false")):
            return f"correct {wrong}"
        return f'correct {wrong}; or write nothing there (`""`): then it is set'


def _kept(path: str, what: str, only: str, where: str, hint: str) -> ManifestError:
    return ManifestError(
        f"`{path}` is {what}: a promotion replaces {only} only", where=where, hint=hint
    )


def _version_complaint(roots: Sequence[Node], uri: Spot, version: Spot) -> str:
    is_number = is_plain_number(node_of(roots, version))
    return version_complaint(version.value, version_in(uri.value or ""), is_number=is_number)


def holds_texts(roots: Sequence[Node], spot: Spot) -> bool:
    """Whether Kubernetes takes only texts there, also for a version that is a number."""
    kind = text_of(child(_object_at(roots, spot), "kind"))
    return spot.text is None and kind in ("ConfigMap", "Secret")


def _object_at(roots: Sequence[Node], spot: Spot) -> Node:
    """The innermost Kubernetes object around the spot, also one in a list of them."""
    path = spot.path if spot.text is None else spot.text
    above = (scalar_at(roots, spot.document, path[:end]) for end in range(len(path), -1, -1))
    return next((node for node in above if text_of(child(node, "kind")) is not None), None)
