"""The environment of a process: what is read from where, and that no secret is ever shown."""

from __future__ import annotations

import pytest

from mlflow_gitops.config import Process, Secret, target_uri
from mlflow_gitops.config.reference_variables import VARIABLES
from mlflow_gitops.errors import ConfigError

TOKEN = "ghp_made-up"


def read(**environ: str) -> Process:
    return Process.from_environ({f"MLFLOW_GITOPS_{name}": text for name, text in environ.items()})


def error_of(**environ: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(**environ)
    return caught.value


def test_an_option_wins_over_the_variable_and_its_mistakes() -> None:
    environ = {"MLFLOW_GITOPS_REPOSITORY": "a\x00"}
    assert Process.from_environ(environ, repository="/repo").repository == "/repo"
    with pytest.raises(ConfigError):
        Process.from_environ({}, repository=" ")


def test_the_registry_is_the_tracking_server_unless_it_is_named() -> None:
    environ = {"MLFLOW_TRACKING_URI": "http://a"}
    assert Process.from_environ(environ).registry_uri == "http://a"
    both = Process.from_environ({**environ, "MLFLOW_REGISTRY_URI": "http://b"})
    assert (both.tracking_uri, both.registry_uri) == ("http://a", "http://b")


def test_the_s3_endpoint_is_the_nearest_that_is_set() -> None:
    names = ["MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"]
    environ: dict[str, str] = {}
    for name in [*names, "MLFLOW_GITOPS_S3_ENDPOINT"]:
        environ[name] = f"http://{name.lower().replace('_', '-')}:9000"
        assert Process.from_environ(environ).s3_endpoint == environ[name]


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"MLFLOW_GITOPS_STATE_DIR": "/s", "HOME": "/h"}, "/s"),
        ({"XDG_STATE_HOME": "/x/", "HOME": "/h"}, "/x/mlflow-gitops"),
        ({"XDG_STATE_HOME": "x", "HOME": "/h"}, "/h/.local/state/mlflow-gitops"),
        ({"MLFLOW_GITOPS_STATE_DIR": "", "HOME": "/"}, "/.local/state/mlflow-gitops"),
        ({}, "/var/lib/mlflow-gitops"),
    ],
)
def test_the_state_directory(environ: dict[str, str], folder: str) -> None:
    assert Process.from_environ(environ).state_dir == folder


def test_aws_region_comes_before_the_default_region() -> None:
    environ = {"AWS_DEFAULT_REGION": "eu-west-1"}
    assert Process.from_environ(environ).region == "eu-west-1"
    assert Process.from_environ({**environ, "AWS_REGION": "us-east-1"}).region == "us-east-1"


def test_numbers_and_names_are_taken() -> None:
    process = read(RESYNC_SECONDS=" 60 ", PORT="0", THREADS="2", HOST="::1", AUTHOR_NAME="Bot")
    assert (process.resync_seconds, process.port, process.threads) == (60, 0, 2)
    assert (process.host, process.author_name) == ("::1", "Bot")
    assert process.author_email == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RESYNC_SECONDS", "9"),
        ("RESYNC_SECONDS", "86401"),
        ("RESYNC_SECONDS", "5m"),
        ("RESYNC_SECONDS", "-60"),
        ("RESYNC_SECONDS", "6e1"),
        ("RESYNC_SECONDS", "٦٠"),
        ("RESYNC_SECONDS", "9" * 5000),
        ("PORT", "65536"),
        ("THREADS", "0"),
        ("HOST", "*"),
        ("HOST", "a b"),
        ("STATE_DIR", "state"),
        ("STATE_DIR", "~/state"),
        ("AUTHOR_NAME", "A <a@b>"),
        ("AUTHOR_NAME", "..."),
        ("AUTHOR_NAME", "a\nb"),
        ("AUTHOR_EMAIL", "a b"),
        ("GIT_USERNAME", "a:b"),
        ("S3_ENDPOINT", "localhost:9000"),
        ("S3_ENDPOINT", "ftp://host"),
        ("S3_ENDPOINT", "http://"),
        ("S3_ENDPOINT", "http://host:99999"),
        ("S3_ENDPOINT", "http://[::1"),
        ("S3_ENDPOINT", "http://user:pass@host"),
        ("REPOSITORY", "a\nb"),
    ],
)
def test_a_wrong_value_is_told_with_its_variable_and_what_is_allowed(name: str, value: str) -> None:
    error = error_of(**{name: value})
    assert error.where == f"MLFLOW_GITOPS_{name}"
    row = next(row for row in VARIABLES if row.name == error.where)
    assert error.hint == f"allowed: {row.allowed}"
    assert value not in error.what


