"""MLflow's artifact proxy, asked over HTTP as MLflow's client asks it, with each name as it is.

The client decodes the names that a list has and quotes none that it asks for: a file with `%41` in
its name would be another one. The server decodes what it is asked for, so that some names cannot
be had from it at all: those are an error here, not another file.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.file_names import check_path, shown_name

if TYPE_CHECKING:
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
    from requests import Response

__all__ = ["ListedFile", "listed_files", "open_file"]

ENDPOINT = "/mlflow-artifacts/artifacts"
USE_ANOTHER_WAY = (
    "log the model again with another name for it; or register the version with the address of its "
    "files in the storage behind the proxy, and allow that in `artifacts.sources`"
)


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file or folder, with the fields of MLflow's `FileInfo`. `file_size` is in bytes, None where
    the proxy does not say it.
    """

    path: str
    is_dir: bool
    file_size: int | None


def listed_files(repository: HttpArtifactRepository, folder: str) -> Iterator[ListedFile]:
    """What a folder holds; "" is the root. Raises PublishError, and what MLflow raises."""
    url, _, tail = repository.artifact_uri.partition(ENDPOINT)
    path = posixpath.join(tail.lstrip("/"), folder) if folder else tail.lstrip("/")
    answer = _asked(url, ENDPOINT, params={"path": path})
    for entry in answer.json().get("files", []):
        name = posixpath.join(folder, entry["path"])
        check_path(name)
        _check_served(name)
        size = int(entry["file_size"]) if "file_size" in entry else None
        yield ListedFile(name, bool(entry["is_dir"]), size)


def open_file(repository: HttpArtifactRepository, path: str) -> Response:
    """The answer, whose body is the file."""
    return _asked(repository.artifact_uri, f"/{quote(path)}", stream=True)


def _asked(url: str, endpoint: str, **arguments: Any) -> Response:
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import augmented_raise_for_status, http_request

    answer: Response = http_request(get_default_host_creds(url), endpoint, "GET", **arguments)
    augmented_raise_for_status(answer)
    return answer


def _check_served(path: str) -> None:
    """Raise PublishError where the server would refuse the name, or take it for another one.

    MLflow's server puts each path, which begins with a folder of its own, through this function.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils.uri import validate_path_is_safe

    asked = f"artifacts/{path}"
    try:
        is_served = validate_path_is_safe(asked) == asked
    except MlflowException:
        is_served = False
    if not is_served:
        raise PublishError(
            "MLflow's artifact proxy cannot hand out a file of this name: it reads `#`, `%` with "
            "two hexadecimal digits, and `?` or `;` at the end as parts of a URL",
            where=shown_name(path),
            hint=USE_ANOTHER_WAY,
        )
