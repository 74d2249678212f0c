"""Builds manifests with `kubectl kustomize`, or `kustomize build`: what the cluster would get.

It runs in a folder of its own, without a network, without Git and without the caller's environment:
the repository may refer to anything, and nothing of it is fetched or run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow_gitops.errors import RenderError

__all__ = ["KustomizeRenderer"]

TIMEOUT = 30.0  # seconds
NOWHERE = "http://127.0.0.1:9"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


class KustomizeRenderer:
    """`ports.Renderer`. `command` is the program and its verb; None where this machine has none."""

    def __init__(self, command: tuple[str, ...] | None = None, timeout: float = TIMEOUT) -> None:
        self._command = command or _found()
        self._timeout = timeout

    def render(self, files: Mapping[str, str], folder: str) -> str | None:
        if self._command is None:
            return None
        with TemporaryDirectory(prefix="mlflow-gitops-") as scratch:
            root, home = Path(scratch) / "tree", Path(scratch) / "home"
            home.mkdir()
            for path, text in files.items():
                target = root / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(text.encode("utf-8", "surrogateescape"))
            return self._run(self._command, root / folder, home, folder)

    def _run(self, command: tuple[str, ...], path: Path, home: Path, folder: str) -> str:
        environ = {"HOME": str(home), "PATH": "", **dict.fromkeys(PROXIES, NOWHERE)}
        try:
            done = subprocess.run(
                [*command, str(path)],
                capture_output=True,
                cwd=home,
                env=environ,
                timeout=self._timeout,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            late = isinstance(error, subprocess.TimeoutExpired)
            what = f"not built within {self._timeout:.0f} seconds" if late else "cannot be started"
            raise RenderError(f"{Path(command[0]).name}: {what}", where=folder) from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").replace(f"{home.parent}/tree/", "")
            lines = [line for line in said.splitlines() if line.strip()]
            raise RenderError(
                lines[-1] if lines else "kustomize does not say why it fails", where=folder
            )
        return done.stdout.decode("utf-8", "replace")


def _found() -> tuple[str, ...] | None:
    beside = Path(sys.executable).with_name("kubectl")  # where pip puts it
    kubectl = str(beside) if beside.is_file() else shutil.which("kubectl")
    if kubectl:
        return (kubectl, "kustomize")
    kustomize = shutil.which("kustomize")
    return (kustomize, "build") if kustomize else None