def test_all_wrong_values_are_told_at_once() -> None:
    error = error_of(PORT="x", THREADS="x", GIT_TOKEN="a b")
    assert error.what.startswith("3 environment variables are wrong:\n  MLFLOW_GITOPS_PORT: ")
    assert "MLFLOW_GITOPS_GIT_TOKEN: the secret is more than one word" in error.what


def test_a_typo_in_a_name_is_a_warning_with_the_right_one() -> None:
    process = read(REPOSITRY="x", NONSENSE_ABC="y", DEBUG="1", SOAK="1", INNER_APP="basic-auth")
    assert process.warnings == (
        "MLFLOW_GITOPS_NONSENSE_ABC is no variable of mlflow-gitops: nobody reads it",
        "MLFLOW_GITOPS_REPOSITRY is no variable of mlflow-gitops: did you mean "
        "MLFLOW_GITOPS_REPOSITORY?",
    )


def test_a_user_name_without_a_token_is_a_warning() -> None:
    (warning,) = read(GIT_USERNAME="bot").warnings
    assert warning.startswith("MLFLOW_GITOPS_GIT_USERNAME has no effect without")
    assert read(GIT_USERNAME="bot", GIT_TOKEN=TOKEN).warnings == ()


def test_the_token_comes_with_a_user_name() -> None:
    assert read().git_credentials() is None
    assert read(GIT_TOKEN=f" {TOKEN}\n").git_credentials() == ("x-access-token", TOKEN)
    assert read(GIT_TOKEN=TOKEN, GIT_USERNAME="bot").git_credentials() == ("bot", TOKEN)


def test_a_name_in_the_url_is_the_user_name_where_no_other_is_set() -> None:
    url = "https://ada%40example.com@dev.azure.com/org/p/_git/r"
    named = read(GIT_TOKEN=TOKEN, REPOSITORY=url)
    assert named.git_credentials() == ("ada@example.com", TOKEN)
    assert named.warnings == ()
    both = read(GIT_TOKEN=TOKEN, REPOSITORY=url, GIT_USERNAME="bot")
    assert both.git_credentials() == ("bot", TOKEN)
    assert both.warnings == (
        "MLFLOW_GITOPS_GIT_USERNAME counts; the repository's URL names another user",
    )
    same = read(GIT_TOKEN=TOKEN, REPOSITORY=url, GIT_USERNAME="ada@example.com")
    assert same.warnings == ()
    ssh = read(GIT_TOKEN=TOKEN, REPOSITORY="ssh://git@git.example.com/x")
    assert ssh.git_credentials() == ("x-access-token", TOKEN)


