from __future__ import annotations

from itertools import groupby

import pytest

from mlflow_gitops.errors import PublishError, RegistryError
from mlflow_gitops.planning.layouts import choose_layout, layouts_for
from mlflow_gitops.planning.loadable import check_loadable
from mlflow_gitops.planning.naming import as_published, in_layout, layout_of, version_name
from mlflow_gitops.state import (
    LAYOUTS,
    Identity,
    ModelFiles,
    ModelVersion,
    Predictor,
    ServiceSpec,
    Settings,
)

ABOUT = ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt")
EXAMPLE = ("input_example.json", "serving_input_example.json")


def logged(*files: str, **flavors: str) -> ModelFiles:
    """A folder as MLflow logs it; each flavor with what it says of itself, as flow YAML."""
    said = {"python_function": "{loader_module: mlflow.x}", **flavors}
    text = "flavors:\n" + "".join(f"  {name}: {value}\n" for name, value in said.items())
    return ModelFiles(dict.fromkeys((*ABOUT, *files), 10), text)


def raw(*files: str) -> ModelFiles:
    return ModelFiles(dict.fromkeys(files, 10))


SKLEARN = "{pickled_model: model.pkl, serialization_format: cloudpickle}"
KERAS = (
    "data/model/saved_model.pb",
    "data/model/variables/variables.index",
    "data/keras_module.txt",
)
HUGGING = ("model/config.json", "model/model.safetensors", "components/tokenizer/tokenizer.json")
FILES = {
    "sklearn": logged("model.pkl", *EXAMPLE, sklearn=SKLEARN),
    "sklearn, two pickles": logged("model.pkl", "old.pkl", sklearn=SKLEARN),
    "sklearn, named": logged("clf.joblib", sklearn="{pickled_model: clf.joblib}"),
    "skops": logged(
        "model.skops", sklearn="{pickled_model: model.skops, serialization_format: skops}"
    ),
    "xgboost": logged("model.ubj", xgboost="{data: model.ubj}"),
    "xgboost, example": logged("model.ubj", *EXAMPLE, xgboost="{data: model.ubj}"),
    "xgboost, old": logged("model.xgb", *EXAMPLE, xgboost="{data: model.xgb}"),
    "xgboost, gone": logged("input_example.json", xgboost="{data: model.ubj}"),
    "booster": logged("model.lgb", *EXAMPLE, lightgbm="{data: model.lgb}"),
    "lightgbm pickle": logged("model.pkl", lightgbm="{data: model.pkl}"),
    "lightgbm skops": logged(
        "model.skops", lightgbm="{data: model.skops, serialization_format: skops}"
    ),
    "catboost": logged("model.cb", catboost="{data: model.cb}"),
    "pytorch": logged("data/model.pth", pytorch="{model_data: data}"),
    "pt2": logged("data/model.pt2", pytorch="{model_data: data}"),
    "keras": logged(*KERAS, tensorflow="{data: data}"),
    "tf2": logged("tf2model/saved_model.pb", tensorflow="{saved_model_dir: tf2model}"),
    "keras file": logged("data/model.keras", tensorflow="{data: data}"),
    "two saved models": logged("a/saved_model.pb", "b/saved_model.pb", tensorflow="{data: a}"),
    "onnx": logged("model.onnx", "5c1e-weights", *EXAMPLE, onnx="{data: model.onnx}"),
    "transformers": logged(*HUGGING, transformers="{task: x}"),
    "transformers, twice": logged(*HUGGING, "model/tokenizer.json", transformers="{task: x}"),
    "transformers, no weights": logged(
        "components/tokenizer/tokenizer.json", transformers="{task: x}"
    ),
    "pyfunc": logged("python_model.pkl"),
    "spark": logged("sparkml/x", spark="{model_data: sparkml}"),
    "paddle": logged("model.pdmodel", "model.pdiparams", *EXAMPLE, paddle="{pickled_model: model}"),
    "raw joblib": raw("whatever.joblib"),
    "raw pyfunc": raw("python_model.pkl"),
    "raw booster": raw("model.bst"),
    "raw saved model": raw("saved_model.pb", "variables/variables.index"),
    "raw onnx": raw("best.onnx"),
    "raw onnx, two": raw("a.onnx", "b.onnx"),
    "raw repository": raw("m/1/model.onnx"),
}
V2 = Predictor("mlflow", "v2")
PREDICTORS = {
    "mlflow": V2,
    "sklearn": Predictor("sklearn"),
    "sklearn v2": Predictor("sklearn", "v2"),
    "xgboost": Predictor("xgboost"),
    "xgboost v2": Predictor("xgboost", "v2"),
    "lightgbm": Predictor("lightgbm"),
    "lightgbm v2": Predictor("lightgbm", "v2"),
    "tensorflow": Predictor("tensorflow"),
    "onnx": Predictor("onnx", "v2"),
    "triton": Predictor("triton"),
    "pytorch": Predictor("pytorch"),
    "huggingface": Predictor("huggingface"),
    "vllm": Predictor("vLLM"),
    "paddle": Predictor("paddle"),
    "ours": Predictor("anything", "", "our-server"),
    "container": Predictor(""),
}
AS_IS = {
    "mlflow": "sklearn; sklearn, two pickles; sklearn, named; xgboost; xgboost, example; "
    "xgboost, old; xgboost, gone; booster; lightgbm pickle; catboost; pytorch; keras; tf2; "
    "keras file; two saved models; onnx; transformers; transformers, twice; "
    "transformers, no weights; pyfunc; paddle",
    "sklearn": "sklearn; sklearn, named; raw joblib",
    "sklearn v2": "sklearn; sklearn, two pickles",
    "xgboost": "xgboost; raw booster",
    "xgboost v2": "xgboost; xgboost, example; raw booster",
    "lightgbm": "raw booster",
    "lightgbm v2": "raw booster",
    "onnx": "raw repository",
    "triton": "raw repository",
}
HUGGED = {
    "config.json": "model/config.json",
    "model.safetensors": "model/model.safetensors",
    "tokenizer.json": "components/tokenizer/tokenizer.json",
}
NESTED = {
    "1/saved_model.pb": "data/model/saved_model.pb",
    "1/variables/variables.index": "data/model/variables/variables.index",
}
ONNX = {"fraud/1/model.onnx": "model.onnx", "fraud/1/5c1e-weights": "5c1e-weights"}
MADE = {
    ("sklearn, two pickles", "sklearn"): ("select", {"model.pkl": "model.pkl"}),
    ("sklearn, named", "sklearn v2"): ("rename", {"model.joblib": "clf.joblib"}),
    ("raw joblib", "sklearn v2"): ("rename", {"model.joblib": "whatever.joblib"}),
    ("xgboost, example", "xgboost"): ("select", {"model.ubj": "model.ubj"}),
    ("xgboost, old", "xgboost"): ("rename", {"model.bst": "model.xgb"}),
    ("xgboost, old", "xgboost v2"): ("rename", {"model.bst": "model.xgb"}),
    ("booster", "lightgbm"): ("rename", {"model.bst": "model.lgb"}),
    ("booster", "lightgbm v2"): ("rename", {"model.bst": "model.lgb"}),
    ("keras", "tensorflow"): ("nest", NESTED),
    ("tf2", "tensorflow"): ("nest", {"1/saved_model.pb": "tf2model/saved_model.pb"}),
    ("raw saved model", "tensorflow"): (
        "nest",
        {
            "1/saved_model.pb": "saved_model.pb",
            "1/variables/variables.index": "variables/variables.index",
        },
    ),
    ("onnx", "onnx"): ("nest", ONNX),
    ("onnx", "triton"): ("nest", ONNX),
    ("raw onnx", "onnx"): ("nest", {"fraud/1/model.onnx": "best.onnx"}),
    ("raw onnx", "triton"): ("nest", {"fraud/1/model.onnx": "best.onnx"}),
    ("transformers", "huggingface"): ("merge", HUGGED),
    ("transformers", "vllm"): ("merge", HUGGED),
    ("paddle", "paddle"): (
        "select",
        {"model.pdmodel": "model.pdmodel", "model.pdiparams": "model.pdiparams"},
    ),
}
TABLE = [(files, predictor) for files in FILES for predictor in PREDICTORS]


