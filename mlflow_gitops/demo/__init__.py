"""The demo: real servers on loopback, and the main job told as a story."""

from __future__ import annotations

import signal
import tempfile
import threading
from pathlib import Path

__all__ = ["run"]


def run(*, once: bool, folder: Path | None = None) -> int:
    """Start everything and tell the story; stay up until interrupted unless `once`.

    Returns 0 when every step was seen to happen, else 1. Without `folder` the data is kept in a
    temporary one, which goes away at the end.
    """
    from mlflow_gitops.demo.narrator import Narrator
    from mlflow_gitops.demo.server_process import ServerError
    from mlflow_gitops.demo.story import StoryError, tell
    from mlflow_gitops.demo.world import World, WorldError, world

    say = Narrator()

    def told(inside: Path) -> int:
        try:
            with world(inside.resolve(), say) as made:
                tell(made, say)
                say.chapter("All of it was seen to happen")
                if not once:
                    _stay(made, say)
        except (ServerError, StoryError, WorldError) as failure:
            say.failed(str(failure))
            return 1
        return 0

    def _stay(made: World, say: Narrator) -> None:
        say.table(
            ("what", "where"),
            [
                ("MLflow", f"{made.mlflow_url}/#/models/fraud-detector"),
                ("webhook service", made.service_url),
                ("its log", str(made.folder / "service.log")),
                ("S3", f"{made.s3.endpoint}/{made.bucket}"),
                ("manifests", f"git clone {made.repository}"),
                ("for a shell", f". {made.write_exports()}"),
            ],
        )
        say.step(
            "open a version in MLflow (switch off `New model registry UI`), change its stage, and "
            f"see the commit come: git -C {made.repository} log -p -1"
        )
        say.step("Ctrl-C ends everything")
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        while not stop.wait(1):
            made.check_alive()

    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        return told(folder)
    with tempfile.TemporaryDirectory(
        prefix="mlflow-gitops-demo-", ignore_cleanup_errors=True
    ) as name:
        return told(Path(name))
