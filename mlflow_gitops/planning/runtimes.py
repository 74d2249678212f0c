"""Which of KServe's own runtimes serves which format: facts of KServe 0.14 to 0.20. PURE."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PROTOCOL_OF", "SELECTED", "served_by"]

SKLEARN = "kserve-sklearnserver"
XGBOOST = "kserve-xgbserver"
LIGHTGBM = "kserve-lgbserver"
MLSERVER = "kserve-mlserver"
TENSORFLOW = "kserve-tensorflow-serving"
TRITON = "kserve-tritonserver"
TORCHSERVE = "kserve-torchserve"
HUGGINGFACE = "kserve-huggingfaceserver"
VLLM = "kserve-vllmserver"
PMML = "kserve-pmmlserver"
PADDLE = "kserve-paddleserver"
AUTOGLUON = "kserve-autogluonserver"

SELECTED: Mapping[str, Mapping[str, str]] = {
    "sklearn": {"v1": SKLEARN, "v2": MLSERVER},
    "xgboost": {"v1": XGBOOST, "v2": MLSERVER},
    "lightgbm": {"v1": LIGHTGBM, "v2": MLSERVER},
    "mlflow": {"v2": MLSERVER},
    "tensorflow": {"v1": TENSORFLOW, "grpc-v1": TENSORFLOW, "v2": TRITON, "grpc-v2": TRITON},
    "onnx": {"v2": TRITON, "grpc-v2": TRITON},
    "tensorrt": {"v2": TRITON, "grpc-v2": TRITON},
    "triton": {"v2": TRITON, "grpc-v2": TRITON},
    "pytorch": {"v1": TORCHSERVE, "v2": TORCHSERVE, "grpc-v2": TORCHSERVE},
    "huggingface": {"v1": HUGGINGFACE, "v2": HUGGINGFACE},
    "vLLM": {"v1": VLLM, "v2": VLLM},
    "pmml": {"v1": PMML, "v2": PMML},
    "paddle": {"v1": PADDLE, "v2": PADDLE},
    "autogluon": {"v1": AUTOGLUON, "v2": AUTOGLUON},
}
"""What KServe selects: modelFormat, then protocolVersion. Its own runtimes, as it ships them."""

NAMED_ONLY: Mapping[str, frozenset[str]] = {TRITON: frozenset({"pytorch"})}
"""Formats that a runtime serves only where `runtime` names it."""

PROTOCOL_OF = {"triton": "v2", "vLLM": "v2"}  # set by KServe's webhook; "v1" for all others


def served_by(runtime: str) -> frozenset[str]:
    """The formats that one of the runtimes above takes."""
    selected = (name for name, by_protocol in SELECTED.items() if runtime in by_protocol.values())
    return frozenset(selected) | NAMED_ONLY.get(runtime, frozenset())
