"""Git's words, and what they mean for the queue and for people."""

from __future__ import annotations

import pytest

from mlflow_gitops.adapters.git_failures import push_fates, push_refusal, redact, remote_failure
from mlflow_gitops.errors import GitOpsError, HeadMovedError, RepositoryError, TransientError

WORDS = [
    ("fatal: Authentication failed for 'https://h/x/'", RepositoryError),
    ("fatal: could not read Username for 'https://h': terminal prompts disabled", RepositoryError),
    ("git@h: Permission denied (publickey).\nfatal: Could not read from remote", RepositoryError),
    (
        "remote: Permission to a/b denied to c.\nThe requested URL returned error: 403",
        RepositoryError,
    ),
    (
        "fatal: unable to access 'https://h/': The requested URL returned error: 404",
        RepositoryError,
    ),
    ("remote: Repository not found.\nfatal: repository 'https://h/' not found", RepositoryError),
    ("fatal: '/srv/x' does not appear to be a git repository", RepositoryError),
    ("Host key verification failed.\nfatal: Could not read from remote", RepositoryError),
    ("fatal: unable to access: server certificate verification failed", RepositoryError),
    ("fatal: unable to access: SSL certificate problem: self signed certificate", RepositoryError),
    ("fatal: unable to access: The requested URL returned error: 301", RepositoryError),
    ("fatal: unable to access: The requested URL returned error: 500", TransientError),
    ("fatal: unable to access: The requested URL returned error: 429", TransientError),
    ("fatal: unable to access: Could not resolve host: h", TransientError),
    ("ssh: Could not resolve hostname h: Name or service not known", TransientError),
    ("fatal: unable to access: Failed to connect to h port 1: Connection refused", TransientError),
    ("error: RPC failed; curl 56\nfatal: early EOF", TransientError),
    ("fatal: the remote end hung up unexpectedly", TransientError),
    ("fatal: write error: No space left on device", TransientError),
    ("words that nobody has seen before", TransientError),
    ("", TransientError),
]


@pytest.mark.parametrize(("words", "kind"), WORDS)
def test_what_the_remote_says_decides_whether_to_retry(words: str, kind: type[GitOpsError]) -> None:
    error = remote_failure("fetching", words, "h/x")
    assert type(error) is kind
    assert error.where == "h/x"
    assert error.hint


READ = "\nfatal: Could not read from remote repository.\n"
CAUSES = [
    ("No user exists for uid 1000730000" + READ, RepositoryError, "/etc/passwd", "HTTPS"),
    (
        "error: cannot run ssh: No such file or directory\nfatal: unable to fork",
        *(RepositoryError, "SSH program", "install"),
    ),
    ("ssh -oBatchMode=yes: 1: ssh: not found" + READ, RepositoryError, "SSH program", "install"),
    ("sh: line 1: ssh: command not found" + READ, RepositoryError, "SSH program", "install"),
    ("/x/ssh -v: 1: /x/ssh: Permission denied" + READ, RepositoryError, "SSH program", "GIT_SSH"),
    ("bash: git-upload-pack: command not found" + READ, RepositoryError, "does not find", "there"),
    (
        "git: 'remote-https' is not a git command. See 'git --help'.",
        *(RepositoryError, "HTTP", "install Git"),
    ),
    ("git@h: Permission denied (publickey)." + READ, RepositoryError, "SSH key", "ssh-agent"),
    (
        "Could not create directory '/.ssh' (Permission denied).\n"
        "Failed to add the host to the list of known hosts (/.ssh/known_hosts).\n"
        "Host key verification failed." + READ,
        *(RepositoryError, "host key", "ssh-keyscan"),
    ),
    (
        "Warning: Identity file /k not accessible: No such file or directory.\n"
        "ssh: connect to host h port 22: Connection refused" + READ,
        *(TransientError, "Git failed", "can be reached"),
    ),
    (
        "warning: unable to access '/root/.config/git/attributes': Permission denied\n"
        "fatal: unable to access 'https://h/': Could not resolve host: h",
        *(TransientError, "name is not found", "check the host"),
    ),
    (
        "ssh: Could not resolve hostname h: Name or service not known" + READ,
        *(TransientError, "name is not found", "check the host"),
    ),
    (
        "Unable to negotiate with 1.2.3.4 port 22: no matching host key type found." + READ,
        *(RepositoryError, "algorithm", "HTTPS"),
    ),
    (
        "fatal: ssh variant 'simple' does not support setting port",
        *(RepositoryError, "its options", "GIT_SSH_VARIANT"),
    ),
    (
        "Bad owner or permissions on /home/a/.ssh/config" + READ,
        *(RepositoryError, "its own configuration", "~/.ssh/config"),
    ),
    (
        "fatal: detected dubious ownership in repository at '/srv/x'" + READ,
        *(RepositoryError, "owner", "safe.directory"),
    ),
    (
        "fatal: unable to access 'https://h/': error setting certificate file: /none",
        *(RepositoryError, "certificates", "GIT_SSL_CAINFO"),
    ),
]


