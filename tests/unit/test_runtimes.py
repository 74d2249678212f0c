"""Which runtime KServe takes, read from its source: a truth table."""

from __future__ import annotations

import pytest

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.layouts import choose_layout, layouts_for
from mlflow_gitops.planning.loadable import check_loadable, not_known
from mlflow_gitops.planning.runtimes import selected, spoken
from mlflow_gitops.runtimes import Format, Runtime
from mlflow_gitops.state import ModelFiles, Predictor


def own(
    name: str = "ours",
    formats: str = "sklearn",
    *,
    auto: bool = True,
    priority: int | None = 1,
    protocols: tuple[str, ...] = ("v1", "v2"),
    namespaced: bool = False,
    version: str = "1",
    like: str = "",
    off: str = "",
) -> Runtime:
    made = tuple(Format(each, version, auto, priority) for each in formats.split())
    return Runtime(
        name,
        made,
        protocols,
        like,
        "production/runtime.yaml",
        is_namespaced=namespaced,
        is_disabled=off == "disabled",
        is_multi_model=off == "multi-model",
        is_multi_node=off == "multi-node",
    )


SK1, SK2 = Predictor("sklearn"), Predictor("sklearn", "v2")
SELECTED: list[tuple[str, Predictor, tuple[Runtime, ...], str]] = [
    ("v1 is meant where none is given", SK1, (), "kserve-sklearnserver"),
    ("the higher priority", SK2, (), "kserve-mlserver"),
    ("a legacy field of v2", Predictor("onnx", key="onnx"), (), "kserve-tritonserver"),
    ("a legacy field of v1", Predictor("xgboost", key="xgboost"), (), "kserve-xgbserver"),
    ("vLLM speaks what it likes", Predictor("vLLM", "grpc-v2"), (), "kserve-vllmserver"),
    ("the letters count", Predictor("vllm"), (), ""),
    ("not the multi-node one", Predictor("huggingface"), (), "kserve-huggingfaceserver"),
    ("an old version", Predictor("xgboost", format_version="1"), (), "kserve-xgbserver"),
    ("an unknown version", Predictor("sklearn", format_version="1.5"), (), ""),
    ("openvino is not installed", Predictor("openvino"), (), ""),
    ("of the namespace, lower", SK2, (own(priority=0, namespaced=True),), "ours"),
    ("of the cluster, lower", SK2, (own(priority=1),), "kserve-mlserver"),
    ("of the cluster, higher", SK2, (own(priority=3),), "ours"),
    ("of the cluster, without a priority", SK1, (own(priority=None),), "kserve-sklearnserver"),
    ("a format of one's own", Predictor("my-format"), (own(formats="my-format"),), "ours"),
    ("not by itself", SK1, (own(auto=False, namespaced=True),), "kserve-sklearnserver"),
    ("by its name", Predictor("sklearn", runtime="ours"), (own(auto=False),), "ours"),
    ("other protocols", SK1, (own(protocols=("v2",), namespaced=True),), "kserve-sklearnserver"),
    ("without protocols", Predictor("x", "grpc-v2"), (own(formats="x", protocols=()),), "ours"),
    ("disabled", SK1, (own(namespaced=True, off="disabled"),), "kserve-sklearnserver"),
    ("multi-model", SK1, (own(namespaced=True, off="multi-model"),), "kserve-sklearnserver"),
    ("multi-node", SK1, (own(namespaced=True, off="multi-node"),), "kserve-sklearnserver"),
    (
        "another version",
        Predictor("sklearn", format_version="2"),
        (own(version="2", namespaced=True),),
        "ours",
    ),
    ("two that are equal", Predictor("x"), (own("b", "x"), own("a", "x")), "a` or `b"),
    (
        "the first protocol decides between equal priorities",
        Predictor("x", "v2"),
        (own("late", "x", protocols=("v2",)), own("early", "x")),
        "early",
    ),
    (
        "KServe's own, switched off",
        SK1,
        (own("kserve-sklearnserver", off="disabled"),),
        "",
    ),
    ("openvino, declared", Predictor("openvino"), (Runtime("kserve-openvino"),), "kserve-openvino"),
    (
        "openvino takes tensorflow over",
        Predictor("tensorflow"),
        (Runtime("kserve-openvino"),),
        "kserve-openvino",
    ),
    ("a name that nothing defines", Predictor("sklearn", runtime="theirs"), (), "theirs"),
    (
        "a namespaced one hides the cluster's of the same name",
        Predictor("sklearn", runtime="kserve-mlserver"),
        (own("kserve-mlserver", namespaced=True),),
        "kserve-mlserver",
    ),
]


@pytest.mark.parametrize(
    ("predictor", "runtimes", "name"),
    [row[1:] for row in SELECTED],
    ids=[row[0] for row in SELECTED],
)
def test_the_runtime_that_kserve_takes(
    predictor: Predictor, runtimes: tuple[Runtime, ...], name: str
) -> None:
    found = selected(with_runtimes(predictor, *runtimes))
    assert (found.name if found else "") == name


def with_runtimes(predictor: Predictor, *runtimes: Runtime) -> Predictor:
    return Predictor(
        predictor.model_format,
        predictor.protocol,
        predictor.runtime,
        predictor.key,
        predictor.format_version,
        runtimes,
    )


