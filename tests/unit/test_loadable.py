from __future__ import annotations

import pytest

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.loadable import check_loadable, default_predictor
from mlflow_gitops.state import ModelFiles, Predictor

ALWAYS = ("conda.yaml", "python_env.yaml", "requirements.txt")
EXAMPLE = ("input_example.json", "serving_input_example.json")


def mlmodel(**flavors: dict[str, str]) -> str:
    lines = ["artifact_path: model", "flavors:"]
    for name, values in {"python_function": {"loader_module": "mlflow.x"}, **flavors}.items():
        lines.append(f"  {name}:")
        lines += [f"    {key}: {value}" for key, value in values.items()]
    return "\n".join([*lines, "mlflow_version: 3.17.2", ""])


def logged(*files: str, **flavors: dict[str, str]) -> ModelFiles:
    names = ("MLmodel", *ALWAYS, *files)
    return ModelFiles(dict.fromkeys(names, 10), mlmodel(**flavors))


def raw(*files: str) -> ModelFiles:
    return ModelFiles(dict.fromkeys(files, 10))


PICKLE = logged(
    "model.pkl", sklearn={"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}
)
SKOPS = logged(
    "model.skops", sklearn={"pickled_model": "model.skops", "serialization_format": "skops"}
)
SKOPS_WITH_ENVIRONMENT = logged(
    "model.skops",
    "environment.tar.gz",
    sklearn={"pickled_model": "model.skops", "serialization_format": "skops"},
)
XGBOOST = logged("model.ubj", xgboost={"data": "model.ubj"})
XGBOOST_WITH_EXAMPLE = logged("model.ubj", *EXAMPLE, xgboost={"data": "model.ubj"})
XGBOOST_OLD = logged("model.xgb", xgboost={"data": "model.xgb"})
XGBOOST_OLD_WITH_EXAMPLE = logged("model.xgb", "input_example.json", xgboost={"data": "model.xgb"})
BOOSTER = logged("model.lgb", lightgbm={"data": "model.lgb"})
LIGHTGBM_PICKLE = logged("model.pkl", lightgbm={"data": "model.pkl"})
LIGHTGBM_SKOPS = logged(
    "model.skops", lightgbm={"data": "model.skops", "serialization_format": "skops"}
)
PYFUNC = logged("python_model.pkl")
CATBOOST = logged("model.cb", catboost={"data": "model.cb"})
PTH = logged("data/model.pth", pytorch={"model_data": "data"})
PT2 = logged("data/model.pt2", pytorch={"model_data": "data"})
KERAS = logged("data/model/saved_model.pb", tensorflow={"data": "data"})
ONNX = logged("model.onnx", onnx={"data": "model.onnx"})
TRANSFORMERS = logged("model/config.json", "model/model.safetensors", transformers={"task": "x"})
SPARK = logged("sparkml/x", spark={"model_data": "sparkml"})
NO_PYFUNC = ModelFiles(
    {"MLmodel": 1, "model.pkl": 1}, "flavors: {sklearn: {pickled_model: model.pkl}}"
)

V2 = Predictor("mlflow", "v2")
LOADS = [
    ("sklearn pickle, v1", PICKLE, Predictor("sklearn")),
    ("sklearn pickle, v1 named", PICKLE, Predictor("sklearn", "v1")),
    ("sklearn pickle, v2", PICKLE, Predictor("sklearn", "v2")),
    ("sklearn pickle, legacy key", PICKLE, Predictor("sklearn", key="sklearn")),
    ("sklearn pickle, mlflow", PICKLE, V2),
    ("mlflow by its runtime's name", PICKLE, Predictor("mlflow", "", "kserve-mlserver")),
    ("raw joblib", raw("whatever.joblib"), Predictor("sklearn")),
    ("raw joblib, v2", raw("model.joblib"), Predictor("sklearn", "v2")),
    ("skops with its environment", SKOPS_WITH_ENVIRONMENT, V2),
    ("skops in a runtime of one's own", SKOPS, Predictor("sklearn", "", "our-skops-server")),
    ("unknown format in a runtime of one's own", CATBOOST, Predictor("catboost", "", "ours")),
    ("container of one's own", SKOPS, Predictor("")),
    ("xgboost", XGBOOST, Predictor("xgboost")),
    ("xgboost, v2", XGBOOST, Predictor("xgboost", "v2")),
    ("xgboost with example, v2", XGBOOST_WITH_EXAMPLE, Predictor("xgboost", "v2")),
    ("xgboost with example, mlflow", XGBOOST_WITH_EXAMPLE, V2),
    ("old xgboost, mlflow", XGBOOST_OLD, V2),
    ("booster, mlflow", BOOSTER, V2),
    ("lightgbm pickle, mlflow", LIGHTGBM_PICKLE, V2),
    ("raw booster", raw("any.bst"), Predictor("lightgbm")),
    ("catboost, mlflow", CATBOOST, V2),
    ("pyfunc, mlflow", PYFUNC, V2),
    ("pytorch, mlflow", PTH, V2),
    ("keras, mlflow", KERAS, V2),
    ("transformers, mlflow", TRANSFORMERS, V2),
    ("saved model in a numbered folder", raw("1/saved_model.pb"), Predictor("tensorflow")),
    ("triton repository", raw("m/1/model.onnx", "m/config.pbtxt"), Predictor("onnx", "v2")),
    ("triton repository, triton", raw("m/1/model.plan"), Predictor("triton")),
    (
        "pytorch in Triton, named",
        raw("m/1/model.pt"),
        Predictor("pytorch", "v2", "kserve-tritonserver"),
    ),
    (
        "torchserve archive",
        raw("config/config.properties", "model-store/m.mar"),
        Predictor("pytorch"),
    ),
    ("hugging face", raw("config.json", "model.safetensors"), Predictor("huggingface")),
    ("vllm", raw("config.json", "model.safetensors"), Predictor("vLLM")),
    ("pmml", raw("m.pmml"), Predictor("pmml")),
    ("paddle", raw("m.pdmodel", "m.pdiparams"), Predictor("paddle")),
]


@pytest.mark.parametrize(
    ("files", "predictor"), [row[1:] for row in LOADS], ids=[row[0] for row in LOADS]
)
def test_what_the_runtime_loads_is_let_through(files: ModelFiles, predictor: Predictor) -> None:
    check_loadable(files, predictor)


RELOG = 'serialization_format="cloudpickle"'
MLFLOW = "name: mlflow"
XGB_RUNTIME = Predictor("mlflow", "", "kserve-xgbserver")
OWN = "`runtime` of your own"
REFUSED = [
    ("skops under sklearn", SKOPS, Predictor("sklearn"), "skops", RELOG),
    ("skops under sklearn, v2", SKOPS, Predictor("sklearn", "v2"), "skops", RELOG),
    ("skops under mlflow", SKOPS, V2, "skops", "environment.tar.gz"),
    ("skops of lightgbm", LIGHTGBM_SKOPS, V2, "skops", RELOG),
    ("skops, environment, sklearn", SKOPS_WITH_ENVIRONMENT, Predictor("sklearn"), "skops", RELOG),
    ("pyfunc taken for sklearn", PYFUNC, Predictor("sklearn"), "python_function", MLFLOW),
    ("raw pyfunc", raw("python_model.pkl"), Predictor("sklearn"), "Python function", OWN),
    ("lightgbm taken for sklearn", LIGHTGBM_PICKLE, Predictor("sklearn"), "lightgbm", MLFLOW),
    ("two pickles", raw("a.pkl", "b.pkl"), Predictor("sklearn"), "a.pkl, b.pkl", OWN),
    ("no pickle", raw("readme.txt"), Predictor("sklearn"), "*.joblib, *.pkl", OWN),
    ("pickle in a folder", raw("sub/model.pkl"), Predictor("sklearn"), "at the top", OWN),
    ("other name under MLServer", raw("clf.pkl"), Predictor("sklearn", "v2"), "model.joblib", OWN),
    (
        "a stray pickle beside skops",
        logged("scaler.pkl", "model.skops", sklearn={"pickled_model": "model.skops"}),
        Predictor("sklearn"),
        "skops",
        RELOG,
    ),
    (
        "a stray pickle beside the model's",
        logged("scaler.pkl", "sub/model.pkl", sklearn={"pickled_model": "sub/model.pkl"}),
        Predictor("sklearn"),
        "would take scaler.pkl, but the model is in sub/model.pkl",
        MLFLOW,
    ),
    (
        "xgboost with example",
        XGBOOST_WITH_EXAMPLE,
        Predictor("xgboost"),
        "more than one file",
        "without an input example",
    ),
    ("old xgboost", XGBOOST_OLD, Predictor("xgboost"), "model.xgb", MLFLOW),
    (
        "an example taken for xgboost",
        XGBOOST_OLD_WITH_EXAMPLE,
        Predictor("xgboost"),
        "would take input_example.json",
        MLFLOW,
    ),
    ("booster under lightgbm", BOOSTER, Predictor("lightgbm"), "model.lgb", MLFLOW),
    ("booster under lightgbm, v2", BOOSTER, Predictor("lightgbm", "v2"), "model.bst", MLFLOW),
    ("mlflow without v2", PICKLE, Predictor("mlflow"), "protocolVersion v1", "protocolVersion: v2"),
    ("mlflow with v1", PICKLE, Predictor("mlflow", "v1"), "v1", "protocolVersion: v2"),
    ("mlflow without MLmodel", raw("model.pkl"), V2, "no MLmodel", "log the model with MLflow"),
    ("mlflow without python_function", NO_PYFUNC, V2, "python_function", "flavor"),
    ("spark", SPARK, V2, "no spark", "environment.tar.gz"),
    ("pt2", PT2, V2, ".pt2", 'serialization_format="pickle"'),
    ("pytorch under TorchServe", PTH, Predictor("pytorch"), "model-store", MLFLOW),
    ("keras under tensorflow", KERAS, Predictor("tensorflow"), "<number>/saved_model.pb", MLFLOW),
    ("onnx under Triton", ONNX, Predictor("onnx", "v2"), "<model>/<number>", MLFLOW),
    ("onnx without v2", ONNX, Predictor("onnx"), "protocolVersion v1", "protocolVersion: v2"),
    ("transformers", TRANSFORMERS, Predictor("huggingface"), "config.json", MLFLOW),
    ("unknown format", CATBOOST, Predictor("catboost"), "`catboost`", "sklearn, xgboost"),
    ("format in another case", PICKLE, Predictor("SKLearn"), "`SKLearn`", "sklearn"),
    ("runtime of another format", PICKLE, XGB_RUNTIME, "kserve-xgbserver", MLFLOW),
    ("two pmml", raw("a.pmml", "b.pmml"), Predictor("pmml"), "exactly one", OWN),
    ("paddle without weights", raw("m.pdmodel"), Predictor("paddle"), "pdiparams", OWN),
]


@pytest.mark.parametrize(
    ("files", "predictor", "what", "hint"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_what_it_would_not_load_is_refused_with_the_way_out(
    files: ModelFiles, predictor: Predictor, what: str, hint: str
) -> None:
    with pytest.raises(PublishError) as refused:
        check_loadable(files, predictor)
    assert what in refused.value.what
    assert hint in refused.value.hint
    assert predictor.model_format in refused.value.where


def test_the_way_out_is_not_mlflow_where_mlflow_would_not_load_it_either() -> None:
    with pytest.raises(PublishError) as refused:
        check_loadable(PT2, Predictor("pytorch"))
    assert MLFLOW not in refused.value.hint
    assert 'serialization_format="pickle"' in refused.value.hint


def test_an_empty_file_is_not_there_since_kserve_leaves_it_out() -> None:
    with pytest.raises(PublishError, match="looks for one of"):
        check_loadable(ModelFiles({"model.pkl": 0}), Predictor("sklearn"))
    check_loadable(ModelFiles({"model.pkl": 5, "b.pkl": 0}), Predictor("sklearn"))


BROKEN = {
    "no YAML": "flavors: [",
    "a tag": "flavors: !!python/object/apply:os.system [ls]",
    "deep": "[" * 100_000,
    "deep mappings": "{a: " * 100_000,
    "a date that is none": "flavors: {a: {b: 2020-99-99}}",
    "control characters": "\x00",
    "nothing": "",
    "no mapping": "- flavors",
    "a scalar": "flavors",
    "no flavors": "artifact_path: x",
    "empty flavors": "flavors: {}",
    "flavors that are a list": "flavors: [sklearn]",
    "a flavor that is a text": "flavors: {sklearn: yes}",
    "a flavor that is a number": "flavors: {1: {}}",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("predictor", [V2, Predictor("sklearn"), Predictor("x", "", "ours")])
def test_a_broken_mlmodel_is_a_clear_error(text: str, predictor: Predictor) -> None:
    with pytest.raises(PublishError) as refused:
        check_loadable(ModelFiles({"MLmodel": 1, "model.pkl": 1}, text), predictor)
    assert refused.value.where == "MLmodel"
    assert refused.value.hint


def test_what_mlmodel_says_cannot_break_the_message() -> None:
    text = mlmodel(xgboost={"data": '"a\\n  next: pay"'})
    with pytest.raises(PublishError) as refused:
        check_loadable(ModelFiles({"MLmodel": 1, "x.ubj": 1}, text), Predictor("xgboost"))
    assert "\n" not in refused.value.what


DEFAULTS = [
    (PICKLE, V2),
    (XGBOOST_WITH_EXAMPLE, V2),
    (PYFUNC, V2),
    (SKOPS_WITH_ENVIRONMENT, V2),
    (raw("model.joblib"), Predictor("sklearn")),
    (raw("model.ubj"), Predictor("xgboost")),
    (raw("1/saved_model.pb"), Predictor("tensorflow")),
    (raw("m/1/model.onnx"), Predictor("triton")),
    (raw("config.json", "model.safetensors"), Predictor("huggingface")),
    (raw("model.bst"), Predictor("lightgbm")),
]


@pytest.mark.parametrize(("files", "predictor"), DEFAULTS)
def test_a_new_service_gets_what_loads_the_files(files: ModelFiles, predictor: Predictor) -> None:
    assert default_predictor(files) == predictor
    check_loadable(files, default_predictor(files))


def test_where_nothing_loads_a_new_service_is_refused_with_the_way_out() -> None:
    with pytest.raises(PublishError) as skops:
        default_predictor(SKOPS)
    assert RELOG in skops.value.hint
    with pytest.raises(PublishError) as nothing:
        default_predictor(raw("readme.txt"))
    assert OWN in nothing.value.hint
    with pytest.raises(PublishError, match="MLmodel"):
        default_predictor(ModelFiles({"MLmodel": 1}, "["))
