"""A source whose files have other names: what is copied is then laid out for its server.

Which names, `planning.layouts` decides; the copy knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO

from mlflow_gitops.adapters.s3_uploads import Origin
from mlflow_gitops.adapters.sources import LOG_AGAIN, Source
from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.file_names import check_paths, shown_name
from mlflow_gitops.planning.sources import shown

__all__ = ["laid_out"]


def laid_out(source: Source, paths: Mapping[str, str] | None) -> Source:
    """`paths` are published names to names in the source, None for the source as it is."""
    return source if paths is None else LaidOutSource(source, paths)


@dataclass(frozen=True, slots=True)
class LaidOutSource:
    source: Source
    paths: Mapping[str, str]

    @property
    def location(self) -> str:
        return self.source.location

    def files(self) -> Mapping[str, int]:
        """Raises PublishError where a file is not there any more."""
        found = self.source.files()
        check_paths(found, self.location)
        gone = next((path for path in self.paths.values() if path not in found), None)
        if gone is not None:
            raise PublishError(
                f"`{shown_name(gone)}` is not there any more",
                where=shown(self.location),
                hint=LOG_AGAIN,
            )
        return {published: found[path] for published, path in self.paths.items()}

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        return self.source.open(self.paths[path])

    def origin(self, path: str) -> Origin | None:
        return self.source.origin(self.paths[path])
