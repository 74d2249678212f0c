"""What the benchmarks share: a large manifests repository, a table, and the closing JSON line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.git import make_bare  # noqa: E402  the repository's root is on the path now

LEAF = """apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {model}
  labels:
    model-version: "{version}"
spec:
  predictor:
    model:
      storageUri: s3://{bucket}/{model}/v{version}/
"""
BASE = """apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {model}
spec:
  predictor:
    model:
      modelFormat:
        name: mlflow
      protocolVersion: v2
"""
KUSTOMIZATION = (
    "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n{lines}"
)
SETTINGS = """artifacts:
  bucket: {bucket}
environments:
  production:
    select: {{stage: Production}}
    path: models/overlays/production
    namespace: ml-production
"""


def large_repository(folder: Path, models: Sequence[str], bucket: str, version: str = "1") -> Path:
    """A bare repository with every model in production, in the layout of `mlflow-gitops init`."""
    files = {"mlflow-gitops.yaml": SETTINGS.format(bucket=bucket)}
    listed = "".join(f"  - {model}\n" for model in models)
    files["models/overlays/production/kustomization.yaml"] = KUSTOMIZATION.format(lines=listed)
    for model in models:
        base, leaf = f"models/base/{model}", f"models/overlays/production/{model}"
        files[f"{base}/inference-service.yaml"] = BASE.format(model=model)
        files[f"{base}/kustomization.yaml"] = KUSTOMIZATION.format(
            lines="  - inference-service.yaml\n"
        )
        files[f"{leaf}/kustomization.yaml"] = KUSTOMIZATION.format(
            lines=f"  - ../../../base/{model}\npatches:\n  - path: model-version.yaml\n"
        )
        files[f"{leaf}/model-version.yaml"] = LEAF.format(
            model=model, version=version, bucket=bucket
        )
    return make_bare(folder, files)


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(*columns, title=title, title_justify="left", show_edge=False)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def close(name: str, ratio: float, target: float, against: str, *, ok: bool | None = None) -> int:
    """The last line, for scripts. Returns the exit code: 0 where the target is met."""
    met = ratio <= target if ok is None else ok
    line = {"name": name, "ratio": round(ratio, 3), "target": target, "ok": met, "against": against}
    print(json.dumps(line))
    return 0 if met else 1