def with_files(files: dict[str, str], **environ: str) -> Process:
    def read_file(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return files[path]

    named = {f"MLFLOW_GITOPS_{name}": text for name, text in environ.items()}
    return Process.from_environ(named, read_file=read_file)


def test_a_token_in_a_file_is_read_each_time_it_is_used() -> None:
    files: dict[str, str] = {}
    process = with_files(files, GIT_TOKEN_FILE="/run/token")
    with pytest.raises(ConfigError) as caught:
        process.git_credentials()
    assert caught.value.where == "MLFLOW_GITOPS_GIT_TOKEN_FILE"
    assert "No such file" in caught.value.what
    assert "/run/token" not in str(caught.value), "people put the token itself there"
    for token in ("first", "second"):
        files["/run/token"] = f"{token}\n"
        assert process.git_credentials() == ("x-access-token", token)


@pytest.mark.parametrize("content", ["", " \n", "two words", "a\x00b", "a\nb"])
def test_a_file_without_one_token_is_an_error(content: str) -> None:
    process = with_files({"/t": content}, GIT_TOKEN_FILE="/t")
    with pytest.raises(ConfigError) as caught:
        process.git_credentials()
    assert not content.strip() or content not in str(caught.value)


def test_a_file_that_is_no_text_is_an_error() -> None:
    def read_file(path: str) -> str:
        return b"\xff".decode()

    secret = Secret("MLFLOW_GITOPS_GIT_TOKEN", path="/t", read=read_file)
    with pytest.raises(ConfigError, match="it is no text"):
        secret.text()


def test_webhook_secrets_are_split_by_commas_or_lines() -> None:
    assert read().webhook_secrets == ()
    assert read(WEBHOOK_SECRETS=" new, old,,new ").webhook_secrets == ("new", "old")
    process = with_files({"/s": "\ufeffa,b\r\n\r\nc d\n"}, WEBHOOK_SECRETS_FILE="/s")
    assert process.webhook_secrets == ("a,b", "c d")
    assert error_of(WEBHOOK_SECRETS=" , ").where == "MLFLOW_GITOPS_WEBHOOK_SECRETS"


def test_the_request_key_is_bytes() -> None:
    assert read().request_key is None
    assert read(REQUEST_KEY="kéy").request_key == "kéy".encode()
    assert with_files({"/k": "key\n"}, REQUEST_KEY_FILE="/k").request_key == b"key"
    assert "UTF-8" in error_of(REQUEST_KEY="\udcff").what


def test_selector_tags_are_a_list_of_keys() -> None:
    assert read().selector_tags == ()
    assert read(SELECTOR_TAGS=" deploy, team.gate,,deploy ").selector_tags == (
        "deploy",
        "team.gate",
    )
    for wrong in ("gitops.request.x", "a,b/../c", "x" * 201, "a\nb"):
        assert error_of(SELECTOR_TAGS=wrong).where == "MLFLOW_GITOPS_SELECTOR_TAGS"


def test_what_the_plugin_sends_itself_has_to_be_signed() -> None:
    url = "https://host/webhook"
    process = read(WEBHOOK_URL=url, WEBHOOK_SECRET=TOKEN)
    assert (process.announce_url, process.announcing.line()) == (url, TOKEN)
    assert with_files({"/s": f"{TOKEN}\n"}, WEBHOOK_URL=url, WEBHOOK_SECRET_FILE="/s").announce_url
    assert error_of(WEBHOOK_URL=url).where == "MLFLOW_GITOPS_WEBHOOK_SECRET"
    assert TOKEN not in str(error_of(WEBHOOK_URL=f"https://u:{TOKEN}@host/", WEBHOOK_SECRET="s"))
    assert "no effect without MLFLOW_GITOPS_WEBHOOK_URL" in read(WEBHOOK_SECRET="s").warnings[0]


KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{TOKEN}\n-----END RSA PRIVATE KEY-----"


def test_an_app_speaks_instead_of_a_token() -> None:
    assert read().github_app is None
    process = read(GITHUB_APP_ID="4711", GITHUB_APP_KEY=KEY.replace("\n", "\\n"))
    app = process.github_app
    assert app
    assert (app.id, app.installation, app.key()) == ("4711", "", KEY)
    assert process.has_forge_token
    assert TOKEN not in f"{process!r}{app!r}"
    files = {"/k": f"{KEY}\n"}
    process = with_files(
        files, GITHUB_APP_ID="Iv1.x", GITHUB_APP_KEY_FILE="/k", GITHUB_APP_INSTALLATION="42"
    )
    app = process.github_app
    assert app
    assert (app.id, app.installation, app.key()) == ("Iv1.x", "42", KEY)
    files["/k"] = TOKEN
    with pytest.raises(ConfigError, match="no private key in PEM form") as caught:
        app.key()
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        ({"GITHUB_APP_ID": "1"}, "GITHUB_APP_KEY"),
        ({"GITHUB_APP_ID": "a/b", "GITHUB_APP_KEY": KEY}, "GITHUB_APP_ID"),
        ({"GITHUB_APP_ID": "1", "GITHUB_APP_KEY": TOKEN}, "GITHUB_APP_KEY"),
        ({"GITHUB_APP_ID": "1", "GITHUB_APP_KEY": KEY, "FORGE_TOKEN": TOKEN}, "GITHUB_APP_ID"),
        (
            {"GITHUB_APP_ID": "1", "GITHUB_APP_KEY": KEY, "FORGE_TOKEN_FILE": "/t"},
            "GITHUB_APP_ID",
        ),
        (
            {"GITHUB_APP_ID": "1", "GITHUB_APP_KEY": KEY, "GITHUB_APP_INSTALLATION": "ml"},
            "GITHUB_APP_INSTALLATION",
        ),
    ],
)
def test_half_an_app_is_an_error(environ: dict[str, str], where: str) -> None:
    error = error_of(**environ)
    assert error.where == f"MLFLOW_GITOPS_{where}"
    assert TOKEN not in str(error)


