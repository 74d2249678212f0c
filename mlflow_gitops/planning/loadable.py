"""Would the service's runtime load these files as they are? Says no before a byte is copied. PURE.

Which file names a server looks for are facts of KServe 0.14 to 0.20 and MLServer 1.7. File names
and MLmodel are enough; nothing is unpickled. A runtime that is not KServe's own may load anything:
it is never refused for its files, and never said to load them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning import runtimes
from mlflow_gitops.planning.file_names import named
from mlflow_gitops.planning.mlmodel import Contents, contents_of, is_mlflow
from mlflow_gitops.planning.sources import shown
from mlflow_gitops.runtimes import Runtime
from mlflow_gitops.state import AS_IS, ModelFiles, Predictor

__all__ = ["USE_MLFLOW", "check_loadable", "default_predictor", "not_known", "rules_of"]

NOT_IN_MLSERVER = ("h2o", "prophet", "spacy", "spark", "statsmodels")
REPOSITORY = r"[^/]+/\d+/model\.[^/]+(/.+)?|[^/]+/config\.pbtxt"  # of Triton
ENVIRONMENT = "environment.tar.gz"
MLFLOW = Predictor("mlflow", "v2")
RAW = (  # those first that nothing else looks like
    *(Predictor(name) for name in ("tensorflow", "triton", "huggingface", "pytorch", "paddle")),
    *(Predictor(name) for name in ("pmml", "sklearn", "lightgbm", "xgboost")),
)
SHOWN = 5  # names
MOST_FORMATS = 30

OWN_RUNTIME = "name a `runtime` of your own in the InferenceService, which loads these files"
USE_MLFLOW = (
    "set `modelFormat: {name: mlflow}` and `protocolVersion: v2` under `predictor.model`, without "
    "a `runtime`: that loads these files as they are"
)
LLM = "llm"  # the key of an LLMInferenceService
RELOG_LLM = (
    "register a version with a Hugging Face model at the top (config.json, weights and tokenizer), "
    "as `mlflow.transformers` logs it"
)
RELOG_BARE = "log the model again without an input example"
RELOG_SKOPS = (
    'log the model again with serialization_format="cloudpickle"; or serve it as modelFormat '
    f"mlflow with protocolVersion v2 and put an {ENVIRONMENT} (conda-pack, with mlflow 3.10 or "
    f"later and skops) beside MLmodel; or {OWN_RUNTIME}"
)


Check = Callable[[Contents, str], None]


def check_loadable(files: ModelFiles, predictor: Predictor, layout: str = AS_IS) -> None:
    """Raise PublishError, with the way out, where the runtime would not load the files.

    `files` are as published in the layout. A broken MLmodel is an error whatever the runtime is. A
    predictor without a format is a container of the user's own: nothing is known of it.
    """
    contents = contents_of(files, layout)
    runtime = _runtime(predictor, contents)
    server, name = runtimes.rules_of(runtime, predictor.model_format) if runtime else ("", "")
    check = CHECKS.get(server)
    if check is None:
        return
    try:
        check(contents, name)
    except _CannotLoadError as no:
        hint = no.hint or (RELOG_LLM if predictor.key == LLM else _way_out(contents))
        raise _refused(predictor, no.what, hint) from None


def not_known(predictor: Predictor) -> str:
    """Why nobody can say whether the files load, in one sentence; "" where `check_loadable` can.

    Raises PublishError where no runtime takes the predictor.
    """
    runtime = _runtime(predictor)
    if runtime is None:
        return "the InferenceService names no model format and no runtime"
    server, _ = runtimes.rules_of(runtime, predictor.model_format)
    if server in CHECKS:
        return ""
    name = f"`{shown(runtime.name)}`"
    if runtime.origin:
        what = f"the runtime {name} will run ({shown(runtime.origin)})"
    elif runtime.like:
        what = f"KServe's runtime {name} will run"
    else:
        what = f"the runtime {name} will run, which is defined elsewhere"
    return f"{what}, and nothing is known of what it loads: the files are published as they are"


def default_predictor(files: ModelFiles, known: tuple[Runtime, ...] = ()) -> Predictor:
    """What loads the files as they are, for a service that is made new. Raises PublishError.

    `known` are the runtimes of its environment. The format is chosen by the rules of KServe's own.
    """
    if is_mlflow(files):  # what MLflow logged is served by MLflow's own loader, or not at all
        check_loadable(files, predictor := replace(MLFLOW, runtimes=known))
        return predictor
    for predictor in RAW:
        try:
            check_loadable(files, predictor)
        except PublishError:
            continue
        return replace(predictor, runtimes=known)
    raise PublishError(
        "no runtime of KServe's own loads these files as they are",
        where=named(sorted(files.files)),
        hint=f"log the model with MLflow; or write the InferenceService yourself and {OWN_RUNTIME}",
    )


def rules_of(predictor: Predictor) -> tuple[str, str]:
    """The runtime of KServe's own by whose rules the files are loaded, and its format; "" where
    none is known. Raises PublishError where no runtime takes the predictor.
    """
    runtime = _runtime(predictor)
    return runtimes.rules_of(runtime, predictor.model_format) if runtime else ("", "")


def _runtime(predictor: Predictor, contents: Contents | None = None) -> Runtime | None:
    """The runtime that will run, None for a container. Raises PublishError where there is none."""
    if not (predictor.model_format or predictor.runtime):
        return None
    runtime = runtimes.selected(predictor)
    if runtime is None:
        raise _not_selected(predictor)
    if predictor.runtime:
        _check_named(predictor, runtime, contents)
    return runtime


def _check_named(predictor: Predictor, runtime: Runtime, contents: Contents | None) -> None:
    """Raise PublishError for what KServe refuses of a runtime that is named."""
    where = f" ({shown(runtime.origin)})" if runtime.origin else ""
    name = f"{shown(runtime.name)}{where}"
    if runtime.is_disabled:
        raise _refused(predictor, f"{name} is disabled", "enable it, or name another runtime")
    protocol, protocols = predictor.protocol, runtime.protocols
    if protocol and protocols and protocol not in protocols:
        raise _refused(
            predictor,
            f"{name} does not speak protocolVersion {shown(protocol)}",
            f"set one of these in the InferenceService: {', '.join(protocols)}",
        )
    if runtime.formats and not runtimes.takes(runtime, predictor):
        formats = dict.fromkeys(f"{f.name} {f.version}".strip() for f in runtime.formats)
        way_out = _way_out(contents) if contents else OWN_RUNTIME
        hint = f"take one of its formats: {named(formats, MOST_FORMATS)}; or {way_out}"
        raise _refused(predictor, f"{name} does not serve this format", hint)


class _CannotLoadError(Exception):
    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def _refused(predictor: Predictor, what: str, hint: str) -> PublishError:
    version = f" {predictor.format_version}" if predictor.format_version else ""
    protocol = f", protocolVersion {predictor.protocol}" if predictor.protocol else ""
    runtime = f", runtime {predictor.runtime}" if predictor.runtime else ""
    where = shown(f"modelFormat {predictor.model_format}{version}{protocol}{runtime}")
    return PublishError(f"the version's files would not load: {what}", where=where, hint=hint)


def _not_selected(predictor: Predictor) -> PublishError:
    """Why KServe would take no runtime, and each way to give it one."""
    name, version = shown(predictor.model_format), shown(predictor.format_version)
    if protocols := runtimes.protocols_for(predictor):
        said = "" if predictor.protocol else ", which is meant where none is given"
        options = " or ".join(f"`protocolVersion: {each}`" for each in protocols)
        protocol = shown(runtimes.protocol_of(predictor))
        return _refused(
            predictor,
            f"no runtime is known for `{name}` with protocolVersion {protocol}{said}",
            f"set {options} in the InferenceService; or {_declare(predictor)}; or {OWN_RUNTIME}",
        )
    if version and runtimes.protocols_for(replace(predictor, format_version="")):
        return _refused(
            predictor,
            f"no runtime is known for version {version} of the format `{name}`",
            f"leave `version` out of `modelFormat`; or {_declare(predictor)}; or {OWN_RUNTIME}",
        )
    near, every = runtimes.nearest(predictor)
    meant = f"did you mean `{shown(near)}` (the case of the letters counts)? or " if near else ""
    return _refused(
        predictor,
        f"KServe ships no runtime for the format `{name}`, and neither the environment's "
        "manifests nor the settings define one",
        f"{meant}take one of: {named(every, MOST_FORMATS)}; or {_declare(predictor)}; or "
        f"{OWN_RUNTIME}",
    )


def _declare(predictor: Predictor) -> str:
    """The setting that tells of a runtime that is in the cluster and not in these manifests."""
    name = runtimes.optional_for(predictor)
    versioned = ":".join(filter(None, (predictor.model_format, predictor.format_version)))
    takes = f"formats: [{json.dumps(shown(versioned))}], auto-select: true"
    line = f"{name}: {{}}" if name else f"<its name>: {{{takes}}}"
    return (
        f"where the cluster has a runtime for it, add `runtimes: {{{line}}}` to mlflow-gitops.yaml"
    )


def _way_out(contents: Contents) -> str:
    """What to do about it: MLflow's own loader, where that would do."""
    if not contents.flavors:
        return OWN_RUNTIME
    try:
        _mlflow(contents, "mlflow")
    except _CannotLoadError as no:
        return no.hint
    return f"{USE_MLFLOW}; or {OWN_RUNTIME}"


