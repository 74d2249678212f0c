"""Makes commits without a work tree: a list of edits becomes one stream for `git fast-import`.

Bytes and file modes are exactly those meant: no filter, line-end setting or hook has a part in
it. Nothing points to the commits until they are pushed.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from mlflow_gitops.adapters.git_failures import says_damaged
from mlflow_gitops.adapters.git_objects import Objects
from mlflow_gitops.adapters.git_process import GitProcess
from mlflow_gitops.adapters.git_tree import FILE_MODES, Entries, Entry, Trees, is_plain
from mlflow_gitops.errors import ManifestError, RepositoryError, TransientError
from mlflow_gitops.state import Change, Edit, People, Person

__all__ = ["Built", "Commits", "shown", "with_merged", "with_parent", "with_signature"]

REF = "refs/mlflow-gitops/new"  # only inside the stream: it is taken away at its end
NEW_FILE = "100644"


@dataclass(frozen=True, slots=True)
class Built:
    """`commits` has one for each edit, "" where it changes nothing; `tip` is the last one made,
    `entries` what it holds.
    """

    base: str
    tip: str
    entries: Entries
    commits: Sequence[str]


@dataclass(frozen=True, slots=True)
class Step:
    """One edit, resolved: path to its new entry and bytes, or to None to delete it."""

    message: str
    files: Mapping[str, tuple[Entry, bytes] | None]
    sign_off: bool = False


@dataclass(frozen=True, slots=True)
class Commits:
    """`people` tells author and committer, asked for each time; `clock` gives seconds since the
    epoch. `sign` makes the armoured signature of a commit's bytes; None for unsigned commits.
    """

    git: GitProcess
    objects: Objects
    trees: Trees
    people: Callable[[], People]
    clock: Callable[[], float]
    sign: Callable[[bytes], bytes] | None = None

    def build(self, base: str, edits: Sequence[Edit], *, to_push: bool = True) -> Built:
        """A commit for each edit that changes something, on top of `base` ("" for none).

        Only those to push are signed. Raises ConfigError where that cannot be.
        """
        entries: dict[str, Entry] = dict(self.trees.at(base).entries) if base else {}
        steps = [_resolve(entries, edit, len(base) == 64) for edit in edits]
        imported = self._import(base, [step for step in steps if step.files])
        made = iter(self._signed(imported, self.sign) if self.sign and to_push else imported)
        commits = [next(made) if step.files else "" for step in steps]
        tip = next((c for c in reversed(commits) if c), base)
        return Built(base, tip, entries, commits)

    def merge(self, base: str, edit: Edit, other: str) -> Change:
        """Merge `other` into `base`, and hold exactly what the edit makes of `base`.

        `base` is the first parent, so whoever follows first parents sees one change of it. Without
        a commit where the edit changes nothing.
        """
        made = self.build(base, [edit], to_push=False)
        if made.tip == base:
            return Change("", base, "")
        raw = with_merged(self.objects.raw([made.tip])[0], other)
        if self.sign:
            raw = with_signature(raw, self.sign(raw), sha256=len(base) == 64)
        return Change(self._written(raw), base, self.diff(base, made.tip))

    def changes(self, built: Built) -> Sequence[Change]:
        """One for each edit, with the diff of its own commit."""
        made = [commit for commit in built.commits if commit]
        diffs = dict(zip(made, self._diffs(made), strict=True))
        changes, parent = [], built.base
        for commit in built.commits:
            changes.append(Change(commit, parent, diffs.get(commit, "")))
            parent = commit or parent
        return changes

    def diff(self, base: str, tip: str) -> str:
        """The unified diff between two commits; `base` may be "" for nothing at all."""
        if base == tip:
            return ""
        empty = _object_id("tree", b"", len(tip) == 64)
        out = self._run("diff-tree", "-p", "--no-ext-diff", base or empty, tip)
        return out.decode("utf-8", "replace")

    def _run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        answer = self.git.run(*arguments, stdin=stdin)
        if answer.code == 0:
            return answer.out
        if says_damaged(answer.words):
            raise self.objects.damage(answer.words)
        raise TransientError(
            f"Git could not make the commits ({answer.words.strip()[-500:]})",
            where=str(self.git.git_dir),
            hint="it is tried again; check the state folder and its disk",
        )

    def _import(self, base: str, steps: Sequence[Step]) -> Sequence[str]:
        if not steps:
            return []
        people, time = self.people(), f"{int(self.clock())} +0000"
        lines = (f"{shown(people.author)} {time}", f"{shown(people.committer)} {time}")
        off = f"Signed-off-by: {shown(people.committer)}\n"
        steps = [_signed_off(step, off) if step.sign_off else step for step in steps]
        stream = _stream(base, steps, lines)
        options = ("--quiet", "--done", "--force", "--date-format=raw")
        return self._run("fast-import", *options, stdin=stream).decode().split()

    def _signed(self, commits: Sequence[str], sign: Callable[[bytes], bytes]) -> Sequence[str]:
        """The same commits, each signed and with its signed parent."""
        signed: dict[str, str] = {}
        for commit, raw in zip(commits, self.objects.raw(commits), strict=True):
            bare = with_parent(raw, signed)
            data = with_signature(bare, sign(bare), sha256=len(commit) == 64)
            signed[commit] = self._written(data)
        return list(signed.values())

    def _written(self, commit: bytes) -> str:
        out = self._run("hash-object", "-t", "commit", "-w", "--stdin", stdin=commit)
        return out.decode().strip()

    def _diffs(self, commits: Sequence[str]) -> Sequence[str]:
        """Each commit's own diff. Git prints a line with the hash before each."""
        if not commits:
            return []
        arguments = ("diff-tree", "--stdin", "--root", "-p", "--no-ext-diff")
        out = self._run(*arguments, stdin="".join(f"{c}\n" for c in commits).encode())
        text = out.decode("utf-8", "replace")
        marks = "|".join(re.escape(commit) for commit in commits)
        return re.split(rf"^(?:{marks})\n", text, flags=re.MULTILINE)[1:]


