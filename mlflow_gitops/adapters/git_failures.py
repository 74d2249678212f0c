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
BY_THE_WAY = re.compile(
    r"^(?:[Ww]arning: .*|Could not create directory .*|Failed to add the host to .*)$", re.MULTILINE
)
"""Lines before the one that ends the command: a home folder that cannot be written, and so on."""
USERINFO = re.compile(r"(?<=://)[^/@\s'\"]+@")
HEADER = re.compile(r"(?i)(authorization:\s*\w+)\s+\S+")

ACCESS_HINT = (
    "check MLFLOW_GITOPS_GIT_USERNAME and the token in MLFLOW_GITOPS_GIT_TOKEN (or its _FILE)"
)
SSH_KEY_HINT = (
    "give this process a key that the server knows: in ~/.ssh, by ssh-agent, or with "
    "GIT_SSH_COMMAND='ssh -i <file>'; or use an HTTPS URL with MLFLOW_GITOPS_GIT_TOKEN"
)
BYPASS_HINT = (
    "let this tool's identity bypass the protection of the branch, or give the environment a "
    "branch of its own in mlflow-gitops.yaml"
)
STYLE_HINT = (
    "set `commits.subject`, `commits.body`, `commits.trailers` or `commits.sign-off` in "
    "mlflow-gitops.yaml to what the hook asks for: docs/settings.md"
)
BRANCH_HINT = (
    "set `pull-request.branch` of the environment in mlflow-gitops.yaml to such names: "
    "docs/settings.md"
)
HOOK_HINT = (
    f"see what it says. If it is about the branch, {BYPASS_HINT}. If it is about the commit's "
    f"message, {STYLE_HINT}"
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """If `pattern` is in Git's words, this is what happened, and what to do about it.

    It may pass, and is tried again, where there is no `hint`, or where `is_passing` says so.
    """

    pattern: str
    what: str
    hint: str = ""
    is_passing: bool = False


# What this machine lacks, in the words of Git, ssh and the shell that starts it.
LOCAL = (
    Meaning(
        r"No user exists for uid \d+|You don't exist, go away",
        "this process's user id has no line in /etc/passwd, and SSH needs one",
        "use an HTTPS URL with MLFLOW_GITOPS_GIT_TOKEN, or add the line when the container starts",
    ),
    Meaning(
        r"git-(upload|receive)-pack: (command )?not found",
        "the SSH server does not find Git",
        "install Git there, or check the host and the user in the repository's URL",
    ),
    Meaning(
        r"cannot (run|exec) \S+: |(?m:^(?!remote:|fatal:).*: (command )?not found$)"
        r"|(?m:^(?!remote:).*: (line )?\d+: .*: Permission denied$)",
        "the SSH program cannot be run",
        "install OpenSSH's client, or correct GIT_SSH_COMMAND or GIT_SSH; or use an HTTPS URL",
    ),
    Meaning(
        r"'remote-https?' is not a git command|Unable to find remote helper",
        "this Git cannot speak HTTP",
        "install Git with its HTTP helpers, or use an SSH URL",
    ),
    Meaning(
        r"ssh variant '.*' does not support",
        "Git does not know how to give this SSH program its options",
        "set GIT_SSH_VARIANT=ssh, if the program takes OpenSSH's options",
    ),
    Meaning(
        r"Bad owner or permissions on|Bad configuration option|bad configuration options"
        r"|Can't open user config file",
        "SSH does not accept its own configuration",
        "correct the file or the option that it names, in ~/.ssh/config or GIT_SSH_COMMAND",
    ),
    Meaning(
        r"error setting certificate|error reading ca cert file",
        "the file with the trusted certificates cannot be read",
        "correct GIT_SSL_CAINFO, or http.sslCAInfo in Git's configuration",
    ),
)
# The first that matches counts: what is specific comes first, since Git adds general words.
MEANINGS = (
    *LOCAL,
    Meaning(
        r"Could not resolve host(name)?\b",
        "the Git server's name is not found",
        "check the host in the repository's URL, and the DNS from here",
        is_passing=True,
    ),
    Meaning(
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the SSH host key is not known",
        "add the host's key to known_hosts, for example with ssh-keyscan, and compare it; where "
        "HOME is read-only, name a file with GIT_SSH_COMMAND='ssh -oUserKnownHostsFile=<file>'",
    ),
    Meaning(
        r"Unable to negotiate with .*: no matching",
        "the SSH server and this client have no algorithm in common",
        "allow one that the server offers, in ~/.ssh/config, or use an HTTPS URL",
    ),
    Meaning(
        r"Permission denied \(|Too many authentication failures",
        "the Git server refused the SSH key",
        SSH_KEY_HINT,
    ),
    Meaning(
        r"returned error: 401|Authentication failed|could not read (Username|Password)"
        r"|terminal prompts disabled",
        "the Git server refused the credentials",
        ACCESS_HINT,
    ),
    Meaning(
        r"dubious ownership",
        "Git does not trust the owner of the repository's folder",
        "let the folder belong to the user of this process, or run "
        "`git config --global --add safe.directory <folder>` as that user",
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
        r"certificate (problem|verif)|certificate verification|self.signed certificate",
        "the Git server's certificate is not trusted",
        "install its CA for this process, for example with GIT_SSL_CAINFO",
    ),
    Meaning(
        r"transport '.{0,100}' not allowed|unsafe|strange (hostname|pathname)",
        "Git does not allow this address",
        "use a path, http, https, ssh or git",
    ),
    Meaning(r"No space left on device|Disk quota exceeded", "there is no space left for Git", ""),
)

# What a server's hook says of a commit; the first that matches counts. A protected branch comes
# first: its words may name commits and pull requests too.
HOOKS = (
    Meaning(
        r"protected branch|GH006|not allowed to (force[ -])?push|TF402455|TF401027"
        r"|(only|must) be (modified|made|changed|merged) (through|via|by) (a )?pull request"
        r"|use a pull request|pull request is required|have not been granted write"
        r"|pushes to this branch are not permitted|Cannot (force-push|update this protected)",
        "the Git server does not accept commits here",
        BYPASS_HINT,
    ),
    Meaning(
        r"\b(branch|ref)[ _-]?names?\b|\bnames? of (the|this|your|a) branch",
        "a hook of the Git server refused the branch's name",
        BRANCH_HINT,
    ),
    Meaning(
        r"sign(ed|s)?[- ]off|\bDCO\b|(commit|its|the|your) (message|msg|subject|title|log message)"
        r"|message (footer|header|body|must|should|does|has|is|needs)|conventional commit"
        r"|\bsubject( line)?\b|commit-msg|commitlint|change-id|\btrailers?\b"
        r"|(issue|ticket|jira|story|work item)s? ?(key|id|number|reference)\b"
        r"|(missing|no|without|valid) (jira )?(issue|ticket|work item)",
        "a hook of the Git server refused the commit's message",
        STYLE_HINT,
    ),
    Meaning(
        r"(gpg|ssh|verified|must be|has to be|not|un)[- ]?sign(ed|ature)|verified signature"
        r"|signed with",
        "a hook of the Git server wants signed commits",
        "let this tool sign its commits: docs/signing.md",
    ),
    Meaning(
        r"\b(author|committer)('s)? |(verified|own|company) e-?mail|GH007",
        "a hook of the Git server refused the commit's author or committer",
        "set `commits.author` and `commits.committer` in mlflow-gitops.yaml to an identity that "
        "the server accepts",
    ),
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
    decisive = BY_THE_WAY.sub("", words)
    for meaning in MEANINGS:
        if re.search(meaning.pattern, decisive):
            what = f"{doing}: {meaning.what}{_said(words)}"
            if meaning.hint and not meaning.is_passing:
                return RepositoryError(what, where=where, hint=meaning.hint)
            hint = "; ".join(filter(None, ("it is tried again", meaning.hint)))
            return TransientError(what, where=where, hint=hint)
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
    spoken = "\n".join(line for line in words.splitlines() if not _noise(line.strip()))
    for meaning in HOOKS:  # Git itself only tells that a hook declined
        if re.search(meaning.pattern, f"{refusal}\n{spoken}", re.IGNORECASE):
            return RepositoryError(f"{meaning.what}{said}", where=place, hint=meaning.hint)
    if PROTECTED.search(refusal):
        return RepositoryError(
            f"the Git server does not accept commits here{said}", where=place, hint=HOOK_HINT
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
