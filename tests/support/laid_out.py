"""A service for TensorFlow's server, and a model for it: it needs another layout than MLflow's."""

from __future__ import annotations

from collections.abc import Mapping

SERVICE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {name}
spec:
  predictor:
    model:
      modelFormat:
        name: {format}
"""
LISTED = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - inference-service.yaml
"""
MLMODEL = b"""\
flavors:
  python_function:
    loader_module: mlflow.tensorflow
  tensorflow:
    data: data
"""


def base_files(model: str, model_format: str = "tensorflow") -> dict[str, str]:
    """The base of the service, that no environment lists yet."""
    folder = f"models/base/{model}"
    return {
        f"{folder}/inference-service.yaml": SERVICE.format(name=model, format=model_format),
        f"{folder}/kustomization.yaml": LISTED,
    }


def model_files(weights: str) -> Mapping[str, bytes]:
    """As MLflow logs a SavedModel."""
    return {
        "MLmodel": MLMODEL,
        "data/save_format.txt": b"tf",
        "data/model/saved_model.pb": weights.encode(),
        "data/model/variables/variables.index": b"index",
    }
