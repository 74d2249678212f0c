"""A first `why`, and those after it, against looking the same up with `git log` by hand.

5,000 models and 50,000 promotions in one bare repository. By hand is what a person does who knows
the file already: `git log` for its newest commits, then `git show`. Both take turns in one run,
each time with another model; medians are compared. A first `why` has the clone, and nothing that
was read of its history; the others have all of that.

    python benchmarks/why.py [--models 5000] [--commits 50000] [--rounds 10] [--first-rounds 3]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from _common import LEAF, close, large_repository, show

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.config import Process
from mlflow_gitops.planning.messages import commit_message
from mlflow_gitops.state import Identity, ModelVersion, Request, ServiceSpec
from tests.support.git import clean_environment, git

TARGET = 1.0  # seconds
FIRST = 5.0  # seconds, with a clone that is there and no history that was read
BUCKET = "models"
START = 1_700_000_000


def promotions(models: Sequence[str], count: int) -> Iterator[bytes]:
    """For `git fast-import`: each commit as the reconciler makes it."""
    chosen, versions = random.Random(1), dict.fromkeys(models, 1)
    for number in range(count):
        model = chosen.choice(models)
        before = versions[model]
        versions[model] = before + 1
        text = LEAF.format(model=model, version=before + 1, bucket=BUCKET).encode()
        message = _message(model, before, before + 1).encode()
        after = "from refs/heads/main^0\n" if number == 0 else ""
        path = f"models/overlays/production/{model}/model-version.yaml"
        yield (
            f"commit refs/heads/main\ncommitter Tool <t@example.com> {START + 60 * number} +0000\n"
            f"data {len(message)}\n"
        ).encode() + message
        yield f"\n{after}M 100644 inline {path}\ndata {len(text)}\n".encode() + text + b"\n"


def _message(model: str, before: int, after: int) -> str:
    return commit_message(
        environment="production",
        service=model,
        model=model,
        action="deploy",
        before=_spec(model, before),
        after=_spec(model, after),
        version=ModelVersion(model, str(after), Identity(1, run_id=f"run{after}")),
        request=Request(f"r{after}", str(after), by="ada"),
        digest=f"sha256:{after:064x}",
    )


def _spec(model: str, version: int) -> ServiceSpec:
    return ServiceSpec(f"s3://{BUCKET}/{model}/v{version}/", str(version))


def make_history(folder: Path, models: Sequence[str], commits: int) -> Path:
    bare = large_repository(folder, models, BUCKET)
    command = ["git", "-c", "core.compression=1", "fast-import", "--quiet"]
    with subprocess.Popen(
        command, cwd=bare, env=clean_environment(), stdin=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        for part in promotions(models, commits):
            process.stdin.write(part)
    assert process.returncode == 0
    return bare


def as_command(environ: Mapping[str, str], model: str) -> None:
    command = [sys.executable, "-m", "mlflow_gitops.cli", "why", model, "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f'"run{_version(done.stdout)}"' in done.stdout


def _version(text: str) -> str:
    return text.split('"version": "')[1].split('"')[0]


def read_all(environ: Mapping[str, str]) -> None:
    """Read the rest of the history, as an audit of any time does."""
    days = ("--from", "2001-01-01", "--to", "2001-01-02")
    command = [sys.executable, "-m", "mlflow_gitops.cli", "audit", *days]
    subprocess.run(command, env=environ, capture_output=True, check=True)


def in_process(environ: Mapping[str, str], model: str) -> None:
    """A new session each time: what the command does after its imports."""
    session = Session(Process.from_environ(environ))
    settings = session.settings_from_git()
    back = session.looking_back(settings.environments["production"], settings)
    answer = back.why(model, back.end)
    assert answer.row is not None
    assert answer.row.is_ours


def by_hand(bare: Path, model: str) -> None:
    path = f"models/overlays/production/{model}/model-version.yaml"
    newest = git("log", "-2", "--first-parent", "--format=%H", "main", "--", path, cwd=bare).split()
    for commit in newest:
        git("show", commit, "--", path, cwd=bare)


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=5000)
    parser.add_argument("--commits", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--first-rounds", type=int, default=3)
    options = parser.parse_args()
    models = [f"model-{number:05}" for number in range(options.models)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        making = time.perf_counter()
        bare = make_history(folder / "manifests.git", models, options.commits)
        print(f"made the repository in {time.perf_counter() - making:.0f} s", file=sys.stderr)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "GIT_"))}
        environ = {
            **inherited,
            "MLFLOW_GITOPS_REPOSITORY": str(bare),
            "MLFLOW_GITOPS_STATE_DIR": str(folder / "state"),
        }
        state = folder / "state"
        cloning = seconds(lambda: Session(Process.from_environ(environ)).settings_from_git())
        rows: dict[str, list[float]] = {"why, the first": [], "git log by hand, beside it": []}
        for number in range(options.first_rounds):
            model = models[(number * 1009 + 998) % len(models)]
            shutil.rmtree(state / "history", ignore_errors=True)
            sides = list(rows.values())
            sides[0].append(seconds(lambda: as_command(environ, model)))  # noqa: B023
            sides[1].append(seconds(lambda: by_hand(bare, model)))  # noqa: B023
        reading = seconds(lambda: read_all(environ))
        for number in range(options.rounds):
            model = models[(number * 997 + 1) % len(models)]
            works = {
                "why, the command": lambda: as_command(environ, model),  # noqa: B023
                "why, in a process that runs": lambda: in_process(environ, model),  # noqa: B023
                "git log -2 -- path, git show": lambda: by_hand(bare, model),  # noqa: B023
            }
            for side, work in works.items():
                rows.setdefault(side, []).append(seconds(work))
    show(
        f"Why, {options.models} models, {options.commits} commits, {options.rounds} rounds",
        ("", "median ms", "least ms", "most ms"),
        [
            ("the clone", f"{1000 * cloning:.0f}", "", ""),
            ("the rest of the history, once", f"{1000 * reading:.0f}", "", ""),
            *((side, *_milliseconds(taken)) for side, taken in rows.items()),
        ],
    )
    first, _, ours, _, theirs = (median(taken) for taken in rows.values())
    against = (
        f"git log and git show by hand; {ours:.1f} s (target {TARGET:g} s), the first why "
        f"{first:.1f} s (target {FIRST:g} s)"
    )
    is_met = ours < TARGET and first < FIRST
    return close("why", ours / theirs, TARGET, against, ok=is_met)


def _milliseconds(taken: list[float]) -> list[str]:
    return [f"{1000 * value:.0f}" for value in (median(taken), min(taken), max(taken))]


if __name__ == "__main__":
    raise SystemExit(main())
