"""What Git's own words mean: retry, plan again, or tell a person what to change. PURE.

Git has no error codes for what happens at the remote, so its words are matched; GitPython asks
for them in English (`LC_ALL=C`). Words that are not known are taken as passing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow_gitops.errors import GitOpsError, HeadMovedError, RepositoryError, TransientError

__all__ = ["push_fates", "push_refusal", "redact", "remote_failure", "says_damaged"]

WORDS_LIMIT = 600
USERINFO = re.compile(r"(?<=://)[^/@\s'\"]+@")
HEADER = re.compile(r"(?i)(authorization:\s*\w+)\s+\S+")

ACCESS_HINT = (
    "check MLFLOW_GITOPS_GIT_USERNAME and the token in MLFLOW_GITOPS_GIT_TOKEN (or its _FILE), "
    "or the SSH key"
)
BYPASS_HINT = (
    "let this tool's identity bypass the protection of the branch, or give the environment a "
    "branch of its own in mlflow-gitops.yaml"
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """If `pattern` is in Git's words, this is what happened; no `hint` means that it may pass."""

    pattern: str
    what: str
    hint: str = ""


# The first that matches counts: what is specific comes first, since Git adds general words.
MEANINGS = (
    Meaning(
        r"returned error: 401|Authentication failed|could not read (Username|Password)"
        r"|Permission denied \(|terminal prompts disabled|Too many authentication failures",
        "the Git server refused the credentials",
        ACCESS_HINT,
    ),
    Meaning(
        r"returned error: 403|Permission to .{1,500} denied|insufficient permission|Write access"
        r"|not allowed to push|Permission denied",
        "the Git server does not permit this",
        "give this tool's identity the permission to read and write the repository",
    ),
    Meaning(
        r"returned error: 30\d|unable to update url base from redirection",
        "the Git server redirects to another address",
        "set the repository's URL to its new address; credentials are not sent after a redirect",
    ),
    Meaning(r"returned error: (408|429|5\d\d)", "the Git server did not answer as it should", ""),
    Meaning(
        r"returned error: 4\d\d|[Rr]epository .{0,500}not found|does not exist"
        r"|does not appear to be a git repository|No such file or directory|not a git repository",
        "there is no such repository, or these credentials do not see it",
        "check the repository's URL, and that this tool's identity may read it",
    ),
    Meaning(
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the SSH host key is not known",
        "add the host's key to known_hosts, for example with ssh-keyscan, and compare it",
    ),
    Meaning(
        r"certificate (problem|verif)|certificate verification|self.signed certificate",
        "the Git server's certificate is not trusted",
        "install its CA for this process, for example with GIT_SSL_CAINFO",
    ),
    Meaning(
        r"dubious ownership",
        "Git does not trust the owner of the repository's folder",
        "let the folder belong to the user of this process, or name it in safe.directory",
    ),
    Meaning(
        r"transport '.{0,100}' not allowed|unsafe|strange (hostname|pathname)",
        "Git does not allow this address",
        "use a path, http, https, ssh or git",
    ),
    Meaning(r"No space left on device|Disk quota exceeded", "there is no space left for Git", ""),
)

# A push that lost a race; the server's own locks count, as they say so when two push at once.
MOVED = re.compile(
    r"stale info|fetch first|non-fast-forward|needs force|cannot lock ref|failed to update ref"
    r"|failed to lock|incorrect old value|reference already exists|remote ref updated since"
    r"|is at [0-9a-f]{40,64} but expected",
)
DAMAGED = re.compile(
    r"bad object|corrupt|unable to (read|parse|resolve)|missing (blob|tree|commit|object)"
    r"|necessary objects|object file .{1,500} is empty|broken ref|bad ref|not a git repository: "
    r"|invalid object|not a valid object|mismatched algorithms|does not match any"
)
CONNECTION = re.compile(r"early EOF|hung up|RPC failed|disconnect|unable to access|reset by peer")
PASSING = re.compile(r"internal server error|remote failure|timeout|try again", re.IGNORECASE)
PROTECTED = re.compile(r"hook declined|protected|rule violations|prohibited|not allowed|denied")


def remote_failure(doing: str, words: str, where: str) -> GitOpsError:
    """The error for a fetch or a push that did not get an answer. `words` are redacted."""
    for meaning in MEANINGS:
        if re.search(meaning.pattern, words):
            what = f"{doing}: {meaning.what}{_said(words)}"
            if meaning.hint:
                return RepositoryError(what, where=where, hint=meaning.hint)
            return TransientError(what, where=where, hint="it is tried again")
    return TransientError(
        f"{doing}: Git failed{_said(words)}",
        where=where,
        hint="it is tried again; check that the Git server can be reached from here",
    )


def push_fates(porcelain: str) -> Mapping[str, str]:
    """Branch to why it was refused, or to "", from the output of `git push --porcelain`.

    Its lines are `<flag><tab>from:to<tab>[kind] (reason)`; the flag of a refusal is `!`.
    """
    fates = {}
    for line in porcelain.splitlines():
        flag, _, rest = line.partition("\t")
        names, _, reason = rest.partition("\t")
        branch = names.partition(":refs/heads/")[2]
        if len(flag) == 1 and branch:
            fates[branch] = (reason or "[rejected]") if flag == "!" else ""
    return fates


def push_refusal(branch: str, refusal: str, words: str, where: str) -> GitOpsError:
    """The error for a ref that the server turned down.

    `refusal` is what `git push --porcelain` says of it: `[kind] (reason)`.
    """
    place = f"{where}, branch {branch}"
    if MOVED.search(refusal):
        return HeadMovedError(
            "somebody pushed to the branch in between",
            where=place,
            hint="fetch, plan again on the new head, push again",
        )
    said = _said(f"{words}\n{refusal}")
    if PASSING.search(refusal):
        return TransientError(f"the Git server failed{said}", where=place, hint="it is tried again")
    if "unpack" in refusal and not re.search(r"permission", words, re.IGNORECASE):
        return TransientError(
            f"the Git server could not store the commit{said}",
            where=place,
            hint="it is tried again; check the server's disk",
        )
    if PROTECTED.search(refusal):
        return RepositoryError(
            f"the Git server does not accept commits here{said}", where=place, hint=BYPASS_HINT
        )
    return RepositoryError(
        f"the Git server refused the push{said}",
        where=place,
        hint=f"see what it says; if the branch is protected, {BYPASS_HINT}",
    )


def says_damaged(words: str) -> bool:
    """Whether Git speaks of the clone here, and not of the remote."""
    return bool(DAMAGED.search(words)) and not CONNECTION.search(words)


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """Without the secrets, without user names in URLs, and printable."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = HEADER.sub(r"\1 ***", USERINFO.sub("", text))
    return "".join(c for c in text if c == "\n" or c == "\t" or _shown(c))


def _shown(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs")


def _said(words: str) -> str:
    lines = (line.strip() for line in words.splitlines())
    text = "; ".join(dict.fromkeys(line for line in lines if line and not _noise(line)))
    if len(text) > WORDS_LIMIT:
        text = text[: WORDS_LIMIT - 3] + "..."
    return f" ({text})" if text else ""


def _noise(line: str) -> bool:
    return line.startswith(("hint: ", "To ", "error: failed to push some refs", "Done"))
