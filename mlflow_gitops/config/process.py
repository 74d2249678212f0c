"""What one process needs to get to the settings: the repository, servers, credentials, folders.

All of it comes from environment variables, given as a mapping, and from the flags that win over
them. Secrets that live in files are read when they are used, so that they can be rotated. No
error, warning or `repr` shows a secret, or a URL that may hold one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mlflow_gitops.config.document import did_you_mean
from mlflow_gitops.config.github_app import GitHubApp
from mlflow_gitops.config.names import tag_key_complaint, unprintable, url_user
from mlflow_gitops.config.reference_variables import PREFIX, VARIABLES
from mlflow_gitops.config.secret import Secret, read_text
from mlflow_gitops.config.storing import UPLOAD_ARGUMENTS, UploadArguments, read_upload_arguments
from mlflow_gitops.errors import ConfigError
from mlflow_gitops.state import EMPTY, People, Person

__all__ = ["Process", "target_uri"]

TARGET = "gitops"
ROWS = {row.name: row for row in VARIABLES}
ENDPOINTS = (
    "MLFLOW_GITOPS_S3_ENDPOINT",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "MLFLOW_S3_ENDPOINT_URL",
)
KEYS = ("MLFLOW_GITOPS_SIGNING_KEY_FILE", "MLFLOW_GITOPS_SIGNING_KEY_ID")
MODEL_KEY = "MLFLOW_GITOPS_MODEL_KEY_FILE"
USERNAME = "MLFLOW_GITOPS_GIT_USERNAME"
APP = "MLFLOW_GITOPS_GITHUB_APP_ID"
NEEDS = {
    USERNAME: ("MLFLOW_GITOPS_GIT_TOKEN", "MLFLOW_GITOPS_GIT_TOKEN_FILE"),
    "MLFLOW_GITOPS_GITHUB_APP_KEY": (APP,),
    "MLFLOW_GITOPS_GITHUB_APP_KEY_FILE": (APP,),
    "MLFLOW_GITOPS_GITHUB_APP_INSTALLATION": (APP,),
    "MLFLOW_GITOPS_MODEL_CERTIFICATE_FILE": (MODEL_KEY,),
    "MLFLOW_GITOPS_MODEL_KEY_PASSPHRASE": (MODEL_KEY,),
    "MLFLOW_GITOPS_MODEL_KEY_PASSPHRASE_FILE": (MODEL_KEY,),
    "MLFLOW_GITOPS_SIGNING_PASSPHRASE": KEYS,
    "MLFLOW_GITOPS_SIGNING_PASSPHRASE_FILE": KEYS,
    "MLFLOW_GITOPS_WEBHOOK_SECRET": ("MLFLOW_GITOPS_WEBHOOK_URL",),
    "MLFLOW_GITOPS_WEBHOOK_SECRET_FILE": ("MLFLOW_GITOPS_WEBHOOK_URL",),
}
SYSTEM_STATE = "/var/lib/mlflow-gitops"
APP_ID = re.compile(r"[A-Za-z0-9.]{1,64}")
HOST = re.compile(r"[A-Za-z0-9._:%-]{1,255}")
USER_FROM = re.compile(
    r"environ:(?!HTTP_)[A-Za-z0-9_.-]{1,100}"
    r"|header:(?!(?i:authorization|proxy-authorization|cookie)\Z)[A-Za-z0-9-]{1,100}"
    r"|call:[A-Za-z_][A-Za-z0-9_.]{0,199}:[A-Za-z_][A-Za-z0-9_]{0,99}"
)


@dataclass(frozen=True, slots=True)
class Process:
    """The environment of one process, checked. `Process()` is that of an empty one.

    `warnings` are for people: variables that nobody reads, settings without effect. `s3_endpoint`,
    `region` and the URIs are "" where the library's own rules decide. `upload_arguments` are what
    MLflow's variable asks of each write, by boto3's names; with `is_requester` each request to S3
    agrees to pay.
    """

    repository: str = field(default="", repr=False)
    tracking_uri: str = field(default="", repr=False)
    registry_uri: str = field(default="", repr=False)
    s3_endpoint: str = ""
    upload_arguments: Mapping[str, str] = field(default_factory=lambda: EMPTY, repr=False)
    is_requester: bool = False
    source_s3_endpoint: str = ""
    source_s3_profile: str = ""
    region: str = ""
    state_dir: str = SYSTEM_STATE
    git_username: str = field(default=ROWS[USERNAME].default, repr=False)
    author_name: str = ""
    author_email: str = ""
    signing_key_file: str = field(default="", repr=False)
    signing_key_id: str = ""
    model_key_file: str = field(default="", repr=False)
    model_certificate_file: str = field(default="", repr=False)
    resync_seconds: int = int(ROWS["MLFLOW_GITOPS_RESYNC_SECONDS"].default)
    host: str = ROWS["MLFLOW_GITOPS_HOST"].default
    port: int = int(ROWS["MLFLOW_GITOPS_PORT"].default)
    threads: int = int(ROWS["MLFLOW_GITOPS_THREADS"].default)
    selector_tags: tuple[str, ...] = ()
    user_from: str = ""
    announce_url: str = ""
    predict_timeout: int = int(ROWS["MLFLOW_GITOPS_PREDICT_TIMEOUT"].default)
    kube_context: str = ""
    kubeconfig: str = ""
    warnings: tuple[str, ...] = ()
    app_id: str = ""
    app_installation: str = ""
    app_key: Secret = field(default=Secret("MLFLOW_GITOPS_GITHUB_APP_KEY"), repr=False)
    git_token: Secret = field(default=Secret("MLFLOW_GITOPS_GIT_TOKEN"), repr=False)
    predict_token: Secret = field(default=Secret("MLFLOW_GITOPS_PREDICT_TOKEN"), repr=False)
    forge_token: Secret = field(default=Secret("MLFLOW_GITOPS_FORGE_TOKEN"), repr=False)
    webhook: Secret = field(default=Secret("MLFLOW_GITOPS_WEBHOOK_SECRETS"), repr=False)
    forge_webhook: Secret = field(default=Secret("MLFLOW_GITOPS_FORGE_WEBHOOK_SECRET"), repr=False)
    passphrase: Secret = field(default=Secret("MLFLOW_GITOPS_SIGNING_PASSPHRASE"), repr=False)
    model_passphrase: Secret = field(
        default=Secret("MLFLOW_GITOPS_MODEL_KEY_PASSPHRASE"), repr=False
    )
    signing: Secret = field(default=Secret("MLFLOW_GITOPS_REQUEST_KEY"), repr=False)
    announcing: Secret = field(default=Secret("MLFLOW_GITOPS_WEBHOOK_SECRET"), repr=False)

    def git_credentials(self) -> tuple[str, str] | None:
        """User name and token as they are now, None without a token. Raises ConfigError."""
        token = self.git_token.line()
        return (self.git_username, token) if token else None

    @property
    def has_forge_token(self) -> bool:
        return self.forge_token.is_set or bool(self.app_id)

    @property
    def github_app(self) -> GitHubApp | None:
        """Who speaks to the forge instead of the token's user."""
        if not self.app_id:
            return None
        return GitHubApp(self.app_id, self.app_installation, self.app_key.pem)

    def people(self, settings: People) -> People:
        """Author and committer: the settings', where this process names no other."""
        return People(self._person(settings.author), self._person(settings.committer))

    def _person(self, default: Person) -> Person:
        return Person(self.author_name or default.name, self.author_email or default.address)

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """Each of them is accepted. Raises ConfigError."""
        return self.webhook.lines()

    @property
    def request_key(self) -> bytes | None:
        """Signs and checks request records. Raises ConfigError."""
        return self.signing.data()

    @classmethod
    def from_environ(
        cls,
        environ: Mapping[str, str],
        *,
        repository: str | None = None,
        read_file: Callable[[str], str] = read_text,
    ) -> Process:
        """`repository` wins over the variable. Raises ConfigError, which tells all at once."""
        reader = _Reader(environ, read_file)
        tracking = reader.text("MLFLOW_TRACKING_URI")
        url = reader.repository(repository)
        uploads = reader.upload_arguments()
        payer = reader.text("MLFLOW_GITOPS_S3_REQUEST_PAYER", _payer_complaint)
        process = cls(
            repository=url,
            tracking_uri=tracking,
            registry_uri=reader.text("MLFLOW_REGISTRY_URI") or tracking,
            s3_endpoint=reader.first(ENDPOINTS, _endpoint_complaint),
            upload_arguments=uploads.arguments,
            is_requester=bool(payer) or uploads.is_requester,
            source_s3_endpoint=reader.text("MLFLOW_GITOPS_SOURCE_S3_ENDPOINT", _endpoint_complaint),
            source_s3_profile=reader.text("MLFLOW_GITOPS_SOURCE_S3_PROFILE"),
            region=reader.first(("AWS_REGION", "AWS_DEFAULT_REGION")),
            state_dir=reader.state_dir(),
            git_username=reader.username(url_user(url)),
            author_name=reader.text("MLFLOW_GITOPS_AUTHOR_NAME", _author_complaint),
            author_email=reader.text("MLFLOW_GITOPS_AUTHOR_EMAIL", _email_complaint),
            signing_key_file=reader.text("MLFLOW_GITOPS_SIGNING_KEY_FILE"),
            signing_key_id=reader.text("MLFLOW_GITOPS_SIGNING_KEY_ID", _key_id_complaint),
            passphrase=reader.secret("MLFLOW_GITOPS_SIGNING_PASSPHRASE", Secret.phrase),
            model_key_file=reader.text(MODEL_KEY),
            model_certificate_file=reader.text("MLFLOW_GITOPS_MODEL_CERTIFICATE_FILE"),
            model_passphrase=reader.secret("MLFLOW_GITOPS_MODEL_KEY_PASSPHRASE", Secret.phrase),
            resync_seconds=reader.number("MLFLOW_GITOPS_RESYNC_SECONDS"),
            host=reader.text("MLFLOW_GITOPS_HOST", _host_complaint),
            port=reader.number("MLFLOW_GITOPS_PORT"),
            threads=reader.number("MLFLOW_GITOPS_THREADS"),
            selector_tags=reader.names("MLFLOW_GITOPS_SELECTOR_TAGS", tag_key_complaint),
            user_from=reader.text("MLFLOW_GITOPS_USER_FROM", _user_complaint),
            announce_url=reader.text("MLFLOW_GITOPS_WEBHOOK_URL", _endpoint_complaint),
            predict_timeout=reader.number("MLFLOW_GITOPS_PREDICT_TIMEOUT"),
            kube_context=reader.text("MLFLOW_GITOPS_KUBE_CONTEXT"),
            kubeconfig=reader.text("KUBECONFIG"),
            predict_token=reader.secret("MLFLOW_GITOPS_PREDICT_TOKEN", Secret.line),
            forge_token=reader.secret("MLFLOW_GITOPS_FORGE_TOKEN", Secret.line),
            app_id=reader.text(APP, _app_complaint),
            app_installation=reader.text(
                "MLFLOW_GITOPS_GITHUB_APP_INSTALLATION", _installation_complaint
            ),
            app_key=reader.secret("MLFLOW_GITOPS_GITHUB_APP_KEY", Secret.pem),
            git_token=reader.secret("MLFLOW_GITOPS_GIT_TOKEN", Secret.line),
            webhook=reader.secret("MLFLOW_GITOPS_WEBHOOK_SECRETS", Secret.lines),
            forge_webhook=reader.secret("MLFLOW_GITOPS_FORGE_WEBHOOK_SECRET", Secret.lines),
            signing=reader.secret("MLFLOW_GITOPS_REQUEST_KEY", Secret.data),
            announcing=reader.secret("MLFLOW_GITOPS_WEBHOOK_SECRET", Secret.line),
            warnings=(
                *_unknown(environ),
                *_useless(environ),
                *_ignored(uploads),
                *reader.two_users(url_user(url)),
            ),
        )
        reader.check_announcing()
        reader.check_app()
        reader.check_one_of("MLFLOW_GITOPS_SIGNING_KEY_FILE", "MLFLOW_GITOPS_SIGNING_KEY_ID")
        reader.raise_problems()
        return process


