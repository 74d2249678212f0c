"""Over a thousand hand-written files: no byte changes outside the two values."""

from __future__ import annotations

from itertools import takewhile
from textwrap import indent

import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mlflow_gitops.manifests import Manifests, ParseCache
from mlflow_gitops.state import Environment, Predictor, Selector, ServiceSpec
from tests.support.memory_tree import MemoryTree
from tests.support.soak import rounds
from tests.unit.manifests.handwritten import OLD_LABEL, OLD_URI, HandWritten, hand_written

PREDICTOR = Predictor("mlflow", "v2")
ENVIRONMENTS = {
    name: Environment(name, Selector("stage", name), path=f"k8s/{name}")
    for name in ("staging", "production")
}
STAGING, PRODUCTION = "k8s/staging/service.yaml", "k8s/production/service.yaml"
BASE = (
    "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
    "metadata: {name: fraud-detector}\n"
)
CACHE = ParseCache()
MANY = settings(
    max_examples=rounds(1000, soak=5000),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def is_good(text: str) -> bool:
    try:
        return bool(list(yaml.compose_all(text.removeprefix("\ufeff"), Loader=yaml.CSafeLoader)))
    except yaml.YAMLError:
        return False


def same_start(one: str, two: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False)))


def label_in(file: HandWritten, number: str) -> str:
    return f"v{number}" if file.label_style == "plain word" else number


@MANY
@given(hand_written(), st.sampled_from(["13", "130", "2.5.0"]))
def test_only_the_two_values_change(file: HandWritten, version: str) -> None:
    before = file.text()
    assume(is_good(before))
    tree = MemoryTree({STAGING: before, PRODUCTION: before})
    uri, label = f"s3://prod-ml-models/fraud-detector/v{version}/", label_in(file, version)
    manifests = Manifests(tree, ENVIRONMENTS, CACHE)

    assert manifests.committed("staging", "fraud-detector") == ServiceSpec(
        OLD_URI, label_in(file, OLD_LABEL)
    )
    changes = manifests.set_service("staging", "fraud-detector", ServiceSpec(uri, label), PREDICTOR)

    wanted = file.text(
        uri, version, edited=not (file.label_style == "plain number" and version == "2.5.0")
    )
    assert changes == {STAGING: wanted}


@settings(MANY, max_examples=rounds(200, soak=1000))
@given(hand_written(labelled=False))
def test_a_missing_label_is_inserted_and_nothing_else(file: HandWritten) -> None:
    before = file.text()
    assume(is_good(before))
    spec = ServiceSpec(OLD_URI, "12")
    manifests = Manifests(MemoryTree({STAGING: before}), ENVIRONMENTS, CACHE)
    changes = manifests.set_service("staging", "fraud-detector", spec, PREDICTOR)

    after = changes[STAGING]
    assert after is not None
    kept = same_start(before, after)
    tail = same_start(before[kept:][::-1], after[::-1])
    assert kept + tail == len(before), "something was removed"
    inserted = after[kept : len(after) - tail]
    assert 'model-version: "12"' in inserted
    assert inserted.count("\n") <= 2
    old, new = (
        list(yaml.load_all(text.removeprefix("\ufeff"), yaml.CSafeLoader))
        for text in (before, after)
    )
    for one, two in zip(old, new, strict=True):
        if (
            isinstance(one, dict)
            and one.get("kind") == "InferenceService"
            and one["metadata"]["name"] != "other"
        ):
            one["metadata"]["labels"] = {
                **(one["metadata"].get("labels") or {}),
                "model-version": "12",
            }
        assert one == two


@settings(MANY, max_examples=rounds(100, soak=500))
@given(hand_written(), st.sampled_from([4, 7]), st.sampled_from(["\n", "\r\n"]))
def test_inside_a_kustomization_only_the_two_values_change(
    file: HandWritten, spaces: int, eol: str
) -> None:
    def listed(text: str) -> str:
        patch = text.removeprefix("\ufeff").replace("\r\n", "\n").strip("\n")
        assume(is_good(patch) and not patch.startswith(" "))
        block = indent(patch, " " * spaces)
        lines = f"resources: [../base]\npatches:\n- patch: |-\n{block}\n# the end\n"
        return lines.replace("\n", eol)

    overlay = "k8s/staging/kustomization.yaml"
    tree = MemoryTree(
        {
            "k8s/base/kustomization.yaml": "resources: [service.yaml]",
            "k8s/base/service.yaml": BASE,
            overlay: listed(file.text()),
        }
    )
    uri, label = "s3://prod-ml-models/fraud-detector/v13/", label_in(file, "13")
    manifests = Manifests(tree, ENVIRONMENTS, CACHE)
    changes = manifests.set_service("staging", "fraud-detector", ServiceSpec(uri, label), PREDICTOR)
    assert changes == {overlay: listed(file.text(uri, "13", edited=True))}