def is_as_is(files: str, predictor: str) -> bool:
    return predictor in ("ours", "container") or files in AS_IS.get(predictor, "").split("; ")


@pytest.mark.parametrize(("files", "predictor"), TABLE, ids=[" / ".join(row) for row in TABLE])
def test_every_flavor_under_every_format(files: str, predictor: str) -> None:
    """As it is wherever that loads, else by a rule, else refused before anything is written."""
    source, wanted = FILES[files], PREDICTORS[predictor]
    if is_as_is(files, predictor):
        layout = choose_layout(source, wanted, "fraud")
        assert layout.name == "as-is"
        assert layout.applied(source) == source
    elif (files, predictor) in MADE:
        name, paths = MADE[files, predictor]
        layout = choose_layout(source, wanted, "fraud")
        about = {each: each for each in ABOUT if each in source.files}
        assert (layout.name, layout.paths) == (name, {**about, **paths})
        check_loadable(layout.applied(source), wanted, layout.name)
        assert layout.name in layouts_for(wanted)
    else:
        with pytest.raises(PublishError) as refused:
            choose_layout(source, wanted, "fraud")
        assert refused.value.hint


def test_a_layouts_name_stands_for_one_set_of_paths() -> None:
    """Two servers that need a version in the same layout share the path that it is published at."""
    ordered = sorted(MADE.items(), key=lambda row: (row[0][0], row[1][0]))
    for key, rows in groupby(ordered, key=lambda row: (row[0][0], row[1][0])):
        paths = [made[1] for _, made in rows]
        assert all(each == paths[0] for each in paths), key


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_what_was_laid_out_is_nothing_for_mlflow(name: str) -> None:
    files = FILES["booster"]
    with pytest.raises(PublishError, match="another server"):
        check_loadable(files, V2, name)


