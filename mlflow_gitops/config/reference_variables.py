"""Every environment variable that is read: what is allowed, what it means, and why its default."""

from __future__ import annotations

from mlflow_gitops.config.reference import Variable

__all__ = ["PREFIX", "VARIABLES"]

PREFIX = "MLFLOW_GITOPS_"

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
        "The user name that goes with the token. A name in the repository's URL, as in "
        "`https://name@git.example.com/ml.git`, is taken where this is not set.",
        "GitHub's apps ask for this one, and most hosts take any name with a token.",
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
        "",
        "Author and committer of this process's commits; it wins over the settings.",
        "Without it, what `commits` of the settings says.",
    ),
    Variable(
        "MLFLOW_GITOPS_AUTHOR_EMAIL",
        "address without spaces, `<` and `>`",
        "",
        "Their address.",
        "Without it, what `commits` of the settings says.",
    ),
    Variable(
        "MLFLOW_GITOPS_SIGNING_KEY_FILE",
        "path of a file",
        "",
        "A private SSH or GPG key that signs every commit; a public SSH key stands for the one "
        "that an SSH agent has. Read when it is used, so that it may be rotated.",
        "Without a key the commits are not signed.",
    ),
    Variable(
        "MLFLOW_GITOPS_SIGNING_KEY_ID",
        "fingerprint or address of a GPG key",
        "",
        "The same, with a key of this user's own GPG keyring (`GNUPGHOME`).",
    ),
    Variable(
        "MLFLOW_GITOPS_SIGNING_PASSPHRASE",
        "text",
        "",
        "The passphrase of the key.",
        "Without it the key has none, or an agent knows it.",
    ),
    Variable(
        "MLFLOW_GITOPS_SIGNING_PASSPHRASE_FILE", SECRET_FILE, "", "Instead of the variable above."
    ),
    Variable(
        "MLFLOW_GITOPS_MODEL_KEY_FILE",
        "path of a file",
        "",
        "A private key of an elliptic curve, in PEM form, that signs published versions where "
        "`artifacts.signed-by` wants it. Read when it is used, so that it may be rotated.",
        "Without it nothing can be published where versions have to be signed.",
    ),
    Variable(
        "MLFLOW_GITOPS_MODEL_KEY_PASSPHRASE",
        "text",
        "",
        "The passphrase of that key.",
        "Without it the key has none.",
    ),
    Variable(
        "MLFLOW_GITOPS_MODEL_KEY_PASSPHRASE_FILE",
        SECRET_FILE,
        "",
        "Instead of the variable above.",
    ),
    Variable(
        "MLFLOW_GITOPS_MODEL_CERTIFICATE_FILE",
        "path of a file",
        "",
        "The certificate of that key in PEM form, then those between it and the root.",
        "Without it the signature names the key alone.",
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
        "MLFLOW_GITOPS_S3_REQUEST_PAYER",
        "`requester`",
        "",
        "Every request to S3, also one that only reads, agrees that the account of these "
        "credentials pays for it: needed where a bucket is set to requester pays.",
        "Without it the owners of the buckets pay. KServe never agrees, so that it reads such a "
        "bucket only with the owner's account.",
    ),
    Variable(
        "MLFLOW_GITOPS_SOURCE_S3_ENDPOINT",
        "http:// or https:// URL",
        "",
        "The S3 server that versions come from, where it is another than they are published to.",
        "Without it both are the same, and the storage copies by itself.",
    ),
    Variable(
        "MLFLOW_GITOPS_SOURCE_S3_PROFILE",
        "name of a profile of the AWS configuration files",
        "",
        "Whose credentials read the S3 server that versions come from.",
        "Without it, the same credentials as for publishing.",
    ),
    Variable(
        "MLFLOW_GITOPS_KUBE_CONTEXT",
        "name of a context of the kubeconfig file",
        "",
        "The cluster that `predict` and `explain` ask for a service's URL.",
        "Without it the kubeconfig's current context, else the pod's own service account.",
    ),
    Variable(
        "MLFLOW_GITOPS_FORGE_TOKEN",
        "text without spaces",
        "",
        "The token for the forge's API, for environments that deliver by pull requests. Never in a "
        "URL, a log or a commit. On Bitbucket it may be `<user>:<password>` too, for an API token "
        "`<address>:<token>`.",
        "Environments that deliver by commits need none.",
    ),
    Variable("MLFLOW_GITOPS_FORGE_TOKEN_FILE", SECRET_FILE, "", "Instead of the variable above."),
    Variable(
        "MLFLOW_GITOPS_GITHUB_APP_ID",
        "number or client id",
        "",
        "A GitHub App that speaks to GitHub instead of a token's user, and to Git over HTTPS where "
        "there is no `MLFLOW_GITOPS_GIT_TOKEN`.",
    ),
    Variable(
        "MLFLOW_GITOPS_GITHUB_APP_KEY",
        "private key in PEM form",
        "",
        "The app's private key. Its line ends may be written as `\\n`.",
    ),
    Variable(
        "MLFLOW_GITOPS_GITHUB_APP_KEY_FILE", SECRET_FILE, "", "Instead of the variable above."
    ),
    Variable(
        "MLFLOW_GITOPS_GITHUB_APP_INSTALLATION",
        "number",
        "",
        "The app's installation that has the repository.",
        "Without it, it is found from the repository.",
    ),
    Variable(
        "MLFLOW_GITOPS_PREDICT_TOKEN",
        "text without spaces",
        "",
        "Sent as `Authorization: Bearer …` by `predict` and `explain`, to the service's own "
        "address and never to where that redirects.",
        "Many services inside a cluster ask for none.",
    ),
    Variable("MLFLOW_GITOPS_PREDICT_TOKEN_FILE", SECRET_FILE, "", "Instead of the variable above."),
    Variable(
        "MLFLOW_GITOPS_PREDICT_TIMEOUT",
        "whole number of seconds",
        "60",
        "How long `predict` and `explain` wait for the service.",
        "As long as most ingresses wait.",
        bounds=(1, 86_400),
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
        "MLFLOW_GITOPS_FORGE_WEBHOOK_SECRET",
        "list of texts, separated by commas; one with `whsec_` is a GitLab signing token",
        "",
        "The secrets of the forge's webhook; each of them is accepted, so that one can be "
        "replaced.",
        "There is none: a delivery that nobody signed is refused.",
    ),
    Variable(
        "MLFLOW_GITOPS_FORGE_WEBHOOK_SECRET_FILE",
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
        "4",
        "How many runs `serve` has at once, each of a model or of up to 100 that are due together.",
        "Most of a promotion waits for Git and S3, and pushes to one branch go one by one.",
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
        "MLFLOW_GITOPS_SELECTOR_TAGS",
        "list of keys of version tags, separated by commas",
        "",
        "On the MLflow server: the tags that select versions for environments; setting one is "
        "recorded as a request.",
        "The server knows no environments, and most tags ask for nothing.",
    ),
    Variable(
        "MLFLOW_GITOPS_USER_FROM",
        "`environ:<key>`, `header:<name>` (not Authorization or Cookie) or "
        "`call:<module>:<function>`",
        "",
        "On the MLflow server: where an authentication other than MLflow's basic-auth leaves the "
        "user's name. With `MLFLOW_GITOPS_REQUEST_KEY` that name counts as proven.",
        "Anybody can send a header: it is believed only where the operator says that a proxy "
        "sets it.",
    ),
    Variable(
        "MLFLOW_GITOPS_WEBHOOK_URL",
        "http:// or https:// URL without credentials and query",
        "",
        "On an MLflow server before 3.3, which has no webhooks: where the plugin sends its "
        "records itself, the service's `/webhooks/mlflow`.",
        "From 3.3 on, webhooks are registered in MLflow.",
    ),
    Variable(
        "MLFLOW_GITOPS_WEBHOOK_SECRET",
        "text without spaces; one of the service's `MLFLOW_GITOPS_WEBHOOK_SECRETS`",
        "",
        "On the MLflow server: signs what goes to that URL.",
        "There is none: the service refuses what nobody signed.",
    ),
    Variable(
        "MLFLOW_GITOPS_WEBHOOK_SECRET_FILE", SECRET_FILE, "", "Instead of the variable above."
    ),
    Variable(
        "MLFLOW_GITOPS_TEST_OLD_VENV",
        "path of a virtual environment",
        "`.venv-old`",
        "For this project's own tests: the environment with the oldest MLflow server.",
    ),
    Variable(
        "MLFLOW_GITOPS_SOAK",
        "`1`",
        "",
        "For this project's own tests: many more rounds (`make soak`).",
    ),
    Variable(
        "MLFLOW_GITOPS_TEST_FORGE_URL",
        "URL of an API",
        "",
        "For this project's own tests: a real forge for the scenarios of all forges.",
        "Without it they run against servers on this machine.",
    ),
    Variable(
        "MLFLOW_GITOPS_TEST_FORGE_KIND",
        "`github`, `gitlab`, `gitea` or `forgejo`",
        "",
        "For this project's own tests: its kind.",
    ),
    Variable(
        "MLFLOW_GITOPS_TEST_FORGE_REPOSITORY",
        "Git URL",
        "",
        "For this project's own tests: a repository there, for branches and pull requests.",
    ),
    Variable(
        "MLFLOW_GITOPS_TEST_FORGE_TOKEN",
        "text without spaces",
        "",
        "For this project's own tests: a token that may write it.",
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
        "KUBECONFIG",
        "path of a file, or several separated by `:`",
        "`~/.kube/config`",
        "How `predict` and `explain` reach the cluster.",
        "What kubectl uses.",
    ),
    Variable(
        "MLFLOW_S3_UPLOAD_EXTRA_ARGS",
        'JSON object, for example `{"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "…"}`',
        "",
        "What each write asks of the storage, as MLflow's own S3 client does. "
        "`artifacts.encryption` and the like win over it: docs/storage.md has the names.",
        "A bucket that MLflow writes to with it can be published to with it.",
    ),
    Variable(
        "AWS_REGION",
        "name of a region",
        "`AWS_DEFAULT_REGION`, else boto3's own",
        "The bucket's region. The credentials are found by boto3, in all its usual places.",
    ),
)
