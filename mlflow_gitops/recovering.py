"""Our newest delivery of a service that no record knows, as Git has it. Writes nothing.

Our commits are found by their trailers. Where pull requests deliver, a squash may have dropped
these: then the commits that touched the service's files are credited to what they were made of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from mlflow_gitops.crediting import Crediting
from mlflow_gitops.planning.messages import exact
from mlflow_gitops.planning.recover import landed_delivery
from mlflow_gitops.ports import Repository
from mlflow_gitops.state import Delivery, ServiceSpec

__all__ = ["COMMITS_LOOKED_AT", "Found", "Recovery"]

DELIVERIES_READ = 20  # commits that may prove to have delivered nothing of ours
COMMITS_LOOKED_AT = 1000

Found = tuple[Delivery, ServiceSpec | None]
"""A commit that delivered, and what."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """For one service, `<environment>/<service>`, at one head.

    `branch` is the one that its changes are proposed from, `paths` are its files, and `spec_at`
    reads what a commit says of it. `crediting` is None where no pull request delivers.
    """

    repository: Repository
    name: str
    branch: str
    head: str
    paths: frozenset[str]
    spec_at: Callable[[str], ServiceSpec | None]
    crediting: Crediting | None = None

    def newest(self, since: str) -> Found | None:
        """The newest that is no ancestor of `since`."""
        found = self._trailered(since)
        return self._squashed(found[0].commit if found else since) or found

    def _trailered(self, since: str) -> Found | None:
        deliveries = self.repository.deliveries(self.name, self.head, since)
        found = (self._delivered_by(each) for each in islice(deliveries, DELIVERIES_READ))
        return next(filter(None, found), None)

    def _squashed(self, since: str) -> Found | None:
        if self.crediting is None:
            return None
        touching = self.repository.touching(self.paths, self.head, since, most=COMMITS_LOOKED_AT)
        for facts in islice(touching, DELIVERIES_READ):
            landing = self.crediting.landed(facts, self.paths, self.branch)
            delivery = landed_delivery(facts, landing, self.name) if landing else None
            found = self._delivered_by(delivery) if delivery else None
            if found and found[0].trailers.get("Artifact-Uri", "") == _uri(found[1]):
                return found
        return None

    def _delivered_by(self, delivery: Delivery) -> Found | None:
        """None for a copied trailer: the commit did not touch this service."""
        after = self.spec_at(delivery.commit)
        return (delivery, after) if after != self.spec_at(delivery.parent) else None


def _uri(spec: ServiceSpec | None) -> str:
    """As a trailer has it."""
    return exact(spec.uri) if spec else ""
