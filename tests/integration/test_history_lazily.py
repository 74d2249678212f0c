"""The history is read only as far as a question needs it: the answers are those of the whole.

Random histories, over real Git. Each question is asked of an index that was filled bit by bit, and
of one that was filled at once.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_gitops.adapters.history_index import SqliteIndex
from mlflow_gitops.adapters.repository import GitRepository
from mlflow_gitops.config import parse_settings
from mlflow_gitops.crediting import Crediting
from mlflow_gitops.history import Historian
from mlflow_gitops.looking_back import LookingBack
from tests.support.git import git, make_bare
from tests.support.soak import rounds

SETTINGS = """artifacts: {bucket: models}
environments:
  production: {select: {stage: Production}, path: production}
"""
SERVICE = """apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: NAME
  labels:
    model-version: "N"
spec:
  predictor:
    model:
      modelFormat: {name: mlflow}
      storageUri: s3://models/NAME/vN/
"""
LISTING = "production/kustomization.yaml"
NAMES = ("fraud", "churn", "gone")
SEEDS = rounds(usual=3, soak=200)
COMMITS = 40


class Chance:
    """A repository whose people do one thing after the other, by chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.files = {"mlflow-gitops.yaml": SETTINGS, LISTING: ""}
        self.added: list[str] = []
        self.places = {name: f"production/{name}/service.yaml" for name in NAMES}
        self.seconds = 1_700_000_000

    def commit(self) -> dict[str, str | None]:
        name = self.chance.choice(NAMES)
        act = self.chance.choices(
            ["write", "remove", "rename", "break", "mend", "other", "twice"],
            [8, 2, 2, 1, 2, 4, 1],
        )[0]
        return getattr(self, act)(name)  # type: ignore[no-any-return]

    def write(self, name: str, version: str = "") -> dict[str, str | None]:
        version = version or str(self.chance.randrange(1, 4))
        text = SERVICE.replace("NAME", name).replace("N", version, 1)
        text = text.replace(f"/{name}/vN/", f"/{name}/v{version}/")
        if name not in self.added:
            self.added.append(name)
        return {self.places[name]: text, LISTING: self.listing()}

    def remove(self, name: str) -> dict[str, str | None]:
        if name not in self.added:
            return self.other(name)
        self.added.remove(name)
        return {self.places[name]: None, LISTING: self.listing()}

    def rename(self, name: str) -> dict[str, str | None]:
        old, text = self.places[name], self.files.get(self.places[name])
        if text is None:
            return self.other(name)
        folder = self.chance.choice(["a", "b", name])
        self.places[name] = f"production/{folder}/{name}-{self.chance.randrange(3)}.yaml"
        return {old: None, self.places[name]: text, LISTING: self.listing()}

    def break_(self, name: str) -> dict[str, str | None]:
        return {self.places[name]: "a: [\n"} if name in self.added else self.other(name)

    def mend(self, name: str) -> dict[str, str | None]:
        return self.write(name) if name in self.added else self.other(name)

    def twice(self, name: str) -> dict[str, str | None]:
        """Somebody names the service in another file, too."""
        text = SERVICE.replace("NAME", name).replace("N", "9", 1)
        return {f"production/copy-{name}.yaml": text.replace("/vN/", "/v9/")}

    def other(self, name: str) -> dict[str, str | None]:
        return {f"docs/{name}.md": str(self.chance.random())}

    def listing(self) -> str:
        lines = "".join(
            f"  - {self.places[name].removeprefix('production/')}\n" for name in self.added
        )
        head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        return f"{head}resources:{'' if lines else ' []'}\n{lines}"

    def history(self) -> Iterator[bytes]:
        """For `git fast-import`; now and then a commit is merged."""
        for number in range(COMMITS):
            changes = self.commit()
            for path, text in changes.items():
                self.files.pop(path, None) if text is None else self.files.update({path: text})
            self.seconds += self.chance.randrange(0, 100)
            side = self.chance.random() < 0.2
            yield from _commit("side" if side else "main", self.seconds, changes, number)
            if side:
                yield from _commit("main", self.seconds + 5, changes, number, "refs/heads/side")


setattr(Chance, "break", Chance.break_)


def _commit(
    branch: str, time: int, changes: dict[str, str | None], number: int, merged: str = ""
) -> Iterator[bytes]:
    message = f"{'Merge' if merged else 'Change'} {number}".encode()
    yield f"commit refs/heads/{branch}\ncommitter G <g@x.example> {time} +0000\n".encode()
    yield b"data %d\n%s\n" % (len(message), message)
    if branch == "side" or number == 0:
        yield b"from refs/heads/main^0\n"
    if merged:
        yield f"merge {merged}\n".encode()
    for path, text in changes.items():
        if text is None:
            yield f"D {path}\n".encode()
        else:
            data = text.encode()
            yield f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n"


