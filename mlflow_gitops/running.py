"""`run-local`: serves what was published for a service, the very bytes, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow_gitops.adapters.local_server import free_port, serve
from mlflow_gitops.errors import RequestError
from mlflow_gitops.observe import Observer
from mlflow_gitops.planning.mlmodel import parse_flavors
from mlflow_gitops.planning.naming import publication_of, published_in, spec_of
from mlflow_gitops.ports import ArtifactStore, Progress
from mlflow_gitops.state import LAYOUTS, Publication, Revision
from mlflow_gitops.wish import choose, did_you_mean, locate, parse_model_uri

__all__ = ["ENV_MANAGERS", "LocalOptions", "Runner", "parse_local_options"]

ENV_MANAGERS = ("local", "virtualenv", "uv", "conda")
KEYS = ("env-manager", "host", "port")
PYFUNC = "python_function"


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """`port` 0 means any free one."""

    host: str = "127.0.0.1"
    port: int = 5001
    env_manager: str = "local"


def parse_local_options(config: Mapping[str, Any] | None) -> LocalOptions:
    """`-C` as given. Raises RequestError; an unknown key is never passed over."""
    given = {str(key).replace("_", "-"): str(value) for key, value in (config or {}).items()}
    unknown = next((key for key in given if key not in KEYS), None)
    if unknown is not None:
        raise RequestError(
            f"there is no option `{unknown}`{did_you_mean(unknown, KEYS)}",
            where=f"-C {unknown}",
            hint=f"take one of: {', '.join(KEYS)}",
        )
    options = LocalOptions()
    manager = given.get("env-manager", options.env_manager)
    if manager not in ENV_MANAGERS:
        raise RequestError(
            f"there is no way `{manager}` to make an environment",
            where="-C env-manager",
            hint=f"take one of: {', '.join(ENV_MANAGERS)}",
        )
    return LocalOptions(given.get("host") or options.host, _port(given, options.port), manager)


def _port(given: Mapping[str, str], default: int) -> int:
    text = given.get("port", str(default))
    if text.isascii() and text.isdecimal() and len(text) < 6 and int(text) < 65_536:
        return int(text)
    raise RequestError("this is no port", where="-C port", hint="take a number from 0 to 65535")


@dataclass(frozen=True, slots=True)
class Runner:
    """`say` gets the lines that people read when the server answers."""

    observer: Observer
    store: ArtifactStore
    say: Callable[[str], None]
    progress: Progress | None = None

    def run(self, name: str, model_uri: str, flavor: str, options: LocalOptions) -> None:
        """Until Ctrl-C. Raises GitOpsError, also where the server ends by itself."""
        publication = self._publication(name, model_uri)
        sealed = self.store.sealed(publication)
        if sealed is None:
            self._check_not_laid_out(publication)
        _check_flavor(_published(sealed, publication), flavor)
        port = free_port(options.host, options.port)
        with TemporaryDirectory(prefix="mlflow-gitops-") as folder:
            fetched = self.store.download(publication, Path(folder), self.progress)
            _published(fetched, publication)

            def ready() -> None:
                self.say(_invitation(publication, options.host, port))

            serve(Path(folder), options.host, port, options.env_manager, ready)

    def _check_not_laid_out(self, publication: Publication) -> None:
        """Raise RequestError where it is published, but not as MLflow's server needs it."""
        for layout in LAYOUTS:
            other = published_in(publication, layout)
            if self.store.sealed(other) is not None:
                raise RequestError(
                    f"version {publication.number} of {publication.model} is published for another "
                    f"server, in the layout {layout}",
                    where=other.uri,
                    hint=f"serve it with its own runtime, or {_as_registered(publication)}",
                )

    def _publication(self, name: str, model_uri: str) -> Publication:
        observer = self.observer
        ref = parse_model_uri(model_uri)
        observer.repository.fetch()
        settings = observer.settings()
        environment, _ = locate(name, settings, ref.model)
        version = choose(observer.registry.snapshot(ref.model), ref)
        spec = spec_of(settings, version, environment)
        return publication_of(version, spec, observer.registry.artifact_location(version))


def _published(revision: Revision | None, publication: Publication) -> Revision:
    if revision is not None:
        return revision
    raise RequestError(
        f"version {publication.number} of {publication.model} is not published",
        where=publication.uri,
        hint="ask for it with `mlflow deployments create -t gitops`, or "
        + _as_registered(publication),
    )


def _as_registered(publication: Publication) -> str:
    version = f"{publication.model}/{publication.number}"
    return f"serve the registry's files with `mlflow models serve -m models:/{version}`"


def _check_flavor(revision: Revision, flavor: str) -> None:
    flavors = sorted(parse_flavors(revision.contents.mlmodel)) if revision.contents.mlmodel else []
    if PYFUNC not in flavors:
        raise RequestError(
            f"MLflow's server serves the flavor `{PYFUNC}`, which the version does not have",
            where=revision.uri,
            hint="serve it with its own runtime",
        )
    if flavor and flavor not in flavors:
        raise RequestError(
            f"the version has no flavor `{flavor}`",
            where=revision.uri,
            hint=f"take one of: {', '.join(flavors)}, or leave --flavor out",
        )


def _invitation(publication: Publication, host: str, port: int) -> str:
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    return (
        f"{publication.model} version {publication.number} ({publication.uri}) answers at "
        f"{address}\n"
        f"  curl {address}/invocations -H 'Content-Type: application/json' "
        """-d '{"dataframe_split": {"columns": ["…"], "data": [["…"]]}}'\n"""
        "  Ctrl-C ends it"
    )
