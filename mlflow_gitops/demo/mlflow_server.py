"""A real MLflow server on a free port of the loopback interface, for the demo, tests, benchmarks.

SQLite for the rows, a folder for the artifacts, which the server hands out itself
(`mlflow-artifacts:`). Its webhooks may go to plain HTTP on private addresses, which a server
that others can reach should not allow. The server is a group of processes, and ends as one.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlflow_gitops.demo.server_process import HOST, ServerProcess, answers, free_ports

__all__ = ["MlflowServer", "mlflow_server"]


@dataclass(slots=True)
class MlflowServer:
    """Everything is below `folder`, so that a server started there again knows the same models.

    `app_name` is "gitops" for the server plugin, None for MLflow as it is. `options` are further
    arguments of `mlflow server`. `port` is chosen where it is 0. `python` may be another
    environment's, with another MLflow.
    """

    folder: Path
    app_name: str | None = None
    workers: int = 2
    environ: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[str] = ()
    port: int = 0
    python: Path = Path(sys.executable)
    _server: ServerProcess | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def database(self) -> str:
        """The store's URI, for seeding and looking past the server."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @property
    def log(self) -> Path:
        return self.folder / "mlflow.log"

    def start(self) -> None:
        """Returns once the server answers. Raises ServerError."""
        self.artifacts.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_ports()[0]
        self._server = ServerProcess("MLflow server", self.log)
        self._server.start(
            self._command(),
            is_ready=lambda: answers(self.port, "/health"),
            cwd=self.folder,
            env=self._environ(),
        )

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def kill(self) -> None:
        """As a crash would."""
        if self._server is not None:
            self._server.kill()

    def _command(self) -> list[str]:
        command = [str(self.python), "-m", "mlflow", "server"]
        command += ["--host", HOST, "--port", str(self.port), "--workers", str(self.workers)]
        command += ["--backend-store-uri", self.database]
        command += ["--serve-artifacts", "--artifacts-destination", str(self.artifacts)]
        if self.app_name:
            command += ["--app-name", self.app_name]
        return [*command, *self.options]

    def _environ(self) -> dict[str, str]:
        """The caller's, less its own MLflow settings: they could point the server elsewhere."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MLFLOW_", "_MLFLOW_"))
        }
        return {**inherited, **_settings(self.folder), **self.environ}


@contextmanager
def mlflow_server(
    folder: Path,
    *,
    app_name: str | None = None,
    workers: int = 2,
    environ: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    port: int = 0,
    python: Path = Path(sys.executable),
) -> Iterator[MlflowServer]:
    """A started server, stopped at the end."""
    server = MlflowServer(folder.resolve(), app_name, workers, environ or {}, options, port, python)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _settings(folder: Path) -> dict[str, str]:
    return {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # more processes, and nothing for us
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": _encryption_key(folder),
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "_MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",  # its name in some versions
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "_MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "1",  # seconds until every worker knows a new webhook
        "PYTHONUNBUFFERED": "1",
    }


def _encryption_key(folder: Path) -> str:
    """Kept beside the database: with another key, no stored webhook can be used after a restart."""
    path = folder / "webhook.key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(base64.urlsafe_b64encode(secrets.token_bytes(32)))
    return path.read_text()
