"""Where a version's files really are: `models:/` and `runs:/` are names of places, not places.

Anybody who may register a version chooses its source, so it is read with suspicion: a name that
can change later, and a path that climbs, are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mlflow_gitops.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["resolve", "root_of"]

HOPS = 10  # a copy of a copy of …

NAME_FILES = "register the version again, from its run or with its artifact location as the source"


def resolve(client: MlflowClient, uri: str, where: str) -> str:
    """Follow the names to a location. MLflow's own errors pass. Raises RegistryError."""
    start = uri
    for _ in range(HOPS):
        _check_path(uri, where)
        if uri.startswith("models:"):
            uri = _model(client, uri, where)
        elif uri.startswith("runs:"):
            uri = _run(client, uri, where)
        elif uri:
            return uri
        else:
            raise RegistryError("the version has no source", where=where, hint=NAME_FILES)
    raise RegistryError(f"the source {start} leads nowhere", where=where, hint=NAME_FILES)


def root_of(location: str, experiment: str) -> str:
    """The artifact root of a server, from its experiment's location; "" if there is none to tell.

    It ends in "/", so that as a prefix it means that folder and no other.
    """
    root = location.rstrip("/").removesuffix(f"/{experiment}")
    if root == location.rstrip("/") or not root.rpartition(":")[2].strip("/"):
        return ""
    return f"{root}/"


def _model(client: MlflowClient, uri: str, where: str) -> str:
    parts = uri.removeprefix("models:").strip("/").split("/")
    if len(parts) == 1 and parts[0].startswith("m-"):
        return str(client.get_logged_model(parts[0]).artifact_location)
    if len(parts) == 2 and parts[1].isascii() and parts[1].isdecimal():
        return str(client.get_model_version_download_uri(parts[0], parts[1]))
    raise RegistryError(
        f"the source {uri} names no fixed model or version", where=where, hint=NAME_FILES
    )


def _run(client: MlflowClient, uri: str, where: str) -> str:
    run_id, _, path = uri.removeprefix("runs:").strip("/").partition("/")
    if not run_id or not path:
        raise RegistryError(
            f"the source {uri} names no folder of a run", where=where, hint=NAME_FILES
        )
    run = client.get_run(run_id)
    return _logged_model(client, run, path) or f"{run.info.artifact_uri.rstrip('/')}/{path}"


def _logged_model(client: MlflowClient, run: Any, path: str) -> str:
    """MLflow 3 keeps a model that a run logged beside the run's artifacts, under its name."""
    outputs = getattr(getattr(run, "outputs", None), "model_outputs", None) or ()
    found = [client.get_logged_model(output.model_id) for output in outputs]
    named = [model for model in found if model.name == path]
    latest = max(named, key=lambda model: model.creation_timestamp, default=None)
    return latest.artifact_location if latest else ""


def _check_path(uri: str, where: str) -> None:
    if ".." in unquote(unquote(uri)).replace("\\", "/").split("/"):
        raise RegistryError(
            f"the source {uri} climbs out of its folder", where=where, hint=NAME_FILES
        )