def test_laid_out_files_are_judged_by_their_flavor_still() -> None:
    layout = choose_layout(FILES["booster"], Predictor("lightgbm"), "fraud")
    with pytest.raises(PublishError, match="flavor lightgbm"):
        check_loadable(layout.applied(FILES["booster"]), Predictor("xgboost"), layout.name)


def test_files_that_meet_when_they_are_merged_are_named() -> None:
    with pytest.raises(PublishError) as refused:
        choose_layout(FILES["transformers, twice"], Predictor("huggingface"), "fraud")
    assert "components/tokenizer/tokenizer.json and model/tokenizer.json" in refused.value.what
    assert "log the model again" in refused.value.hint


def test_a_file_that_would_be_a_folder_too_is_refused() -> None:
    files = logged(*HUGGING, "model/tokenizer.json/x", transformers="{task: x}")
    with pytest.raises(PublishError, match="cannot be made of these files"):
        choose_layout(files, Predictor("huggingface"), "fraud")


def test_nothing_of_a_model_takes_the_place_of_its_mlmodel() -> None:
    files = logged(*HUGGING, "model/MLmodel", transformers="{task: x}")
    with pytest.raises(PublishError, match="cannot be made of these files"):
        choose_layout(files, Predictor("huggingface"), "fraud")


def test_a_model_that_would_take_the_place_of_another_is_refused() -> None:
    files = logged("best.onnx", "model.onnx", onnx="{data: best.onnx}")
    with pytest.raises(PublishError, match="cannot be made of these files"):
        choose_layout(files, Predictor("onnx", "v2"), "fraud")


@pytest.mark.parametrize("data", ["../model.lgb", "/etc/passwd", "", "[model.lgb]", "other.lgb"])
def test_a_model_is_only_looked_for_among_the_files(data: str) -> None:
    files = logged("model.lgb", lightgbm=f"{{data: {data}}}")
    with pytest.raises(PublishError):
        choose_layout(files, Predictor("lightgbm"), "fraud")


def test_the_way_out_of_what_no_layout_helps() -> None:
    with pytest.raises(PublishError) as skops:
        choose_layout(FILES["skops"], Predictor("sklearn"), "fraud")
    assert 'serialization_format="cloudpickle"' in skops.value.hint
    with pytest.raises(PublishError) as keras:
        choose_layout(FILES["keras file"], Predictor("tensorflow"), "fraud")
    assert "name: mlflow" in keras.value.hint
    with pytest.raises(PublishError) as broken:
        choose_layout(ModelFiles({"MLmodel": 1}, "["), Predictor("tensorflow"), "fraud")
    assert broken.value.where == "MLmodel"


def test_an_empty_file_is_no_part_of_a_layout_since_kserve_leaves_it_out() -> None:
    files = ModelFiles({**FILES["keras"].files, "data/model/empty": 0}, FILES["keras"].mlmodel)
    layout = choose_layout(files, Predictor("tensorflow"), "fraud")
    assert "1/empty" not in layout.paths


AT = "s3://models/fraud/v3/"
SPEC = ServiceSpec(AT, "3")


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_layout_is_the_last_word_of_the_uri(name: str) -> None:
    laid_out = in_layout(SPEC, name)
    assert laid_out == ServiceSpec(f"s3://models/fraud/v3-{name}/", "3")
    assert layout_of(laid_out) == name
    assert in_layout(laid_out, "as-is") == SPEC
    assert in_layout(laid_out, "nest") == in_layout(SPEC, "nest")
    assert as_published(SPEC, laid_out) == laid_out
    assert as_published(laid_out, SPEC) == SPEC


@pytest.mark.parametrize(
    "known",
    [
        None,
        ServiceSpec("s3://models/fraud/v3-nest/", "2"),
        ServiceSpec("s3://models/fraud/v3-flat/", "3"),
        ServiceSpec("s3://models/fraud/v2-nest/", "3"),
        ServiceSpec("s3://other/fraud/v3-nest/", "3"),
        ServiceSpec("s3://models/fraud/v3-nest", "3"),
        ServiceSpec("", "3"),
    ],
)
def test_only_the_layout_of_the_same_version_is_taken_over(known: ServiceSpec | None) -> None:
    assert as_published(SPEC, known) == SPEC


def test_no_version_is_called_like_a_layout() -> None:
    settings = Settings(environments={}, bucket="models", version_tag="semver")
    version = ModelVersion("fraud", "3", Identity(1), tags={"semver": "1.0-nest"})
    with pytest.raises(RegistryError, match="kept for the layouts"):
        version_name(settings, version)
