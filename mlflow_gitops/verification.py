"""Gathers what `planning/verifying.py` judges: Git, the bucket and the registry, as they are now.

Writes nothing, and needs no registry: without one that link is not checked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from mlflow_gitops.errors import GitOpsError, PublishError, RequestError
from mlflow_gitops.manifests import Manifests, ParseCache
from mlflow_gitops.planning.kept import Examined
from mlflow_gitops.planning.model_signature import Signed
from mlflow_gitops.planning.verifying import Chain, Committed, address_problem, verify
from mlflow_gitops.ports import Progress, Registry, Repository, Shelf, SignatureReader
from mlflow_gitops.state import ServiceKey, ServiceSpec, Settings, Snapshot

__all__ = ["Verification", "committed_specs"]

DELIVERIES_READ = 200  # our newest commits to a service


@dataclass(frozen=True, slots=True)
class Verification:
    """`registry` is None where none is named, which is told as a link that is not checked."""

    repository: Repository
    shelf: Shelf
    settings: Settings
    signatures: SignatureReader
    registry: Registry | None = None
    progress: Progress | None = None

    def verify(self, model: str, environments: Collection[str], *, deep: bool) -> tuple[Chain, ...]:
        """Each committed service of the model. Raises RequestError where there is none."""
        committed = list(self._committed(model, environments))
        if not committed:
            raise RequestError(
                f"Git has no service of the model `{model}`",
                where=f"the manifests of {', '.join(environments)}",
                hint="`mlflow-gitops status` lists what there is",
            )
        snapshot, unasked = self._snapshot(model)
        return tuple(self._chain(each, snapshot, unasked, deep=deep) for each in committed)

    def _committed(self, model: str, environments: Collection[str]) -> Iterator[Committed]:
        for name in environments:
            service = self.settings.service(model, self.settings.environments[name])
            head, specs = committed_specs(self.repository, self.settings, name, (service,))
            spec = specs.get(service)
            if spec is not None:
                key = ServiceKey(name, model)
                yield Committed(key, service, spec, *self._delivered(key, service, head, spec))

    def _delivered(
        self, key: ServiceKey, service: str, head: str, spec: ServiceSpec
    ) -> tuple[str, str]:
        """Our newest commit that names the path, also where a person brought it back since."""
        found = self.repository.deliveries(f"{key.environment}/{service}", head)
        for each in islice(found, DELIVERIES_READ):
            digest = each.trailers.get("Artifact-Digest", "")
            if digest and each.trailers.get("Artifact-Uri") == spec.uri:
                return each.commit, digest
        return "", ""

    def _snapshot(self, model: str) -> tuple[Snapshot | None, str]:
        if self.registry is None:
            return None, "no MLflow server is named (MLFLOW_TRACKING_URI)"
        try:
            return self.registry.snapshot(model), ""
        except RequestError:
            return None, ""
        except GitOpsError as error:
            return None, f"the registry cannot be asked: {error.what}"

    def _chain(
        self, committed: Committed, snapshot: Snapshot | None, unasked: str, *, deep: bool
    ) -> Chain:
        if address_problem(committed.spec):
            return verify(committed, None, snapshot, unasked=unasked)
        examined = self.shelf.examine(committed.spec.uri, deep=deep, progress=self.progress)
        signed = self._signed(examined)
        return verify(committed, examined, snapshot, signed=signed, unasked=unasked)

    def _signed(self, examined: Examined) -> Signed | str | None:
        trusted = self.settings.signed_by
        if not trusted:
            return None
        if examined.signature is None:
            return "there is no signature: it was published before anybody signed, or was removed"
        try:
            return self.signatures.verified(examined.signature, trusted)
        except PublishError as error:
            return error.what


def committed_specs(
    repository: Repository, settings: Settings, environment: str, services: Collection[str] = ()
) -> tuple[str, Mapping[str, ServiceSpec]]:
    """The head of an environment's branch, and what stands there: of these services, or of all.

    Raises ManifestError where one of them cannot be read.
    """
    found = settings.environments[environment]
    tree = repository.tree(found.branch or repository.default_branch)
    manifests = Manifests(
        tree,
        {environment: found},
        ParseCache(),
        settings.names,
        repository=repository.identity,
        applications=settings.applications,
    )
    if not services:
        for problem in manifests.problems(environment):
            raise problem
        return tree.head, manifests.services(environment)
    specs = {name: manifests.committed(environment, name) for name in services}
    return tree.head, {name: spec for name, spec in specs.items() if spec is not None}
