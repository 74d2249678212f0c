"""Which serving runtime runs for a predictor: KServe's rules, and the runtimes that it ships. PURE.

Facts of KServe 0.14 to 0.20 and of its main branch before 0.21: `config/runtimes`, and
`GetSupportingRuntimes` in its source. Formats that only some of these have are in the table too.
The runtimes that the manifests or the settings define come with the predictor.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from mlflow_gitops.runtimes import Format, Runtime
from mlflow_gitops.state import Predictor

__all__ = [
    "known",
    "nearest",
    "optional_for",
    "protocol_of",
    "protocols_for",
    "rules_of",
    "selected",
    "spoken",
    "takes",
]

SKLEARN = "kserve-sklearnserver"
XGBOOST = "kserve-xgbserver"
LIGHTGBM = "kserve-lgbserver"
PREDICTIVE = "kserve-predictiveserver"
MLSERVER = "kserve-mlserver"
TENSORFLOW = "kserve-tensorflow-serving"
TRITON = "kserve-tritonserver"
TORCHSERVE = "kserve-torchserve"
HUGGINGFACE = "kserve-huggingfaceserver"
HUGGINGFACE_NODES = "kserve-huggingfaceserver-multinode"
VLLM = "kserve-vllmserver"
PMML = "kserve-pmmlserver"
PADDLE = "kserve-paddleserver"
AUTOGLUON = "kserve-autogluonserver"
OPENVINO = "kserve-openvino"

REST = ("v1", "v2")
ORDER = ("v1", "v2", "grpc-v1", "grpc-v2")  # as KServe counts them


def _formats(
    name: str, versions: str, priority: int | None = 1, *, auto: bool = True
) -> tuple[Format, ...]:
    return tuple(Format(name, version, auto, priority) for version in versions.split())


def _shipped(name: str, *formats: tuple[Format, ...], protocols: Sequence[str] = REST) -> Runtime:
    return Runtime(name, tuple(f for each in formats for f in each), tuple(protocols), like=name)


SHIPPED = (
    _shipped(SKLEARN, _formats("sklearn", "1")),
    _shipped(XGBOOST, _formats("xgboost", "1 2")),
    _shipped(LIGHTGBM, _formats("lightgbm", "3 4")),
    _shipped(
        PREDICTIVE,
        _formats("sklearn", "1", 3, auto=False),
        _formats("xgboost", "2", 3, auto=False),
        _formats("lightgbm", "4", 3, auto=False),
    ),
    _shipped(
        MLSERVER,
        _formats("sklearn", "0 1", 2),
        _formats("xgboost", "1 2", 2),
        _formats("lightgbm", "3 4", 2),
        _formats("mlflow", "1 2"),
        protocols=("v2",),
    ),
    _shipped(TENSORFLOW, _formats("tensorflow", "1 2", 2), protocols=("v1", "grpc-v1")),
    _shipped(
        TRITON,
        _formats("tensorrt", "8"),
        _formats("tensorflow", "1 2"),
        _formats("onnx", "1"),
        _formats("pytorch", "1", None, auto=False),
        _formats("triton", "2"),
        protocols=("v2", "grpc-v2"),
    ),
    _shipped(TORCHSERVE, _formats("pytorch", "1", 2), protocols=("v1", "v2", "grpc-v2")),
    _shipped(HUGGINGFACE, _formats("huggingface", "1")),
    replace(
        _shipped(HUGGINGFACE_NODES, _formats("huggingface", "1", 2)),
        like=HUGGINGFACE,
        is_multi_node=True,
    ),
    _shipped(VLLM, _formats("vLLM", "1"), protocols=()),
    _shipped(PMML, _formats("pmml", "3 4")),
    _shipped(PADDLE, _formats("paddle", "2")),
    _shipped(AUTOGLUON, _formats("autogluon", "1")),
)
"""What every cluster has where KServe was installed as it ships."""

OPTIONAL = (
    _shipped(
        OPENVINO,
        _formats("openvino", "10"),
        _formats("onnx", "1", 2),
        _formats("tensorflow", "1", 3),
        (Format("huggingface", auto_select=True),),
        protocols=("v1", "v2", "grpc-v2"),
    ),
)
"""What KServe has a file for, and does not install by itself."""

V2_BY_FORMAT = ("triton", "vLLM")
V2_BY_FIELD = ("triton", "onnx", "huggingface")  # `predictor.onnx` and so on
"""Where KServe's webhook sets v2 for a protocolVersion that is missing; v1 is meant elsewhere."""


def protocol_of(predictor: Predictor) -> str:
    """The protocolVersion that KServe looks for a runtime with."""
    is_v2 = predictor.model_format in V2_BY_FORMAT or predictor.key in V2_BY_FIELD
    return predictor.protocol or ("v2" if is_v2 else "v1")


