"""Which files a build of one service is given, and what no build may do."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mlflow_gitops.errors import ManifestError, RenderError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.manifests.building import check_stands_alone
from mlflow_gitops.manifests.closure import Build
from tests.support.memory_tree import MemoryTree
from tests.unit.manifests.helpers import PREDICTOR, SPEC, environment, manifests, service

ENVIRONMENT = {
    "env/kustomization.yaml": "namespace: ml\nresources:\n- ../base\n- other.yaml # a neighbour\n"
    "components: [../comp]\nconfigMapGenerator:\n- name: c\n  files: [key=c.txt]\n"
    "patches:\n- path: p.yaml\n",
    "env/p.yaml": service("s3://old/"),
    "env/c.txt": "text",
    "env/other.yaml": service("s3://x/", name="other"),
    "env/README.md": "not read",
    "base/kustomization.yaml": "resources: [a.yaml]\n",
    "base/a.yaml": service(""),
    "comp/kustomization.yaml": "kind: Component\nopenapi: {path: schema.json}\n",
    "comp/schema.json": "{}",
    "elsewhere/kustomization.yaml": "resources: [b.yaml]\n",
    "elsewhere/b.yaml": service(name="b"),
}


def promoted(found: Manifests, name: str = "env") -> Build:
    return built_of(found, name, "svc", found.set_service(name, "svc", SPEC, PREDICTOR))


def built_of(found: Manifests, name: str, service: str, changes: Mapping[str, str | None]) -> Build:
    (build,) = found.closure(name, [service], changes).builds
    return build


def test_a_build_gets_what_its_kustomizations_name_before_and_after() -> None:
    built = promoted(manifests(ENVIRONMENT))
    unread = {"env/README.md", "elsewhere/kustomization.yaml", "elsewhere/b.yaml"}
    assert built.folder == "env"
    assert built.before == {p: text for p, text in ENVIRONMENT.items() if p not in unread}
    assert built.after == {**built.before, "env/p.yaml": service(SPEC.uri, '"13"')}


def test_of_a_large_environment_only_what_leads_to_the_service_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mlflow_gitops.manifests.closure.MOST_WHOLE", 1)
    built = promoted(manifests(ENVIRONMENT))
    assert built.before is not None
    assert "env/other.yaml" not in built.before
    assert "env/c.txt" in built.before
    assert "- ../base\ncomponents" in built.before["env/kustomization.yaml"]
    assert built.before.keys() == (built.after or {}).keys()


def test_of_a_long_list_the_service_is_kept_and_of_a_short_one_its_companions_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mlflow_gitops.manifests.closure.MOST_WHOLE", 1)
    names = [f"m{number}.yaml" for number in range(25)]
    files = {f"env/{name}": service(name=name.removesuffix(".yaml")) for name in names}
    kustomization = "env/kustomization.yaml"
    listed = "".join(f"- {name}\n" for name in names)

    def before(text: str) -> set[str]:
        found = manifests({**files, kustomization: text})
        built = built_of(found, "env", "m7", found.remove_service("env", "m7"))
        assert "env/m7.yaml" not in (built.after or {})
        return set(built.before or ())

    assert before(f"resources:\n{listed}") == {kustomization, "env/m7.yaml"}
    assert before(f"resources:\n{listed}".replace("m7.yaml", "'m7.yaml' # ours")) == {
        kustomization,
        "env/m7.yaml",
    }
    assert before("resources: [m6.yaml, m7.yaml]\n") == {
        kustomization,
        "env/m6.yaml",
        "env/m7.yaml",
    }
    with pytest.raises(RenderError, match="more than one entry on a line"):
        before(f"resources: [{', '.join(names)}]\n")


def test_a_folder_below_is_built_where_the_environment_itself_has_no_kustomization() -> None:
    files = {
        "env/one/kustomization.yaml": "resources: [a.yaml]\n",
        "env/one/a.yaml": service(),
        "env/two/kustomization.yaml": "resources: [b.yaml]\n",
        "env/two/b.yaml": service(name="b"),
    }
    built = promoted(manifests(files))
    assert built.folder == "env/one"
    assert built.before == {p: text for p, text in files.items() if "/one/" in p}


def test_nothing_builds_plain_manifests() -> None:
    found = manifests({"env/a.yaml": service()})
    closure = found.closure("env", ["svc"], {"env/a.yaml": service(SPEC.uri)})
    assert (closure.builds, closure.plain) == ((), ("env/a.yaml",))


def test_the_first_kustomization_of_an_environment_has_nothing_before() -> None:
    found = Manifests(
        MemoryTree({"base/kustomization.yaml": "resources: [a.yaml]\n", "base/a.yaml": service()}),
        {"env": environment("env")},
    )
    added = {"env/kustomization.yaml": "resources: [../base]\n"}
    built = built_of(found, "env", "svc", added)
    assert (built.folder, built.before) == ("env", None)
    assert built.after is not None
    assert built.after.keys() == {*added, "base/kustomization.yaml", "base/a.yaml"}


@pytest.mark.parametrize(
    "text",
    [
        "resources: [https://example.com/a.yaml]",
        "resources: ['HTTP://example.com/a.yaml']",
        "Resources: ['http:/127.0.0.1/a.yaml']",
        'resources: ["\\u0068ttp://127.0.0.1/a.yaml"]',
        "resources: ['git@example.com:a/b.git']",
        "resources: ['github.com/a/b?ref=main']",
        "resources: ['ssh://git@example.com/a/b']",
        "resources:\n- a.yaml\nresources:\n- http://127.0.0.1/a.yaml",
        "components: ['https://example.com/a//b?ref=v1']",
        "patches: [{path: 'http://127.0.0.1/p.yaml'}]",
        "patchesStrategicMerge: ['http://127.0.0.1/p.yaml']",
        "openapi: {path: 'https://example.com/schema.json'}",
        "configMapGenerator: [{name: c, files: ['key=http://127.0.0.1:8080/x']}]",
        "secretGenerator: [{name: c, envs: ['http://127.0.0.1:8080/x']}]",
        "commonLabels: &x {resources: ['http://127.0.0.1/a.yaml']}\n<<: *x",
        "resources: []\n---\nresources: ['http://127.0.0.1/a.yaml']",
    ],
)
def test_what_lies_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(RenderError, match="nothing is fetched") as refused:
        check_stands_alone({"env/Kustomization": text})
    assert refused.value.where == "env/Kustomization"


def test_an_address_is_told_without_its_secrets() -> None:
    text = "resources: ['https://dana:s3cret@git.example.com/a//b?ref=v1&token=t0ken']"
    with pytest.raises(RenderError, match=r"`https://git\.example\.com/a//b`") as refused:
        check_stands_alone({"kustomization.yaml": text})
    assert "s3cret" not in str(refused.value)
    assert "t0ken" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "resources: [../..]",
        "resources: ['../../../../etc']",
        "resources: ['./../../etc']",
        "configMapGenerator: [{name: c, files: ['key=../../x']}]",
    ],
)
def test_what_leads_out_of_the_repository_is_refused(text: str) -> None:
    with pytest.raises(RenderError, match="leads out of the repository"):
        check_stands_alone({"env/kustomization.yaml": text})
    check_stands_alone({"env/kustomization.yaml": "resources: [../base]\nnameSuffix: a..b"})


@pytest.mark.parametrize("field", ["helmCharts", "HelmGlobals", "helmChartInflationGenerator"])
def test_what_may_run_programs_is_refused(field: str) -> None:
    with pytest.raises(RenderError, match=f"`{field}` may run programs"):
        check_stands_alone({"kustomization.yml": f"{field}: [a.yaml]"})
    check_stands_alone({"kustomization.yml": f"{field}: []"})


BUILTIN = "apiVersion: builtin\nkind: NamespaceTransformer\nmetadata: {name: a}\nnamespace: ml\n"
PLUGINS = ["generators", "transformers", "validators"]


@pytest.mark.parametrize("field", [*PLUGINS, "Transformers"])
def test_builtin_plugins_are_let_in(field: str) -> None:
    check_stands_alone({"env/kustomization.yaml": f"{field}: []"})
    check_stands_alone({"env/kustomization.yaml": f"{field}:"})
    inline = "".join(f"    {line}\n" for line in BUILTIN.splitlines())
    check_stands_alone({"env/kustomization.yaml": f"{field}:\n  - |\n{inline}"})
    check_stands_alone({"env/kustomization.yaml": f"{field}: [a.yaml]", "env/a.yaml": BUILTIN})
    check_stands_alone(
        {
            "env/kustomization.yaml": f"{field}: [more]",
            "env/more/kustomization.yaml": "resources: [a.yaml]",
            "env/more/a.yaml": f"---\n{BUILTIN}---\n{BUILTIN}",
        }
    )


REFUSED = {
    "another kind of plugin": BUILTIN.replace("builtin", "example.com/v1"),
    "no version": "kind: NamespaceTransformer\nmetadata: {name: a}\n",
    "a second document": f"{BUILTIN}---\napiVersion: v1\nkind: Other\n",
    "a list": "apiVersion: v1\nkind: List\nitems: []\n",
    "a function that executes": BUILTIN.replace(
        "name: a", "name: a, annotations: {config.kubernetes.io/function: 'exec: {path: ./x}'}"
    ),
    "a container": BUILTIN.replace(
        "name: a", "name: a, annotations: {config.k8s.io/function: 'container: {image: x}'}"
    ),
    "starlark": BUILTIN.replace(
        "metadata: {name: a}",
        "x: &x {annotations: {config.kubernetes.io/function: 'starlark: {path: x}'}}\n"
        "metadata: {name: a, <<: *x}",
    ),
    "the older form of a function": BUILTIN.replace("name: a", "name: a, configFn: {a: b}"),
    "a chart": "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: a}\n",
    "the older kind of a chart": "apiVersion: builtin\nkind: ChartInflator\nmetadata: {name: a}\n",
    "a file of the network": f"{BUILTIN}path: http://127.0.0.1/p.yaml\n",
    "a file out of the repository": f"{BUILTIN}path: ../../p.yaml\n",
    "a file of the machine": f"{BUILTIN}files: [x=/etc/passwd]\n",
    "no YAML": "a: [",
    "a text": "just a text",
}


@pytest.mark.parametrize("field", PLUGINS)
@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_other_plugins_are_refused(text: str, field: str) -> None:
    with pytest.raises((RenderError, ManifestError)) as refused:
        check_stands_alone({"env/kustomization.yaml": f"{field}: [a.yaml]", "env/a.yaml": text})
    assert refused.value.where in ("env/a.yaml", "env/kustomization.yaml")
    inline = "".join(f"    {line}\n" for line in text.splitlines())
    with pytest.raises(RenderError):
        check_stands_alone({"env/kustomization.yaml": f"{field}:\n  - |\n{inline}"})


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"env/more/kustomization.yaml": "resources: [a.yaml]\npatches: [{path: a.yaml}]"},
        {"env/more/kustomization.yaml": "resources: [../more]"},
        {"env/more/kustomization.yaml": "resources: [b.yaml]"},
        {"env/more/kustomization.yaml": "resources: [a.yaml, a.yaml]"},
        {"env/more/kustomization.yaml": "namePrefix: x"},
    ],
    ids=["nowhere", "a patch", "a circle", "a missing file", "twice", "a change"],
)
def test_folders_of_plugins_list_files_only(files: dict[str, str]) -> None:
    with pytest.raises(RenderError):
        check_stands_alone(
            {
                "env/kustomization.yaml": "transformers: [more]",
                "env/more/a.yaml": BUILTIN,
                **files,
            }
        )


@pytest.mark.parametrize(
    "reference",
    [
        "ssh://-oProxyCommand=touch x/repo",
        "git::ext::sh -c touch% x",
        "ext::sh -c touch% x",
        "github.com/o/r?ref=--upload-pack=x",
        "dana@git.example.com:o/r",
        "gh:o/r",
        "file:///etc/x",
        "FILE:///etc/x",
        "s3::https://example.com/x",
        "https://example.com/x",
    ],
)
def test_no_reference_makes_git_or_anything_else_run(reference: str) -> None:
    for field in ("resources", "bases", "components", *PLUGINS):
        with pytest.raises(RenderError, match="nothing is fetched"):
            check_stands_alone({"env/kustomization.yaml": f"{field}: ['{reference}']"})


def test_no_folder_of_this_machine_is_a_base() -> None:
    with pytest.raises(RenderError, match="leads out of the repository"):
        check_stands_alone({"env/kustomization.yaml": "resources: [/srv/other]"})
    check_stands_alone({"env/kustomization.yaml": "replacements: [{options: {delimiter: /}}]"})


def test_addresses_that_are_only_text_are_not_refused() -> None:
    check_stands_alone(
        {
            "env/kustomization.yaml": "commonAnnotations: {docs: 'https://example.com'}\n"
            "configMapGenerator: [{name: c, literals: ['URL=https://example.com']}]\n"
            "patches: [{patch: 'a: http://example.com', target: {kind: A}}]\n",
            "env/a.yaml": "resources: [https://example.com/a]",
        }
    )