WEIGHTS = ModelFiles({"weights.bin": 1})
PICKLES = ModelFiles({"a.pkl": 1, "model.pkl": 1, "MLmodel": 1}, "flavors: {sklearn: {}}")
KNOWN = [
    ("KServe's own", SK1, (), ""),
    ("its predictive server", Predictor("sklearn", "", "kserve-predictiveserver"), (), ""),
    ("autogluon", Predictor("autogluon"), (), "KServe's runtime `kserve-autogluonserver` will run"),
    (
        "openvino",
        Predictor("onnx"),
        (Runtime("kserve-openvino"),),
        "KServe's runtime `kserve-openvino`",
    ),
    ("one's own", SK1, (own(namespaced=True),), "`ours` will run (production/runtime.yaml)"),
    ("one's own, like a known one", SK1, (own(namespaced=True, like="kserve-sklearnserver"),), ""),
    (
        "like one that has other formats",
        Predictor("x", "v2"),
        (own(formats="x", like="kserve-mlserver"),),
        "nothing is known",
    ),
    (
        "like one with a single format",
        Predictor("x"),
        (own(formats="x", like="kserve-xgbserver"),),
        "",
    ),
    (
        "one of two",
        Predictor("x"),
        (own("a", "x", like="kserve-xgbserver"), own("b", "x")),
        "`a` or `b`",
    ),
    (
        "one of two that load the same",
        Predictor("x"),
        (own("a", "x", like="kserve-xgbserver"), own("b", "x", like="kserve-xgbserver")),
        "",
    ),
    ("KServe's own in the manifests", SK1, (own("kserve-sklearnserver"),), ""),
    (
        "of the namespace, by the name of KServe's own",
        Predictor("sklearn", runtime="kserve-sklearnserver"),
        (own("kserve-sklearnserver", namespaced=True),),
        "nothing is known",
    ),
    ("named, and defined nowhere", Predictor("", runtime="theirs"), (), "defined elsewhere"),
    ("a container", Predictor(""), (), "names no model format"),
]


@pytest.mark.parametrize(
    ("predictor", "runtimes", "why"), [row[1:] for row in KNOWN], ids=[row[0] for row in KNOWN]
)
def test_nothing_is_said_to_load_that_no_rule_knows(
    predictor: Predictor, runtimes: tuple[Runtime, ...], why: str
) -> None:
    predictor = with_runtimes(predictor, *runtimes)
    found = not_known(predictor)
    assert bool(found) is bool(why)
    assert why in found
    if why:
        check_loadable(WEIGHTS, predictor)
        assert choose_layout(PICKLES, predictor, "s").name == "as-is"
        assert layouts_for(predictor) == ()


def test_the_layout_is_made_for_the_server_that_runs() -> None:
    like = with_runtimes(SK1, own(namespaced=True, like="kserve-sklearnserver"))
    with pytest.raises(PublishError, match="the server looks for one of"):
        choose_layout(WEIGHTS, like, "s")
    one = ModelFiles({"clf.joblib": 1, "b.txt": 1}, "")
    mlserver = with_runtimes(SK1, own(namespaced=True, like="kserve-mlserver"))
    assert choose_layout(one, mlserver, "s").name == "rename"
    named = Predictor("sklearn", "", "kserve-predictiveserver")
    scaled = ModelFiles(
        {"MLmodel": 1, "scaler.pkl": 1, "model.pkl": 1},
        "flavors: {python_function: {}, sklearn: {pickled_model: model.pkl}}",
    )
    assert choose_layout(scaled, named, "s").name == "select"


REFUSED = [
    ("another case", Predictor("vllm", "v2"), (), "did you mean `vLLM`"),
    ("a word that is near", Predictor("skleran"), (), "did you mean `sklearn`"),
    ("a setting", Predictor("catboost"), (), 'runtimes: {<its name>: {formats: ["catboost"]'),
    ("one's own format is near", Predictor("my-fromat"), (own(formats="my-format"),), "my-format"),
    ("what KServe does not install", Predictor("openvino"), (), "runtimes: {kserve-openvino: {}}"),
    ("a version", Predictor("sklearn", format_version="1.5"), (), "leave `version` out"),
    ("a version, declared", Predictor("sklearn", format_version="9"), (), '["sklearn:9"]'),
    ("a protocol", Predictor("mlflow"), (), "set `protocolVersion: v2`"),
    (
        "a protocol of one's own runtime",
        Predictor("x"),
        (own(formats="x", protocols=("v2",)),),
        "set `protocolVersion: v2`",
    ),
    (
        "a named one that is disabled",
        Predictor("sklearn", "", "ours"),
        (own(off="disabled"),),
        "enable it",
    ),
    (
        "a named one with other formats",
        Predictor("xgboost", "", "ours"),
        (own(),),
        "take one of its formats: sklearn 1",
    ),
    (
        "a named one with other protocols",
        Predictor("sklearn", "grpc-v2", "ours"),
        (own(),),
        "set one of these in the InferenceService: v1, v2",
    ),
    ("KServe's own, named", Predictor("xgboost", "", "kserve-predictiveserver", format_version="9"),
     (), "sklearn 1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("predictor", "runtimes", "hint"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_no_runtime_takes_is_refused_with_the_way_out(
    predictor: Predictor, runtimes: tuple[Runtime, ...], hint: str
) -> None:
    for check in (not_known, lambda each: check_loadable(WEIGHTS, each)):
        with pytest.raises(PublishError) as refused:
            check(with_runtimes(predictor, *runtimes))
        assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("predictor", "runtimes", "protocol"),
    [
        (Predictor("x"), (own(formats="x"),), "v1"),
        (Predictor("x"), (own(formats="x", protocols=("v2",)),), "v2"),
        (Predictor("x", runtime="ours"), (own(protocols=("grpc-v2", "v2")),), "v2"),
        (Predictor("mlflow"), (own(formats="mlflow", namespaced=True),), "v1"),
        (Predictor("huggingface", key="huggingface"), (), "v2"),
    ],
    ids=str,
)
def test_what_the_service_speaks(
    predictor: Predictor, runtimes: tuple[Runtime, ...], protocol: str
) -> None:
    assert spoken(with_runtimes(predictor, *runtimes)) == protocol
