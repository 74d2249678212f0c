"""`runtimes`: what is taken, and what is said of what is not."""

from __future__ import annotations

import pytest

from mlflow_gitops.config import check_settings, parse_settings
from mlflow_gitops.runtimes import Format, Runtime

ORIGIN = "mlflow-gitops.yaml"


def settings(runtimes: str, own: str = "") -> str:
    mine = f"    runtimes: {own}\n" if own else ""
    return (
        f"artifacts: {{bucket: prod-ml-models}}\nruntimes: {runtimes}\nenvironments:\n"
        f"  env:\n    select: {{stage: Staging}}\n    path: env\n{mine}"
    )


def runtimes(text: str, own: str = "") -> tuple[Runtime, ...]:
    return parse_settings(settings(text, own)).environments["env"].runtimes


def test_without_the_key_there_are_none() -> None:
    assert runtimes("{}") == ()


def test_a_whole_runtime() -> None:
    (found,) = runtimes(
        "{our-vllm: {formats: [vllm, 'sklearn:1.5'], auto-select: true, priority: 4, "
        "protocols: [v2, grpc-v2], kind: ServingRuntime, like: kserve-vllmserver}}"
    )
    assert found == Runtime(
        "our-vllm",
        (Format("vllm", "", True, 4), Format("sklearn", "1.5", True, 4)),
        ("v2", "grpc-v2"),
        "kserve-vllmserver",
        ORIGIN,
        is_namespaced=True,
    )


def test_an_environment_has_its_own_in_place_of_the_shared_one() -> None:
    found = runtimes("{a: {}, b.c: {like: kserve-mlserver}}", "{a: {formats: [x]}, d: {}}")
    assert [(each.name, len(each.formats), each.like) for each in found] == [
        ("a", 1, ""),
        ("b.c", 0, "kserve-mlserver"),
        ("d", 0, ""),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[a]", "has to be a mapping"),
        ("{a: }", "is empty"),
        ("{A_b: {}}", "the name is no name of a Kubernetes object"),
        ("{a: {formats: sklearn}}", "has to be a list"),
        ("{a: {formats: ['']}}", "is no name of a format"),
        ("{a: {formats: ['x:']}}", "is no name of a format"),
        ("{a: {formats: [1]}}", 'put it in quotes: "1"'),
        ("{a: {autoSelect: true}}", "did you mean `auto-select`?"),
        ("{a: {auto-select: yes}}", "has to be true or false"),
        ("{a: {priority: 0}}", "is 0"),
        ("{a: {protocols: [v3]}}", "`v3` is no protocol"),
        ("{a: {kind: Deployment}}", "is no kind of a runtime"),
        ("{a: {like: mlserver}}", "did you mean `kserve-mlserver`?"),
        ("{a: {like: ours}}", "is no runtime that KServe ships"),
    ],
)
@pytest.mark.parametrize("is_own", [False, True])
def test_what_is_wrong_is_said_with_its_line(text: str, says: str, is_own: bool) -> None:
    (problem,) = check_settings(settings("{}", text) if is_own else settings(text))
    assert says in str(problem)
    assert problem.line == (7 if is_own else 2)
