"""The files of a service that is not in an environment yet: text for a base, an overlay, a patch.

A base that is there is used as it is. The layout is the one that kustomize renders for several
environments at once: no namespace, URI or version in the base.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from posixpath import basename, dirname

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.facts import Document
from mlflow_gitops.manifests.fields import LABELS, place_of
from mlflow_gitops.manifests.scalars import plain_or_quoted, quoted
from mlflow_gitops.manifests.templates import render
from mlflow_gitops.manifests.tree import relative
from mlflow_gitops.slugs import MOST, is_name, slug
from mlflow_gitops.state import Predictor, ServiceSpec

__all__ = [
    "SERVICE_ACCOUNT",
    "base_files",
    "base_root",
    "check_name",
    "check_spec",
    "deployment_mode",
    "leaf_files",
    "overlay_text",
    "patch_text",
    "plain_text",
]

SERVICE_ACCOUNT = "kserve-s3-sa"
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
LAST_WITH_RAW = 15  # minor version of KServe
API_VERSION = "serving.kserve.io/v1beta1"


def deployment_mode(kserve: str) -> dict[str, str]:
    """Return the templates' values for the mode that this version of KServe can also update.

    KServe takes a mode that it does not know on creation, and then refuses every update.
    """
    if kserve and int(kserve.split(".")[1]) <= LAST_WITH_RAW:
        note = "KServe 0.15 and before; later versions know this mode as Standard."
        return {"mode": "RawDeployment", "mode_note": note}
    note = "KServe 0.16 or later; 0.15 and before know this mode as RawDeployment."
    return {"mode": "Standard", "mode_note": note}


def check_name(name: str, *, is_new: bool = False) -> None:
    """KServe's own rule for the name of an InferenceService; and what it can serve of a new one."""
    if not is_name(name) or (is_new and len(name) > MOST):
        raise ManifestError(
            f"`{name}` cannot be the name of an InferenceService: it takes lower-case letters, "
            f"digits and `-`, starts with a letter, and has at most {MOST} characters",
            where="mlflow-gitops.yaml",
            hint="map the model to a name, in the settings: "
            f"`services: {{{quoted(name)}: {slug(name)}}}`",
        )


def base_root(folder: str, exists: Callable[[str], bool]) -> str:
    """The folder of the bases that belongs to an environment's folder."""
    above = dirname(folder)
    grouped = basename(above) in ("overlays", "environments", "envs")
    beside, over = f"{above}/base".lstrip("/"), f"{dirname(above)}/base".lstrip("/")
    if grouped and not exists(beside):
        return over
    return beside


def patch_text(base: Document, values: Mapping[str, str]) -> str:
    """A strategic-merge patch that sets these fields.

    Group, version and namespace must be those that the base has in its file, or nothing matches.
    """
    lines = [f"apiVersion: {base.api_version}", f"kind: {base.kind}", "metadata:"]
    lines.append(f"  name: {plain_or_quoted(base.name)}")
    if base.namespace:
        lines.append(f"  namespace: {plain_or_quoted(base.namespace)}")
    labels = {key: value for key, value in values.items() if key.startswith(f"{LABELS}.")}
    if labels:
        lines.append("  labels:")
    for name, value in labels.items():
        lines.append(f"    {plain_or_quoted(place_of(name)[-1])}: {quoted(value)}")
    for name in values.keys() - labels.keys():
        *above, last = place_of(name)
        lines += [f"{'  ' * depth}{key}:" for depth, key in enumerate(above)]
        lines.append(f"{'  ' * len(above)}{last}: {plain_or_quoted(values[name])}")
    return "\n".join([*lines, ""])


def _model(predictor: Predictor, uri: str = "") -> str:
    """The lines under `spec.predictor.<key>:` that say how to load the files."""
    lines: list[str] = []
    if predictor.key == "model":
        lines += ["modelFormat:", f"  name: {plain_or_quoted(predictor.model_format)}"]
    if predictor.protocol:
        lines.append(f"protocolVersion: {plain_or_quoted(predictor.protocol)}")
    if predictor.runtime:
        lines.append(f"runtime: {plain_or_quoted(predictor.runtime)}")
    if uri:
        lines.append(f"storageUri: {plain_or_quoted(uri)}")
    return "".join(f"      {line}\n" for line in lines)


def _service(
    name: str,
    predictor: Predictor,
    *,
    account: bool,
    kserve: str,
    metadata: str = "",
    uri: str = "",
) -> str:
    return render(
        "service/inference-service.yaml",
        name=plain_or_quoted(name),
        metadata=metadata,
        account=f"    serviceAccountName: {SERVICE_ACCOUNT}\n" if account else "",
        key=predictor.key,
        model=_model(predictor, uri),
        **deployment_mode(kserve),
    )


def base_files(
    folder: str, name: str, predictor: Predictor, *, account: bool, kserve: str
) -> dict[str, str]:
    service = _service(name, predictor, account=account, kserve=kserve)
    return {
        f"{folder}/kustomization.yaml": render("service/base-kustomization.yaml"),
        f"{folder}/inference-service.yaml": service,
    }


def leaf_files(
    folder: str, base: str, document: Document, values: Mapping[str, str], namespace: str = ""
) -> dict[str, str]:
    patch = patch_text(document, values)
    return {
        f"{folder}/kustomization.yaml": render(
            "service/leaf-kustomization.yaml",
            namespace=f"namespace: {plain_or_quoted(namespace)}\n" if namespace else "",
            base=plain_or_quoted(relative(base, folder)),
        ),
        f"{folder}/model-version.yaml": patch,
    }


def overlay_text(namespace: str, resources: Iterable[str]) -> str:
    """An environment's own kustomization."""
    return render(
        "service/overlay-kustomization.yaml",
        namespace=f"namespace: {plain_or_quoted(namespace)}\n" if namespace else "",
        resources="".join(f"  - {plain_or_quoted(each)}\n" for each in resources),
    )


def plain_text(
    name: str,
    predictor: Predictor,
    spec: ServiceSpec,
    namespace: str,
    label: str,
    *,
    account: bool,
    kserve: str,
) -> str:
    """A whole InferenceService, for an environment that is a plain directory."""
    metadata = f"  namespace: {plain_or_quoted(namespace)}\n" if namespace else ""
    if label:
        metadata += f"  labels:\n    {plain_or_quoted(label)}: {quoted(spec.version)}\n"
    return _service(
        name, predictor, account=account, kserve=kserve, metadata=metadata, uri=spec.uri
    )


def check_spec(spec: ServiceSpec, service: str) -> None:
    if not LABEL_VALUE.fullmatch(spec.version):
        raise ManifestError(
            f"the version {spec.version!r} cannot be the value of a label",
            where=service,
            hint="it takes up to 63 letters, digits, `.`, `_` and `-`, and starts and ends with "
            "a letter or digit",
        )
    if not spec.uri or not spec.uri.isprintable() or spec.uri != spec.uri.strip():
        raise ManifestError(
            f"the URI {spec.uri!r} cannot be written into a manifest",
            where=service,
            hint="it must be one line of printable characters",
        )