def spoken(predictor: Predictor) -> str:
    """The protocol that the service speaks, once KServe has filled in what is missing."""
    if predictor.protocol:
        return predictor.protocol
    protocol = protocol_of(predictor)
    runtime = selected(predictor)
    if runtime is None:  # KServe would run nothing: what a runtime for it would speak
        return next(iter(protocols_for(predictor)), protocol)
    if not predictor.runtime or protocol in runtime.protocols:
        return protocol
    return next((each for each in ORDER if each in runtime.protocols), protocol)


def known(predictor: Predictor) -> tuple[Runtime, ...]:
    """Every runtime that the cluster is known to have: one that the manifests or the settings
    define takes the place of the one that KServe ships by that name, and loads the same files.
    """
    shipped = {each.name: each for each in (*SHIPPED, *OPTIONAL)}
    found = {(each.name, False): each for each in SHIPPED}
    for runtime in predictor.runtimes:
        own = None if runtime.is_namespaced else shipped.get(runtime.name)
        key = (runtime.name, runtime.is_namespaced)
        found[key] = _completed(runtime, own) if own else runtime
    return tuple(found.values())


def _completed(runtime: Runtime, own: Runtime) -> Runtime:
    like = runtime.like or own.like
    if runtime.formats:
        return replace(runtime, like=like)
    protocols = runtime.protocols or own.protocols
    return replace(runtime, like=like, formats=own.formats, protocols=protocols)


def selected(predictor: Predictor) -> Runtime | None:
    """The runtime that KServe takes, by its name or by its format; None where there is none.

    A name that nothing defines is a runtime of which nothing is known. Where several come first and
    only the cluster knows which is newer, the answer stands for all of them.
    """
    runtimes = known(predictor)
    if predictor.runtime:
        named = [r for r in runtimes if r.name == predictor.runtime]
        named += [r for r in OPTIONAL if r.name == predictor.runtime]
        named.sort(key=lambda r: not r.is_namespaced)
        return named[0] if named else Runtime(predictor.runtime)
    able = sorted(_able(predictor, runtimes), key=lambda r: _rank(r, predictor.model_format))
    if not able:
        return None
    rank = _rank(able[0], predictor.model_format)
    equal = [r for r in able if _rank(r, predictor.model_format) == rank]
    likes = {r.like for r in equal}
    names = "` or `".join(sorted(r.name for r in equal))
    return replace(equal[0], name=names, like=likes.pop() if len(likes) == 1 else "")


def rules_of(runtime: Runtime, model_format: str) -> tuple[str, str]:
    """KServe's own runtime and its format, by whose rules the files are loaded; "" where no rule is
    known. A format that people named themselves means the only one of that runtime.
    """
    own = next((r for r in (*SHIPPED, *OPTIONAL) if r.name == runtime.like), None)
    names = tuple(dict.fromkeys(each.name for each in own.formats)) if own else ()
    if model_format in names:
        return runtime.like, model_format
    return (runtime.like, names[0]) if len(names) == 1 else ("", "")


def _able(predictor: Predictor, runtimes: Iterable[Runtime]) -> Iterator[Runtime]:
    protocol = protocol_of(predictor)
    for runtime in runtimes:
        is_off = runtime.is_disabled or runtime.is_multi_model or runtime.is_multi_node
        speaks = not runtime.protocols or protocol in runtime.protocols
        if not is_off and speaks and takes(runtime, predictor):
            yield runtime


def takes(runtime: Runtime, predictor: Predictor) -> bool:
    """Whether the runtime has the predictor's format; by itself, unless the predictor names it."""
    return any(
        each.name == predictor.model_format
        and predictor.format_version in ("", each.version)
        and (each.auto_select or bool(predictor.runtime))
        for each in runtime.formats
    )


def _rank(runtime: Runtime, model_format: str) -> tuple[bool, bool, int, int]:
    """The lowest comes first: namespaced, then by priority, then by the first protocol."""
    priority = next((f.priority for f in runtime.formats if f.name == model_format), None)
    protocols = [ORDER.index(p) if p in ORDER else len(ORDER) for p in runtime.protocols]
    first = min(protocols, default=len(ORDER))
    return (not runtime.is_namespaced, priority is None, -(priority or 0), first)


# For errors


def protocols_for(predictor: Predictor) -> tuple[str, ...]:
    """The protocols with which a runtime would be selected for the format."""
    asked = (replace(predictor, protocol=protocol) for protocol in ORDER)
    return tuple(each.protocol for each in asked if selected(each) is not None)


def optional_for(predictor: Predictor) -> str:
    """A runtime that KServe has for the format and does not install by itself, or ""."""
    return next((each.name for each in _able(predictor, OPTIONAL)), "")


def nearest(predictor: Predictor) -> tuple[str, tuple[str, ...]]:
    """The known format that is spelled most like the predictor's, or ""; and all known formats."""
    runtimes = (r for r in known(predictor) if not r.is_disabled)
    every = tuple(dict.fromkeys(f.name for r in runtimes for f in r.formats))
    by_case = {name.lower(): name for name in every}
    near = difflib.get_close_matches(predictor.model_format.lower(), list(by_case), n=1)
    return (by_case[near[0]] if near else ""), every
