"""Texts of pull requests: a first version, an update, a failing gate, a hold, and long words."""

from __future__ import annotations

from dataclasses import replace

from mlflow_gitops.gates import GateRules, Margin, MetricRule
from mlflow_gitops.planning.decisions import Decided, Decision
from mlflow_gitops.planning.evidence import Gathered, Judged, Known, Shown, make_evidence
from mlflow_gitops.planning.evidence_body import body_of
from mlflow_gitops.planning.evidence_values import Evidence
from mlflow_gitops.planning.gates import Facts, evaluate
from mlflow_gitops.planning.plan import Kind, Place, Plan
from mlflow_gitops.planning.proposing import hold_told
from mlflow_gitops.planning.signatures import compare
from mlflow_gitops.runs import Dataset, RunFacts
from mlflow_gitops.state import (
    Identity,
    ModelFiles,
    ModelVersion,
    Request,
    ServiceKey,
    ServiceSpec,
    State,
)

__all__ = ["STORIES", "story"]

MODEL, SERVICE = "fraud-detector-eu", "fraud-detector"
SERVER = "https://mlflow.example.com"
RULES = (
    MetricRule("val_roc_auc", "higher", least=0.95, worse_by=Margin(0.01)),
    MetricRule("val_log_loss", "lower", worse_by=Margin(5, is_percent=True)),
)
INPUTS = ("amount", "merchant_category", "country_code", "card_age_days", "hour_of_day")
PARAMS = {
    "learning_rate": "0.05",
    "max_depth": "7",
    "n_estimators": "600",
    "subsample": "0.8",
    "tree_method": "hist",
}
NEEDS = ("cloudpickle==3.1.2", "mlflow==3.17.0", "numpy==2.3.1", "pandas==2.3.0", "xgboost==3.0.2")


def mlmodel(inputs: tuple[str, ...]) -> str:
    columns = ", ".join(f'{{"name": "{n}", "type": "double", "required": true}}' for n in inputs)
    return f"signature:\n  inputs: '[{columns}]'\n  outputs: '[{{\"type\": \"double\"}}]'\n"


def facts(number: str, auc: float, loss: float, **params: str) -> RunFacts:
    run = f"{int(number) * 0x1234567890ABCDEF1234567890ABCDEF:032x}"[:32]
    return RunFacts(
        run_id=run,
        run_name=f"xgb-nightly-2026-11-{20 + int(number)}",
        url=f"{SERVER}/#/experiments/412/runs/{run}",
        version_url=f"{SERVER}/#/models/{MODEL}/versions/{number}",
        user="dana.okafor",
        source_commit="8f14e45fceea167a5a36dedd4bea2543d0a1c9b7",
        source_url="https://github.example.com/risk/fraud-training.git",
        description="Retrained on the transactions up to mid November; new merchant categories.",
        metrics={"val_roc_auc": auc, "val_log_loss": loss, "val_rows": 1204113.0},
        params={**PARAMS, **params},
        datasets=(Dataset("transactions", "4f1a2b3c", "training"),),
    )


def known(number: str, found: RunFacts, inputs: tuple[str, ...] = INPUTS) -> Known:
    version = ModelVersion(MODEL, number, Identity(1795390000000, run_id=found.run_id))
    size = 48_211_904 + int(number) * 100_000
    files = ModelFiles({"MLmodel": 1_204, "model.ubj": size}, mlmodel(inputs))
    texts = {"requirements.txt": "\n".join(NEEDS), "python_env.yaml": "python: 3.11.9\n"}
    digest = f"sha256:{int(number):x}" + "c0ffee5eed1234567890abcdef" * 3
    spec = ServiceSpec(f"s3://acme-prod-ml-models/risk/{MODEL}/v{number}/", number)
    return Known(spec, version, found, files, texts, digest[:71])


def diff(before: Known | None, after: Known) -> str:
    name = f"serving.kserve.io/v1beta1/InferenceService/{SERVICE}"
    head = f"--- {name} now\n+++ {name} proposed\n"
    if before is None:
        lines = [
            "apiVersion: serving.kserve.io/v1beta1",
            "kind: InferenceService",
            "metadata:",
            "  labels:",
            f'    model-version: "{after.spec.version}"',
            f"  name: {SERVICE}",
            "spec:",
            "  predictor:",
            "    model:",
            "      modelFormat:",
            "        name: mlflow",
            "      protocolVersion: v2",
            f"      storageUri: {after.spec.uri}",
        ]
        return head + f"@@ -0,0 +1,{len(lines)} @@\n" + "".join(f"+{line}\n" for line in lines)
    return (
        f"{head}@@ -3,13 +3,13 @@\n metadata:\n   labels:\n"
        f'-    model-version: "{before.spec.version}"\n+    model-version: "{after.spec.version}"\n'
        f"   name: {SERVICE}\n   namespace: risk\n spec:\n   predictor:\n     model:\n"
        f"       modelFormat:\n         name: mlflow\n       protocolVersion: v2\n"
        f"-      storageUri: {before.spec.uri}\n+      storageUri: {after.spec.uri}\n"
    )


