"""What a reviewer sees: two versions compared, as values and as the text of a pull request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest

from mlflow_gitops.gates import Gate, GateRules, Margin, MetricRule
from mlflow_gitops.planning.evidence import (
    Gathered,
    Judged,
    Known,
    Shown,
    make_evidence,
)
from mlflow_gitops.planning.evidence_body import LONGEST, body_of
from mlflow_gitops.planning.evidence_values import Difference, Evidence, Section
from mlflow_gitops.planning.evidence_words import asked_text, rollback_command
from mlflow_gitops.planning.figures import change_text, number_texts
from mlflow_gitops.planning.gates import Facts, evaluate
from mlflow_gitops.planning.objects import objects_diff
from mlflow_gitops.planning.plan import Kind, Place, Plan
from mlflow_gitops.planning.signatures import SchemaChange
from mlflow_gitops.runs import Dataset, RunFacts
from mlflow_gitops.state import ModelFiles, ServiceSpec, State
from tests.support.planning import KEY, asked, row, spec

RUN = RunFacts(
    run_id="r1",
    run_name="brave-ant",
    url="https://mlflow.example/#/experiments/1/runs/r1",
    user="dana",
    source_commit="a" * 40,
    metrics={"auc": 0.92, "loss": 0.3, "same": 1.0},
    params={"depth": "3", "trees": "100"},
    datasets=(Dataset("train", "d1", "training"),),
)
RULES = (MetricRule("auc", "higher"), MetricRule("loss", "lower"))
NEEDS = "mlflow==3.1\nscikit-learn[extra]>=1.5 ; python_version>'3'\n# a comment\n--hash=x\n"


def known(number: str, facts: RunFacts | None = RUN, **more: object) -> Known:
    files = ModelFiles({"MLmodel": 100, "model.pkl": 900})
    texts = {"requirements.txt": NEEDS, "python_env.yaml": "python: 3.11.7\nbuild: []\n"}
    made = Known(spec(number), row(number), facts, files, texts, f"sha256:{number}")
    return replace(made, **more)  # type: ignore[arg-type]


def plan(before: ServiceSpec | None, after: ServiceSpec | None) -> Plan:
    kind = Kind.PROMOTE if after else Kind.RETIRE
    place = Place("git.example/ml", "main", "fraud", by_pull_request=True)
    request = replace(asked("2", 20, by="dana"), reason="the threshold is fixed")
    return Plan(
        KEY, place, kind, State.PROPOSED, "why", before, after, version=row("2"), request=request
    )


def evidence(before: Known | None, after: Known | None, **more: object) -> Evidence:
    gathered = Gathered(before, after, Judged(rules=RULES), Shown("+a\n"))
    made = plan(before.spec if before else None, after.spec if after else None)
    return make_evidence(made, replace(gathered, **more))  # type: ignore[arg-type]


def better(**metrics: float) -> RunFacts:
    return replace(RUN, metrics={**RUN.metrics, **metrics})


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ({"auc": 0.9}, {"auc": 0.91}, "better"),
        ({"auc": 0.9}, {"auc": 0.89}, "worse"),
        ({"loss": 0.9}, {"loss": 0.8}, "better"),
        ({"loss": 0.9}, {"loss": 1.0}, "worse"),
        ({"auc": 0.9}, {"auc": 0.9}, "same"),
        ({"auc": 0.9}, {"auc": float("nan")}, "unknown"),
        ({"auc": 0.9}, {"auc": float("inf")}, "unknown"),
        ({}, {"auc": 0.9}, "new"),
        ({"auc": 0.9}, {}, "gone"),
        ({"other": 1.0}, {"other": 2.0}, "changed"),
    ],
)
def test_each_metric_has_a_verdict(
    before: Mapping[str, float], after: Mapping[str, float], verdict: str
) -> None:
    found = evidence(
        known("1", replace(RUN, metrics=before)), known("2", replace(RUN, metrics=after))
    )
    assert [each.verdict for each in found.metrics] == [verdict]
    body = body_of(found)
    assert verdict in body


def test_metrics_with_a_rule_come_first() -> None:
    facts = replace(RUN, metrics={"a": 1.0, "loss": 1.0, "auc": 1.0})
    assert [each.name for each in evidence(known("1", facts), known("2", facts)).metrics] == [
        "auc",
        "loss",
        "a",
    ]


def test_what_differs_is_told_and_what_does_not_is_counted() -> None:
    after = replace(RUN, params={"depth": "5", "rate": ""}, datasets=())
    needs = {"requirements.txt": "mlflow==3.2\nnumpy", "python_env.yaml": "python: '3.12'"}
    found = evidence(known("1"), known("2", after, texts=needs))
    assert found.parameters == Section(
        (
            Difference("depth", "3", "5"),
            Difference("rate", None, ""),
            Difference("trees", "100", None),
        ),
        0,
    )
    assert found.datasets.differences == (Difference("train (training)", "d1", None),)
    assert {each.name: (each.before, each.after) for each in found.dependencies.differences} == {
        "--hash=x": ("as it stands", None),
        "mlflow": ("==3.1", "==3.2"),
        "numpy": (None, "any"),
        "python": ("3.11.7", "3.12"),
        "scikit-learn": ('[extra]>=1.5; python_version > "3"', None),
    }
    same = evidence(known("1"), known("2"))
    assert (same.dependencies, same.parameters) == (Section(same=4), Section(same=2))
    assert "| `rate` |  | (empty) |" in body_of(found)
    body = body_of(same)
    assert "**Unchanged**: parameters (2), datasets (1), dependencies (4)." in body
    assert "### Parameters" not in body


def test_the_body_says_what_decides() -> None:
    gates = (
        Gate("metrics", "failed", "auc is 0.9, and has to be at least 0.95", required=True),
        Gate("artifact", "passed", "the files are whole"),
    )
    schema = SchemaChange("breaking", "input amount is gone")
    found = evidence(
        known("1"),
        known("2", better(auc=0.91, loss=0.1), files=ModelFiles({"MLmodel": 1500})),
        judged=Judged(gates, RULES, schema),
        hold="A hold was in force: version 2 was reverted by Rita.",
    )
    body = body_of(found)
    assert body.startswith(
        "**`fraud` in `production`: version `1` -> `2`.**\n\nMetrics: 1 better, 1 worse. Inputs "
        "and outputs: **breaking**. Gates: **metrics not passed**.\n"
    )
    assert (
        "Asked for by `dana` (claimed) at `2026-11-22 23:27 UTC`, with the reason:\n\n"
        "> `the threshold is fixed`\n"
    ) in body
    assert "A hold was in force" in body
    assert "| run | [`brave-ant`](<https://mlflow.example/#/experiments/1/runs/r1>) |" in body
    assert "1 file, 1.5 KB (+50.0%)" in body
    assert "| `auc` | 0.92 | 0.91 | -0.01 | **worse** |" in body
    assert "**A breaking change**: `input amount is gone`" in body
    assert "| metrics | **failed** |" in body
    assert body.index("```diff\n+a\n```") < body.index("### How to go back")
    assert "```sh\nmlflow-gitops rollback fraud -e production --to 1\n```\n\nor " in body
    assert body.endswith("The files of the version stay where they are.")
    assert body == body_of(found)


def test_a_first_version_and_a_retirement_have_no_other_side() -> None:
    first = evidence(None, known("1"))
    assert body_of(first).startswith("**`fraud` in `production`: first version, `1`.**\n")
    assert rollback_command(first) == ""
    assert "the service is then removed" in body_of(first)
    gone = evidence(known("1"), None)
    assert body_of(gone).startswith("**`fraud` in `production`: retired, version `1` ends.**\n")
    assert "### Metrics" not in body_of(gone)
    assert "rollback fraud -e production --to 1" in body_of(gone)


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (known("1", spec=replace(spec("1"), version=""), version=None), "is not known"),
        (known("1", version=None, digest=""), "is not known"),
        (known("1", digest=""), "was not published by mlflow-gitops"),
    ],
    ids=["without a label", "not in the registry", "written by hand"],
)
def test_a_rollback_that_would_be_refused_is_not_offered(before: Known, why: str) -> None:
    found = evidence(before, known("2"))
    assert rollback_command(found) == ""
    body = body_of(found)
    assert "mlflow-gitops rollback" not in body
    assert "`git revert` of the commit that this brings" in body
    assert why in body


def test_what_is_not_known_says_why() -> None:
    gone = Known(spec("1"), why="the committed version is not in the registry")
    lost = RunFacts(missing="its run cannot be read: no permission")
    found = evidence(gone, known("2", lost, files=None, texts=None))
    body = body_of(found)
    assert body.count("its run cannot be read: no permission") == 2
    assert "the committed version is not in the registry" in body
    assert found.parameters.unknown == "its run cannot be read: no permission"
    assert found.dependencies.unknown == "its files were not read"
    other = evidence(gone, known("2"))
    assert other.parameters.unknown == (
        "of the committed version: the committed version is not in the registry"
    )
    assert [each.verdict for each in other.metrics] == ["new"] * 3


def test_however_much_there_is_the_body_fits_and_counts_what_is_left_out() -> None:
    long = "x|`" * 200
    facts = RunFacts(
        metrics={f"{n}{long}": float(n) for n in range(500)},
        params={f"{n}{long}": long for n in range(500)},
        datasets=tuple(Dataset(f"{n}{long}", long) for n in range(500)),
    )
    needs = {"requirements.txt": "\n".join(f"p{n}=={n}" for n in range(500))}
    schema = SchemaChange("breaking", long * 100)
    gates = (Gate("metrics", "failed", long * 10),) * 4
    found = evidence(
        known("1", RunFacts(metrics={"a": 1.0})),
        known("2", facts, texts=needs),
        judged=Judged(gates, RULES, schema),
        shown=Shown("".join(f"+{long}\n" for _ in range(5000))),
    )
    body = body_of(found)
    assert len(body) <= LONGEST
    assert "471 more are not shown" in body
    assert "The diff: left out, since this text would be too long" in body
    short = evidence(None, known("1"), shown=Shown("+a\n" * 5000))
    assert "4600 more lines are not shown." in body_of(short)


def test_only_objects_that_changed_are_shown() -> None:
    one = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  labels:\n    a: b\n  name: one\ndata: {}\n"
    two = one.replace("one", "two")
    assert objects_diff(f"{one}---\n{two}", f"{one}---\n{two}") == ""
    found = objects_diff(f"{one}---\n{two}", f"{one}---\n{two.replace('{}', '{a: 1}')}")
    assert found.startswith("--- ConfigMap/two now\n+++ ConfigMap/two proposed\n")
    assert re.findall(r"^[-+][^-+].*", found, re.MULTILINE) == ["-data: {}", "+data: {a: 1}"]
    assert "ConfigMap/two now" in objects_diff(f"{one}---\n{two}", one)
    assert "+kind: ConfigMap" in objects_diff("", one)


def test_no_secret_is_shown() -> None:
    one = "apiVersion: v1\ndata:\n  token: czNjcmV0\n  more: |\n    czNjcmV0\nkind: Secret\n"
    named = f"{one}metadata:\n  name: one\n"
    assert objects_diff(named, named.replace("czNjcmV0", "b3RoZXI=")) == ""
    added = objects_diff("", named)
    assert "+data: (not shown)\n+kind: Secret" in added
    assert "czNj" not in added


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (0.9649122807017544, 0.9590643274853801, ("0.964912", "0.959064", "-0.005848")),
        (0.9, 0.95, ("0.9", "0.95", "+0.05")),
        (0.12345678, 0.12345679, ("0.12345678", "0.12345679", "+1e-08")),
        (1000000.0, 1000000.5, ("1000000", "1000000.5", "+0.5")),
        (None, 3.0, ("", "3", "")),
        (2.0, 2.0, ("2", "2", "")),
        (1.0, float("nan"), ("1", "nan", "")),
        (
            0.9649122807017544,
            0.9649122807017543,
            ("0.9649122807017544", "0.9649122807017543", "-1e-16"),
        ),
        (0.89999999, 0.9, ("0.89999999", "0.9", "+1e-08")),
        (1204113.0, 1204114.25, ("1204113", "1204114", "+1")),
        (1e20, 2e20, ("1e+20", "2e+20", "+1e+20")),
        (0.0, -0.0, ("0", "0", "")),
    ],
)
def test_numbers_are_short_unless_they_would_look_the_same(
    before: float | None, after: float | None, shown: tuple[str, str, str]
) -> None:
    texts = number_texts((before, after))
    assert (*texts, change_text(*texts)) == shown


@pytest.mark.parametrize(
    ("now", "texts"),
    [
        (0.9649122807017544, ("0.964912", "0.92")),
        (0.8999999999, ("0.8999999999", "0.92")),  # 0.9 would not be less than 0.9
    ],
)
def test_a_metric_has_the_same_digits_in_its_gate_and_in_the_table(
    now: float, texts: tuple[str, str]
) -> None:
    rules = (MetricRule("auc", "higher", least=0.9),)
    facts = replace(RUN, metrics={"auc": now})
    gates = evaluate(GateRules(rules), Facts(candidate=facts, committed=RUN))
    found = evidence(known("1"), known("2", facts), judged=Judged(gates, rules))
    assert f"is {texts[0]} (committed: {texts[1]})" in gates[-1].text
    body = body_of(found)
    assert f"`auc` is {texts[0]} (committed: {texts[1]})" in body
    assert f"| `auc` | {texts[1]} | {texts[0]} |" in body


def test_the_table_of_gates_says_which_metric_failed_by_which_rule() -> None:
    rules = (
        MetricRule("auc", "higher", least=0.95, worse_by=Margin(0.01)),
        MetricRule("loss", "lower", most=1),
        MetricRule("f1 closes #1"),
    )
    facts = better(auc=0.9)
    gates = evaluate(GateRules(rules), Facts(candidate=facts, committed=RUN))
    body = body_of(evidence(known("1"), known("2", facts), judged=Judged(gates, rules)))
    assert (
        "| metrics | **failed** | `auc` is 0.9 (committed: 0.92), and has to be at least 0.95 "
        "and may be worse by 0.01 at most |\n"
        "|  | passed | `loss` is 0.3 (committed: 0.3) |\n"
        "|  | **missing** | `f1 closes # 1` is missing |\n\n"
    ) in body
    lost = Facts(candidate=RunFacts(missing="see @all"))
    (*_, gate) = evaluate(GateRules(rules[:1]), lost)
    body = body_of(evidence(known("1"), known("2"), judged=Judged((gate,), rules)))
    assert "| metrics | **missing** | `auc` is missing (`see @ all`) |" in body


def test_a_breaking_change_is_told_once() -> None:
    schema = SchemaChange("breaking", "input amount is gone")
    gates = evaluate(GateRules(), Facts(schema=schema, is_compared=True))
    body = body_of(evidence(known("1"), known("2"), judged=Judged(gates, (), schema)))
    assert body.count("input amount is gone") == 1
    assert "| signature | **failed** | `a breaking change: input amount is gone` |" in body
    without = body_of(evidence(known("1"), known("2"), judged=Judged((), (), schema)))
    assert "**A breaking change**: `input amount is gone`" in without


def test_whose_reason_it_is() -> None:
    found = evidence(known("1"), known("2"))
    claimed = replace(found, asked_at="")
    assert "Asked for by `dana` (claimed), with the reason:" in body_of(claimed)
    proven = replace(found, is_signed=True, said="")
    assert "Asked for by `dana` (proven) at `2026-11-22 23:27 UTC`.\n" in body_of(proven)
    nobody = replace(found, asked_by="", said="@all look")
    assert "Nobody said who asked for it. The reason given:\n\n> `@ all look`\n" in body_of(nobody)
    assert "Nobody said who asked for it.\n" in body_of(replace(nobody, said=""))
    assert asked_text(nobody) == ""


def test_versions_are_linked_and_long_values_are_there_once_in_full() -> None:
    digest, run = "sha256:" + "0af3" * 16, "c0de" * 8
    facts = replace(RUN, run_id=run, run_name="", source_url="https://git.example/ml/train.git")
    facts = replace(facts, version_url="https://mlflow.example/#/models/fraud/versions/2")
    after = known("2", facts, digest=digest, spec=replace(spec("2"), version="2026-11"))
    found = replace(evidence(known("1"), after), model="fraud-eu")
    body = body_of(found)
    link = "[`2026-11`](<https://mlflow.example/#/models/fraud/versions/2>)"
    assert body.startswith(
        f"**`fraud` (model `fraud-eu`) in `production`: version `1` -> {link}.**\n"
    )
    assert f"| version | `1` | {link}, version `2` of the model |" in body
    assert "| [`c0dec0dec0de`](<https://mlflow.example/#/experiments/1/runs/r1>) |" in body
    assert "| `sha256:1` | `sha256:0af30af30af3` |" in body
    assert "| `aaaaaaaaaaaa` | `aaaaaaaaaaaa` of `git.example/ml/train` |" in body
    for text in (digest, run, after.spec.uri, f"{'a' * 40} of https: //git.example/ml/train.git"):
        assert body.count(text) == 1


def test_a_first_version_shows_what_it_takes_and_is_made_of() -> None:
    columns = '[{"type": "double", "name": "amount"}, {"type": "long", "required": false}]'
    mlmodel = (
        f'signature:\n  inputs: \'{columns}\'\n  params: \'[{{"name": "t", "type": "float"}}]\'\n'
    )
    body = body_of(evidence(None, known("1", files=ModelFiles({"MLmodel": 1500}, mlmodel))))
    assert "| `input amount` | `double` |\n| `input number 2` | `long, optional` |" in body
    assert "| `parameter t` | `float` |" in body
    assert "### Parameters\n\n| parameter | value |\n| --- | --- |\n| `depth` | `3` |" in body
    assert "| `mlflow` | `==3.1` |" in body
    assert "| files | 1 file, 1.5 KB |" in body
    assert "| metric | value |\n| --- | --- |\n| `auc` | 0.92 |" in body
    assert "nothing is committed that" not in body
    bare = body_of(evidence(None, known("1", replace(RUN, params={}), texts={})))
    assert "**Not known**: inputs and outputs (`the version has no signature`), " in bare
    assert "dependencies (`it names none`). **None**: parameters." in bare
    bad = ModelFiles({}, "signature: 3\n")
    assert "`the version's signature cannot be read`" in body_of(
        evidence(None, known("1", files=bad))
    )


@pytest.mark.parametrize("long", ["x" * 90, "a b" * 45, "s3://models/" + "y" * 50])
def test_values_that_make_a_table_too_wide_are_lines_of_a_diff(long: str) -> None:
    after = replace(RUN, params={"depth": f"{long} 2", "trees": "200"})
    before = replace(RUN, params={"depth": f"{long} 1"})
    body = body_of(evidence(known("1", before), known("2", after)))
    shown = long.replace("://", ": //")
    assert f"2 changed, 0 the same\n\n```diff\n- depth: {shown} 1\n+ depth: {shown} 2\n" in body
    assert "\n+ trees: 200\n```" in body


def test_long_lists_are_folded() -> None:
    needs = {"requirements.txt": "\n".join(f"p{n:02}=={n}" for n in range(11))}
    body = body_of(evidence(None, known("1", texts=needs)))
    assert "<details><summary>Dependencies: 11 in all</summary>\n\n| package | version |" in body
    long = evidence(known("1"), known("2"), shown=Shown("+a\n" * 41, is_rendered=True))
    assert (
        "### What changes in the cluster\n\n<details><summary>41 lines</summary>\n\n```diff\n+a"
    ) in body_of(long)
