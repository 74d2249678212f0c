"""What a published version is called, where it lies, and whether it can be had yet. PURE.

The name comes from the registry (MLflow's number, or the tag that the settings name) and becomes
a Kubernetes label value and a segment of the S3 path.
"""

from __future__ import annotations

import re
from dataclasses import replace

from mlflow_gitops.errors import GitOpsError, RegistryError, TransientError
from mlflow_gitops.state import (
    AS_IS,
    EMPTY,
    Environment,
    ModelVersion,
    Publication,
    ServiceSpec,
    Settings,
    SignedBy,
    Snapshot,
    WriteOnce,
    layout_in,
)

__all__ = [
    "OURS",
    "as_published",
    "branch_of",
    "branch_prefix",
    "check_ready",
    "in_layout",
    "layout_of",
    "name_or_none",
    "number_of",
    "publication_of",
    "published_in",
    "revision_uri",
    "service_of",
    "spec_of",
    "spec_or",
    "version_name",
]

OURS = "mlflow-gitops/"
"""What the names of our branches begin with, unless the settings name them otherwise."""

LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def branch_of(environment: Environment, service: str) -> str:
    """The one branch of a service that pull requests are made from: only we write to it."""
    return branch_prefix(environment) + service


def branch_prefix(environment: Environment) -> str:
    """Return what the names of an environment's own branches begin with; the service follows."""
    template = environment.branch_name.removesuffix("{service}")
    return template.replace("{environment}", environment.name)


def service_of(environment: Environment, branch: str) -> str:
    """Return the service whose pull requests are made from the branch; "" if it is another's."""
    prefix = branch_prefix(environment)
    service = branch.removeprefix(prefix) if branch.startswith(prefix) else ""
    return "" if "/" in service else service


def version_name(settings: Settings, version: ModelVersion) -> str:
    """The published name. Raises RegistryError."""
    if not settings.version_tag:
        return version.number
    where = f"{version.model} version {version.number}"
    name = version.tags.get(settings.version_tag, "")
    if not name:
        raise RegistryError(
            f"the version has no tag `{settings.version_tag}`, which names published versions",
            where=where,
            hint=f"set the tag `{settings.version_tag}`, for example to 1.4.0, and ask again",
        )
    if name[0] in "vV" and name[1:2].isdigit():
        name = name[1:]
    if not LABEL.fullmatch(name):
        raise RegistryError(
            f"the tag `{settings.version_tag}` cannot name a version: it has to be 1 to 63 "
            "letters, digits, '.', '_' or '-', with a letter or digit at both ends",
            where=where,
            hint="correct the tag and ask again",
        )
    if layout := layout_in(name):
        raise RegistryError(
            f"the tag `{settings.version_tag}` ends in `-{layout}`, which is kept for the layouts "
            "of published files",
            where=where,
            hint="correct the tag and ask again",
        )
    return name


def revision_uri(settings: Settings, folder: str, name: str) -> str:
    """`s3://<bucket>/<prefix>/<folder>/v<name>/`: KServe lists by bare prefix, so it ends in /."""
    parts = [settings.bucket, settings.prefix, folder, f"v{name}"]
    return f"s3://{'/'.join(part for part in parts if part)}/"


def spec_of(settings: Settings, version: ModelVersion, environment: Environment) -> ServiceSpec:
    """What a manifest says of the version. Raises RegistryError where it has no usable name."""
    name = version_name(settings, version)
    uri = revision_uri(settings, settings.names.folder(version.model, environment), name)
    return ServiceSpec(uri=uri, version=name)


def layout_of(spec: ServiceSpec) -> str:
    """How the files lie that the URI leads to: `v<version>-<layout>/`, without one as they are."""
    name = spec.uri.rstrip("/").rpartition("/")[2]
    layout = layout_in(name)
    return layout if layout and name == f"v{spec.version}-{layout}" else AS_IS


def in_layout(spec: ServiceSpec, layout: str) -> ServiceSpec:
    """The same version's files, in another layout."""
    uri, now = spec.uri.rstrip("/"), layout_of(spec)
    plain = uri if now == AS_IS else uri.removesuffix(f"-{now}")
    return replace(spec, uri=f"{plain}/" if layout == AS_IS else f"{plain}-{layout}/")


def as_published(spec: ServiceSpec, known: ServiceSpec | None) -> ServiceSpec:
    """`spec`, at the URI of `known` where only the layout differs: that follows from the files."""
    if known is None or known.version != spec.version:
        return spec
    published = in_layout(spec, layout_of(known))
    return published if published.uri == known.uri else spec


def publication_of(
    version: ModelVersion,
    spec: ServiceSpec,
    source: str,
    settings: Settings | None = None,
) -> Publication:
    """The version at its path, in the layout that this names; `source` is where its files are.

    The settings matter only where it is published.
    """
    return Publication(
        uri=spec.uri,
        source=source,
        model=version.model,
        number=version.number,
        name=spec.version,
        identity=version.identity,
        layout=layout_of(spec),
        write_once=settings.write_once if settings else WriteOnce(),
        storing=settings.storing if settings else EMPTY,
        signed_by=settings.signed_by if settings else SignedBy(),
    )


def published_in(publication: Publication, layout: str) -> Publication:
    """The same version where it would lie in the layout."""
    spec = in_layout(ServiceSpec(publication.uri, publication.name), layout)
    return replace(publication, uri=spec.uri, layout=layout)


def spec_or(
    settings: Settings, version: ModelVersion, environment: Environment, otherwise: ServiceSpec
) -> ServiceSpec:
    """A naming tag that was taken away later is settings drift, not an error."""
    try:
        return spec_of(settings, version, environment)
    except GitOpsError:
        return otherwise


def number_of(snapshot: Snapshot, name: str, settings: Settings) -> str:
    """MLflow's number of a published version, which may have a name of its own; else the name."""
    named = [v.number for v in snapshot.versions if name_or_none(settings, v) == name]
    return named[-1] if named else name


def name_or_none(settings: Settings, version: ModelVersion) -> str | None:
    try:
        return version_name(settings, version)
    except GitOpsError:
        return None


def check_ready(version: ModelVersion) -> None:
    if version.status == "READY":
        return
    where = f"{version.model} version {version.number}"
    if version.status == "PENDING_REGISTRATION":
        raise TransientError("the version is still being registered", where=where)
    raise RegistryError(
        f"the version is not READY but {version.status}",
        where=where,
        hint="register the model again and ask for that version",
    )
