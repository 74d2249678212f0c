"""The plugin's `-C key=value` options, and the help that lists them. No I/O but the user's name."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow_gitops.errors import RequestError
from mlflow_gitops.wish import did_you_mean

__all__ = ["HELP", "KEYS", "Options", "parse_options", "user_name"]

KEYS = ("by", "dry-run", "reason", "through", "wait")
THROUGH = ("git", "service")
DEFAULT_WAIT = 300.0
MOST_WAIT = 86_400.0
TRUE, FALSE = ("true", "yes", "1", "on"), ("false", "no", "0", "off")

HELP = """\
Target `gitops`: a deployment is a commit in the Git manifests repository, which Argo CD syncs and
KServe serves.

  -t gitops                    the repository in MLFLOW_GITOPS_REPOSITORY
  -t gitops:<repository URL>   that repository, for example gitops:https://git.example.com/ml.git

  --name <environment>/<model>  or just <model> where only one environment takes the model
  -m     a registered, READY version: models:/<model>/<version>, models:/<model>@<alias>, or
         models:/<model>/<stage> where the stage holds exactly one version

create and update do the same: they record the request in the registry, move the environment's
stage, alias or tag to the version, publish its files, and commit. What stands already stays.
delete asks to take the service out of Git: files in S3, versions and stages stay as they are.
get and list read Git.

  -C dry-run=true     print the plan and the diff; write nothing at all
  -C reason=TEXT      why: goes into the record and the commit's message
  -C by=NAME          who asks, as claimed (default: the user of this process)
  -C through=service  without credentials for Git and S3: write the request into the registry, and
                      let the webhook service do the rest (the default where no repository is
                      named; `through=git` is the default where one is)
  -C wait=SECONDS     how long to wait for the service's answer (default 300; 0: not at all)
  --flavor NAME       fail unless the version has this flavor

predict asks the live service: over V1, V2 or MLflow's own protocol, as the manifest says, at the
InferenceService's URL from the cluster, or at `endpoint.url` of the environment in the settings.
explain asks its explainer, where the manifest has one. Endpoints are not available.
run-local -t gitops serves the published files of a version on this machine until Ctrl-C:
  -C port=5001, -C host=127.0.0.1, -C env-manager=local (or virtualenv, uv, conda)

The environments are in mlflow-gitops.yaml in the repository: `mlflow-gitops config check`.
The process needs MLFLOW_TRACKING_URI, credentials for Git and for S3 (the usual AWS variables).
"""


@dataclass(frozen=True, slots=True)
class Options:
    """`by` is who asks, as claimed: without the option it is the user of this process.

    `through` is "git", "service" or "" for what the process can do; `wait` is in seconds.
    """

    by: str
    reason: str = ""
    dry_run: bool = False
    through: str = ""
    wait: float = DEFAULT_WAIT


def parse_options(config: Mapping[str, Any] | None) -> Options:
    """`-C` as given; `dry_run` is `dry-run`. An unknown key is an error, never passed over."""
    given = {str(key).replace("_", "-"): value for key, value in (config or {}).items()}
    for key in given:
        if key not in KEYS:
            raise RequestError(
                f"there is no option `{key}`{did_you_mean(key, KEYS)}",
                where=f"-C {key}",
                hint=f"take one of: {', '.join(KEYS)}",
            )
    return Options(
        by=str(given["by"]) if "by" in given else user_name(),
        reason=str(given.get("reason", "")),
        dry_run=_is_true(given.get("dry-run", False)),
        through=_through(given.get("through", "")),
        wait=_seconds(given.get("wait", DEFAULT_WAIT)),
    )


def _through(value: Any) -> str:
    text = str(value).strip().lower()
    if text and text not in THROUGH:
        raise RequestError(
            f"`{text}` is no way to ask{did_you_mean(text, THROUGH)}",
            where="-C through",
            hint=f"take one of: {', '.join(THROUGH)}",
        )
    return text


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds <= MOST_WAIT:
        raise RequestError(
            f"`{value}` is no time in seconds between 0 and {MOST_WAIT:.0f}",
            where="-C wait",
            hint="write -C wait=60, or -C wait=0 to wait for no answer",
        )
    return seconds


def _is_true(value: Any) -> bool:
    """A command line gives text, Python a bool."""
    text = str(value).strip().lower()
    if text not in (*TRUE, *FALSE):
        raise RequestError(
            f"`{text}` is neither true nor false",
            where="-C dry-run",
            hint="write -C dry-run=true or -C dry-run=false",
        )
    return text in TRUE


def user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a user of that number
        return ""
