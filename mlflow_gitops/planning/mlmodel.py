"""What a version holds, for the question whether it would load. PURE.

MLflow's `MLmodel` is read with care: anybody who may log a model can write it as they like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.plain_yaml import OddYamlError, read_plain
from mlflow_gitops.planning.sources import shown
from mlflow_gitops.state import AS_IS, ModelFiles

__all__ = ["Contents", "contents_of", "is_mlflow", "parse_flavors", "parse_mlmodel"]

Flavors = Mapping[str, Mapping[str, object]]
"""By name, each with what it says of itself."""

DATA_KEYS = ("pickled_model", "data")


@dataclass(frozen=True, slots=True)
class Contents:
    """The files that reach the server: KServe leaves out empty ones.

    `is_laid_out` says that they are not where MLmodel says, but where their server looks.
    """

    paths: frozenset[str]
    flavors: Flavors
    is_laid_out: bool = False

    @property
    def top(self) -> tuple[str, ...]:
        return tuple(sorted(path for path in self.paths if "/" not in path))

    @property
    def is_skops(self) -> bool:
        formats = (flavor.get("serialization_format") for flavor in self.flavors.values())
        return "skops" in formats or any(path.endswith(".skops") for path in self.top)

    def data_of(self, flavor: str) -> str:
        """The file or folder that MLflow says the flavor's model is in; "" if it does not."""
        if self.is_laid_out:
            return ""
        values = self.flavors.get(flavor, {})
        found = (values.get(key) for key in DATA_KEYS)
        return shown(next((value for value in found if isinstance(value, str)), ""))


def contents_of(files: ModelFiles, layout: str = AS_IS) -> Contents:
    """Raises PublishError where the MLmodel cannot be read."""
    flavors = parse_flavors(files.mlmodel) if is_mlflow(files) else {}
    paths = frozenset(path for path, size in files.files.items() if size)
    return Contents(paths, flavors, is_laid_out=layout != AS_IS)


def is_mlflow(files: ModelFiles) -> bool:
    """An empty MLmodel is a broken one, not none."""
    return bool(files.mlmodel) or "MLmodel" in files.files


def parse_flavors(text: str) -> Flavors:
    """What an MLmodel says of its flavors. Raises PublishError."""
    flavors = parse_mlmodel(text).get("flavors")
    if not isinstance(flavors, dict) or not flavors:
        raise _unreadable("names no flavors")
    if not all(isinstance(key, str) and isinstance(each, dict) for key, each in flavors.items()):
        raise _unreadable("has flavors that are no mappings")
    return flavors


def parse_mlmodel(text: str) -> Mapping[object, object]:
    """Return what it says, {} where that is no mapping. Raises PublishError for anything else than
    MLflow writes.
    """
    try:
        values = read_plain(text)
    except OddYamlError as odd:
        raise _unreadable(odd.what) from None
    return values if isinstance(values, dict) else {}


def _unreadable(what: str) -> PublishError:
    return PublishError(
        f"the version's MLmodel {what}",
        where="MLmodel",
        hint="log the model again with MLflow, and register that as a new version",
    )
