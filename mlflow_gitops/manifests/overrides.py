"""What an Application's own options change of a service behind the values that Git says.

A patch of the URI or the label, a prefix of the name: the folder's files then do not say what is
deployed. Each is an `Override` that names the Application's file and field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.deployments import Match
from mlflow_gitops.manifests.effects import patch_entry, sets_ours
from mlflow_gitops.manifests.facts import Document
from mlflow_gitops.manifests.kustomization import Kustomization
from mlflow_gitops.manifests.nodes import child, parse
from mlflow_gitops.manifests.plain import list_at, mapping_at, text_at, texts_at
from mlflow_gitops.manifests.tree import parent, resolve
from mlflow_gitops.manifests.verify import Path

__all__ = ["OverriddenError", "Override", "overrides", "value_overrides"]


class OverriddenError(ManifestError):
    """An Application says something else than the files that it deploys."""


@dataclass(frozen=True, slots=True)
class Override:
    """`where` is the file and field, `what` says what it does to the service."""

    where: str
    what: str
    hint: str

    def error(self) -> OverriddenError:
        return OverriddenError(self.what, where=self.where, hint=self.hint)


def overrides(match: Match, base: Document, catalog: Catalog, label: str) -> Iterator[Override]:
    """Yield what the Application that deploys the service's folder changes of it."""
    options = match.source.kustomize or {}
    who = f"the {match.application.kind} `{match.application.name}`"
    name = base.name
    prefix = "kustomize." * (not match.application.is_flux)
    for key in ("namePrefix", "nameSuffix"):
        if text_at(options, key):
            yield Override(
                match.where(prefix + key),
                f"{who} renames every object of its folder, so `{name}` has another name in the "
                "cluster",
                "write the whole name into the manifests, and remove this option",
            )
    if label and label in mapping_at(options, "commonLabels"):
        labels = "commonMetadata.labels" if match.application.is_flux else "kustomize.commonLabels"
        yield _overridden(match.where(labels), who, name)
    folder = match.source.path or ""
    for index, written in enumerate(list_at(options, "patches")):
        where = match.where(f"{prefix}patches[{index}]")
        if sets_ours(patch_entry(written), folder, base, catalog, where, label):
            yield _overridden(where, who, name)
    for index, reference in enumerate(texts_at(options, "components")):
        where = match.where(f"{prefix}components[{index}]")
        if _component_sets_ours(resolve(folder, reference), base, catalog, 0, label):
            yield _overridden(where, who, name)


def value_overrides(match: Match, file: str, path: Path) -> Iterator[Override]:
    """Yield what overrides a chart's value in a values file of the Application: its parameters,
    `values` or `valuesObject`. Nothing does where the value is in the Application itself.
    """
    source = match.source
    helm = source.helm or {}
    if source.path is None or file == match.written_in or not path:
        return
    named = texts_at(helm, "valueFiles") or ("values.yaml",)
    files = {_values_file(source.path, each) for each in named}
    if file not in {*files, f"{source.path}/values.yaml".lstrip("/")}:
        return
    who = f"the Application `{match.application.name}`"
    dotted = ".".join(str(key) for key in path)
    for index, parameter in enumerate(list_at(helm, "parameters")):
        if text_at(parameter, "name") == dotted:
            yield _overridden(match.where(f"helm.parameters[{index}]"), who, dotted)
    keys = [str(key) for key in path]
    if keys[-1] in mapping_at(helm, "valuesObject", *keys[:-1]):
        yield _overridden(match.where("helm.valuesObject"), who, dotted)
    if _in_text(text_at(helm, "values"), keys):
        yield _overridden(match.where("helm.values"), who, dotted)


def _overridden(where: str, who: str, name: str) -> Override:
    return Override(
        where,
        f"{who} sets the URI or the version of `{name}` itself, so what the folder says is not "
        "deployed",
        "remove it from there, and the folder's files say what is deployed",
    )


def _in_text(values: str, keys: list[str]) -> bool:
    try:
        roots = parse(values, "values")
    except ManifestError:
        return keys[-1] in values
    return bool(roots) and child(roots[0], *keys) is not None


def _values_file(folder: str, reference: str) -> str | None:
    """`$name/path` counts from the root of the source with that `ref`, taken to be this one."""
    if reference.startswith("$"):
        return resolve("", reference.partition("/")[2])
    return resolve("" if reference.startswith("/") else folder, reference.lstrip("/"))


def _component_sets_ours(
    folder: str | None, base: Document, catalog: Catalog, depth: int, label: str
) -> bool:
    """A component that is not in the repository may set anything."""
    files = catalog.layout().get(folder) if folder is not None else None
    if not files or depth > 20:
        return True
    try:
        kustomization: Kustomization = catalog.kustomization(files[0])
    except ManifestError:
        return True
    here = parent(files[0])
    return (
        any(sets_ours(each, here, base, catalog, files[0], label) for each in kustomization.patches)
        or any(
            each.service in ("", base.name) and each.concerns(label)
            for each in kustomization.obstacles
        )
        or any(
            _component_sets_ours(resolve(here, each), base, catalog, depth + 1, label)
            for each in kustomization.components
        )
    )