def looking_back(
    repository: GitRepository, file: Path, at_once: int, shown: list[tuple[int, int]] | None = None
) -> LookingBack:
    settings = parse_settings(SETTINGS, default_branch="main")
    environment = settings.environments["production"]

    def shows(done: int, total: int) -> None:
        if shown is not None:
            shown.append((done, total))

    index = SqliteIndex(file)
    historian = Historian(
        repository.log, index, environment, "main", settings.names, shows, at_once
    )
    crediting = Crediting(repository.landing, repository.message, settings.environments)
    back = LookingBack(historian, settings, crediting)
    back.start()
    return back


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return make_bare(tmp_path / "manifests.git", {"mlflow-gitops.yaml": SETTINGS})


@pytest.mark.parametrize("seed", range(SEEDS))
def test_an_index_that_is_filled_bit_by_bit_answers_the_same_property(
    seed: int, bare: Path, tmp_path: Path
) -> None:
    git("fast-import", "--quiet", cwd=bare, stdin=b"".join(Chance(seed).history()))
    repository = GitRepository(str(bare), tmp_path / "state")
    repository.fetch()
    chance = random.Random(seed)
    whole = looking_back(repository, tmp_path / "whole.db", 1000)
    assert whole.historian.index.low() == 0
    parts = looking_back(repository, tmp_path / "parts.db", chance.randrange(2, 9))
    assert parts.historian.index.low() == whole.end + 1
    for name in chance.sample(NAMES, len(NAMES)):
        for until in (whole.end, chance.randrange(whole.end)):
            assert parts.why(name, until) == whole.why(name, until)
        assert list(parts.rows(name, whole.end)) == list(whole.rows(name, whole.end))
    since = chance.randrange(whole.end)
    assert parts.audit(since, whole.end) == whole.audit(since, whole.end)
    assert parts.known() == whole.known()


def test_only_what_a_question_needs_is_read(bare: Path, tmp_path: Path) -> None:
    world = Chance(1)
    changes = [world.write("churn", "1"), world.write("fraud", "1")]
    changes += [world.other(str(n)) for n in range(40)]
    changes += [world.write("fraud", "2"), world.write("fraud", "3"), world.other("x")]
    parts = (_commit("main", 1_700_000_000 + n, each, n) for n, each in enumerate(changes))
    git("fast-import", "--quiet", cwd=bare, stdin=b"".join(b"".join(part) for part in parts))
    repository = GitRepository(str(bare), tmp_path / "state")
    shown: list[tuple[int, int]] = []
    back = looking_back(repository, tmp_path / "parts.db", 4, shown)
    index = back.historian.index
    assert index.low() == len(changes) + 1
    newest = next(back.rows("fraud", back.end))
    assert newest.after is not None
    assert (newest.after.version, index.low() > 20) == ("3", True)
    assert shown[-1] == (len(changes) + 1 - index.low(), len(changes) + 1)
    again = looking_back(repository, tmp_path / "parts.db", 4)
    assert next(again.rows("fraud", again.end)) == newest
    assert again.why("churn", again.end).row is not None
    assert index.low() == 0


def test_two_that_fill_one_index_do_not_disturb_each_other(bare: Path, tmp_path: Path) -> None:
    git("fast-import", "--quiet", cwd=bare, stdin=b"".join(Chance(7).history()))
    repository = GitRepository(str(bare), tmp_path / "state")
    one, two = (looking_back(repository, tmp_path / "shared.db", n) for n in (3, 5))
    whole = looking_back(repository, tmp_path / "whole.db", 1000)
    for name in NAMES:
        for each in (one, two):
            assert each.why(name, each.end) == whole.why(name, whole.end)


def test_a_branch_that_was_rewritten_while_half_of_it_was_read(bare: Path, tmp_path: Path) -> None:
    git("fast-import", "--quiet", cwd=bare, stdin=b"".join(Chance(3).history()))
    repository = GitRepository(str(bare), tmp_path / "state")
    parts = looking_back(repository, tmp_path / "parts.db", 5)
    parts.why("fraud", parts.end)
    for back, more in ((3, {"docs/y.md": "y"}), (20, {"docs/z.md": "z"})):
        old = git("rev-parse", f"main~{back}", cwd=bare)
        git("update-ref", "refs/heads/main", old, cwd=bare)
        text = b"".join(_commit("main", 1_700_100_000, {**more}, 0))
        git("fast-import", "--quiet", cwd=bare, stdin=text)
        repository.fetch()
        parts = looking_back(repository, tmp_path / "parts.db", 5)
        whole = looking_back(repository, tmp_path / f"whole-{back}.db", 1000)
        for name in NAMES:
            found, wanted = parts.why(name, parts.end), whole.why(name, whole.end)
            assert (found.row, found.before, found.hold) == (wanted.row, wanted.before, wanted.hold)
            assert found.standing.said == wanted.standing.said