def test_an_app_s_key_alone_is_a_warning() -> None:
    (warning,) = read(GITHUB_APP_KEY=KEY).warnings
    assert "no effect without MLFLOW_GITOPS_GITHUB_APP_ID" in warning


@pytest.mark.parametrize(
    "name", ["GIT_TOKEN", "PREDICT_TOKEN", "WEBHOOK_SECRETS", "WEBHOOK_SECRET", "REQUEST_KEY"]
)
def test_a_secret_and_its_file_are_one_too_many(name: str) -> None:
    error = error_of(**{name: TOKEN, f"{name}_FILE": "/f"})
    assert error.where == f"MLFLOW_GITOPS_{name}"
    assert TOKEN not in str(error)


def test_nothing_that_may_be_secret_is_in_a_repr() -> None:
    process = Process.from_environ(
        {
            "MLFLOW_TRACKING_URI": f"https://user:{TOKEN}@host",
            "MLFLOW_GITOPS_GIT_TOKEN": TOKEN,
            "MLFLOW_GITOPS_PREDICT_TOKEN": TOKEN,
            "MLFLOW_GITOPS_WEBHOOK_SECRETS": TOKEN,
            "MLFLOW_GITOPS_WEBHOOK_SECRET": TOKEN,
            "MLFLOW_GITOPS_REQUEST_KEY": TOKEN,
        },
        repository=f"https://{TOKEN}@host/x",
    )
    assert TOKEN not in f"{process!r} {process} {process.git_token!r}"


@pytest.mark.parametrize(
    ("uri", "repository"),
    [
        ("gitops", None),
        (" GitOps ", None),
        ("gitops:https://host/x.git", "https://host/x.git"),
        ("gitops:/srv/x.git", "/srv/x.git"),
        ("gitops:git@host:x.git", "git@host:x.git"),
        ("gitops:ssh://git@host:22/x", "ssh://git@host:22/x"),
        ("gitops:../x", "../x"),
    ],
)
def test_a_target_names_the_repository_or_leaves_it_to_the_environment(
    uri: str, repository: str | None
) -> None:
    assert target_uri(uri) == repository


@pytest.mark.parametrize("uri", ["", "gitops:", "gitops: ", "gitops://host/x", "git", "gitops:a\n"])
def test_another_target_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError) as caught:
        target_uri(uri if uri != "gitops:a\n" else "gitops:a\nb")
    assert "gitops:<repository URL>" in caught.value.hint