@pytest.mark.parametrize(("words", "kind", "what", "hint"), CAUSES)
def test_a_cause_on_this_machine_has_its_own_next_step(
    words: str, kind: type[GitOpsError], what: str, hint: str
) -> None:
    error = remote_failure("fetching", words, "h/x")
    assert type(error) is kind
    assert what in error.what
    assert hint in error.hint


REFUSALS = [
    ("[rejected] (stale info)", HeadMovedError),
    ("[rejected] (fetch first)", HeadMovedError),
    ("[rejected] (non-fast-forward)", HeadMovedError),
    (
        "[remote rejected] (cannot lock ref 'refs/heads/main': is at 1 but expected 2)",
        HeadMovedError,
    ),
    ("[remote rejected] (failed to update ref)", HeadMovedError),
    ("[remote rejected] (pre-receive hook declined)", RepositoryError),
    ("[remote rejected] (hook declined)", RepositoryError),
    ("[remote rejected] (protected branch hook declined)", RepositoryError),
    ("[remote rejected] (push declined due to repository rule violations)", RepositoryError),
    ("[remote rejected] (branch is currently checked out)", RepositoryError),
    ("[remote rejected] (something new)", RepositoryError),
    ("[remote rejected] (Internal Server Error)", TransientError),
    ("[remote failure] (remote failed to report status)", TransientError),
    ("[remote rejected] (unpacker error)", TransientError),
]


@pytest.mark.parametrize(("refusal", "kind"), REFUSALS)
def test_a_refused_push_says_why(refusal: str, kind: type[GitOpsError]) -> None:
    error = push_refusal("main", refusal, "remote: go away\n", "h/x")
    assert type(error) is kind
    assert "main" in error.where
    assert error.hint


def test_a_protected_branch_is_told_in_the_servers_words_and_with_a_way_out() -> None:
    refusal = "[remote rejected] (protected branch hook declined)"
    words = "remote: error: GH006: Protected branch update failed\nhint: pull first\n"
    error = push_refusal("main", refusal, words, "h/x")
    assert "GH006: Protected branch update failed" in error.what
    assert "pull first" not in error.what
    assert "bypass" in error.hint
    assert "branch of its own" in error.hint


def test_a_server_cannot_flood_the_error() -> None:
    refusal = "[remote rejected] (hook declined)"
    words = "\n".join(f"remote: line {number}" for number in range(10_000))
    assert len(str(push_refusal("main", refusal, words, "h/x"))) < 1200


