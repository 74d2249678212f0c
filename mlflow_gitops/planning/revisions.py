"""The published revisions of a model: what each is, and who points to it. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mlflow_gitops.planning.fields import UnreadableError
from mlflow_gitops.planning.kept import Shelved
from mlflow_gitops.planning.naming import name_or_none
from mlflow_gitops.planning.records import request_for
from mlflow_gitops.planning.revision_manifest import Claim, parse_claim
from mlflow_gitops.planning.verifying import read_manifest
from mlflow_gitops.state import ModelVersion, ServiceSpec, Settings, Snapshot

__all__ = ["Published", "folder_of", "published", "total"]

NO_SELECTOR = ("", "none", "archived")  # stages that ask for nothing


@dataclass(frozen=True, slots=True)
class Published:
    """One revision. `claim` is None where neither document can be read, and `problem` says why.

    `time` is when it was published, as its manifest says; `used` is every environment and selector
    that points to it, in words.
    """

    shelved: Shelved
    state: Literal["sealed", "unfinished", "damaged"]
    claim: Claim | None = None
    digest: str = ""
    time: str = ""
    problem: str = ""
    used: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.shelved.uri.rstrip("/").rpartition("/")[2]


def folder_of(settings: Settings, folder: str) -> str:
    """Where all revisions in a model's folder are; it ends in "/"."""
    parts = [settings.bucket, settings.prefix, folder]
    return f"s3://{'/'.join(part for part in parts if part)}/"


def published(
    shelved: Shelved,
    specs: Mapping[str, ServiceSpec],
    snapshot: Snapshot | None,
    settings: Settings,
) -> Published:
    """`specs` maps an environment to what stands there for the service."""
    found = _read(shelved)
    committed = [f"{name} (Git)" for name, spec in specs.items() if _points(spec, shelved.uri)]
    selected = _selectors(found, snapshot, settings) if snapshot is not None else ()
    return replace(found, used=tuple(dict.fromkeys([*committed, *selected])))


def _read(shelved: Shelved) -> Published:
    if shelved.manifest is not None:
        manifest, problem = read_manifest(shelved.manifest)
        if manifest is None:
            return Published(shelved, "damaged", problem=f"the manifest {problem}")
        if manifest.claim.uri != shelved.uri:
            return Published(shelved, "damaged", problem="the manifest is of another path")
        return Published(shelved, "sealed", manifest.claim, manifest.digest, manifest.created)
    try:
        claim = parse_claim((shelved.claim or b"").decode())
    except (UnicodeDecodeError, UnreadableError):
        return Published(shelved, "damaged", problem="the claim cannot be read")
    if claim.uri != shelved.uri:
        return Published(shelved, "damaged", problem="the claim is of another path")
    return Published(shelved, "unfinished", claim)


def _points(spec: ServiceSpec, uri: str) -> bool:
    """Also where a canary has it."""
    return spec.uri.rstrip("/") == uri.rstrip("/") or uri.rstrip("/") in spec.rollout


def _selectors(found: Published, snapshot: Snapshot, settings: Settings) -> Iterator[str]:
    for version in snapshot.versions:
        if _is_of(found, version, settings):
            yield from _selecting(version, settings)


def _is_of(found: Published, version: ModelVersion, settings: Settings) -> bool:
    """By identity, or by name: a damaged one may be of any version that has its name."""
    name = name_or_none(settings, version) or version.number
    is_named = found.name == f"v{name}" or found.name.startswith(f"v{name}-")
    return is_named or (found.claim is not None and found.claim.identity == version.identity)


def _selecting(version: ModelVersion, settings: Settings) -> Iterator[str]:
    if version.stage.lower() not in NO_SELECTOR:
        yield f"stage {version.stage}"
    yield from (f"alias {alias}" for alias in version.aliases)
    for environment in settings.environments_for(version.model):
        if environment.select.matches(version):
            yield str(environment.select)
        request = request_for(version, environment, None)
        if request is not None and request.pending and not request.closed:
            yield f"a request for {environment.name}"


def total(found: Sequence[Published]) -> tuple[int, int]:
    """Files and bytes."""
    return sum(each.shelved.files for each in found), sum(each.shelved.size for each in found)
