"""In which layout a version has to be published, for its server to load it. PURE.

MLflow's folder is published as it is wherever the server loads that. Otherwise a rule of the server
may say which files it needs, and where: names only, no byte is changed, nothing is unpickled. For
one version a layout's name stands for one set of paths, whichever server asked for it. What would
load in which layout is `loadable`'s to say, also of what is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning import runtimes
from mlflow_gitops.planning.file_names import check_paths, named
from mlflow_gitops.planning.loadable import USE_MLFLOW, check_loadable, rules_of
from mlflow_gitops.planning.mlmodel import Contents, contents_of
from mlflow_gitops.state import AS_IS, Layout, ModelFiles, Predictor

__all__ = ["choose_layout", "layouts_for"]

MLMODEL = "MLmodel"
ABOUT = (MLMODEL, "conda.yaml", "python_env.yaml", "requirements.txt")
"""What MLflow says of a model: kept at the top, since no server takes it for one."""

EXAMPLES = ("input_example.json", "serving_input_example.json")
FOREIGN_SUFFIX = {".lgb": ".bst", ".xgb": ".bst"}  # MLflow's names for what the servers call so

Rule = Callable[[Contents, str, str], Layout | None]
"""From the files, the modelFormat and the service's name; None where it cannot be made of them."""


def choose_layout(files: ModelFiles, predictor: Predictor, service: str) -> Layout:
    """As they are, where that loads. Raises PublishError where no layout would load."""
    try:
        check_loadable(files, predictor)
    except PublishError:
        layout = _made(files, predictor, service)
        if layout is None or not _loads(layout, files, predictor):
            raise
        return layout
    return Layout(AS_IS, {path: path for path in files.files})


def layouts_for(predictor: Predictor) -> tuple[str, ...]:
    """Those beside as-is that its server may need. Raises PublishError where none serves it."""
    return MADE_FOR.get(rules_of(predictor)[0], ())


def _loads(layout: Layout, files: ModelFiles, predictor: Predictor) -> bool:
    try:
        check_paths(layout.paths, layout.name)
        check_loadable(layout.applied(files), predictor, layout.name)
    except PublishError:
        return False
    return True


def _made(files: ModelFiles, predictor: Predictor, service: str) -> Layout | None:
    contents = contents_of(files)
    server, name = rules_of(predictor)
    rule = RULES.get(server)
    layout = rule(contents, name, service) if rule else None
    if layout is None or MLMODEL in layout.paths:  # that name is taken, by what says what it is
        return None
    about = {name: name for name in ABOUT if name in contents.paths}
    return Layout(layout.name, {**about, **layout.paths})


def _is_of(contents: Contents, flavor: str) -> bool:
    if contents.flavors:
        return flavor in contents.flavors
    return "python_model.pkl" not in contents.top


def _one_file(*suffixes: str, fixed: bool = False) -> Rule:
    """Only the model's file, at the top, by a name that the server takes."""

    def rule(contents: Contents, flavor: str, _: str) -> Layout | None:
        data = contents.data_of(flavor) or _only(contents, suffixes)
        if data not in contents.paths or not _is_of(contents, flavor):
            return None
        path = PurePosixPath(data)
        suffix = FOREIGN_SUFFIX.get(path.suffix, path.suffix)
        if suffix not in suffixes:
            return None
        is_right = suffix == path.suffix and not (fixed and path.stem != "model")
        name = path.name if is_right else f"model{suffix}"
        return Layout("select" if is_right else "rename", {name: data})

    return rule


def _only(contents: Contents, suffixes: tuple[str, ...]) -> str:
    """The only file that can be it, where no MLmodel says which it is."""
    found = [path for path in contents.top if path.endswith(suffixes)]
    return found[0] if len(found) == 1 and not contents.flavors else ""


def _by_format(rules: Mapping[str, Rule]) -> Rule:
    def rule(contents: Contents, name: str, service: str) -> Layout | None:
        found = rules.get(name)
        return found(contents, name, service) if found else None

    return rule


def _saved_model(contents: Contents, flavor: str, _: str) -> Layout | None:
    """The one SavedModel, as version 1."""
    folders = {_folder(path) for path in contents.paths if _name(path) in SAVED_MODEL}
    if len(folders) != 1 or not _is_of(contents, flavor):
        return None
    (folder,) = folders
    inside = (path for path in contents.paths if path.startswith(folder))
    kept = (path for path in inside if folder or path not in (*ABOUT, *EXAMPLES))
    return Layout("nest", {f"1/{path.removeprefix(folder)}": path for path in kept})


