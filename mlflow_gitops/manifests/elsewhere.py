"""Services whose URI is not written in an InferenceService: by a rule of the settings, or a marker.

A Helm chart's values, an ApplicationSet's config file and the like: what renders them is not
followed, only the two values are read and written. A place belongs to one environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.advice import About, Advice
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.guard import Guard, holds_texts
from mlflow_gitops.manifests.hidden import what_hides
from mlflow_gitops.manifests.located import Spot, locate, write
from mlflow_gitops.manifests.markers import Markers, Place, read_markers, twice
from mlflow_gitops.manifests.merged import predictor_of
from mlflow_gitops.manifests.nodes import Node, parse
from mlflow_gitops.manifests.patches import Setter
from mlflow_gitops.manifests.replaceable import version_in
from mlflow_gitops.manifests.rules import (
    SERVICE,
    file_of,
    file_pattern,
    keys_at,
    line_to_add,
    way_to_add,
)
from mlflow_gitops.manifests.tree import files_below
from mlflow_gitops.state import Environment, Names, Predictor, ServiceSpec, ValueRule
from mlflow_gitops.value_path import filled, parse_path

__all__ = ["Elsewhere", "Written"]


@dataclass(frozen=True, slots=True)
class Written:
    """Where a service's values stand, or are to be inserted. `rule` is None for a marker.

    It is not `complete` where there is no place for the version that the rule leads to.
    """

    file: str
    uri: Spot
    version: Spot | None
    predictor: Predictor
    rule: ValueRule | None = None
    complete: bool = True

    @property
    def where(self) -> str:
        return f"{self.file}:{self.uri.line}"

    @property
    def spec(self) -> ServiceSpec | None:
        """None where no URI is written: nothing is served from there."""
        uri = self.uri.value
        if not uri:
            return None
        if self.version is not None or not self.complete:
            return ServiceSpec(uri, (self.version and self.version.value) or "")
        return ServiceSpec(uri, version_in(uri))

    def is_set_by(self, setters: Sequence[Setter], service: str) -> bool:
        """Whether it is the InferenceService's own storageUri. Raises where there are two."""
        for setter in setters:
            here = (setter.file, setter.document) == (self.file, self.uri.document)
            if here and self.uri.value in setter.uris:
                return True
        if setters:
            raise ManifestError(
                f"the URI of `{service}` is marked here, and its InferenceService sets it too, in "
                f"{setters[-1].file}",
                where=self.where,
                hint="remove the marker, or the storageUri",
            )
        return False


