"""All environments of one branch's tree: what Git says of a service, and the edits that change it.

The only entry point for reading and changing manifests. After each change the edited tree is read
again: the service must be as wanted, and no file that another environment reads may have changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from posixpath import normpath

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.cache import ParseCache
from mlflow_gitops.manifests.catalog import Catalog, Index
from mlflow_gitops.manifests.closure import Build, Closure, Side, closure_of
from mlflow_gitops.manifests.deployments import Deployments, Match
from mlflow_gitops.manifests.elsewhere import Elsewhere, Written
from mlflow_gitops.manifests.enlist import enlist
from mlflow_gitops.manifests.facts import KIND, Document
from mlflow_gitops.manifests.graph import EVERY_FILE, FolderRules
from mlflow_gitops.manifests.hidden import Hides, what_hides
from mlflow_gitops.manifests.holds import hold_at, hold_of, misses
from mlflow_gitops.manifests.kustomization import FILE_NAMES
from mlflow_gitops.manifests.leftovers import left_behind
from mlflow_gitops.manifests.merged import predictor_of, serves_nothing
from mlflow_gitops.manifests.options import kustomization_with
from mlflow_gitops.manifests.outer import builds_around, builds_with_options, check_followed
from mlflow_gitops.manifests.overrides import OverriddenError, overrides, value_overrides
from mlflow_gitops.manifests.promote import promote
from mlflow_gitops.manifests.related import Moved
from mlflow_gitops.manifests.retire import retire
from mlflow_gitops.manifests.runtimes import with_declared
from mlflow_gitops.manifests.scaffold import API_VERSION, check_name, check_spec
from mlflow_gitops.manifests.services import Resolver, Service
from mlflow_gitops.manifests.sources import sources
from mlflow_gitops.manifests.taken import Taken, taken, unread
from mlflow_gitops.manifests.together import are_together
from mlflow_gitops.manifests.tree import EditedTree, files_below, inside, parent, relative
from mlflow_gitops.ports import Tree
from mlflow_gitops.runtimes import Runtime
from mlflow_gitops.state import Environment, Hold, Names, Predictor, ServiceSpec

__all__ = ["Manifests"]

Changes = dict[str, str | None]

NEW = Predictor("not-known-yet")  # in the base of a service that is made new


class Manifests:
    """Reads and edits, as texts, the manifests of the environments that live on one branch.

    `names` says how services are called. `cache` is shared between
    heads. `repository` is this repository's own address, by which its Applications are told from
    those of others; "" where it is not known. `applications` are globs of the files in which they
    are looked for, None for all. What they override is refused, unless `past` says that only what
    the files said at the time counts. `kserve` is the cluster's version of KServe, for services
    that are made new. All methods raise ManifestError where a person must change something, with
    the file in `where`.
    """

    def __init__(
        self,
        tree: Tree,
        environments: Mapping[str, Environment],
        cache: ParseCache | None = None,
        names: Names | None = None,
        kserve: str = "",
        *,
        repository: str = "",
        applications: tuple[str, ...] | None = None,
        past: bool = False,
    ) -> None:
        self._tree = tree
        self._environments = environments
        self._cache = ParseCache() if cache is None else cache
        self._catalog = Catalog(tree, self._cache)
        self._names = names or Names()
        self._repository = repository
        self._applications = applications
        self._past = past
        self._deployments = Deployments(self._catalog, repository, applications)
        self._kserve = kserve
        folders = {name: self._folder(name) for name in environments}
        self._elsewhere = Elsewhere(self._catalog, environments, self._names, folders)
        self._together: dict[tuple[str, str], bool] = {}
        self._resolvers: dict[str, Resolver] = {}
        self._committed: dict[tuple[str, str], ServiceSpec | None] = {}
        self._bases: dict[tuple[str, str], Predictor | None] = {}
        self._checked: tuple[Changes, Manifests] | None = (
            None  # the last edit, until it is asked for
        )

    @property
    def environments(self) -> Mapping[str, Environment]:
        return self._environments

    def committed(self, environment: str, service: str) -> ServiceSpec | None:
        """What Git says; None where the service is not in the environment.

        A URI or label that nobody set is "" in the spec.
        """
        key = (environment, service)
        if key not in self._committed:
            self._committed[key] = self._spec(environment, service)
        return self._committed[key]

    def predictor(self, environment: str, service: str) -> Predictor | None:
        """How the service loads its files, base and patches merged, and what may run it."""
        written = self._written(environment, service)
        found = self._find(environment, service) if written is None else None
        if written is None and found is None:
            return None
        predictor = written.predictor if written else predictor_of(found.fields if found else {})
        return replace(predictor, runtimes=self.runtimes(environment, found))

    def runtimes(self, environment: str, service: Service | None = None) -> tuple[Runtime, ...]:
        """The serving runtimes that the environment's manifests and the settings define, as far as
        they can run in the service's namespace.
        """
        declared = self._environments[environment].runtimes
        try:
            resolver = self._resolver(environment)
        except ManifestError:  # its folder is a chart, for one: only the settings tell
            return declared
        wanted = resolver.namespace_of(service) or self._environments[environment].namespace
        return with_declared(resolver.runtimes(wanted), declared)

    def foreseen(self, environment: str, service: str, spec: ServiceSpec) -> Predictor | None:
        """How it will load its files once it is set to `spec`: as it does now, or as the base says
        that it would be made from. None where it would be made new.
        """
        found = self.predictor(environment, service)
        if found is not None or self.is_elsewhere(environment, service):
            return found
        if self._look(environment, service) is not None:
            return None
        key = (environment, service)
        if key not in self._bases:
            changes = self._scaffold(environment, service, spec, NEW)
            made = self.edited(changes).predictor(environment, service)
            is_new = made is None or made.model_format == NEW.model_format
            self._bases[key] = None if is_new else made
        return self._bases[key]

    def has_explainer(self, environment: str, service: str) -> bool:
        """Whether KServe runs an explainer beside the service's predictor."""
        found = self._find(environment, service)
        return found is not None and "explainer" in found.fields

    def hold(self, environment: str, service: str) -> Hold | None:
        """The comment that holds the service as it is, on any of the URIs that are set for it."""
        written = self._written(environment, service)
        if written is not None:
            return hold_at(self._catalog, written.file, written.uri)
        found = self._find(environment, service)
        return hold_of(self._catalog, found.setters) if found else None

    def sources(self, environment: str, service: str) -> frozenset[str]:
        """The files, there or not, whose change can change what `committed` says.

        Empty where the service is not in the environment, and no rule says where it would be.
        """
        rule = self._elsewhere.rule(environment, service)
        files = {self._elsewhere.file(rule, environment, service)} if rule else set()
        written = self._written(environment, service)
        files |= {written.file} if written else set()
        by_rule = written is not None and written.rule is not None
        found = None if by_rule else self._find_quietly(environment, service)
        if found is not None:
            files |= sources(self._resolver(environment), found, self._folder(environment))
            if not found.chain:  # these say which files of the folder are read
                files |= {match.application.file for match in self.deployed_by(environment)}
        return frozenset(files)

    def services(self, environment: str) -> Mapping[str, ServiceSpec]:
        """Every service that can be read, by name. `problems` tells of the others."""
        return self._all(environment)[0]

    def problems(self, environment: str) -> tuple[ManifestError, ...]:
        """What is broken, or written in a form that is not supported."""
        return tuple(self._all(environment)[1])

    def overridden(self, environment: str) -> tuple[ManifestError, ...]:
        """What Applications change of the environment's services behind their files."""
        if not self._deployments.have_options():
            return ()
        names = {*self._resolver(environment).names(), *self._names_elsewhere(environment, [])}
        found: dict[str, ManifestError] = {}
        for name in sorted(names):
            try:
                self.committed(environment, name)
            except OverriddenError as error:
                found[str(error)] = error
            except ManifestError:
                continue
        return tuple(found.values())

    def not_followed(self, environment: str) -> tuple[ManifestError, ...]:
        """What may deploy the environment's folder, and is not understood."""
        found = self._deployments.not_known(self._folder(environment))
        return tuple(
            ManifestError(
                f"{each.name or 'it'} may deploy an environment's folder, and is not followed: "
                f"{each.why}",
                where=each.file,
                hint="compare what Argo CD shows with the folder; `applications` in the settings "
                "leaves a file out",
            )
            for each in found
        )

    def taken(self, environment: str, service: str) -> Iterator[Taken]:
        """What has, or may have, the name of a service that no file of the environment shows."""
        place = self._environments[environment]
        matches = self.deployed_by(environment)
        yield from taken(service, self._catalog, self._index(environment), matches, place.namespace)

    def warnings(self, environment: str) -> tuple[ManifestError, ...]:
        """Return what can be read, but does not do what people expect."""
        found = {name: self._find_quietly(environment, name) for name in self.services(environment)}
        return tuple(
            _names_no_model(service, environment)
            for name, service in found.items()
            if service is not None
            and serves_nothing(service.fields)
            and not self.is_elsewhere(environment, name)
        )

    def has(self, environment: str, service: str) -> bool:
        """Whether the environment has the service, as far as it can be read."""
        return self._find_quietly(environment, service) is not None

    def together(self, environment: str, other: str) -> bool:
        """Whether one Argo CD Application or kustomization deploys the folders of both."""
        key = (environment, other)
        if key not in self._together:
            folders = (self._folder(environment), self._folder(other))
            self._together[key] = are_together(self._catalog, self._deployments, *folders)
        return self._together[key]

    def set_service(
        self, environment: str, service: str, spec: ServiceSpec, predictor: Predictor
    ) -> Changes:
        """Path to new text (None deletes) that make Git say `spec`; empty where it does already.

        A service that is not there is scaffolded; `predictor` then says how it loads its files.
        """
        check_name(service)
        check_spec(spec, service)
        found = None
        if self.is_elsewhere(environment, service):
            changes = self._elsewhere.set_service(environment, service, spec)
        elif (found := self._look(environment, service)) is None:
            changes = self._scaffold(environment, service, spec, predictor)
        elif found.deleted:
            raise ManifestError(
                f"a patch deletes `{service}` from {environment}",
                where=next((s.file for s in reversed(found.setters)), found.file),
                hint="remove that patch to bring the service back",
            )
        else:
            if found.spec.rollout != spec.rollout:
                raise ManifestError(
                    f"`{service}` has a traffic split in Git that differs from the one asked for, "
                    f"and splits are not written yet",
                    where=found.file,
                    hint="change spec.canary or canaryTrafficPercent by hand",
                )
            about = self._elsewhere.about(environment, service)
            self._elsewhere.guard.check_service(found, spec, about)
            for odd in unread(service, self._catalog, self._index(environment)):
                raise odd.error()  # readers differ on whether capitals count
            changes = self._promote(environment, found, spec)
        self._check(environment, service, spec, changes)
        return changes

    def remove_service(self, environment: str, service: str) -> Changes:
        """Path to new text (None deletes) that take the service out of this environment only."""
        written = self._written(environment, service)
        if written is not None and written.spec is not None:
            raise self._elsewhere.refuse_removal(service, written)
        found = self._find(environment, service)
        if found is None:
            return {}
        resolver = self._resolver(environment)
        changes = retire(
            found,
            resolver.index.graph,
            folder=self._folder(environment),
            facts=self._catalog.facts,
            read=self._catalog.text,
            owned=lambda path: self._owns(environment, path),
            layers=resolver.patches.kustomizations_of,
        )
        self._check(environment, service, None, changes)
        return changes

    def left_behind(
        self,
        environment: str,
        service: str,
        after: ServiceSpec | None,
        changes: Mapping[str, str | None],
    ) -> tuple[str, ...]:
        """What the changes leave behind in the environment's other objects: see `leftovers`."""
        try:
            before, resolver = self.committed(environment, service), self._resolver(environment)
        except ManifestError:
            return ()
        if before is None:
            return ()
        moved = Moved(service, before, after, resolver.index.names)
        found = self._find_quietly(environment, service)
        return tuple(left_behind(resolver, found, moved, changes))

    def edited(self, changes: Mapping[str, str | None]) -> Manifests:
        """What they would be after the changes: path to new text, or to None to delete it."""
        checked, self._checked = self._checked, None
        if checked is not None and checked[0] == changes:
            return checked[1]
        tree = EditedTree(self._tree, changes)
        edited = Manifests(
            tree,
            self._environments,
            self._cache,
            self._names,
            self._kserve,
            repository=self._repository,
            applications=self._applications,
            past=self._past,
        )
        edited._deployments = self._deployments.on(edited._catalog)
        shaped = (path not in self._tree or _shapes(path, text) for path, text in changes.items())
        edited._catalog.follow(self._catalog, changes, alike=not any(shaped))
        return edited

    def closure(
        self,
        environment: str,
        services: Iterable[str],
        changes: Mapping[str, str | None],
        *,
        edited: Manifests | None = None,
        may_be_part: bool = True,
    ) -> Closure:
        """What has to be built to see the changes, which are to these services.

        `edited` are the manifests after them, where they are at hand. Raises CannotBuildError. See
        `closure_of`.
        """
        named = tuple(services)
        edited = edited or self.edited(changes)
        before, after = self._side(environment, named), edited._side(environment, named)
        return closure_of(before, after, tuple(changes), may_be_part=may_be_part)

    def builds_beside(self, environment: str, edited: Manifests) -> Iterator[tuple[str, Build]]:
        """The other builds that deploy the environment, each with what deploys it.

        Raises CannotBuildError where no build shows what an Application makes of the folder.
        """
        folder, catalogs = self._folder(environment), (self._catalog, edited._catalog)
        check_followed(m for m in edited.deployed_by(environment) if m.source.path == folder)
        if self._deployments.have_options():
            options = (self.with_options(environment), edited.with_options(environment))
            yield from builds_with_options(*catalogs, folder, options)
        yield from builds_around(*catalogs, folder, edited._deployments)

    def _side(self, environment: str, services: Iterable[str]) -> Side:
        found = (
            self._find(environment, service)
            for service in services
            if not self.is_elsewhere(environment, service)
        )
        kept = tuple(service for service in found if service is not None)
        return Side(self._catalog, self._index(environment), kept)

    def built_name(self, environment: str, service: str) -> str:
        """The service's name with the prefixes and suffixes of the kustomizations around it."""
        found, name = self._find_quietly(environment, service), service
        for path in reversed(found.chain) if found else ():
            kustomization = self._index(environment).graph.kustomizations[path]
            name = f"{kustomization.prefix}{name}{kustomization.suffix}"
        return name

    def text(self, path: str) -> str | None:
        """A file of the tree; None where it is not there."""
        return self._catalog.text(path) if path in self._tree else None

    def folder(self, environment: str) -> str:
        """The environment's folder, "" for the repository's root."""
        return self._folder(environment)

    def _folder(self, environment: str) -> str:
        path = normpath(self._environments[environment].path.strip("/") or ".")
        return "" if path == "." else path

    def _hides(self, environment: str) -> Hides:
        return what_hides(self._environments[environment], self._folder(environment))

    def _label(self, environment: str) -> str:
        return self._environments[environment].label

    def _index(self, environment: str) -> Index:
        return self._resolver(environment).index

    def _resolver(self, environment: str, service: str = "") -> Resolver:
        found = self._resolvers.get(environment)
        if found is None:
            folder = self._folder(environment)
            if f"{folder}/Chart.yaml".lstrip("/") in self._tree:
                rule = self._elsewhere.chart_rule(environment, service or "<model>")
                raise ManifestError(
                    "the environment's folder is a Helm chart, and what it makes is not followed",
                    where=f"{folder}/Chart.yaml".lstrip("/"),
                    hint=f"say in the settings where the URI is: {rule}",
                )
            rules, hides = self._rules(environment), self._hides(environment)
            index = self._catalog.index(environment, folder, rules, hides)
            place = self._environments[environment]
            rule_for = partial(self._elsewhere.chart_rule, environment)
            found = Resolver(self._catalog, index, place.storage_keys, rule_for, place.label)
            self._resolvers[environment] = found
        return found

    def _rules(self, environment: str) -> FolderRules:
        """Which files count in a folder without a kustomization: as the settings say, else as its
        Application says.
        """
        folder, place = self._folder(environment), self._environments[environment]
        if folder in self._catalog.layout():
            return EVERY_FILE
        rules = self._deployments.rules(folder, place.branch)
        return rules if place.recurse is None else replace(rules, recurse=place.recurse)

    def deployed_by(self, environment: str, service: Service | None = None) -> tuple[Match, ...]:
        """What deploys the environment's folder, or the service's own folder in it."""
        folders = [self._folder(environment)]
        if service is not None:
            folders.append(parent(service.chain[0] if service.chain else service.file))
        branch = self._environments[environment].branch
        found = (each for f in dict.fromkeys(folders) for each in self._deployments.of(f, branch))
        return tuple({each.key: each for each in found}.values())

    def with_options(self, environment: str) -> tuple[tuple[Match, Mapping[str, str]], ...]:
        """Each Application that deploys the environment's folder, with the kustomization that it
        builds: path to new text, for a private folder. Empty where its options change nothing.
        """
        folder, graph = self._folder(environment), self._index(environment).graph
        plain = [path for path, chains in graph.files.items() if () in chains]
        resources = [relative(each, folder) for each in (*plain, *map(parent, graph.roots))]
        return tuple(
            (match, kustomization_with(match, folder, self._catalog, resources))
            for match in self.deployed_by(environment)
            if match.source.path == folder
        )

    def _refuse_overridden(
        self, environment: str, base: Document, service: Service | None = None
    ) -> None:
        """Raise ManifestError where an Application changes the service behind the files."""
        for match in () if self._past else self.deployed_by(environment, service):
            for override in overrides(match, base, self._catalog, self._label(environment)):
                raise override.error()

    def _look(self, environment: str, service: str) -> Service | None:
        """Its InferenceService, also one that a patch deletes."""
        if self.is_elsewhere(environment, service):
            return None
        found = self._resolver(environment, service).find(service)
        if found is None:
            self._elsewhere.check_hidden(environment)
        else:
            self._refuse_overridden(environment, found.base, found)
        return found

    def _find(self, environment: str, service: str) -> Service | None:
        found = self._look(environment, service)
        return None if found is None or found.deleted else found

    def is_elsewhere(self, environment: str, service: str) -> bool:
        """Whether the service is written anywhere but in an InferenceService."""
        by_rule = self._elsewhere.rule(environment, service) is not None
        return by_rule or self._written(environment, service) is not None

    def _written(self, environment: str, service: str) -> Written | None:
        """Where it is written by a rule or a marker; a marker may be on the InferenceService."""
        written = self._elsewhere.find(environment, service)
        if written is None:
            return None
        self._refuse_overridden_value(written)
        if written.rule is not None:
            return written
        try:
            found = self._resolver(environment).find(service)
        except ManifestError:
            return written
        setters = [setter for setter in found.setters if setter.uris] if found else []
        return None if written.is_set_by(setters, service) else written

    def _refuse_overridden_value(self, written: Written) -> None:
        for match in () if self._past else self._deployments.near(written.file):
            for override in value_overrides(match, written.file, written.uri.path):
                raise override.error()

    def _spec(self, environment: str, service: str) -> ServiceSpec | None:
        written = self._written(environment, service)
        if written is not None:
            return written.spec
        found = self._find(environment, service)
        return found.spec if found else None

    def _find_quietly(self, environment: str, service: str) -> Service | None:
        """One environment's error never stops another."""
        try:
            return self._find(environment, service)
        except ManifestError:
            return None

    def _touched(self, environment: str) -> frozenset[str]:
        """Every file that the environment reads."""
        try:
            return self._index(environment).graph.touched
        except ManifestError:
            return frozenset(files_below(self._tree, self._folder(environment)))

    def _all(self, environment: str) -> tuple[dict[str, ServiceSpec], list[ManifestError]]:
        specs: dict[str, ServiceSpec] = {}
        problems = self._comments(environment)
        names = set(self._names_elsewhere(environment, problems))
        try:
            resolver = self._resolver(environment)
            problems += resolver.problems()
            names.update(resolver.names())
        except ManifestError:
            if not names:
                raise
        for name in sorted(names):
            try:
                spec = self.committed(environment, name)
            except ManifestError as error:
                problems.append(error)
                continue
            if spec is not None:
                specs[name] = spec
        return specs, list({str(problem): problem for problem in problems}.values())

    def _names_elsewhere(self, environment: str, problems: list[ManifestError]) -> list[str]:
        try:
            return list(self._elsewhere.names(environment))
        except ManifestError as error:
            problems.append(error)
            return []

    def _comments(self, environment: str) -> list[ManifestError]:
        """What is wrong with the comments that are meant for this tool."""
        folder = self._folder(environment)
        files = dict(self._catalog.noted(folder, self._hides(environment)))
        for path in self._touched(environment):
            if path in self._tree and not inside(path, folder):
                files[path] = self._catalog.notes(path)
        return [*self._elsewhere.markers(environment).problems(), *misses(files)]

    def _others(self, environment: str) -> list[str]:
        return [name for name in self._environments if name != environment]

    def _owns(self, environment: str, path: str) -> bool:
        """Whether the file is this environment's alone."""
        folder = self._folder(environment)
        if not inside(path, folder):
            return False
        for other in self._others(environment):
            deeper = self._folder(other)
            if inside(f"{deeper}/", folder) and deeper != folder and inside(path, deeper):
                return False
            if path in self._touched(other):
                return False
        return True

    def _promote(self, environment: str, service: Service, spec: ServiceSpec) -> Changes:
        return promote(
            service,
            spec,
            label=self._label(environment),
            folder=self._folder(environment),
            read=self._catalog.text,
            owned=lambda path: self._owns(environment, path),
            exists=lambda path: path in self._tree,
        )

    def _scaffold(
        self, environment: str, service: str, spec: ServiceSpec, predictor: Predictor
    ) -> Changes:
        check_name(service, is_new=True)
        planned = Document(0, API_VERSION, KIND, service, "", {})
        self._refuse_overridden(environment, planned)
        for found in self.taken(environment, service):
            raise found.error()
        others = [self._find_quietly(name, service) for name in self._others(environment)]
        changes = enlist(
            self._catalog,
            self._index(environment),
            self._environments[environment],
            folder=self._folder(environment),
            service=service,
            spec=spec,
            predictor=predictor,
            kserve=self._kserve,
            elsewhere=[found for found in others if found is not None],
            folders=[self._folder(name) for name in self._environments],
        )
        edited = self.edited(changes)
        added = edited._find(environment, service)
        if added is None:
            raise ManifestError(
                f"`{service}` cannot be added to {environment}",
                where=self._folder(environment),
                hint="add its InferenceService by hand once",
            )
        return {**changes, **edited._promote(environment, added, spec)}

    def _check(
        self, environment: str, service: str, spec: ServiceSpec | None, changes: Changes
    ) -> None:
        """The proof: read the edited tree as if it were committed."""
        if not changes:
            return
        edited = self.edited(changes)
        found = edited.committed(environment, service)
        if found != spec:
            raise ManifestError(
                f"after the edit `{service}` in {environment} would be {found}, not {spec}",
                where=self._folder(environment),
                hint="something else in the environment sets its URI or version: remove that",
            )
        for other in self._others(environment):
            for manifests in (self, edited):
                read = manifests._touched(other)
                shared = next((path for path in changes if path in read), None)
                if shared is not None:
                    raise ManifestError(
                        f"a change for {environment} would change {other} too",
                        where=shared,
                        hint="give each environment its own folder",
                    )
        self._checked = (changes, edited)


def _names_no_model(service: Service, environment: str) -> ManifestError:
    return ManifestError(
        f"`{service.name}` has no storageUri in {environment}: KServe starts a server without a "
        "model, which is Ready and serves nothing",
        where=service.file,
        hint="promote a version, or take the service out of the environment until then",
    )


def _shapes(path: str, text: str | None) -> bool:
    """Whether a change to the file can change what an environment is made of."""
    return text is None or path.endswith(FILE_NAMES)