def _resolve(entries: dict[str, Entry], edit: Edit, sha256: bool) -> Step:
    """What the edit changes; `entries` then are what they are after it."""
    files: dict[str, tuple[Entry, bytes] | None] = {}
    gone = [path for path, text in edit.files.items() if text is None]
    for path in gone:
        _check_path(entries, path)
        if entries.pop(path, None):
            files[path] = None
    for path, text in edit.files.items():
        if text is None:
            continue
        _check_path(entries, path)
        _check_place(entries, path)
        data = _encoded(path, text)
        mode = entries.get(path, (NEW_FILE, ""))[0]
        entry = (mode, _object_id("blob", data, sha256))
        if entries.get(path) != entry:
            files[path] = (entry, data)
            entries[path] = entry
    return Step(edit.message, files, edit.sign_off)


def _check_path(entries: Entries, path: str) -> None:
    parts = path.split("/")
    if not is_plain(path) or any(p in ("", ".", "..") or p.lower() == ".git" for p in parts):
        raise RepositoryError(
            "this path cannot be committed", where=repr(path), hint="rename the file or the folder"
        )
    mode = entries.get(path, (NEW_FILE, ""))[0]
    if mode not in FILE_MODES:
        kind = "a submodule" if mode == "160000" else "a symbolic link"
        raise ManifestError(f"the path is {kind}", where=path, hint="put a file in its place")


def _check_place(entries: Entries, path: str) -> None:
    """A file cannot be where a folder is, nor a folder where a file is."""
    parts = path.split("/")
    above = ("/".join(parts[:count]) for count in range(1, len(parts)))
    taken = next((folder for folder in above if folder in entries), "")
    if not taken and path not in entries and any(p.startswith(path + "/") for p in entries):
        taken = path
    if taken:
        raise ManifestError(
            "a file and a folder cannot be at the same path",
            where=taken,
            hint="move one of them away",
        )


def _encoded(path: str, text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise ManifestError(
            "the new text cannot be written as UTF-8", where=path, hint="remove lone surrogates"
        ) from None


def _signed_off(step: Step, line: str) -> Step:
    """The message ends with its trailers."""
    return replace(step, message=f"{step.message.rstrip()}\n{line}")


def with_parent(raw: bytes, renamed: Mapping[str, str]) -> bytes:
    """A commit's bytes, its parents being those that they were renamed to."""
    head, gap, text = raw.partition(b"\n\n")
    lines = []
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        new = renamed.get(value.decode("ascii", "replace")) if key == b"parent" else None
        lines.append(b"parent " + new.encode() if new else line)
    return b"\n".join(lines) + gap + text


def with_merged(raw: bytes, other: str) -> bytes:
    """Return the bytes of a commit with one parent, with `other` as its second one."""
    head, mark, rest = raw.partition(b"\nauthor ")
    return head + b"\nparent " + other.encode() + mark + rest


def with_signature(raw: bytes, signature: bytes, *, sha256: bool) -> bytes:
    """A commit's bytes with the header that Git keeps a signature in."""
    head, gap, text = raw.partition(b"\n\n")
    header = b"gpgsig-sha256 " if sha256 else b"gpgsig "
    folded = signature.strip(b"\n").replace(b"\n", b"\n ")
    return head + b"\n" + header + folded + gap + text


def _stream(base: str, steps: Sequence[Step], people: tuple[str, str]) -> bytes:
    author, committer = people
    parts: list[bytes] = []
    for mark, step in enumerate(steps, start=1):
        message = step.message.replace("\0", "").encode("utf-8", "replace")
        head = f"commit {REF}\nmark :{mark}\nauthor {author}\ncommitter {committer}\n"
        parts.append(head.encode())
        parts.append(_data(message))
        if mark == 1 and base:
            parts.append(f"from {base}\n".encode())
        for path, file in step.files.items():
            quoted = path.replace("\\", "\\\\").replace('"', '\\"').encode()
            if file is None:
                parts.append(b'D "%s"\n' % quoted)
            else:
                (mode, _), data = file
                parts.append(b'M %s inline "%s"\n' % (mode.encode(), quoted) + _data(data))
    parts += [f"get-mark :{mark}\n".encode() for mark in range(1, len(steps) + 1)]
    parts.append(f"reset {REF}\nfrom {'0' * (len(base) or 40)}\n\ndone\n".encode())
    return b"".join(parts)


def _data(data: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(data), data)


def _object_id(kind: str, data: bytes, sha256: bool) -> str:
    """As Git names objects: this is no use of SHA-1 for safety."""
    digest = hashlib.sha256() if sha256 else hashlib.sha1(usedforsecurity=False)
    digest.update(b"%s %d\0" % (kind.encode(), len(data)))
    digest.update(data)
    return digest.hexdigest()


def shown(person: Person) -> str:
    """Return the person as Git writes one."""
    return f"{_plain(person.name)} <{_plain(person.address)}>"


def _plain(text: str) -> str:
    kept = (c for c in text if c not in "<>" and unicodedata.category(c) not in ("Cc", "Cs"))
    return "".join(kept).strip() or "mlflow-gitops"