# What each server looks for


def _one_file(contents: Contents, flavor: str, suffixes: tuple[str, ...]) -> None:
    """The server takes the one file of these suffixes, whatever it holds."""
    _check_flavor(contents, flavor)
    found = [path for path in contents.top if path.endswith(suffixes)]
    data = contents.data_of(flavor)
    if len(found) > 1:
        what = f"more than one file could be the model: {named(found)}"
        has_example = any("input_example" in path for path in found)
        raise _CannotLoadError(
            what, f"{RELOG_BARE}; or {_way_out(contents)}" if has_example else ""
        )
    if found and found != [data] and data:
        _check_skops(contents)
        raise _CannotLoadError(f"the server would take {found[0]}, but the model is in {data}")
    if not found:
        _check_skops(contents)
        kinds = ", ".join(f"*{suffix}" for suffix in suffixes)
        there = f"; the model is in {data}" if data else ""
        raise _CannotLoadError(f"the server looks for one of {kinds} at the top{there}")


def _fixed_name(contents: Contents, flavor: str, names: tuple[str, ...]) -> None:
    """The server takes the first of these names that is there."""
    _check_flavor(contents, flavor)
    found = next((name for name in names if name in contents.paths), "")
    data = contents.data_of(flavor)
    if not found or (data and found != data):
        _check_skops(contents)
        there = f"; the model is in {data}" if data else ""
        raise _CannotLoadError(f"the server looks for {', '.join(names)} at the top{there}")


