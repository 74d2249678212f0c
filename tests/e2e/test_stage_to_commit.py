"""A stage, an alias or a tag moves in a real MLflow, and the commit that comes is right.

Everything is real: MLflow's server and pages, the service, S3 over HTTP, Git.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlflow_gitops.demo.world import World
from tests.e2e.worlds import head_after
from tests.support import crd
from tests.support.kubectl import build, objects
from tests.support.mlflow import Registry
from tests.support.mlflow_ui import browser_page, transition_in_ui

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("worlds")]


def changed_lines(made: World, commit: str) -> list[str]:
    patch = made.git("show", "--format=", "--unified=0", commit).splitlines()
    return [line for line in patch if line[:1] in "+-" and not line.startswith(("+++", "---"))]


def check_rendered(made: World, environment: str, model: str, version: str) -> None:
    """The overlay builds, is valid against KServe's CRD, strictly, and says the version."""
    clone = made.clone_as_a_person()
    rendered = objects(build(clone / "models/overlays" / environment))
    services = [found for found in rendered if found["kind"] == "InferenceService"]
    assert [crd.errors_of(found, crd.INFERENCE_SERVICE) for found in services] == [[]] * len(
        services
    )
    service = next(found for found in services if found["metadata"]["name"] == model)
    assert service["metadata"]["labels"]["model-version"] == version
    assert service["metadata"]["namespace"] == f"ml-{environment}"
    uri = service["spec"]["predictor"]["model"]["storageUri"]
    assert uri == f"s3://{made.bucket}/{model}/v{version}/"
    assert any(key.startswith(f"{model}/v{version}/MLmodel") for key, _ in made.objects())


def two_lines(model: str, made: World) -> list[str]:
    return [
        '-    model-version: "1"',
        '+    model-version: "2"',
        f"-      storageUri: s3://{made.bucket}/{model}/v1/",
        f"+      storageUri: s3://{made.bucket}/{model}/v2/",
    ]


def test_a_stage_clicked_in_mlflows_pages_becomes_a_two_line_commit(with_plugin: World) -> None:
    made, model = with_plugin, "clicked"
    with browser_page() as page:
        Registry(made.mlflow_url).register(model)
        first = head_after(
            made, lambda: transition_in_ui(page, made.mlflow_url, model, "1", "Production")
        )
        check_rendered(made, "production", model, "1")
        Registry(made.mlflow_url).register(model)
        second = head_after(
            made, lambda: transition_in_ui(page, made.mlflow_url, model, "2", "Production")
        )
    assert first != second
    assert sorted(changed_lines(made, second)) == sorted(two_lines(model, made))
    check_rendered(made, "production", model, "2")


def test_a_stage_clicked_without_the_server_plugin_is_found_by_the_resync(
    without_plugin: World,
) -> None:
    made, model = without_plugin, "clicked-plain"
    with browser_page() as page:
        for version in ("1", "2"):
            Registry(made.mlflow_url).register(model)
            head = head_after(
                made,
                lambda number=version: transition_in_ui(
                    page, made.mlflow_url, model, number, "Staging"
                ),
            )
    assert sorted(changed_lines(made, head)) == sorted(two_lines(model, made))
    check_rendered(made, "staging", model, "2")


@pytest.mark.parametrize(
    ("environment", "select"),
    [
        ("canary", lambda c, m, v: c.set_registered_model_alias(m, "champion", v)),
        ("lab", lambda c, m, v: c.set_model_version_tag(m, v, "deploy", "lab")),
    ],
    ids=["alias", "tag"],
)
def test_an_alias_or_a_tag_does_the_same(
    with_plugin: World, environment: str, select: Callable[..., object]
) -> None:
    made, model = with_plugin, f"by-{environment}"
    for version in ("1", "2"):
        Registry(made.mlflow_url).register(model)
        head = head_after(made, lambda number=version: select(made.client, model, number))
    if environment == "canary":  # an alias moves; a tag stays on the older version too
        assert sorted(changed_lines(made, head)) == sorted(two_lines(model, made))
    check_rendered(made, environment, model, "2")
