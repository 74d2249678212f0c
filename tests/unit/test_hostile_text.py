"""Whatever a stranger writes is read in time that grows with its length, and in bounded memory.

Each public parser meets the texts that make a careless scanner go back again and again.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mlflow_gitops.adapters import git_failures, renderer
from mlflow_gitops.adapters.forge import bodies, gitlab_rows
from mlflow_gitops.config import parse_settings
from mlflow_gitops.errors import GitOpsError, ManifestError
from mlflow_gitops.manifests import addresses, building, facts, kustomization, nodes, notes
from mlflow_gitops.planning import (
    commit_facts,
    evidence,
    inference_errors,
    markdown,
    marker,
    messages,
    mlmodel,
    objects,
    pruning,
    records,
    sources,
    trailers,
)
from mlflow_gitops.planning.foreign import one_line
from mlflow_gitops.state import Reply
from webhook import payload

Parser = Callable[[str], object]
SMALL, LARGE = 100_000, 1_000_000
MOST_TIMES, UNNOTICED = 40, 0.5  # a tenfold text, and the seconds below which nothing is compared


def _page(text: str) -> object:
    return inference_errors.words(Reply(500, text.encode("utf-8", "replace"), "text/html"))


def _commit(text: str) -> object:
    approvers, reason = commit_facts.approvers(text), commit_facts.reason(text)
    numbers, taken_back = commit_facts.pull_requests(text), commit_facts.reverted(text)
    return commit_facts.pull_request(text, is_merge=True), reason, approvers, numbers, taken_back


def _git(text: str) -> object:
    words = git_failures.redact(text, ("secret",))
    git_failures.push_refusal("b", words, words, "w")
    return git_failures.remote_failure("push", words, "w"), git_failures.says_damaged(words)


PARSERS: dict[str, Parser] = {
    "manifest": lambda text: nodes.parse(text, "w"),
    "positions": lambda text: nodes.parse_positions(text, "w"),
    "comments": lambda text: notes.read_notes(text, "w"),
    "facts": lambda text: facts.read_facts(text, "w"),
    "names": facts.possible_names,
    "kustomization": lambda text: kustomization.read_kustomization(text, "w"),
    "build": lambda text: building.check_stands_alone({"kustomization.yaml": text}),
    "addresses": lambda text: (addresses.is_remote(text), addresses.without_secrets(text)),
    "built": lambda text: objects.objects_diff(text, f"{text}x"),
    "builder": lambda text: renderer._said(text, Path("/x")),
    "MLmodel": mlmodel.parse_mlmodel,
    "settings": parse_settings,
    "requirements": lambda text: evidence._requirements(text.splitlines()),
    "commit": _commit,
    "trailers": trailers.parse_trailers,
    "pull request": marker.read_marker,
    "long pull request": lambda text: bodies.shortened(text, 60_000),
    "quick actions": gitlab_rows.inert,
    "name": messages.clean,
    "diff line": messages.defused,
    "quotation": lambda text: markdown.quote(text, 500),
    "cell": lambda text: markdown.short_code(text, 80, 20),
    "block": lambda text: markdown.block(text.splitlines(), "diff"),
    "source": sources.parse_location,
    "shown": sources.shown,
    "mentions": lambda text: pruning.mentioned(["s3://b/x/v1/"], [(text, "w")]),
    "page": _page,
    "answer": one_line,
    "git": _git,
    "record": lambda text: records.parse_request(text, model="m", version="1", tag="t"),
    "delivery": lambda text: payload.decode(text.encode("utf-8", "replace")),
}

SIGNS = [
    *("#", "# ", "-", "- ", "---\n", "? ", ": ", "[", "{", '{"a":', '"', "'", "\\", "\t", " "),
    *("\n", "\r", "\r\n", " \n", "&a ", "*a ", "!a ", "|\n", "a", "a\n", "a: b\n", "<<: ", "\0"),
    *("\ufeff", "\u2028", "\x85", "é: b\n", "\ud800", "9", "1:", "(", "a>=1,", "a;", "<", "=", "@"),
    *(
        "//",
        "://a",
        "a@",
        "?a",
        "a/v",
        "`",
        "a-",
        "!1",
        "[a](",
        "%TAG !a! x\n",
        "name:#",
        "name:\n",
    ),
    *(
        "# $mlflow ",
        " # mlflow-gitops: hold\n",
        "<!--",
        "<!-- mlflow-gitops {",
        "<script>",
        "</head",
    ),
    *(
        "metadata:\n",
        "  name:\n",
        "data:\n a\n",
        "Permission to ",
        "authorization: ",
        "fixes ",
        "@a ",
    ),
    *("See merge request !", "This reverts commit 0123456\n", "Signed-off-by: a\n ", "gh-", "www."),
]

WORST = {
    "comments": ["#", "#$mlflow ", "$mlflow ", " #$mlflow\n", "#$mlflow\n"],
    "names": ["InferenceService name:#", "#name:\n", "name: "],
    "trailers": ["a: b\n ", " \n"],
    "page": ["<", "<!--", "<script>", "</script"],
    "long pull request": ["<!-- mlflow-gitops {", "<!--"],
    "git": ["Permission to ", "Repository ", "transport '", "object file "],
    "MLmodel": ["#", "%TAG !a! x\r", "[", "- ", "&a "],
    "manifest": ["#", "%TAG !a! x\n", "[", "- ", '"\\n'],
    "settings": ["#", "[", "{"],
    "kustomization": ["#\n", "- a\n"],
    "commit": ["See merge request !", "Merged in ", 'Revert "', "Reverts a/b#1\n", "(#1) "],
    "addresses": ["=", "= ", "a@", ":/"],
    "name": ["fixes a-", "@", " "],
    "source": ["//", "@", "%2"],
    "mentions": ["a/v", "-"],
}


def taken(parser: Parser, text: str) -> float:
    start = time.process_time()
    with suppress(GitOpsError, ValueError):  # JSON's errors are ValueErrors
        parser(text)
    return time.process_time() - start


@pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
def test_no_text_is_a_traceback_or_takes_long(parser: Parser) -> None:
    for before in ("", "k: v ", "a: &a b\nc: [", "x\n\n"):
        for sign in SIGNS:
            text = before + sign * (8_000 // len(sign))
            assert taken(parser, text) < 3, f"{before!r} and many {sign!r}"


@pytest.mark.parametrize(
    ("name", "sign"), [(name, sign) for name, signs in WORST.items() for sign in signs]
)
def test_a_tenfold_text_takes_no_hundredfold_time(name: str, sign: str) -> None:
    small, large = (sign * (size // len(sign)) for size in (SMALL, LARGE))
    before = "InferenceService\n# x\nk: v " if name in ("comments", "names") else ""
    first = taken(PARSERS[name], before + small)
    assert first < 20, "the shorter text takes long already"
    second = taken(PARSERS[name], before + large)
    assert second < max(UNNOTICED, MOST_TIMES * first)


def test_many_comments_and_many_values_are_read_once() -> None:
    line = "k{}: v # mlflow-gitops: hold\n"
    small, large = ("".join(map(line.format, range(count))) for count in (1_000, 10_000))
    found = notes.read_notes(small, "w")
    assert [note.line for note in found.notes] == list(range(1, 1_001))
    assert all(len(note.values) == 1 for note in found.notes)
    parser = PARSERS["comments"]
    assert taken(parser, large) < max(UNNOTICED, MOST_TIMES * taken(parser, small))


def test_aliases_of_one_value_do_not_read_its_line_again() -> None:
    text = f"a: &a b{' ' * 300_000}# $mlflow\nc: [{'*a, ' * 20_000}]\n"
    assert taken(PARSERS["comments"], text) < 20


@pytest.mark.parametrize(
    "pattern", ["(a+)+", "(a|a)" * 40, "a*" * 30, "(.*)*", "[|]*a*a*a*a*a*", "(a|b)" * 9]
)
def test_an_expression_that_would_take_long_is_refused(pattern: str) -> None:
    text = f"patches: [{{path: p.yaml, target: {{name: '{pattern}'}}}}]"
    with pytest.raises(ManifestError, match="too complex"):
        kustomization.read_kustomization(text, "w")


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("svc", True),
        ("svc-a|svc|b.*|c+|d?|e*", True),
        ("(a|s)vc.*", True),
        ("(a|b|c|d|e|svc)", True),
        ("[a-z]+", True),
        ("other", False),
        ("s{99999999999999999999}", False),
        ("a(", False),
    ],
)
def test_usual_expressions_are_followed(pattern: str, matches: bool) -> None:
    text = f"patches: [{{path: p.yaml, target: {{name: '{pattern}'}}}}]"
    (entry,) = kustomization.read_kustomization(text, "w").patches
    assert entry.target is not None
    assert entry.target.may_match("InferenceService", "svc", "g", "v1", ()) is matches


CHILD = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from mlflow_gitops.config import parse_settings
from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.manifests import nodes
from mlflow_gitops.planning.mlmodel import parse_mlmodel
env = "&e {path: a, select: {stage: A}, values: *v}"
texts = [
    "a: [" + "x," * 4_000_000 + "]",
    "a: &a x\\nb: [" + "*a," * 2_000_000 + "]",
    "a: &a\\n" + "- x\\n" * 200_000 + "b: [" + "*a," * 60_000 + "]",
    "".join(f"a{n}: &a{n} x\\n" for n in range(200_000)),
    "a: " + "x" * 8_000_000,
    "- a: &a {a: b}\\n" + "- <<: [" + "*a," * 100_000 + "]\\n",
]
for text in texts:
    for parser in (lambda t: nodes.parse(t, "w"), parse_mlmodel):
        try:
            parser(text)
        except GitOpsError as error:
            assert len(str(error)) < 1000
for text in texts[2:4]:
    try:
        parse_settings(text[:200_000])
    except GitOpsError as error:
        pass
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's memory")
def test_memory_is_bounded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr[-2000:]