def _check_flavor(contents: Contents, flavor: str) -> None:
    """What a server can unpickle need not be what it can serve."""
    if not contents.flavors:
        if "python_model.pkl" in contents.top:
            raise _CannotLoadError(
                "python_model.pkl is a Python function, and no model of that format"
            )
        return
    if flavor not in contents.flavors:
        others = sorted(set(contents.flavors) - {"python_function"}) or ["python_function"]
        flavors = shown(", ".join(others))
        raise _CannotLoadError(f"MLmodel says that they are of the flavor {flavors}")


def _check_skops(contents: Contents) -> None:
    if contents.is_skops:
        raise _CannotLoadError(
            "the model is saved as skops, which the server cannot read", RELOG_SKOPS
        )


def _sklearn(contents: Contents, name: str) -> None:
    _one_file(contents, name, (".joblib", ".pkl", ".pickle"))


def _xgboost(contents: Contents, name: str) -> None:
    _one_file(contents, name, (".bst", ".json", ".ubj"))


def _lightgbm(contents: Contents, name: str) -> None:
    _one_file(contents, name, (".bst",))


def _predictive(contents: Contents, name: str) -> None:
    {"sklearn": _sklearn, "xgboost": _xgboost, "lightgbm": _lightgbm}[name](contents, name)


