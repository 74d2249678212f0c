"""What `revisions` shows, and what `prune` keeps: everything that anything points to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_gitops.errors import TransientError
from mlflow_gitops.planning.kept import Shelved
from mlflow_gitops.planning.pruning import choose, mentioned
from mlflow_gitops.planning.revision_manifest import (
    Claim,
    File,
    Manifest,
    claim_text,
    manifest_text,
)
from mlflow_gitops.planning.revisions import published
from mlflow_gitops.state import (
    Environment,
    Identity,
    ModelVersion,
    Selector,
    ServiceSpec,
    Settings,
    Snapshot,
)
from tests.support.memory_session import Parts

URI = "s3://models/fraud/v1/"
IDENTITY = Identity(1_700_000_000_000, "run-1", "m-1")
CLAIM = Claim(URI, "fraud", "1", "1", IDENTITY, "as-is", "s3://runs/1/model")
MANIFEST = Manifest(CLAIM, (File("m", 1, "0" * 64),), "2026-01-01T00:00:00.000Z", "test")
SEALED = Shelved(
    *(URI, claim_text(CLAIM).encode(), manifest_text(MANIFEST).encode()),
    *(1, 1, "2026-01-01T00:00:00.000Z"),
)
SINCE = "2026-10-24T10:00:00.000Z"
PRODUCTION = Environment("production", Selector("alias", "champion"), "production")
TAGGED = Environment("staging", Selector("tag", "track", "staging"), "staging")
SETTINGS = Settings({"production": PRODUCTION, "staging": TAGGED}, "models")
VERSION = ModelVersion("fraud", "1", IDENTITY)
PENDING = (
    '{"id": "r", "version": "1", "action": "deploy", "time": "2026-11-01T00:00:00.000Z",'
    ' "pending": true}'
)


def snapshot(**changes: object) -> Snapshot:
    return Snapshot("fraud", (replace(VERSION, **changes),))  # type: ignore[arg-type]


def decided(
    shelved: Shelved = SEALED,
    *,
    specs: dict[str, ServiceSpec] | None = None,
    registry: Snapshot | None = snapshot(),  # noqa: B008 - frozen
    mentions: tuple[str, ...] = (),
) -> tuple[bool, str]:
    found = published(shelved, specs or {}, registry, SETTINGS)
    choice = choose(found, mentions, registry, since=SINCE)
    return choice.keep, choice.why


OTHERS = manifest_text(replace(MANIFEST, claim=replace(CLAIM, model="churn"))).encode()
AWAY = Snapshot("fraud", (replace(VERSION, identity=Identity(5)),))
CANARY = ServiceSpec("s3://models/fraud/v2/", "2", f"canary {URI} 10%")
KEPT: dict[str, tuple[Callable[[], tuple[bool, str]], str]] = {
    "environment": (lambda: decided(specs={"staging": ServiceSpec(URI, "1")}), "staging (Git)"),
    "canary": (lambda: decided(specs={"staging": CANARY}), "staging (Git)"),
    "stage": (lambda: decided(registry=snapshot(stage="Staging")), "stage Staging"),
    "alias": (lambda: decided(registry=snapshot(aliases=("any",))), "alias any"),
    "tag": (lambda: decided(registry=snapshot(tags={"track": "staging"})), "tag track=staging"),
    "request": (
        lambda: decided(registry=snapshot(tags={"gitops.request.production": PENDING})),
        "a request for production",
    ),
    "a branch": (lambda: decided(mentions=("branch main",)), "Git names it: branch main"),
    "no manifest to be read": (lambda: decided(replace(SEALED, manifest=b"{")), "unknown"),
    "no claim to be read": (
        lambda: decided(replace(SEALED, manifest=None, claim=b"\xff")),
        "unknown",
    ),
    "of another path": (
        lambda: decided(replace(SEALED, uri="s3://models/fraud/v3/")),
        "another path",
    ),
    "of another model": (
        lambda: decided(replace(SEALED, manifest=OTHERS), registry=AWAY),
        "of another model, churn",
    ),
    "no such model": (lambda: decided(registry=None), "the registry has no such model"),
    "young": (lambda: decided(replace(SEALED, changed="2026-11-01T00:00:00.000Z")), "2026-11-01"),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_is_pointed_to_or_unknown_is_kept(case: str) -> None:
    decide, words = KEPT[case]
    keep, why = decide()
    assert keep
    assert words in why


@pytest.mark.parametrize(
    ("shelved", "words"),
    [(SEALED, "nothing points to it"), (replace(SEALED, manifest=None), "never sealed")],
)
def test_the_rest_goes(shelved: Shelved, words: str) -> None:
    keep, why = decided(shelved, registry=snapshot(stage="Archived"))
    assert not keep
    assert words in why
    assert decided(shelved, registry=Snapshot("fraud", ()))[0] is False


@given(
    specs=st.dictionaries(st.sampled_from(["production", "staging"]), st.sampled_from("12")),
    stage=st.sampled_from(["None", "Archived", "Staging", "Production", "production"]),
    aliases=st.sets(st.sampled_from(["champion", "old"])),
    mentions=st.lists(st.just("branch x"), max_size=1),
    document=st.sampled_from([SEALED.manifest, None, b"", b"{"]),
    changed=st.sampled_from(["2026-01-01T00:00:00.000Z", SINCE, "2026-11-01T00:00:00.000Z"]),
)
def test_nothing_that_is_pointed_to_is_ever_removed(
    specs: dict[str, str],
    stage: str,
    aliases: set[str],
    mentions: list[str],
    document: bytes | None,
    changed: str,
) -> None:
    standing = {name: ServiceSpec(f"s3://models/fraud/v{v}/", v) for name, v in specs.items()}
    keep, _ = decided(
        replace(SEALED, manifest=document, changed=changed),
        specs=standing,
        registry=snapshot(stage=stage, aliases=tuple(sorted(aliases))),
        mentions=tuple(mentions),
    )
    pointed = "1" in specs.values() or bool(aliases) or bool(mentions) or changed >= SINCE
    pointed |= stage.lower() in ("staging", "production")
    assert keep >= pointed


@pytest.mark.parametrize(
    ("line", "is_named"),
    [
        (f"storageUri: {URI}", True),
        ('  "uri": "s3://models/fraud/v1"', True),
        ("path: fraud/v1", True),
        ("# was s3://models/fraud/v1.", True),
        ("s3://models/fraud/v10/", False),
        ("s3://models/fraud/v1-native/", False),
        ("s3://models/anti-fraud/v1/", False),
        ("s3://models/fraud/v1/model.pkl", True),
        ("s3://a/fraud/v1/ s3://a/churn/v2/", True),
        ("fraud v1", False),
    ],
)
def test_a_line_names_a_revision_by_its_path(line: str, is_named: bool) -> None:
    found = mentioned([URI], [(line, "branch main")])
    assert found == {URI: ("branch main",) if is_named else ()}


# The commands


@pytest.fixture
def parts() -> Parts:
    """Version 1 was served long ago, 2 is now; 3 was published by somebody and never asked for."""
    made = Parts()
    for _ in range(3):
        made.register("fraud")
    reconciler = made.session().reconciler
    for number in "312":
        made.registry.transition("fraud", number, "Production")
        reconciler.reconcile("fraud")
        made.registry.transition("fraud", number, "Archived")
    made.registry.transition("fraud", "2", "Production")
    made.time = "2027-11-23T10:00:00.000Z"
    return made


def test_revisions_are_listed_with_who_uses_them(parts: Parts) -> None:
    result = parts.cli("revisions", "fraud", environ={"MLFLOW_TRACKING_URI": "http://x"})
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert rows["v2"].endswith("production (Git), stage Production")
    assert rows["v1"].endswith("-")
    assert rows["3"].startswith("3 revisions, 6 files, ")
    found = json.loads(parts.cli("revisions", "fraud", "--json").stdout)
    assert found["files"] == 6
    assert [each["used-by"] for each in found["revisions"]] == [[], ["production (Git)"], []]


def test_an_unfinished_and_a_damaged_one_are_listed_as_such(parts: Parts) -> None:
    del parts.store.objects["s3://models/fraud/_manifests/v1.json"]
    parts.store.objects["s3://models/fraud/_manifests/v3.json"] = b"\xff"
    text = parts.cli("revisions", "fraud").stdout
    assert "3 revisions (1 unfinished, 1 damaged)" in text
    assert "no UTF-8" in text
    parts.registry.failure = TransientError("it is down")
    down = parts.cli("revisions", "fraud", environ={"MLFLOW_TRACKING_URI": "http://x"})
    assert (down.exit_code, "cannot be asked: it is down" in down.stderr) == (0, True)


def test_a_plan_removes_nothing_and_yes_only_what_it_named(parts: Parts) -> None:
    before = parts.written()
    plan = parts.cli("prune", "--plan")
    assert plan.exit_code == 0, plan.output
    assert "2 of 3 revisions would be removed: 4 files" in plan.stdout
    assert parts.written() == before
    done = parts.cli("prune", "fraud", "--yes")
    assert "2 of 3 revisions removed" in done.stdout
    assert {uri.split("/")[-2] for uri in parts.store.objects} == {"v2", "_manifests"}
    assert parts.cli("verify", "fraud").exit_code == 0
    assert "0 of 1 revisions removed" in parts.cli("prune", "--yes").stdout


def test_what_git_named_lately_stays_for_a_revert(parts: Parts) -> None:
    plan = json.loads(parts.cli("prune", "--plan", "--days", "36500", "--json").stdout)
    assert [each["keep"] for each in plan["revisions"]] == [True] * 3
    parts.repository.person_commits({"x": "s3://models/fraud/v3/"}, branch="someone")
    plan = json.loads(parts.cli("prune", "--plan", "--json").stdout)
    whys = {each["version"]: each["why"] for each in plan["revisions"]}
    assert whys["3"] == "Git names it: branch someone"
    assert plan["removed"] is False


def test_nothing_is_removed_where_something_cannot_be_read(parts: Parts) -> None:
    before = dict(parts.store.objects)
    assert "say either --plan or --yes" in parts.cli("prune").stderr
    parts.registry.failure = TransientError("it is down")
    assert parts.cli("prune", "--yes").exit_code == 1
    parts.registry.failure = None
    parts.repository.fail_next_fetch = TransientError("Git is down")
    assert parts.cli("prune", "--yes").exit_code == 1
    parts.repository.person_commits(
        {"models/overlays/production/fraud/model-version.yaml": "{broken"}
    )
    assert parts.cli("prune", "--yes").exit_code == 1
    assert parts.store.objects == before
