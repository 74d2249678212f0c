"""A real MLflow server on a free port of the loopback interface, for the demo, tests, benchmarks.

SQLite for the rows, a folder for the artifacts, which the server hands out itself
(`mlflow-artifacts:`). Its webhooks may go to plain HTTP on private addresses, which a server
that others can reach should not allow. The server is a group of processes, and ends as one.
"""

from __future__ import annotations

import base64
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["MlflowServer", "ServerError", "mlflow_server"]

HOST = "127.0.0.1"
START_WITHIN = 180.0  # seconds; a loaded machine imports MLflow slowly, once for each worker
STOP_WITHIN = 15.0
LOOK_EVERY = 0.1
LOG_SHOWN = 3000  # characters


class ServerError(RuntimeError):
    """The server did not start; the message ends with its log."""


@dataclass(slots=True)
class MlflowServer:
    """Everything is below `folder`, so that a server started there again knows the same models.

    `app_name` is "gitops" for the server plugin, None for MLflow as it is. `options` are further
    arguments of `mlflow server`. `port` is chosen where it is 0.
    """

    folder: Path
    app_name: str | None = None
    workers: int = 2
    environ: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[str] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

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
        self.port = self.port or _free_port()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command(),
                cwd=self.folder,
                env=self._environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_healthy()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the whole group, by force where it does not go; nothing if it is not running."""
        process, self.process = self.process, None
        if process is None:
            return
        _signal_group(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_WITHIN)
        _signal_group(process, signal.SIGKILL)  # workers that outlived their parent, too
        process.wait()

    def kill(self) -> None:
        """End the whole group at once, as a crash would."""
        process, self.process = self.process, None
        if process is not None:
            _signal_group(process, signal.SIGKILL)
            process.wait()

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "mlflow", "server"]
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

    def _wait_until_healthy(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_WITHIN
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerError(
                    f"the MLflow server ended with {self.process.returncode}:\n{self._log_end()}"
                )
            if _is_healthy(self.port):
                return
            time.sleep(LOOK_EVERY)
        raise ServerError(f"no MLflow server after {START_WITHIN:.0f} s:\n{self._log_end()}")

    def _log_end(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_SHOWN:]


@contextmanager
def mlflow_server(
    folder: Path,
    *,
    app_name: str | None = None,
    workers: int = 2,
    environ: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    port: int = 0,
) -> Iterator[MlflowServer]:
    """A started server, stopped at the end."""
    server = MlflowServer(folder.resolve(), app_name, workers, environ or {}, options, port)
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
