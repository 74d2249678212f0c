"""MLflow's own scoring server on a folder of this machine, in the foreground."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlflow_gitops.adapters.output_relay import OutputRelay
from mlflow_gitops.adapters.scoring_failures import is_known, scoring_failure
from mlflow_gitops.errors import RequestError

__all__ = ["free_port", "serve"]

LOOK_EVERY = 0.3  # seconds
STOP_WITHIN = 10.0  # seconds
ENDING = (signal.SIGTERM, signal.SIGHUP)


def free_port(host: str, port: int) -> int:
    """The port, or any free one for 0. Raises RequestError where it is taken."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except (OSError, UnicodeError) as error:
        raise RequestError(
            f"no server can listen there ({getattr(error, 'strerror', None) or error})",
            where=f"{host}:{port}",
            hint="choose another port (0 for any free one) or host: -C port=0 -C host=127.0.0.1",
        ) from None


def serve(folder: Path, host: str, port: int, env_manager: str, ready: Callable[[], None]) -> None:
    """Until Ctrl-C, or a signal to end; `ready` is called once when it answers.

    Its output goes to stderr, without the tracebacks of a cause that is known. Raises RequestError
    where it ends by itself.
    """
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(folder)]
    command += ["--host", host, "--port", str(port), "--env-manager", env_manager]
    with _interruptible():
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,
        )
        assert process.stdout is not None
        relay = OutputRelay(process.stdout, sys.stderr)

        def answers() -> None:
            relay.release()
            ready()

        try:
            code = _wait(process, host, port, answers)
        except KeyboardInterrupt:
            return
        finally:
            _stop(process)
            words = relay.ended()
            process.stdout.close()
    if not is_known(words):
        relay.release()
    where = f"mlflow models serve --env-manager {env_manager}"
    raise scoring_failure(words, code, where)


def _environment() -> dict[str, str]:
    """MLflow looks for `uvicorn` on PATH; it is where this Python is, activated or not."""
    path = os.pathsep.join(filter(None, [os.path.dirname(sys.executable), os.environ.get("PATH")]))
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def _wait(process: subprocess.Popen[bytes], host: str, port: int, ready: Callable[[], None]) -> int:
    while process.poll() is None and not _answers(host, port):
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_EVERY)
    if process.poll() is None:
        ready()
    return process.wait()


def _answers(host: str, port: int) -> bool:
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    connection = http.client.HTTPConnection(own, port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def _interruptible() -> Iterator[None]:
    """What ends this process ends the server too, which is in a session of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.default_int_handler) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """A second Ctrl-C does not wait for what the first one asked for."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(STOP_WITHIN)
