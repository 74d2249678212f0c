"""Which settings and environment variables there are, what each means, and why its default.

The one place: the parsers take their keys, bounds and defaults from here, and the tables of
docs/settings.md are rendered from here (a test compares them).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "PREFIX",
    "SETTINGS",
    "VARIABLES",
    "Setting",
    "Variable",
    "settings_table",
    "variables_table",
]

PREFIX = "MLFLOW_GITOPS_"


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of `mlflow-gitops.yaml`; `<…>` stands for a name that people choose.

    `default` is None for a key that has to be there.
    """

    key: str
    form: str
    default: str | None
    meaning: str
    why: str = ""

    @property
    def required(self) -> bool:
        return self.default is None


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable. `bounds` are those of a whole number, both allowed."""

    name: str
    form: str
    default: str
    meaning: str
    why: str = ""
    bounds: tuple[int, int] = (0, 0)

    @property
    def allowed(self) -> str:
        low, high = self.bounds
        return f"{self.form}, {low} to {high}" if high else self.form


SETTINGS = (
    Setting(
        "artifacts",
        "mapping",
        None,
        "Where published versions are kept, and where they may come from.",
    ),
    Setting(
        "artifacts.bucket",
        "S3 bucket name: 3 to 63 lower-case letters, digits, `.` and `-`",
        None,
        "The bucket that versions are published to, written once.",
        "There is none: nothing may be written to a place that nobody named.",
    ),
    Setting(
        "artifacts.prefix",
        "letters, digits, `.`, `_`, `-` and `/`; no `..`, no `/` at either end",
        "",
        "Goes before `<service>/v<version>/` in every key.",
        "A bucket of its own needs none.",
    ),
    Setting(
        "artifacts.sources",
        "list of URI prefixes (`s3://bucket/folder`, `gs://…`) or absolute paths",
        "[]",
        "Places that a version's files may come from, beside the tracking server's own artifact "
        "root. Each means that folder and what is below it.",
        "Whoever registers a version chooses its source, so other places are opened one by one.",
    ),
    Setting(
        "version-name",
        "`number`, or `{tag: <key of a version tag>}`",
        "number",
        "What names a published version: MLflow's number, or the version tag, for example "
        "`{tag: semver}`.",
        "Every version has a number, and it never changes.",
    ),
    Setting(
        "services",
        "mapping of model to InferenceService",
        "{}",
        "The models whose InferenceService has another name.",
        "The same name in MLflow and in Kubernetes is the easiest to follow.",
    ),
    Setting(
        "services.<model>",
        "1 to 63 lower-case letters, digits and `-`, first a letter, last no `-`",
        "the model's name",
        "`metadata.name` of the model's InferenceService. Two models cannot share one.",
        "Names are never made up from others: two models would end in one service.",
    ),
    Setting(
        "environments",
        "mapping of at least one environment",
        None,
        "The places to deploy to.",
    ),
    Setting(
        "environments.<name>",
        "1 to 63 lower-case letters, digits and `-`, first and last no `-`",
        None,
        "One environment, for example `staging`. The name stays: the registry's records use it.",
    ),
    Setting(
        "environments.<name>.select",
        "one of `{stage: Staging}`, `{stage: Production}`, `{alias: <alias>}`, "
        "`{tag: {<key>: <value>}}`",
        None,
        "What in the registry selects a version for this environment.",
        "There is none: it decides what runs.",
    ),
    Setting(
        "environments.<name>.path",
        "relative path of a folder, without `.`, `..` or a `/` at the end",
        None,
        "The folder of this environment's manifests, from the root of the repository.",
        "There is none: two environments in one folder would overwrite each other.",
    ),
    Setting(
        "environments.<name>.namespace",
        "1 to 63 lower-case letters, digits and `-`, first and last no `-`",
        "",
        "The Kubernetes namespace, for manifests that are scaffolded.",
        "Without it the kustomization or Argo CD decides.",
    ),
    Setting(
        "environments.<name>.branch",
        "name of a branch, without `refs/heads/`",
        "",
        "The branch that is read and committed to.",
        "Without it, the repository's default branch.",
    ),
    Setting(
        "environments.<name>.delivery",
        "`commit`",
        "commit",
        "How a change reaches the branch: `commit` pushes to it.",
        "`pull-request` is not supported by this version.",
    ),
    Setting(
        "environments.<name>.models",
        "list of at least one name or pattern (`*`, `?`, `[…]`)",
        '["*"]',
        "Which registered models this environment takes; upper and lower case differ.",
        "All: the selector alone decides.",
    ),
    Setting(
        "environments.<name>.max-changes",
        "whole number, 1 or more",
        "20",
        "The most services that one resync changes by itself; for more it changes none and "
        "waits for `reconcile --yes` or `adopt`.",
        "More than a busy day brings, far less than what a wrong registry or a first run would "
        "rewrite.",
    ),
)

SECRET_FILE = "path of a file with it; read when it is used, so that it may be rotated"  # noqa: S105 - a text for people

VARIABLES = (
    Variable(
        "MLFLOW_GITOPS_REPOSITORY",
        "URL, `user@host:path` or path",
        "",
        "The Git repository of manifests. `--repository` and `-t gitops:<URL>` win over it.",
        "There is none: the tool commits only where it is told to.",
    ),
    Variable(
        "MLFLOW_GITOPS_GIT_USERNAME",
        "text without `:`",
        "x-access-token",
        "The user name that goes with the token.",
        "GitHub's apps ask for this one; GitHub, GitLab and Gitea take any with a token.",
    ),
    Variable(
        "MLFLOW_GITOPS_GIT_TOKEN",
        "text without spaces",
        "",
        "The token or password for a repository over HTTP(S). Never in a URL, a log or a commit.",
        "Without it Git's own credentials are used, and SSH keys for SSH.",
    ),
    Variable("MLFLOW_GITOPS_GIT_TOKEN_FILE", SECRET_FILE, "", "Instead of the variable above."),
    Variable(
        "MLFLOW_GITOPS_AUTHOR_NAME",
        "text with a letter or digit, without `<` and `>`",
        "mlflow-gitops",
        "Author and committer of the commits.",
        "Who asked is in the commit's trailers.",
    ),
    Variable(
        "MLFLOW_GITOPS_AUTHOR_EMAIL",
        "address without spaces, `<` and `>`",
        "mlflow-gitops@localhost",
        "The author's address.",
        "It belongs to nobody, so no Git host takes the commits for a person's.",
    ),
    Variable(
        "MLFLOW_GITOPS_STATE_DIR",
        "absolute path",
        "`$XDG_STATE_HOME/mlflow-gitops`, else `$HOME/.local/state/mlflow-gitops`, else "
        "`/var/lib/mlflow-gitops`",
        "The clone cache and the service's queue. It may be lost: both are filled again.",
        "Where a user's programs keep what survives a restart and needs no backup.",
    ),
    Variable(
        "MLFLOW_GITOPS_S3_ENDPOINT",
        "http:// or https:// URL",
        "`AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL`, else `MLFLOW_S3_ENDPOINT_URL`",
        "The S3 server, where it is not AWS's.",
        "What AWS's tools and MLflow use already.",
    ),
    Variable(
        "MLFLOW_GITOPS_WEBHOOK_SECRETS",
        "list of texts, separated by commas",
        "",
        "The secrets of MLflow's webhooks; each of them is accepted, so that one can be replaced.",
        "There is none: a delivery that nobody signed is refused.",
    ),
    Variable(
        "MLFLOW_GITOPS_WEBHOOK_SECRETS_FILE",
        "path of a file with one secret a line",
        "",
        "Instead of the variable above.",
    ),
    Variable(
        "MLFLOW_GITOPS_REQUEST_KEY",
        "text; the same for the MLflow server's plugin and this process",
        "",
        "Signs the request records that the server plugin writes, so that who asked is proven.",
        "Without it a name is shown as claimed.",
    ),
    Variable("MLFLOW_GITOPS_REQUEST_KEY_FILE", SECRET_FILE, "", "Instead of the variable above."),
    Variable(
        "MLFLOW_GITOPS_RESYNC_SECONDS",
        "whole number of seconds",
        "300",
        "Time between two resyncs of `serve`.",
        "The longest wait for a change that no webhook told of, at one listing of the registry.",
        bounds=(10, 86_400),
    ),
    Variable(
        "MLFLOW_GITOPS_HOST",
        "host name or address",
        "127.0.0.1",
        "Where `serve` listens; `0.0.0.0` or `::` for every interface.",
        "Nothing is open to a network that nobody opened it to.",
    ),
    Variable(
        "MLFLOW_GITOPS_PORT",
        "whole number",
        "8080",
        "The port that `serve` listens on; 0 for any free one.",
        "It needs no privilege.",
        bounds=(0, 65_535),
    ),
    Variable(
        "MLFLOW_GITOPS_THREADS",
        "whole number",
        "8",
        "Threads of `serve` that answer HTTP.",
        "Each answer takes one durable write; the work is done elsewhere.",
        bounds=(1, 64),
    ),
    Variable(
        "MLFLOW_GITOPS_DEBUG",
        "`1` or `0`",
        "0",
        "Show the traceback of an unforeseen error; the same as `--debug`.",
        "A traceback can quote what should not be shown.",
    ),
    Variable(
        "MLFLOW_GITOPS_INNER_APP",
        "name of an app of MLflow's `mlflow.app` plugins",
        "",
        "On the MLflow server: the app to run inside `--app-name gitops`, for example "
        "`basic-auth`.",
        "MLflow takes one app only.",
    ),
    Variable(
        "MLFLOW_GITOPS_SOAK",
        "`1`",
        "",
        "For this project's own tests: many more rounds (`make soak`).",
    ),
    Variable(
        "MLFLOW_TRACKING_URI",
        "URI",
        "MLflow's own",
        "The MLflow tracking server.",
    ),
    Variable(
        "MLFLOW_REGISTRY_URI",
        "URI",
        "`MLFLOW_TRACKING_URI`",
        "The model registry, where it is another server.",
    ),
    Variable(
        "AWS_REGION",
        "name of a region",
        "`AWS_DEFAULT_REGION`, else boto3's own",
        "The bucket's region. The credentials are found by boto3, in all its usual places.",
    ),
)


def settings_table(rows: Iterable[Setting] = SETTINGS) -> str:
    return _table(
        ("key", "allowed", "default", "meaning", "why this default"),
        ((f"`{r.key}`", r.form, _default(r.default), r.meaning, r.why) for r in rows),
    )


def variables_table(rows: Iterable[Variable] = VARIABLES) -> str:
    return _table(
        ("variable", "allowed", "default", "meaning", "why this default"),
        ((f"`{r.name}`", r.allowed, _default(r.default), r.meaning, r.why) for r in rows),
    )


def _default(text: str | None) -> str:
    if text is None:
        return "required"
    return text if "`" in text or " " in text else f"`{text}`" if text else "none"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
