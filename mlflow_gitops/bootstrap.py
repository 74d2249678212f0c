"""Builds the adapters and hands them to the reconciler: the one place that knows all of them.

I/O libraries are imported when they are first needed, so that a command which needs none of them
starts quickly.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_gitops.config import Process, parse_settings
from mlflow_gitops.crediting import Crediting
from mlflow_gitops.errors import ConfigError, TerminalError
from mlflow_gitops.forge_check import ForgeCheck
from mlflow_gitops.history import Historian
from mlflow_gitops.looking_back import LookingBack
from mlflow_gitops.observe import Observer
from mlflow_gitops.ports import (
    ArtifactStore,
    Cluster,
    Forge,
    Progress,
    Registry,
    Renderer,
    Repository,
    Scorer,
    Shelf,
)
from mlflow_gitops.reconcile import Reconciler
from mlflow_gitops.reviewed import Reviewed
from mlflow_gitops.state import People

if TYPE_CHECKING:
    from mlflow_gitops.adapters.commit_signing import CommitSigner
    from mlflow_gitops.adapters.history_index import SqliteIndex
    from mlflow_gitops.adapters.model_signing import ModelSigner
    from mlflow_gitops.adapters.repository import GitRepository
    from mlflow_gitops.adapters.s3 import Clients
    from mlflow_gitops.state import Environment, Settings

__all__ = ["Session", "connect", "now"]


def now() -> str:
    """The time, as ISO 8601 in UTC with milliseconds: text order is time order."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Session:
    """The adapters of one process, each built when it is first used."""

    process: Process
    progress: Progress | None = None
    _indexes: dict[Path, SqliteIndex] = field(default_factory=dict)
    _forge: tuple[tuple[str, str], Forge] | None = None

    @property
    def repository(self) -> Repository:
        return self._git

    @cached_property
    def _git(self) -> GitRepository:
        from mlflow_gitops.adapters.repository import GitRepository

        process = self.process
        if not process.repository:
            raise ConfigError(
                "no manifests repository is named",
                where="MLFLOW_GITOPS_REPOSITORY",
                hint="set it to the repository's URL, or name it with `--repository <URL>` "
                "(`-t gitops:<URL>` for `mlflow deployments`)",
            )
        return GitRepository(
            process.repository,
            Path(process.state_dir),
            credentials=self._git_credentials,
            people=self._people,
            signer=self._signer(),
        )

    def _git_credentials(self) -> tuple[str, str] | None:
        """User name and token for Git over HTTP(S), as they are now; None without any."""
        process = self.process
        if process.github_app is None or process.git_token.is_set:
            return process.git_credentials()
        return process.git_username, self._app_token()

    @cached_property
    def _app_token(self) -> Callable[[], str]:
        from mlflow_gitops.adapters.forge import installation_token
        from mlflow_gitops.adapters.git_address import Address

        address = Address.parse(self.process.repository)
        assert self.process.github_app is not None
        return installation_token(address.identity, self.process.github_app, address.scheme)

    def _people(self) -> People:
        """Of each commit; a repository that is only being set up has no settings yet."""
        try:
            named = parse_settings(self._git.settings_text()).people
        except TerminalError:
            named = People()
        return self.process.people(named)

    def _signer(self) -> CommitSigner | None:
        from mlflow_gitops.adapters.commit_signing import CommitSigner

        process = self.process
        if not (process.signing_key_file or process.signing_key_id):
            return None
        folder = Path(process.state_dir)
        passphrase = process.passphrase.phrase
        return CommitSigner(process.signing_key_file, process.signing_key_id, folder, passphrase)

    @cached_property
    def registry(self) -> Registry:
        from mlflow_gitops.adapters.registry import MlflowRegistry

        process = self.process
        if not (process.tracking_uri or process.registry_uri):
            raise ConfigError(  # MLflow would make a database of its own, in the current folder
                "no MLflow server is named",
                where="MLFLOW_TRACKING_URI",
                hint="set it to the server's URL",
            )
        return MlflowRegistry(process.tracking_uri, process.registry_uri)

    @cached_property
    def observer(self) -> Observer:
        key = self.process.request_key
        return Observer(self.registry, self.repository, now, key, self.forge)

    def forge(self, settings: Settings) -> Forge:
        """The forge's API, for environments that deliver by pull requests. Raises ConfigError."""
        from mlflow_gitops.adapters.forge import open_forge
        from mlflow_gitops.adapters.git_address import Address

        wanted = (settings.forge, settings.forge_url)
        if self._forge is None or self._forge[0] != wanted:
            process = self.process
            made = open_forge(
                self.repository.identity,
                *wanted,
                token=process.forge_token.line,
                scheme=Address.parse(process.repository).scheme,
                app=process.github_app,
            )
            self._forge = (wanted, made)
        return self._forge[1]

    def forge_check(self) -> ForgeCheck:
        return ForgeCheck(self.forge, self.process.has_forge_token)

    @cached_property
    def store(self) -> ArtifactStore:
        from mlflow_gitops.adapters.artifacts import WORKERS, S3ArtifactStore

        process = self.process
        own = self._clients(2 * WORKERS)
        other = None
        if process.source_s3_endpoint or process.source_s3_profile:
            endpoint = process.source_s3_endpoint or process.s3_endpoint
            other = replace(own, endpoint_url=endpoint, profile=process.source_s3_profile)
        return S3ArtifactStore(
            own,
            other,
            tracking_uri=process.tracking_uri,
            signer=self.model_signer,
            storing=process.upload_arguments,
        )

    def _clients(self, connections: int) -> Clients:
        from mlflow_gitops.adapters.s3 import Clients

        process = self.process
        return Clients(
            process.s3_endpoint,
            process.region,
            connections=connections,
            is_requester=process.is_requester,
        )

    @cached_property
    def model_signer(self) -> ModelSigner:
        from mlflow_gitops.adapters.model_signing import ModelSigner

        process = self.process
        return ModelSigner(
            process.model_key_file, process.model_certificate_file, process.model_passphrase.phrase
        )

    @cached_property
    def shelf(self) -> Shelf:
        from mlflow_gitops.adapters.shelf import WORKERS, S3Shelf

        return S3Shelf(self._clients(WORKERS))

    @cached_property
    def cluster(self) -> Cluster:
        from mlflow_gitops.adapters.cluster import KubernetesCluster

        return KubernetesCluster(self.process.kubeconfig, self.process.kube_context)

    @cached_property
    def scorer(self) -> Scorer:
        from mlflow_gitops.adapters.inference import HttpScorer

        return HttpScorer(self.process.predict_token.line, self.process.predict_timeout)

    @cached_property
    def renderer(self) -> Renderer:
        from mlflow_gitops.adapters.renderer import KustomizeRenderer

        return KustomizeRenderer()

    @cached_property
    def reconciler(self) -> Reconciler:
        return Reconciler(self.observer, self.store, self.progress, renderer=self.renderer)

    def settings(self) -> Settings:
        """The settings of the repository's default branch, read now."""
        self.repository.fetch()
        return self.observer.settings()

    def looking_back(
        self, environment: Environment, settings: Settings, reviewed: Reviewed | None = None
    ) -> LookingBack:
        """The history of one environment, as last fetched: from Git, and from what `reviewed` asks
        the forge.
        """
        from mlflow_gitops.adapters.history_index import SqliteIndex, index_file
        from mlflow_gitops.progress import told_now_and_then

        branch = environment.branch or self._git.default_branch
        file = index_file(Path(self.process.state_dir), self._git.identity, branch)
        if file not in self._indexes:
            self._indexes[file] = SqliteIndex(file)
        historian = Historian(
            self._git.log,
            self._indexes[file],
            environment,
            branch,
            settings.names,
            told_now_and_then("Reading the history"),
        )
        merge = partial(reviewed.merge, index=historian.index) if reviewed else None
        crediting = Crediting(self._git.landing, self._git.message, settings.environments, merge)
        found = LookingBack(historian, settings, crediting)
        found.start()
        return found

    def reviewed(self, settings: Settings, *, asks_forge: bool) -> Reviewed:
        """Without a token for the forge, Git alone is asked, also where `asks_forge`."""
        is_asked = asks_forge and self.process.has_forge_token
        open_forge = partial(self.forge, settings) if is_asked else None
        return Reviewed(self.repository, now, open_forge)

    def settings_from_git(self) -> Settings:
        """The same as `settings`, without a registry."""
        git = self.repository
        git.fetch()
        return parse_settings(git.settings_text(), default_branch=git.default_branch)


def connect(repository: str | None = None, *, progress: Progress | None = None) -> Session:
    """A session from the process's environment; `repository` instead of the one named there.

    Nothing is connected yet: each part is when it is first used. Raises ConfigError.
    """
    return Session(Process.from_environ(os.environ, repository=repository), progress)
