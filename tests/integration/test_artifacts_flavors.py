"""Folders as this MLflow really saves them: what is said to load, and what not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.loadable import check_loadable, default_predictor
from mlflow_gitops.state import ModelFiles, Predictor

MLFLOW = Predictor("mlflow", "v2")


@pytest.fixture(autouse=True)
def noisy() -> Iterator[None]:
    """What scikit-learn and MLflow deprecate is not ours to fix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def classifier() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit([[0.0], [1.0]], [0, 1])


def saved(folder: Path, classifier: Any, **options: Any) -> ModelFiles:
    import mlflow.sklearn

    mlflow.sklearn.save_model(classifier, folder, pip_requirements=["scikit-learn"], **options)
    return S3ArtifactStore().inspect(str(folder))


def test_a_pickled_classifier_loads(tmp_path: Path, classifier: Any) -> None:
    files = saved(tmp_path / "m", classifier, serialization_format="cloudpickle")
    assert default_predictor(files) == MLFLOW
    check_loadable(files, Predictor("sklearn"))
    check_loadable(files, Predictor("sklearn", "v2"))


def test_a_classifier_saved_as_skops_does_not(tmp_path: Path, classifier: Any) -> None:
    files = saved(tmp_path / "m", classifier, serialization_format="skops")
    for predictor in (MLFLOW, Predictor("sklearn"), Predictor("sklearn", "v2")):
        with pytest.raises(PublishError, match="skops") as error:
            check_loadable(files, predictor)
        assert 'serialization_format="cloudpickle"' in error.value.hint


def test_a_python_function_is_not_taken_for_scikit_learn(tmp_path: Path) -> None:
    import mlflow.pyfunc

    class Echo(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context: Any, model_input: list[str], params: Any = None) -> list[str]:
            return model_input

    mlflow.pyfunc.save_model(tmp_path / "m", python_model=Echo(), pip_requirements=["mlflow"])
    files = S3ArtifactStore().inspect(str(tmp_path / "m"))
    assert "python_model.pkl" in files.files
    assert default_predictor(files) == MLFLOW
    with pytest.raises(PublishError, match="python_function") as error:
        check_loadable(files, Predictor("sklearn"))
    assert "name: mlflow" in error.value.hint