def _onnx(contents: Contents, _: str, service: str) -> Layout | None:
    """All that is beside the model too: it may keep its weights in files of any name."""
    data = contents.data_of("onnx") or _only(contents, (".onnx",))
    if data not in contents.paths or not _is_of(contents, "onnx"):
        return None
    folder = _folder(data)
    inside = (path for path in contents.paths if path.startswith(folder) and path != data)
    beside = (path for path in inside if path.removeprefix(folder) not in (*ABOUT, *EXAMPLES))
    top = f"{service}/1/"
    others = {f"{top}{path.removeprefix(folder)}": path for path in beside}
    if f"{top}model.onnx" in others:
        return None
    return Layout("nest", {**others, f"{top}model.onnx": data})


def _transformers(contents: Contents, _: str, __: str) -> Layout | None:
    """`model/*` and `components/*/*` in one folder, as Hugging Face has them."""
    if "transformers" not in contents.flavors or "model/config.json" not in contents.paths:
        return None
    paths: dict[str, str] = {}
    twice: dict[str, str] = {}
    for name, path in sorted(_parts(contents.paths)):
        if name in paths:
            twice[name] = f"{paths[name]} and {path}"
        paths[name] = path
    if twice:
        raise _collision(twice.values())
    return Layout("merge", paths)


def _parts(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    for path in paths:
        top, _, rest = path.partition("/")
        if top == "components":
            rest = rest.partition("/")[2]
        if rest and top in ("model", "components"):
            yield rest, path


def _collision(twice: Iterable[str]) -> PublishError:
    return PublishError(
        "the model and its components cannot be merged into one folder: the same name is needed "
        f"for {named(twice, 3, '; for ')}",
        where="layout merge",
        hint=f"log the model again with only the components that it needs; or {USE_MLFLOW}",
    )


def _paddle(contents: Contents, _: str, __: str) -> Layout | None:
    kinds = [[path for path in contents.top if path.endswith(end)] for end in PADDLE]
    if any(len(found) != 1 for found in kinds):
        return None
    return Layout("select", {path: path for (path,) in kinds})


def _folder(path: str) -> str:
    """With its slash, "" for the top."""
    return path[: path.rfind("/") + 1]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")
PADDLE = (".pdmodel", ".pdiparams")
SKLEARN = (".joblib", ".pkl", ".pickle")
XGBOOST = (".bst", ".json", ".ubj")
LIGHTGBM = (".bst",)
RULES: Mapping[str, Rule] = {
    runtimes.SKLEARN: _one_file(*SKLEARN),
    runtimes.XGBOOST: _one_file(*XGBOOST),
    runtimes.LIGHTGBM: _one_file(*LIGHTGBM),
    runtimes.PREDICTIVE: _by_format(
        {
            "sklearn": _one_file(*SKLEARN),
            "xgboost": _one_file(*XGBOOST),
            "lightgbm": _one_file(*LIGHTGBM),
        }
    ),
    runtimes.MLSERVER: _by_format(
        {
            "sklearn": _one_file(*SKLEARN, fixed=True),
            "xgboost": _one_file(*XGBOOST, fixed=True),
            "lightgbm": _one_file(*LIGHTGBM, fixed=True),
        }
    ),
    runtimes.TENSORFLOW: _saved_model,
    runtimes.TRITON: _by_format({"onnx": _onnx, "triton": _onnx}),
    runtimes.HUGGINGFACE: _transformers,
    runtimes.VLLM: _transformers,
    runtimes.PADDLE: _paddle,
}
ONE_FILE = ("select", "rename")
MADE_FOR: Mapping[str, tuple[str, ...]] = {
    runtimes.SKLEARN: ONE_FILE,
    runtimes.XGBOOST: ONE_FILE,
    runtimes.LIGHTGBM: ONE_FILE,
    runtimes.PREDICTIVE: ONE_FILE,
    runtimes.MLSERVER: ONE_FILE,
    runtimes.TENSORFLOW: ("nest",),
    runtimes.TRITON: ("nest",),
    runtimes.HUGGINGFACE: ("merge",),
    runtimes.VLLM: ("merge",),
    runtimes.PADDLE: ("select",),
}
