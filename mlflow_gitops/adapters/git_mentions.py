"""Where a text stands in a clone: at the heads of its branches, and in what changed lately.

A commit's time is its committer's. Merges are compared with each of their parents, so that what an
old commit changed counts from when it was merged.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from mlflow_gitops.adapters.git_process import Answer, GitProcess
from mlflow_gitops.errors import RepositoryError

__all__ = ["find_mentions"]

NOTHING_FOUND = 1  # what `git grep` ends with


def find_mentions(
    git: GitProcess, heads: Mapping[str, str], text: str, since: str
) -> Iterator[tuple[str, str]]:
    """See `ports.Repository.mentions`. `heads` maps each branch to its commit."""
    branches = {head: branch for branch, head in heads.items()}
    for head, branch in branches.items():
        answer = git.run("grep", "-h", "-a", "-F", "-e", text, head)
        if answer.code != NOTHING_FOUND:
            for line in _checked(answer, head).split("\n"):
                if line:
                    yield line, f"branch {branch}"
    yield from _changes(git, list(branches), text, since)


def _changes(git: GitProcess, heads: list[str], text: str, since: str) -> Iterator[tuple[str, str]]:
    if not heads:
        return
    start = datetime.fromisoformat(since).timestamp()
    listed = git.run("rev-list", "--timestamp", "--stdin", stdin="\n".join(heads).encode() + b"\n")
    pairs = (line.split(" ") for line in _checked(listed, heads[0]).split("\n") if line)
    times = {commit: int(seconds) for seconds, commit in pairs if int(seconds) >= start}
    mark = secrets.token_hex(16)  # a line can hold anything
    options = (
        *("--stdin", "-r", "-m", "--root", "-p", "-U0", "--text", "--no-renames"),
        *("--no-ext-diff", "--no-textconv", "--no-color", f"--format={mark} %H"),
    )
    answer = git.run("diff-tree", *options, stdin="".join(f"{c}\n" for c in times).encode())
    commit = ""
    for line in _checked(answer, heads[0]).split("\n"):
        if line.startswith(mark):
            commit = line.split(" ")[1]
        elif line.startswith(("+", "-")) and text in line and commit:
            day = datetime.fromtimestamp(times[commit], UTC).date()
            yield line[1:], f"commit {commit[:12]} of {day}"


def _checked(answer: Answer, where: str) -> str:
    if answer.code != 0:
        raise RepositoryError(
            f"the history cannot be read ({answer.words})",
            where=where,
            hint="remove the folder `repositories` of the state directory, and try again",
        )
    return answer.out.decode("utf-8", "replace")
