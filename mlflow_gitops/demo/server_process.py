"""A server as a group of processes on loopback: started with a log, awaited, ended as one."""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HOST", "ServerError", "ServerProcess", "answers", "free_ports"]

HOST = "127.0.0.1"
START_WITHIN = 180.0  # seconds; a loaded machine imports slowly, once for each worker
LOOK_EVERY = 0.1
PORTS = range(20_000, 32_000)
LOG_SHOWN = 3000  # characters


class ServerError(RuntimeError):
    """The server did not start; the message ends with its log."""


@dataclass(slots=True)
class ServerProcess:
    """`name` is what messages call it. Its output is appended to `log`."""

    name: str
    log: Path
    stop_within: float = 15.0  # seconds
    process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        command: Sequence[str],
        *,
        is_ready: Callable[[], bool],
        cwd: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Returns once it is ready. Raises ServerError, and leaves nothing running."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until(is_ready)
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
            process.wait(self.stop_within)
        _signal_group(process, signal.SIGKILL)  # workers that outlived their parent, too
        process.wait()

    def kill(self) -> None:
        """End the whole group at once, as a crash would."""
        process, self.process = self.process, None
        if process is not None:
            _signal_group(process, signal.SIGKILL)
            process.wait()

    def check_alive(self) -> None:
        """Raises ServerError where it is not running."""
        code = self.process.poll() if self.process is not None else None
        if self.process is None or code is not None:
            raise ServerError(f"{self.name} ended with {code}:\n{self._log_end()}")

    def _wait_until(self, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_WITHIN
        while time.monotonic() < deadline:
            self.check_alive()
            if is_ready():
                return
            time.sleep(LOOK_EVERY)
        raise ServerError(f"no {self.name} after {START_WITHIN:.0f} s:\n{self._log_end()}")

    def _log_end(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_SHOWN:]


def free_ports(count: int = 1) -> list[int]:
    """Different ports that were free just now, of those that no outgoing connection is given."""
    found: list[int] = []
    with ExitStack() as stack:
        for port in random.sample(PORTS, len(PORTS)):
            probe = stack.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind((HOST, port))
                found.append(port)
            if len(found) == count:
                return found
    raise ServerError(f"no {count} ports from {PORTS.start} to {PORTS.stop - 1} are free")


def answers(port: int, path: str) -> bool:
    """Whether GET gives 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
