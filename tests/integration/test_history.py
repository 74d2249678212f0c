"""why, history and audit over real Git, with nothing else: no MLflow, S3, service or token."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.git import clean_environment, git
from tests.support.past_world import LEAF, PastWorld, make_past_world


@pytest.fixture
def world(tmp_path: Path) -> PastWorld:
    return make_past_world(tmp_path)


def test_one_service_from_its_first_delivery_to_its_end(world: PastWorld) -> None:
    first = world.deliver("1")
    world.deliver("7", service="churn")
    second = world.deliver("2", before="1")
    found = world.why()
    assert found["stands"] == {"version": "2", "uri": "s3://models/fraud/v2/", "rollout": ""}
    change = found["change"]
    assert (change["commit"], change["change"]) == (second, "delivery")
    assert (change["run-id"], change["digest"], change["asked-by"]) == ("run2", "sha256:2", "ada")
    assert change["signed"] is False
    assert (found["earlier"]["commit"], found["hold"], found["drift"]) == (first, "", None)

    reverting = world.person.reverts(second)
    found = world.why()
    assert (found["change"]["change"], found["change"]["commit"]) == ("revert", reverting)
    assert found["change"]["undoes"] == second
    assert found["undone"]["commit"] == second
    assert second[:12] in found["hold"]

    pinned = world.pins("9")
    gone = world.manifests().remove_service("production", "fraud")
    retired = world.person.commits(gone, "Not needed any more")
    rows = world.changes()
    assert [row["commit"] for row in rows] == [retired, pinned, reverting, second, first]
    assert world.versions() == [
        ("hand edit", ""),
        ("hand edit", "9"),
        ("revert", "1"),
        ("delivery", "2"),
        ("delivery", "1"),
    ]
    assert [row["before"] and row["before"]["version"] for row in rows] == [
        "9",
        "1",
        "2",
        "1",
        None,
    ]
    assert world.why()["stands"] is None
    back = world.deliver("3")
    assert world.changes("--limit", "1")[0]["commit"] == back


def test_a_merge_is_when_it_reached_the_branch(world: PastWorld) -> None:
    world.deliver("1")
    world.person.updates()
    world.person.run("checkout", "--quiet", "-b", "side")
    files, message = world.delivery("2", before="1")
    world.person.run("checkout", "--quiet", "side")
    world.person._writes(files)
    world.person.run("add", "--all")
    world.person.run("commit", "--quiet", "-m", message, "--author", "Tool <tool@example.com>")
    made = world.person.run("rev-parse", "HEAD")
    world.person.updates()
    words = "Merge pull request #12 from team/side\n\nShip it\n\nReviewed-by: Rita <r@example.com>"
    world.person.run("merge", "--quiet", "--no-ff", "-m", words, "side")
    merge = world.person.pushes()
    change = world.why()["change"]
    assert (change["commit"], change["made"], change["change"]) == (merge, made, "delivery")
    assert change["author"] == "Tool <tool@example.com>"
    assert change["committer"] == "Grace <grace@example.com>"
    assert (change["pull-request"], change["approvers"]) == ("#12", ["Rita <r@example.com>"])


def test_trailers_that_do_not_fit_the_diff_are_passed_over(world: PastWorld) -> None:
    world.deliver("1")
    copied = git("log", "-1", "--format=%B", "main", cwd=world.bare)
    world.pins("5", copied)
    world.person.commits({"notes.md": "copied, and touches nothing"}, copied)
    found = world.why()
    assert (found["change"]["change"], found["change"]["run-id"]) == ("hand edit", "")
    assert "another change" in found["change"]["notes"][0]
    assert len(world.changes()) == 2


def test_a_rollback_names_what_it_undoes(world: PastWorld) -> None:
    world.deliver("1")
    bad = world.deliver("2", before="1")
    world.deliver("1", before="2", undoes=bad)
    found = world.why()
    assert (found["change"]["change"], found["undone"]["commit"]) == ("rollback", bad)
    assert found["hold"] == ""


def test_a_patch_that_moved_is_followed(world: PastWorld) -> None:
    first = world.deliver("1")
    world.person.updates()
    folder = "models/overlays/production/fraud"
    text = (world.person.folder / LEAF.format("fraud")).read_text()
    listing = (world.person.folder / folder / "kustomization.yaml").read_text()
    moved = listing.replace("model-version.yaml", "patch.yaml")
    world.person.commits(
        {
            LEAF.format("fraud"): None,
            f"{folder}/patch.yaml": text,
            f"{folder}/kustomization.yaml": moved,
        }
    )
    changed = text.replace('"1"', '"2"').replace("/v1/", "/v2/")
    second = world.person.commits({f"{folder}/patch.yaml": changed})
    assert [row["commit"] for row in world.changes()] == [second, first]


def test_manifests_that_were_broken_are_told(world: PastWorld) -> None:
    world.deliver("1")
    path = LEAF.format("fraud")
    good = (world.person.folder / path).read_text()
    world.person.commits({path: "a: [\n"}, "Break it")
    found = world.why()
    assert (found["stands"], bool(found["problem"])) == (None, True)
    world.person.commits({path: good}, "Mend it")
    rows = world.changes()
    assert [row["after"] and row["after"]["version"] for row in rows] == ["1", None, "1"]
    assert "before cannot be read" in rows[0]["notes"][0]


COMPONENT = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"


def test_a_kustomization_that_lists_more_concerns_whom_it_reaches(world: PastWorld) -> None:
    """A line that is added to a shared list is looked at only by the services that it reaches."""
    first = world.deliver("1")
    overlay = "models/overlays/production/kustomization.yaml"
    world.person.updates()
    text = (world.person.folder / overlay).read_text()
    patch = (world.person.folder / LEAF.format("fraud")).read_text().replace("v1", "v9")
    patch = patch.replace("/v9beta1", "/v1beta1").replace(".io/v9", ".io/v1").replace('"1"', '"9"')
    world.person.commits(
        {
            "models/components/none/kustomization.yaml": COMPONENT,
            "models/components/pin/kustomization.yaml": (
                f"{COMPONENT}patches:\n  - path: pin.yaml\n"
            ),
            "models/components/pin/pin.yaml": patch,
            overlay: f"{text}components:\n  - ../../components/none\n",
        }
    )
    world.deliver("1", service="churn")
    listed = (world.person.folder / overlay).read_text()
    assert "churn" in listed
    pinning = world.person.commits({overlay: f"{listed}  - ../../components/pin\n"}, "Pin all")
    assert world.why()["change"]["commit"] == pinning
    free = world.person.commits({overlay: listed}, "Unpin all")
    assert [row["commit"] for row in world.changes()] == [free, pinning, first]
    with sqlite3.connect(world.indexes[0]) as base:
        (rows,) = base.execute("SELECT count(*) FROM touched WHERE listed IS NOT NULL").fetchone()
    base.close()
    assert rows, "the commits that only added lines were seen as such"


def test_a_path_that_moved_in_the_settings_is_told(world: PastWorld) -> None:
    world.deliver("1")
    world.person.updates()
    moved: dict[str, str | None] = {}
    for name in world.person.run("ls-files", "models/overlays/production").splitlines():
        text = (world.person.folder / name).read_text()
        moved |= {name: None, name.replace("/production/", "/live/"): text}
    settings = (world.person.folder / "mlflow-gitops.yaml").read_text()
    moved["mlflow-gitops.yaml"] = settings.replace("overlays/production", "overlays/live")
    moving = world.person.commits(moved, "Move it")
    (row,) = world.changes()
    assert row["commit"] == moving
    assert "overlays/production" in row["notes"][0]


def test_a_value_that_a_rule_names_is_followed(world: PastWorld) -> None:
    settings = git("show", "main:mlflow-gitops.yaml", cwd=world.bare)
    rule = "values: [{file: 'charts/{service}/{environment}.yaml', path: model.uri}]"
    place = "    path: models/overlays/production\n"
    ruled = settings.replace(place, f"{place}    {rule}\n")
    assert ruled != settings
    world.person.commits({"mlflow-gitops.yaml": f"{ruled}\n"})
    chart = "charts/fraud/production.yaml"
    commits = [
        world.person.commits({chart: f"model: {{uri: s3://models/fraud/v{n}/}}\n"}) for n in (1, 2)
    ]
    world.person.commits({chart: "model: {uri: s3://models/fraud/v2/}\nreplicas: 2\n"})
    gone = world.person.commits({chart: None})
    rows = world.changes()
    assert [row["commit"] for row in rows] == [gone, *reversed(commits)]
    assert [row["after"] and row["after"]["version"] for row in rows] == [None, "2", "1"]
    others = {"mlflow-gitops.yaml": f"{settings}\n"}
    world.person.commits(others)
    assert world.run("why", "fraud", "-e", "production").exit_code == 1, "no rule, no service"


def test_what_ran_at_a_time(world: PastWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    for day, version in (("01", "1"), ("10", "2"), ("20", "3")):
        date = f"2026-11-{day}T12:00:00Z"
        monkeypatch.setitem(clean_environment.__globals__["AUTHOR"], "GIT_COMMITTER_DATE", date)
        world.deliver(version, before=str(int(version) - 1) if version != "1" else "")
    assert world.why("--at", "2026-11-10T11:59")["stands"]["version"] == "1"
    assert world.why("--at", "2026-11-10")["stands"]["version"] == "2"
    assert world.why("--at", "2026-11-19T00:00:00+01:00")["change"]["after"]["version"] == "2"
    assert world.why("--at", "2026-10-31")["stands"] is None
    assert world.why("--at", "2001-01-01")["stands"] is None
    words = ["--from", "2026-11-10", "--to", "2026-11-20", "-e", "production"]
    rows = world.json("audit", *words)["changes"]
    assert [row["after"]["version"] for row in rows] == ["3", "2"]
    table = list(csv.DictReader(io.StringIO(world.run("audit", *words, "--csv").stdout)))
    assert [(row["VERSION"], row["BEFORE"], row["APPROVERS"]) for row in table] == [
        ("3", "2", "unknown"),
        ("2", "1", "unknown"),
    ]
    assert (
        "Nothing changed."
        in world.run("audit", "--from", "2020-01-01", "--to", "2020-02-01").stdout
    )


def test_an_audit_tells_of_services_that_came_and_went(world: PastWorld) -> None:
    world.deliver("1", service="brief")
    gone = world.manifests().remove_service("production", "brief")
    world.person.commits(gone, "Not this one")
    rows = world.json("audit", "--from", "2000-01-01", "--to", "2100-01-01")["changes"]
    assert [(row["model"], row["after"] is None) for row in rows] == [
        ("brief", True),
        ("brief", False),
    ]


def test_a_branch_that_was_rewritten_is_read_again(world: PastWorld) -> None:
    first = world.deliver("1")
    world.deliver("2", before="1")
    assert len(world.changes()) == 2
    world.person.updates()
    world.person.run("reset", "--quiet", "--hard", first)
    world.person.run("push", "--quiet", "--force", "origin", "HEAD:main")
    third = world.deliver("3", before="1")
    assert [row["commit"] for row in world.changes()] == [third, first]
    assert [row["before"] and row["before"]["version"] for row in world.changes()] == ["1", None]


@pytest.mark.parametrize("harm", ["deleted", "garbage", "cut short", "another form"])
def test_the_index_can_be_lost_at_any_time(world: PastWorld, harm: str) -> None:
    world.deliver("1")
    world.deliver("2", before="1")
    whole = world.changes()
    assert world.indexes
    for index in world.indexes:
        if harm == "deleted":
            index.unlink()
        elif harm == "garbage":
            index.write_bytes(b"no database" * 1000)
        elif harm == "cut short":
            index.write_bytes(index.read_bytes()[:5000])
        else:
            base = sqlite3.connect(index)
            base.execute("PRAGMA user_version=99")
            base.close()
    assert world.changes() == whole
    assert world.changes() == whole


def test_an_index_that_is_damaged_inside_never_tells_half(world: PastWorld) -> None:
    world.deliver("1")
    world.deliver("2", before="1")
    whole = world.changes()
    with sqlite3.connect(world.indexes[0]) as base:
        base.execute("DROP TABLE touched")
    base.close()
    result = world.run("history", "fraud", "--json")
    assert result.exit_code == 1
    assert "run the command again" in result.stderr
    assert world.changes() == whole


def test_an_index_that_cannot_be_written_is_done_without(world: PastWorld) -> None:
    world.deliver("1")
    state = world.folder / "state"
    state.mkdir()
    (state / "history").write_text("a file where the folder should be")
    assert world.versions() == [("delivery", "1")]


def test_two_processes_and_one_that_is_killed_leave_a_sound_index(world: PastWorld) -> None:
    for number in range(1, 4):
        world.deliver(str(number), before=str(number - 1) if number > 1 else "")
    command = [sys.executable, "-m", "mlflow_gitops.cli", "history", "fraud", "--json"]
    env = {
        **os.environ,
        "MLFLOW_GITOPS_REPOSITORY": str(world.bare),
        "MLFLOW_GITOPS_STATE_DIR": str(world.folder / "state"),
    }
    running = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(3)
    ]
    running[0].send_signal(signal.SIGKILL)
    answers = [json.loads(each.communicate()[0] or "null") for each in running][1:]
    assert [len(answer["changes"]) for answer in answers] == [3, 3]
    assert len(world.changes()) == 3


def test_any_clone_will_do_also_one_with_a_work_tree(world: PastWorld) -> None:
    world.deliver("1")
    world.person.updates()
    result = world.run("why", "fraud", "-e", "production", repository=world.person.folder)
    assert result.exit_code == 0, result.output
    assert "  version       1" in result.stdout.splitlines()
    assert "  asked by      ada (claimed)" in result.stdout.splitlines()
    assert "  drift         unknown" in result.stdout.splitlines()


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["why", "frad"], "did you mean `fraud`?"),
        (["history", "nothing-like-it"], "Git never had a service"),
        (["why", "fraud", "-e", "prodution"], "did you mean `production`?"),
        (["why", "fraud", "--at", "yesterday"], "is no time"),
        (["audit", "--from", "2026-13-01", "--to", "2026-12-01"], "is no time"),
        (["audit", "--from", "2026-12-02", "--to", "2026-12-01"], "--to is before --from"),
    ],
)
def test_wrong_words_are_told(world: PastWorld, args: list[str], what: str) -> None:
    world.deliver("1")
    result = world.run(*args)
    assert result.exit_code == 1
    assert what in result.stderr


def test_a_hand_edit_on_a_service_with_odd_words_in_its_commit(world: PastWorld) -> None:
    world.deliver("1")
    world.pins(
        "2", "\x1b[31mred\n\nThis reverts commit 0123456789abcdef0123456789abcdef01234567.\n"
    )
    found = world.why()
    assert (found["change"]["change"], found["undone"]) == ("revert", None)
    assert "\x1b" not in world.run("why", "fraud").stdout