@dataclass(slots=True)
class _Reader:
    """Reads variables; what is wrong with them is collected. An empty one counts as not set."""

    environ: Mapping[str, str]
    read_file: Callable[[str], str]
    problems: list[ConfigError] = field(default_factory=list)

    def raw(self, name: str) -> str:
        return self.environ.get(name, "").strip()

    def text(self, name: str, complaint: Callable[[str], str] = lambda _: "") -> str:
        """The value, or the default of a variable of ours."""
        text = self.raw(name)
        if not text:
            return ROWS[name].default if name.startswith(PREFIX) else ""
        wrong = "has an unprintable character" if unprintable(text) else complaint(text)
        if wrong:
            allowed = ROWS[name].allowed if name in ROWS else ROWS[ENDPOINTS[0]].allowed
            self._tell(name, f"the value {wrong}", f"allowed: {allowed}")
        return text

    def first(
        self, variables: tuple[str, ...], complaint: Callable[[str], str] = lambda _: ""
    ) -> str:
        """The first that is set."""
        found = next((name for name in variables if self.raw(name)), None)
        return self.text(found, complaint) if found else ""

    def number(self, name: str) -> int:
        low, high = ROWS[name].bounds
        text = self.text(name)
        number = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else -1
        if not low <= number <= high:
            self._tell(name, "the value is no such number", f"allowed: {ROWS[name].allowed}")
        return number

    def names(self, name: str, complaint: Callable[[str], str]) -> tuple[str, ...]:
        """A list, separated by commas."""
        text = self.text(name, lambda text: next(filter(None, map(complaint, _parts(text))), ""))
        return _parts(text)

    def upload_arguments(self) -> UploadArguments:
        read = read_upload_arguments(self.raw(UPLOAD_ARGUMENTS))
        if read.problem:
            hint = "correct it: docs/storage.md says which arguments are sent; or unset it"
            self._tell(UPLOAD_ARGUMENTS, f"the value {read.problem}", hint)
        return read

    def check_announcing(self) -> None:
        name = "MLFLOW_GITOPS_WEBHOOK_SECRET"
        if self.raw("MLFLOW_GITOPS_WEBHOOK_URL") and not (
            self.raw(name) or self.raw(f"{name}_FILE")
        ):
            self._tell(name, "it is not set", "set it: the service refuses what nobody signed")

    def check_app(self) -> None:
        if not self.raw(APP):
            return
        key, token = "MLFLOW_GITOPS_GITHUB_APP_KEY", "MLFLOW_GITOPS_FORGE_TOKEN"
        if not (self.raw(key) or self.raw(f"{key}_FILE")):
            self._tell(key, "it is not set", "set it, or its _FILE, to the app's private key")
        self.check_one_of(APP, token)
        self.check_one_of(APP, f"{token}_FILE")

    def check_one_of(self, name: str, other: str) -> None:
        if self.raw(name) and self.raw(other):
            self._tell(name, f"{other} is set too", "unset one of the two")

    def repository(self, given: str | None) -> str:
        if given is None:
            return self.text("MLFLOW_GITOPS_REPOSITORY")
        if not given.strip():
            self._tell("--repository", "the repository's URL is empty", "give a URL or a path")
        return given.strip()

    def username(self, in_url: str) -> str:
        """Return the user name for Git: the variable's, else the URL's, else the default."""
        if in_url and not self.raw(USERNAME) and not unprintable(in_url):
            return in_url
        return self.text(USERNAME, _username_complaint)

    def two_users(self, in_url: str) -> list[str]:
        """Return a warning where the variable and the URL name different users."""
        if not in_url or self.raw(USERNAME) in ("", in_url):
            return []
        return [f"{USERNAME} counts; the repository's URL names another user"]

    def state_dir(self) -> str:
        if self.raw("MLFLOW_GITOPS_STATE_DIR"):
            return self.text("MLFLOW_GITOPS_STATE_DIR", _folder_complaint)
        state, home = self.raw("XDG_STATE_HOME"), self.raw("HOME")
        if state.startswith("/"):  # a relative one has to be ignored, says its specification
            return f"{state.rstrip('/')}/mlflow-gitops"
        return f"{home.rstrip('/')}/.local/state/mlflow-gitops" if home else SYSTEM_STATE

    def secret(self, name: str, check: Callable[[Secret], object]) -> Secret:
        """A value is checked now, a file when it is read."""
        value, path = self.raw(name), self.text(f"{name}_FILE")
        if value and path:
            self._tell(name, f"{name}_FILE is set too", "unset one of the two")
            return Secret(name)
        secret = Secret(name, value, path, self.read_file)
        if value:
            try:
                check(secret)
            except ConfigError as error:
                self.problems.append(error)
        return secret

    def _tell(self, where: str, what: str, hint: str) -> None:
        self.problems.append(ConfigError(what, where=where, hint=hint))

    def raise_problems(self) -> None:
        if not self.problems:
            return
        if len(self.problems) == 1:
            raise self.problems[0]
        lines = "".join(f"\n  {e.where}: {e.what}; {e.hint}" for e in self.problems)
        raise ConfigError(
            f"{len(self.problems)} environment variables are wrong:{lines}",
            where="the environment",
            hint="correct them; docs/settings.md explains each",
        )