def evidence(before: Known | None, after: Known, plan: Plan) -> Evidence:
    assert after.files is not None
    schema = None
    if before is not None:
        assert before.files is not None
        schema = compare(after.files.mlmodel, before.files.mlmodel)
    gates = evaluate(
        GateRules(RULES),
        Facts(
            digest=after.digest,
            candidate=after.facts,
            committed=before.facts if before else None,
            schema=schema,
            is_compared=True,
        ),
    )
    gathered = Gathered(
        before,
        after,
        Judged(gates, RULES, schema),
        Shown(diff(before, after), is_rendered=True),
        hold=hold_told(plan),
    )
    return make_evidence(plan, gathered)


def plan_of(before: Known | None, after: Known, *, reason: str = "", signed: bool = True) -> Plan:
    assert after.version is not None
    number, time = after.version.number, "2026-11-23T10:00:20.000Z"
    request = Request("r1", number, "deploy", time, by="dana.okafor", signed=signed, reason=reason)
    return Plan(
        ServiceKey("production", MODEL),
        Place("git.example/ml", "main", SERVICE, by_pull_request=True),
        Kind.PROMOTE,
        State.PROPOSED,
        "asked for",
        before.spec if before else None,
        after.spec,
        version=after.version,
        request=request,
    )


def first() -> Evidence:
    after = known("1", facts("1", 0.9649122807017544, 0.10381))
    return evidence(None, after, plan_of(None, after, signed=False))


def update() -> Evidence:
    before = known("1", facts("1", 0.9649122807017544, 0.10381))
    after = known("2", facts("2", 0.9712345678901234, 0.10644, max_depth="9", subsample="0.9"))
    reason = "The threshold for new merchant categories is fixed, see the review of 20 November."
    return evidence(before, after, plan_of(before, after, reason=reason))


def failing_gate() -> Evidence:
    before = known("2", facts("2", 0.9712345678901234, 0.10644))
    after = known("3", facts("3", 0.9412345678901234, 0.14872, max_depth="12"), INPUTS[:4])
    reason = "Smaller model for the latency budget"
    return evidence(before, after, plan_of(before, after, reason=reason, signed=False))


def hold() -> Evidence:
    before = known("1", facts("1", 0.9649122807017544, 0.10381))
    after = known("3", facts("3", 0.9731234567890123, 0.10102))
    plan = plan_of(before, after, reason="Recall on small amounts is back to where it was.")
    decision = Decision(
        Decided.REVERTED,
        plan.key,
        "2",
        before.spec,
        by="Rita Larsen",
        at="2026-11-21T15:12:09Z",
        commit="506adcd905b4e0c1d2a3b4c5d6e7f8091a2b3c4d",
        pull_request="#41",
        why="Recall on small amounts dropped by four points in the shadow traffic",
        approvers=("Sam Osei",),
    )
    return evidence(before, after, replace(plan, decision=decision))


def long_words() -> Evidence:
    """Whatever the registry holds is long, without a space, or both."""
    long = "x" * 120
    name = "validation/category=performance/subset=A/" + "weighted_f1_score" * 4
    found = replace(
        facts("1", 0.9649122807017544, 1.23456789e-12),
        run_name=long,
        user=long,
        description=long,
        source_url=f"https://{long}",
        params={name: long, "path": f"s3://{long}/a"},
        metrics={name: 0.91, "val_roc_auc": 0.95},
        missing=long,
    )
    after = replace(found, params={name: f"{long}2", "path": ""}, missing="")
    after = replace(after, metrics={name: 0.92, "val_roc_auc": 0.94})
    before, proposed = known("1", found), known("2", after, tuple(f"{i}{long}" for i in range(3)))
    proposed = replace(proposed, spec=ServiceSpec(f"s3://{long}/{long}/v2/", "2" * 63))
    return evidence(before, proposed, plan_of(before, proposed, reason=long))


def close_numbers() -> Evidence:
    """Metrics that a second training moved in their last digit only."""
    values = {"validation_weighted_f1_score": 0.1234567890123456, "e": -1.2345678901234567e-101}
    found = facts("1", 0.9649122807017544, 0.10381)
    again = {name: value * (1 + 4e-16) for name, value in {**found.metrics, **values}.items()}
    before = known("1", replace(found, metrics={**found.metrics, **values}))
    after = known("2", replace(facts("2", 0, 0, **{"n" * 68: "1"}), metrics=again))
    return evidence(before, after, plan_of(before, after))


STORIES = {
    "first-version": first,
    "update": update,
    "failing-gate": failing_gate,
    "hold": hold,
    "long-words": long_words,
    "close-numbers": close_numbers,
}


def story(name: str) -> str:
    """The text as it is sent to the forge, but for the hidden mark."""
    return body_of(STORIES[name]())
