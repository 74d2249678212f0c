"""Where a manifests repository is: the URL that Git is given, and the name that records compare.

Reads the text only. Credentials in a URL are refused, since Git would show and store them. A user
name alone, as in the addresses that Azure DevOps and Bitbucket give, is no credential: it is kept
apart, and is no part of the URL or of the identity.
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from mlflow_gitops.errors import ConfigError

__all__ = ["Address"]

PORTS = {"http": 80, "https": 443, "ssh": 22, "git": 9418}
SCHEMES = (*PORTS, "file")
HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")
SCP = re.compile(r"(?:(?P<user>[^@/:\[]+)@)?(?P<host>\[[^\]/]+\]|[^:/\[]+):(?P<path>.*)", re.DOTALL)
TOKEN = re.compile(
    r"(gh[a-z]_|github_pat_|gl[a-z]{2,4}-|ATBB|ATCTT|ATATT).*|(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9]{32,}"
)
"""What forges give as a token; some take one in the place of the user's name."""
SAFE = (
    "give them in the environment instead, as MLFLOW_GITOPS_GIT_USERNAME and "
    "MLFLOW_GITOPS_GIT_TOKEN (or MLFLOW_GITOPS_GIT_TOKEN_FILE)"
)


@dataclass(frozen=True, slots=True)
class Address:
    """`url` is what Git is given; `identity` is host and path without scheme or credentials.

    `user` is the name that an HTTP(S) URL asks to log in with, "" without one.
    """

    url: str
    identity: str
    scheme: str
    user: str = field(default="", repr=False)

    @property
    def takes_token(self) -> bool:
        return self.scheme in ("http", "https")

    @property
    def origin(self) -> str:
        """The scheme, host and port that a token is meant for, as Git's settings match it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}/"

    @classmethod
    def parse(cls, text: str) -> Address:
        """A URL, an scp-like address or a path. Raises ConfigError, which never shows a secret."""
        text = text.strip()
        if not text or text.startswith("-") or any(unicodedata.category(c) == "Cc" for c in text):
            raise _refused("this is no address of a repository")
        if HELPER.match(text):
            raise _refused("addresses of remote helpers (`name::…`) are not allowed")
        if "://" in text:
            return _from_url(text)
        scp = SCP.fullmatch(text)
        if scp and not text.startswith((".", "/", "~")):
            return _from_scp(text, scp["user"] or "", scp["host"], scp["path"])
        return _from_path(os.path.abspath(os.path.expanduser(text)))


def _from_url(text: str) -> Address:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("this is no address of a repository") from None
    scheme = parts.scheme.lower()
    if scheme not in SCHEMES:
        raise _refused(f"`{scheme}` is no transport that is allowed")
    if scheme == "file":
        if host not in ("", "localhost"):
            raise _refused("a file URL names no host: file:///path")
        return _from_path(os.path.abspath(unquote(parts.path)))
    _refuse_secrets(parts, scheme)
    if not host or host.startswith("-") or not parts.path.strip("/"):
        raise _refused("the address lacks a host or a path")
    name = f"[{host}]" if ":" in host else host.lower()
    shown = "" if port is None or port == PORTS[scheme] else f":{port}"
    user = parts.username or ""
    is_login = scheme in ("http", "https")
    before = f"{user}@" if user and not is_login else ""
    url = f"{scheme}://{before}{name}{'' if port is None else f':{port}'}{parts.path}"
    identity = f"{name}{shown}/{_path(unquote(parts.path))}"
    return Address(url, identity, scheme, unquote(user) if is_login else "")


def _refuse_secrets(parts: SplitResult, scheme: str) -> None:
    user = unquote(parts.username or "")
    is_token = scheme in ("http", "https") and TOKEN.fullmatch(user)
    if parts.password or ":" in user or is_token:
        what = "a token in the place of a user name" if is_token else "a password"
        raise ConfigError(
            f"the repository's URL holds credentials ({what})",
            where=parts.hostname or "",
            hint=f"{SAFE}, and leave the part before `@` out of the URL",
        )
    if not user.isprintable():
        raise _refused("the address has an unprintable character")
    if parts.query or parts.fragment:
        raise ConfigError(
            "the repository's URL holds a query or a fragment",
            where=parts.hostname or "",
            hint=f"end it after the path; if they are credentials, {SAFE}",
        )


def _from_scp(text: str, user: str, host: str, path: str) -> Address:
    if not path.strip("/") or host.startswith("-") or user.startswith("-"):
        raise _refused("the address lacks a host or a path")
    return Address(text, f"{host.lower()}/{_path(path)}", "ssh")


def _from_path(path: str) -> Address:
    return Address(path, path.rstrip("/").removesuffix(".git").rstrip("/") or "/", "file")


def _path(path: str) -> str:
    return posixpath.normpath("/" + path).strip("/").removesuffix(".git").rstrip("/")


def _refused(what: str) -> ConfigError:
    return ConfigError(
        what,
        where="the repository's URL",
        hint=f"use a path, or a URL that begins with one of {', '.join(SCHEMES)}, "
        "or user@host:path for SSH",
    )
