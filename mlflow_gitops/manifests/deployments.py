"""Which Application or Flux Kustomization deploys a folder, and what it says of the files there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.applications import (
    Application,
    ApplicationSet,
    Deployer,
    NotKnown,
    Source,
)
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.generators import applications_at, may_match_below
from mlflow_gitops.manifests.globs import matches
from mlflow_gitops.manifests.graph import EVERY_FILE, FolderRules
from mlflow_gitops.manifests.nodes import parse
from mlflow_gitops.manifests.plain import mapping_at, plain
from mlflow_gitops.manifests.tree import inside, parent

__all__ = ["Deployments", "Match", "rules_of", "same_repository"]

_URL = re.compile(r"^[a-z+]+://(?:[^/@]*@)?")
_SCP = re.compile(r"^(?:[^/@:]+@)?([^/:]+):")


@dataclass(frozen=True, slots=True)
class Match:
    """An Application that deploys a folder, with the source that does.

    `written_in` is the file that says the source's options: the Application's own, or an
    `.argocd-source.yaml` that Argo CD merges into it.
    """

    application: Application
    source: Source
    written_in: str

    @property
    def key(self) -> tuple[str, str, str, str | None]:
        """Identify the source among all."""
        application, source = self.application, self.source
        return (application.file, application.name, source.field, source.path)

    def where(self, field: str) -> str:
        """The place of a field of the source, for messages."""
        return f"{self.written_in}: {self.source.field}.{field}".replace("..", ".")


@dataclass(slots=True)
class _Table:
    """The sources by their folders; `sets` and `not_known` may deploy any, `charts` have Helm's
    options.
    """

    by_path: dict[str, list[tuple[Application, Source]]] = field(default_factory=dict)
    recursive: list[tuple[Application, Source]] = field(default_factory=list)
    charts: list[tuple[Application, Source]] = field(default_factory=list)
    sets: list[ApplicationSet] = field(default_factory=list)
    not_known: list[NotKnown] = field(default_factory=list)

    def add(self, deployer: Deployer) -> None:
        if isinstance(deployer, ApplicationSet):
            self.sets.append(deployer)
            return
        if isinstance(deployer, NotKnown):
            self.not_known.append(deployer)
            return
        for source in deployer.sources:
            if source.path is not None:
                self.by_path.setdefault(source.path, []).append((deployer, source))
                if source.helm:
                    self.charts.append((deployer, source))
                if source.directory is not None and source.directory.recurse:
                    self.recursive.append((deployer, source))


class Deployments:
    """Answers for one tree.

    `repository` is this repository's own address, "" where it is not known; an Application that
    names it wins over others with the same path. `files` are globs of the files that count, None
    for all. `before` answers for a tree with few differences.
    """

    def __init__(
        self,
        catalog: Catalog,
        repository: str = "",
        files: tuple[str, ...] | None = None,
        before: Deployments | None = None,
    ) -> None:
        self._catalog = catalog
        self._repository = repository
        self._files = files
        self._before = before
        self._read: tuple[Mapping[str, tuple[Deployer, ...]], _Table] | None = None
        self._matches: dict[tuple[str, str], tuple[Match, ...]] = {}

    def on(self, catalog: Catalog) -> Deployments:
        """Answer for a tree with few differences."""
        return Deployments(catalog, self._repository, self._files, before=self)

    def of(self, folder: str, branch: str = "") -> tuple[Match, ...]:
        """What deploys the folder, by its path; empty where nothing in the repository says so."""
        key = (folder, branch)
        if key not in self._matches:
            found = [
                self._with_overrides(Match(application, source, application.file), folder)
                for application, source in self._sources(folder)
            ]
            own = [m for m in found if same_repository(m.source.repository, self._repository)]
            found = own or found
            named = [m for m in found if branch and m.source.revision == branch]
            self._matches[key] = tuple(named or found)
        return self._matches[key]

    def folders(self) -> Iterator[str]:
        """Every folder that an Application or a Flux Kustomization names."""
        yield from self._table().by_path

    def near(self, file: str) -> Iterator[Match]:
        """What may give values of its own to a chart that reads the file."""
        folder = parent(file)
        while folder:
            yield from self.of(folder)
            folder = parent(folder)
        yield from self.of("")
        for application, source in self._table().charts:
            if not inside(file, source.path or ""):
                yield Match(application, source, application.file)

    def deploy_both(self, one: str, two: str) -> bool:
        """Whether one Argo CD Application deploys the two folders with all that is below its own.

        The Applications of ApplicationSets are not looked at.
        """
        found = ((a, s.path or "") for a, s in self._table().recursive if not a.is_flux)
        return any(inside(f"{one}/", path) and inside(f"{two}/", path) for _, path in found)

    def have_options(self) -> bool:
        """Whether any of them can change what the files say."""
        table = self._table()
        found = (each for listed in table.by_path.values() for each in listed)
        return bool(table.sets) or any(source.kustomize or source.helm for _, source in found)

    def not_known(self, folder: str) -> tuple[NotKnown, ...]:
        """What may deploy the folder too, and is not understood."""
        made = (each for by in self._table().sets for each in applications_at(by, folder))
        found = (each for each in made if isinstance(each, NotKnown))
        return (*self._table().not_known, *found)

    def rules(self, folder: str, branch: str = "") -> FolderRules:
        """Which files of the folder are read, where it has no kustomization.

        Every file, unless exactly this folder is deployed and nothing below it.
        """
        found = self.of(folder, branch)
        if not found or self._is_deployed_below(folder):
            return EVERY_FILE
        rules = {rules_of(match, folder) for match in found}
        if len(rules) == 1:
            return rules.pop()
        return FolderRules(recurse=any(each.recurse for each in rules))

    def _table(self) -> _Table:
        if self._read is None:
            deployers = self._catalog.deployers()
            old, self._before = self._before, None
            if old is not None and old._read is not None and old._read[0] is deployers:
                self._read = old._read
            else:
                table = _Table()
                for file, found in deployers.items():
                    if self._files is None or any(matches(glob, file) for glob in self._files):
                        for each in found:
                            table.add(each)
                self._read = (deployers, table)
        return self._read[1]

    def _sources(self, folder: str) -> Iterator[tuple[Application, Source]]:
        table = self._table()
        yield from table.by_path.get(folder, ())
        for application, source in table.recursive:
            path = source.path or ""
            is_built = application.is_flux and path in self._catalog.layout()
            if path != folder and inside(f"{folder}/", path) and not is_built:
                yield application, source
        for made_by in table.sets:
            for each in applications_at(made_by, folder):
                if isinstance(each, Application):
                    yield from ((each, source) for source in each.sources if source.path == folder)

    def _is_deployed_below(self, folder: str) -> bool:
        table = self._table()
        below = (path for path in table.by_path if path != folder and inside(path, folder))
        return any(True for _ in below) or any(may_match_below(each, folder) for each in table.sets)

    def _with_overrides(self, match: Match, folder: str) -> Match:
        """Merge the files `.argocd-source.yaml` of the folder into the source, as Argo CD does."""
        application, source = match.application, match.source
        if application.is_flux or source.path != folder:
            return match
        for name in (".argocd-source.yaml", f".argocd-source-{application.name}.yaml"):
            path = f"{folder}/{name}".lstrip("/")
            if path not in self._catalog.tree:
                continue
            try:
                roots = parse(self._catalog.text(path), path)
                patch = mapping_at(plain(roots[0], path) if roots else None)
            except ManifestError:
                continue
            kustomize = _merged(source.kustomize or {}, mapping_at(patch, "kustomize"))
            helm = _merged(source.helm or {}, mapping_at(patch, "helm"))
            source = replace(source, kustomize=kustomize or None, helm=helm or None)
            match = replace(match, source=source, written_in=path)
        return match


def _merged(old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON merge patch: mappings are merged, null deletes, and all else replaces."""
    new = dict(old)
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        elif isinstance(value, dict) and isinstance(new.get(key), dict):
            new[key] = _merged(new[key], value)
        else:
            new[key] = value
    return new


def rules_of(match: Match, folder: str) -> FolderRules:
    """Return which files of the folder, or of one above it, the match's source reads."""
    source = match.source
    if source.directory is None:
        return FolderRules(recurse=False)  # Argo CD's default
    path = source.path or ""
    return replace(source.directory, above=folder[len(path) :].lstrip("/") + "/" * (folder != path))


def same_repository(one: str, two: str) -> bool:
    """Whether two addresses lead to the same repository, whatever the protocol."""
    return bool(one and two) and _address(one) == _address(two)


def _address(url: str) -> str:
    text = url.strip()
    text = _URL.sub("", text) if "://" in text else _SCP.sub(r"\1/", text)
    host, _, path = text.partition("/")
    return f"{host.partition(':')[0].lower()}/{path.strip('/').removesuffix('.git')}"