def _mlserver(contents: Contents, name: str) -> None:
    if name == "mlflow":
        _mlflow(contents, name)
    elif name == "sklearn":
        _fixed_name(contents, name, ("model.joblib", "model.pickle", "model.pkl"))
    elif name == "xgboost":
        _fixed_name(contents, name, ("model.bst", "model.json", "model.ubj"))
    else:
        _fixed_name(contents, name, ("model.bst",))


def _mlflow(contents: Contents, _: str) -> None:
    if contents.is_laid_out:
        raise _CannotLoadError("they were laid out for another server", OWN_RUNTIME)
    if "MLmodel" not in contents.paths:
        raise _CannotLoadError(
            "there is no MLmodel at the top", "log the model with MLflow and register that"
        )
    if "python_function" not in contents.flavors:
        raise _CannotLoadError(
            "MLmodel has no flavor python_function, which MLflow's server loads",
            "log the model with its MLflow flavor, so that python_function is made too",
        )
    if ENVIRONMENT in contents.paths:
        return
    _check_skops(contents)
    own = f"put an {ENVIRONMENT} (conda-pack) beside MLmodel; or {OWN_RUNTIME}"
    absent = [flavor for flavor in NOT_IN_MLSERVER if flavor in contents.flavors]
    if absent:
        raise _CannotLoadError(f"the server's image has no {absent[0]}", own)
    if any(path.endswith(".pt2") for path in contents.paths) and "pytorch" in contents.flavors:
        relog = 'log the model again with serialization_format="pickle"'
        raise _CannotLoadError(
            "its image is too old for PyTorch's .pt2 files", f"{relog}; or {own}"
        )


def _shape(what: str, pattern: str) -> Check:
    shape = re.compile(pattern)

    def check(contents: Contents, name: str) -> None:
        if not any(shape.fullmatch(path) for path in contents.paths):
            raise _CannotLoadError(
                f"the format {name} needs the layout {what}, which cannot be made of these files"
            )

    return check


def _paddle(contents: Contents, _: str) -> None:
    for suffixes in ((".pdmodel", ".json"), (".pdiparams",)):
        found = [path for path in contents.top if path.endswith(suffixes)]
        if len(found) != 1:
            kinds = " or ".join(f"*{suffix}" for suffix in suffixes)
            raise _CannotLoadError(f"exactly one {kinds} has to be at the top")


def _pmml(contents: Contents, _: str) -> None:
    if sum(path.endswith(".pmml") for path in contents.top) != 1:
        raise _CannotLoadError("exactly one *.pmml has to be at the top")


CHECKS: Mapping[str, Check] = {
    runtimes.SKLEARN: _sklearn,
    runtimes.XGBOOST: _xgboost,
    runtimes.LIGHTGBM: _lightgbm,
    runtimes.PREDICTIVE: _predictive,
    runtimes.MLSERVER: _mlserver,
    runtimes.TENSORFLOW: _shape("<number>/saved_model.pb", r"\d+/saved_model\.pb(txt)?"),
    runtimes.TRITON: _shape("<model>/<number>/model.*", REPOSITORY),
    runtimes.TORCHSERVE: _shape(
        "config/config.properties and model-store/*.mar", r"model-store/[^/]+\.mar"
    ),
    runtimes.HUGGINGFACE: _shape("config.json at the top", r"config\.json"),
    runtimes.VLLM: _shape("config.json at the top", r"config\.json"),
    runtimes.PMML: _pmml,
    runtimes.PADDLE: _paddle,
}