def test_each_branch_of_a_push_has_its_own_fate() -> None:
    porcelain = (
        "To /srv/x\n"
        "*\tabc:refs/heads/new\t[new branch]\n"
        " \tabc:refs/heads/main\t1..2\n"
        "-\t:refs/heads/gone\t[deleted]\n"
        "!\tabc:refs/heads/a/b\t[rejected] (stale info)\n"
        "!\t:refs/heads/c\t[remote rejected] (hook declined)\n"
        "Done\n"
    )
    assert push_fates(porcelain) == {
        "new": "",
        "main": "",
        "gone": "",
        "a/b": "[rejected] (stale info)",
        "c": "[remote rejected] (hook declined)",
    }
    assert push_fates("") == push_fates("fatal: the remote end hung up\n") == {}


def test_secrets_and_control_characters_are_taken_out() -> None:
    words = (
        "fatal: 'https://ada:s3cret@h/x' Authorization: Basic YWRhOnMzY3JldA==\n"
        "and s3cret again \x1b[31mred\x07 \u202ebidi"
    )
    shown = redact(words, ("s3cret", ""))
    assert "s3cret" not in shown
    assert "YWRhOnMzY3JldA" not in shown
    assert "ada" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "https://h/x" in shown


HOOK = "[remote rejected] (pre-receive hook declined)"
RULES = "[remote rejected] (push declined due to repository rule violations)"
NAME = "refused the branch's name"
SETTING = "pull-request.branch"
MESSAGE, BRANCH, OTHER = (
    "refused the commit's message",
    "does not accept commits",
    "hook of the Git",
)
SPOKEN = [
    (HOOK, "GL-HOOK-ERR: commit message does not follow the pattern", MESSAGE, "commits.subject"),
    (HOOK, "every commit needs a Signed-off-by line (DCO)", MESSAGE, "commits.sign-off"),
    (HOOK, r"GitLab: Commit message does not follow the pattern '^J-\d'", MESSAGE, "commits"),
    (HOOK, "commit 1a2b: No JIRA Issue found in commit message", MESSAGE, "commits.subject"),
    (HOOK, "commit 1a2b: missing Change-Id in message footer", MESSAGE, "commits.trailers"),
    (HOOK, "You must reference an issue key, such as ABC-1", MESSAGE, "commits.subject"),
    (RULES, "- Commit message must match a given regex pattern: ^feat", MESSAGE, "commits"),
    (HOOK, "GitLab: Branch name does not follow the pattern '^feature/'", NAME, SETTING),
    (RULES, "- Branch name must match a given regex pattern: ^feature", NAME, SETTING),
    (HOOK, "the name of your branch must have a ticket", NAME, SETTING),
    (HOOK, "GitLab: You are not allowed to push code to protected branches", BRANCH, "bypass"),
    (HOOK, "Gitea: Not allowed to push to protected branch main", BRANCH, "bypass"),
    (HOOK, "Branch refs/heads/main can only be modified through pull requests.", BRANCH, "bypass"),
    (RULES, "- Changes must be made through a pull request.", BRANCH, "bypass"),
    ("[remote rejected] (protected branch hook declined)", "GH006: no commit", BRANCH, "bypass"),
    (
        "[remote rejected] (TF402455: Pushes to this branch are not permitted; you must use a "
        "pull request to update this branch.)",
        "",
        BRANCH,
        "bypass",
    ),
    (HOOK, "GitLab: Committer's email 'a@b' does not follow the pattern", OTHER, "commits.author"),
    (HOOK, "GitLab: Commit must be signed with a GPG key", OTHER, "docs/signing.md"),
    (HOOK, "frozen until Monday: open a ticket", BRANCH, "see what it says"),
]


@pytest.mark.parametrize(("refusal", "words", "what", "hint"), SPOKEN)
def test_a_hooks_words_decide_the_next_step(refusal: str, words: str, what: str, hint: str) -> None:
    error = push_refusal("main", refusal, f"remote: {words}\n", "h/x")
    assert what in error.what
    assert words in error.what
    assert hint in error.hint
    assert ("bypass" in error.hint) == (what == BRANCH)
