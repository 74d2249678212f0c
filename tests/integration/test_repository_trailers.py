"""Our reading of trailers against Git's own, on messages that were made to be hard."""

from __future__ import annotations

import subprocess

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlflow_gitops.planning.messages import commit_message, trailer_lines
from mlflow_gitops.state import Identity, ModelVersion, Request, ServiceSpec
from tests.support.git import clean_environment

KEYS = {
    "Gitops-Service",
    "Gitops-Request",
    "Model",
    "Model-Version",
    "Run-Id",
    "Artifact-Uri",
    "Claimed-By",
}
UNITS = st.sampled_from(
    ["Key", "K-2", "a b", ":", ": ", " ", "\t", "\n", "\n\n", "\r\n", "#", "# note\n", "x", "="]
) | st.sampled_from(
    ["Signed-off-by: a\n", "(cherry picked from commit 1)\n", "Gitops-Service: p/m\n", "  more\n"]
)
MESSAGES = st.lists(UNITS, max_size=14).map("".join)
NASTY = MESSAGES | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
FAST = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def git_reads(message: str) -> list[tuple[str, str]]:
    done = subprocess.run(
        [
            "git",
            "interpret-trailers",
            "--only-trailers",
            "--only-input",
            "--no-divider",
            "--unfold",
        ],
        input=message.encode(),
        env=clean_environment(),
        capture_output=True,
        check=True,
    )
    lines = done.stdout.decode().split("\n")
    return [
        (key, value.strip()) for key, _, value in (line.partition(":") for line in lines) if key
    ]


def unfolded(value: str) -> str:
    return " ".join(line.strip(" \t\r") for line in value.split("\n")).strip()


@FAST
@given(MESSAGES)
@example("t\n\nKey: v\n#c\nK: w\n")
@example("t\n\n#c\n\nKey: v\n")
@example("t\n\nx\nSigned-off-by: a\nx\nx\nx\n")
@example("#c\n\nKey: v\n")
@example("t\n \nKey: v\n\n \n")
def test_trailers_are_those_that_git_reads(message: str) -> None:
    ours = [(key, unfolded(value)) for key, value in trailer_lines(message)]
    git = [(key.strip(" \t"), unfolded(value)) for key, value in git_reads(message)]
    assert ours == git


@FAST
@given(model=NASTY, number=NASTY, ident=NASTY, by=NASTY, reason=NASTY, uri=NASTY, service=NASTY)
def test_git_reads_our_trailers_and_no_others(
    model: str, number: str, ident: str, by: str, reason: str, uri: str, service: str
) -> None:
    text = commit_message(
        environment="production",
        service=service,
        model=model,
        action="deploy",
        before=None,
        after=ServiceSpec(uri, number),
        version=ModelVersion(model, number, Identity(1, run_id=ident)),
        request=Request(id=ident, version=number, by=by, reason=reason),
    )
    read = git_reads(text)
    keys = [key for key, _ in read]
    assert len(keys) == len(set(keys))
    assert set(keys) <= KEYS
    assert read[0][0] == "Gitops-Service"
    assert read[0][1].startswith("production/")
    assert dict(read) == dict(trailer_lines(text))