def _parts(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def target_uri(uri: str) -> str | None:
    """The repository that MLflow's `-t` names: None for `gitops`, the URL for `gitops:<URL>`."""
    scheme, colon, url = uri.strip().partition(":")
    wrong = scheme.lower() != TARGET or (colon and not url.strip()) or url.startswith("//")
    if wrong or unprintable(url):
        raise ConfigError(
            "this is no target of mlflow-gitops",
            where="-t",
            hint="use `gitops`, with the repository in MLFLOW_GITOPS_REPOSITORY, or "
            "`gitops:<repository URL>`, for example gitops:https://git.example.com/ml.git",
        )
    return url.strip() if colon else None


def _unknown(environ: Mapping[str, str]) -> list[str]:
    names = sorted(n for n in environ if n.startswith(PREFIX) and n not in ROWS)
    return [f"{name} is no variable of mlflow-gitops{_near(name)}" for name in names]


def _near(name: str) -> str:
    near = {row.removeprefix(PREFIX).lower().replace("_", "-"): row for row in ROWS}
    hint = did_you_mean(name.removeprefix(PREFIX), near)
    return f": did you mean {near[hint.split('`')[1]]}?" if hint else ": nobody reads it"


def _useless(environ: Mapping[str, str]) -> list[str]:
    return [
        f"{name} has no effect without {' or '.join(needed)}"
        for name, needed in NEEDS.items()
        if environ.get(name) and not any(environ.get(each) for each in needed)
    ]


def _ignored(uploads: UploadArguments) -> list[str]:
    names = ", ".join(uploads.ignored)
    return [f"{UPLOAD_ARGUMENTS}: {names} is not sent by this tool"] if names else []


def _payer_complaint(text: str) -> str:
    return "" if text == "requester" else "is not requester"


def _endpoint_complaint(text: str) -> str:
    try:
        parts = urlsplit(text)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong or " " in text:
        return "is no URL of a server"
    return "holds credentials, a query or a fragment" if any(c in text for c in "@?#") else ""


def _username_complaint(text: str) -> str:
    return "holds a `:`" if ":" in text else ""


def _author_complaint(text: str) -> str:
    usable = any(c.isalnum() for c in text) and not any(c in text for c in "<>")
    return "" if usable else "cannot be an author's name"


def _email_complaint(text: str) -> str:
    usable = any(c.isalnum() for c in text) and not any(c in text for c in "<> ")
    return "" if usable else "cannot be an author's address"


def _app_complaint(text: str) -> str:
    return "" if APP_ID.fullmatch(text) else "is no id of an app"


def _installation_complaint(text: str) -> str:
    return "" if re.fullmatch(r"[0-9]{1,18}", text) else "is no number of an installation"


def _key_id_complaint(text: str) -> str:
    return "begins with `-`" if text.startswith("-") else ""


def _host_complaint(text: str) -> str:
    return "" if HOST.fullmatch(text) else "is no host name or address"


def _user_complaint(text: str) -> str:
    return "" if USER_FROM.fullmatch(text) else "names no place of a user's name"


def _folder_complaint(text: str) -> str:
    return "" if text.startswith("/") else "is no absolute path"
