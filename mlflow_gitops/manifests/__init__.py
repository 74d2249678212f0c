"""Manifests: text in, text out. PURE: finds, reads and edits InferenceServices by position.

`Manifests` answers for all environments of one branch's tree; `scaffold_repository` makes a new
repository. Nothing here reads a disk (but the package's own templates), a clock or a network.
"""

from mlflow_gitops.manifests.cache import ParseCache
from mlflow_gitops.manifests.environments import Manifests
from mlflow_gitops.manifests.graph import MANIFESTS
from mlflow_gitops.manifests.repository import InitOptions, scaffold_repository
from mlflow_gitops.manifests.sources import FILE_NAMES, narrowed, newly_listed, service_names

__all__ = [
    "FILE_NAMES",
    "MANIFESTS",
    "InitOptions",
    "Manifests",
    "ParseCache",
    "narrowed",
    "newly_listed",
    "scaffold_repository",
    "service_names",
]
