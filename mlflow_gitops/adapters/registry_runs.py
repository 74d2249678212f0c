"""What MLflow still knows of a version's run and logged model. MLflow's own errors pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlflow.exceptions import MlflowException

from mlflow_gitops.adapters.registry_errors import is_unknown, place
from mlflow_gitops.runs import Dataset, RunFacts
from mlflow_gitops.state import ModelVersion

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["facts_of"]

TAG = "mlflow."


def facts_of(client: MlflowClient, version: ModelVersion, uri: str) -> RunFacts:
    """The run's, with the metrics and parameters of the logged model before the run's.

    A run may log several models, and its own metrics are then the last one's.
    """
    description = _description(client, version)
    model = _logged_model(client, version.identity.model_id)
    run, missing = _run(client, version.identity.run_id)
    metrics = {**(run.data.metrics if run else {}), **_metrics(model)}
    params = {**(run.data.params if run else {}), **(dict(model.params or {}) if model else {})}
    if run is None:
        missing = "" if metrics else missing
        return RunFacts(
            run_id=version.identity.run_id,
            version_url=_version_url(uri, version),
            description=description,
            metrics=metrics,
            params=params,
            missing=missing,
        )
    tags: Mapping[str, str] = run.data.tags
    return RunFacts(
        run_id=run.info.run_id,
        run_name=run.info.run_name or "",
        url=_url(uri, run),
        version_url=_version_url(uri, version),
        user=tags.get(f"{TAG}user", ""),
        source_commit=tags.get(f"{TAG}source.git.commit", ""),
        source_url=tags.get(f"{TAG}source.git.repoURL", ""),
        description=description,
        metrics=metrics,
        params=params,
        datasets=_datasets(run),
    )


def _description(client: MlflowClient, version: ModelVersion) -> str:
    """Of the version; "" where it has none, or is gone."""
    try:
        return client.get_model_version(version.model, version.number).description or ""
    except MlflowException as error:
        if not is_unknown(error):
            raise
        return ""


def _run(client: MlflowClient, run_id: str) -> tuple[Any | None, str]:
    """The run, or why there is none."""
    if not run_id:
        return None, "the version has no run"
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if not is_unknown(error):
            raise
        return None, "the version's run is gone"
    if run.info.lifecycle_stage == "deleted":
        return None, "the version's run was deleted"
    return run, ""


def _logged_model(client: MlflowClient, model_id: str) -> Any | None:
    if not model_id:
        return None
    try:
        return client.get_logged_model(model_id)
    except MlflowException as error:
        if not is_unknown(error):
            raise
        return None


def _metrics(model: Any | None) -> dict[str, float]:
    """The last value of each: one metric may be there for several datasets."""
    found = sorted(
        (model.metrics or ()) if model else (), key=lambda each: (each.timestamp, each.step)
    )
    return {each.key: each.value for each in found}


def _datasets(run: Any) -> tuple[Dataset, ...]:
    inputs = getattr(getattr(run, "inputs", None), "dataset_inputs", None) or ()
    return tuple(
        Dataset(
            each.dataset.name,
            each.dataset.digest,
            next((tag.value for tag in each.tags or () if tag.key == f"{TAG}data.context"), ""),
        )
        for each in inputs
    )


def _url(uri: str, run: Any) -> str:
    return _page(uri, "experiments", run.info.experiment_id, "runs", run.info.run_id)


def _version_url(uri: str, version: ModelVersion) -> str:
    return _page(uri, "models", version.model, "versions", version.number)


def _page(uri: str, *names: str) -> str:
    """Of MLflow's own pages; "" where the registry has none."""
    if not uri.startswith(("http://", "https://")):
        return ""
    return f"{place(uri).rstrip('/')}/#/{'/'.join(quote(name, '') for name in names)}"
