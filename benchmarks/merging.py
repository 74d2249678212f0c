"""Many new services are proposed and approved at once, then merged one after the other by chance.

After each merge the service looks at the model that the forge's webhook names, and at those whose
branch conflicts since. Every pull request has to be merged as the one that was approved, and
requests to the forge are counted. Without a list no other pull request is touched. Git and the
forge's HTTP API are real; the registry and the bucket are in memory.

    python benchmarks/merging.py [--services 30] [--seed 1]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from _common import close, show

from mlflow_gitops.adapters.forge import gitea, github_client
from tests.integration.test_forges import SERVERS
from tests.support.git import make_bare
from tests.support.new_services import FOLDERS, LISTED, PLAIN, NewServices

MOST_CALLS = 5.0
LAYOUTS: Mapping[str, Mapping[str, str]] = {
    "list": LISTED,
    "plain folder": PLAIN,
    "ApplicationSet": FOLDERS,
}
HEADINGS = (
    *("forge", "environment", "merged", "made again", "requests"),
    *("each", "most", "s"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--services", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    gitea.BETWEEN, github_client.WRITES_APART = 0.0, None  # waits for real servers
    rows, most = [], 0.0
    for kind in SERVERS:
        for layout, files in LAYOUTS.items():
            row, calls = measured(kind, layout, files, options.services, options.seed)
            rows.append(row)
            most = max(most, calls)
    show(f"{options.services} new services, merged in random order", HEADINGS, rows)
    return close("merging", most, MOST_CALLS, "calls for each other open pull request per merge")


def measured(
    kind: str, layout: str, files: Mapping[str, str], count: int, seed: int
) -> tuple[tuple[str, ...], float]:
    """The row, and the most requests that another pull request took for one merge."""
    models = [f"model-{number:02}" for number in range(count)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bare = make_bare(folder / "ml" / "manifests.git", files)
        with SERVERS[kind](bare, folder / "people") as host:
            world = NewServices(host, folder / "state", models)
            start = time.monotonic()
            steps = world.merge_all(seed)
            seconds = time.monotonic() - start
            if not world.is_untouched():
                raise SystemExit(f"{kind}, {layout}: one lost its approval or was replaced")
    others = sum(len(step.others) for step in steps)
    moved, calls = sum(len(step.moved) for step in steps), sum(step.total for step in steps)
    most = max(step.most for step in steps)
    mean, each = f"{calls / others:.2f}", f"{seconds / count:.1f}"
    return (
        kind,
        layout,
        str(len(steps)),
        f"{moved} of {others}",
        str(calls),
        mean,
        str(most),
        each,
    ), most


if __name__ == "__main__":
    raise SystemExit(main())