class Elsewhere:
    """Reads one tree. `names` says how services are called."""

    def __init__(
        self,
        catalog: Catalog,
        environments: Mapping[str, Environment],
        names: Names,
        folders: Mapping[str, str],
    ) -> None:
        self._catalog = catalog
        self.guard = Guard(Advice(catalog))
        self._environments = environments
        self._names = names
        self._folders = folders
        self._markers: dict[str, Markers] = {}
        self._last: tuple[str, list[Node]] = ("", [])

    def markers(self, environment: str) -> Markers:
        if environment not in self._markers:
            folder = self._folders[environment]
            hides = what_hides(self._environments[environment], folder)
            noted = self._catalog.noted(folder, hides)
            self._markers[environment] = read_markers(noted, environment, self._folders)
        return self._markers[environment]

    def find(self, environment: str, service: str) -> Written | None:
        """Where it is written; None for a service that has no rule and no marker.

        Raises ManifestError where that cannot be told. Where the file of its rule, or the mapping
        for its value, is not there, the service is not in the environment: None too.
        """
        rule = self.rule(environment, service)
        marked = self._marked(environment, service)
        if rule is None:
            return self._checked(marked, environment, service)
        found = self._by_rule(rule, environment, service)
        if marked is not None and (found is None or _place(marked) != _place(found)):
            raise ManifestError(
                f"`{service}` is marked here, and the settings of {environment} say that its URI "
                f"is in {self.file(rule, environment, service)}",
                where=marked.where,
                hint="remove the marker, or the rule under `values`",
            )
        return self._checked(found, environment, service)

    def _checked(self, found: Written | None, environment: str, service: str) -> Written | None:
        """The same place. Raises ManifestError where another value than a URI is there: neither
        is it a decision of people about the service, nor is it to be recorded or shown as one.
        """
        if found is None:
            return None
        documents = self._catalog.facts(found.file).documents
        if any(document.kind == "Secret" for document in documents):
            roots = self._roots(found.file)
            self.guard.check_secret(roots, found.file, found.uri, found.version)
        about = self.about(environment, service)
        self.guard.check_uri(found.file, found.uri, by_rule=found.rule is not None, about=about)
        return found

    def rule(self, environment: str, service: str) -> ValueRule | None:
        """The settings' rule for the service."""
        model = self._model(service, environment)
        rules = self._environments[environment].values
        return next((rule for rule in rules if rule.takes(model)), None)

    def file(self, rule: ValueRule, environment: str, service: str) -> str:
        return file_of(rule.file, service, self._model(service, environment), environment)

    def names(self, environment: str) -> Iterator[str]:
        """The services that may be written so."""
        for rule in self._environments[environment].values:
            yield from self._of_rule(rule, environment)
        markers = self.markers(environment)
        yield from (self._service(model, environment) for model in markers.uris)

    def set_service(
        self, environment: str, service: str, spec: ServiceSpec
    ) -> dict[str, str | None]:
        """The file's new text; raises where there is no place for the values, or not only ours."""
        found = self.find(environment, service)
        rule = self.rule(environment, service)
        if found is None or not found.complete:
            assert rule is not None  # only a rule leads here without a place
            raise self._missing(rule, environment, service, spec)
        self._check_own(environment, service, found)
        roots, values = self._roots(found.file), {found.uri: spec.uri}
        if found.version is not None:
            by_rule = found.rule is not None
            self.guard.check_version(roots, found.file, found.uri, found.version, by_rule=by_rule)
            values[found.version] = spec.version
        before = self._catalog.text(found.file)
        is_text = holds_texts(roots, found.version or found.uri)
        text = write(before, values, found.file, numbers=not is_text)
        return {found.file: text} if text != before else {}

    def about(self, environment: str, service: str) -> About:
        """What an error about the service has to know, to print a rule for it."""
        near = (environment, *self._folders[environment].split("/"), service)
        return About(self._model(service, environment), service, near)

    def chart_rule(self, environment: str, service: str, kustomization: str = "") -> str:
        """The rule for a service that a Helm chart makes: of a kustomization, or the folder's."""
        advice, folder = self.guard.advice, self._folders[environment]
        files = advice.values_files(kustomization) if kustomization else advice.chart_files(folder)
        return advice.charted(self.about(environment, service), files)

    def check_hidden(self, environment: str) -> None:
        """Raises where a marker that cannot be read may be that of a service that is not found."""
        for stray in self.markers(environment).strays:
            if not stray.model:
                raise stray.error

    def refuse_removal(self, service: str, found: Written) -> ManifestError:
        """What renders the value is not known here, so nothing can be removed safely."""
        what = "the rule under `values` says" if found.rule else "a marker says"
        return ManifestError(
            f"`{service}` cannot be retired by a commit of this tool: {what} where its URI is, and "
            "not what else makes the service",
            where=found.where,
            hint="remove the service and this value in Git by hand: the request is then answered",
        )

    def _model(self, service: str, environment: str) -> str:
        return self._names.model(service, self._environments[environment])

    def _service(self, model: str, environment: str) -> str:
        return self._names.service(model, self._environments[environment])

    def _marked(self, environment: str, service: str) -> Written | None:
        markers = self.markers(environment)
        named = (m for m in markers.uris if self._service(m, environment) == service)
        model = next(named, self._model(service, environment))
        for stray in markers.strays:
            if stray.is_about(model):
                raise stray.error
        for what, found in (("URI", markers.uris), ("version", markers.versions)):
            if len(found.get(model, ())) > 1:
                raise twice(what, model, found[model])
        if model not in markers.uris:
            return None
        uri = markers.uris[model][0]
        version = next(iter(markers.versions.get(model, ())), None)
        if version is not None and version.file != uri.file:
            raise ManifestError(
                f"the version of `{model}` is marked in another file than its URI ({uri})",
                where=str(version),
                hint="keep both in one file, so that they change together",
            )
        spot = _spot(uri)
        beside = _spot(version) if version is not None else None
        return Written(uri.file, spot, beside, self._declared(uri.file, spot))

    def _declared(self, file: str, spot: Spot) -> Predictor:
        """What the InferenceService says, where the marker is in one."""
        documents = self._catalog.facts(file).documents
        found = next((d for d in documents if d.index == spot.document and d.is_service), None)
        if found is None:
            return Predictor("mlflow", "v2")
        return predictor_of({k: v for k, v in found.fields.items() if v is not None})

    def _by_rule(self, rule: ValueRule, environment: str, service: str) -> Written | None:
        file = self.file(rule, environment, service)
        if file not in self._catalog.tree:
            return None
        uri = self._locate(file, rule.path, service)
        version = self._locate(file, rule.version_path, service)
        if uri is None:
            return None
        predictor = Predictor(rule.model_format, rule.protocol, rule.runtime)
        complete = version is not None or not rule.version_path
        return Written(file, uri, version, predictor, rule, complete)

    def _locate(self, file: str, path: str, service: str) -> Spot | None:
        if not path:
            return None
        return locate(self._roots(file), filled(parse_path(path), SERVICE, service), file)

    def _roots(self, file: str) -> list[Node]:
        """The file parsed. One is kept: many services may be in it."""
        blob = self._catalog.tree.blob(file)
        if self._last[0] != blob:
            self._last = (blob, parse(self._catalog.text(file), file))
        return self._last[1]

    def _of_rule(self, rule: ValueRule, environment: str) -> Iterator[str]:
        pattern = file_pattern(rule.file, environment)
        start = rule.file[: rule.file.find("{")] if "{" in rule.file else rule.file
        below = start.rpartition("/")[0]
        files = [start] if "{" not in rule.file else files_below(self._catalog.tree, below)
        for file in files:
            found = pattern.fullmatch(file)
            if found is None or file not in self._catalog.tree:
                continue
            names = found.groupdict()
            model = names.get("model")
            if "service" in names:
                yield names["service"]
            elif model is not None:
                yield self._service(model, environment)
            elif SERVICE in rule.path:
                yield from keys_at(self._roots(file), parse_path(rule.path), file)
            else:
                yield from (self._service(model, environment) for model in rule.models)

    def _missing(
        self, rule: ValueRule, environment: str, service: str, spec: ServiceSpec
    ) -> ManifestError:
        file = self.file(rule, environment, service)
        is_there = file in self._catalog.tree
        is_version = is_there and self._locate(file, rule.path, service) is not None
        path = rule.version_path if is_version else rule.path
        value = spec.version if is_version else spec.uri
        steps = filled(parse_path(path), SERVICE, service)
        if is_there:
            what, how = way_to_add(self._roots(file), steps, value, file)
        else:
            what, how = "it is not there", f"create it with `{line_to_add(steps, value)}`"
        return ManifestError(
            f"{what}, where the settings of {environment} say that `{service}` has its "
            f"{'version' if is_version else 'URI'}",
            where=file,
            hint=f"{how}, or correct the rule under `values`",
        )

    def _check_own(self, environment: str, service: str, found: Written) -> None:
        """Raises ManifestError where another environment's rule leads to one of the values."""
        ours = {spot.place for spot in (found.uri, found.version) if spot is not None}
        for other in self._environments:
            rule = self.rule(other, service) if other != environment else None
            if rule is None or self.file(rule, other, service) != found.file:
                continue
            paths = (self._locate(found.file, p, service) for p in (rule.path, rule.version_path))
            if ours & {spot.place for spot in paths if spot is not None}:
                raise ManifestError(
                    f"{environment} and {other} lead to the same value of `{service}`: a change "
                    "for one would change the other too",
                    where=found.where,
                    hint="put `{environment}` into `file`, or give each a path of its own",
                )


def _spot(place: Place) -> Spot:
    return Spot(place.noted.document, place.noted.path, place.line, place.noted.value)


def _place(found: Written) -> tuple[object, ...]:
    return (found.file, *found.uri.place)
