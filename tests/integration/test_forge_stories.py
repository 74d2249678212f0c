"""What becomes of an open pull request while people and forges work on it.

Each forge's adapter over HTTP, the whole way through the reconciler, on real Git. The registry and
the bucket are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlflow_gitops.adapters.repository import GitRepository
from mlflow_gitops.errors import TransientError
from mlflow_gitops.observe import Observer
from mlflow_gitops.planning.records import status_of
from mlflow_gitops.ports import Repository
from mlflow_gitops.pull_requests import WITHDRAWN, PullRequest
from mlflow_gitops.reconcile import Reconciler
from mlflow_gitops.runs import RunFacts
from mlflow_gitops.state import State
from tests.integration.test_forges import LOCAL, SERVERS
from tests.support.forge_host import BRANCH, LocalForge, Update, opened
from tests.support.git import git, make_bare
from tests.support.github_server import GitHubServer
from tests.support.gitlab_server import GitLabServer
from tests.support.memory_registry import MemoryRegistry
from tests.support.memory_session import FILES, ROOT, TIME
from tests.support.memory_store import MemoryArtifactStore

MODEL = "fraud-detector"
PATH = f"production/{MODEL}.yaml"
SETTINGS = """artifacts: {bucket: models}
environments:
  production:
    select: {stage: Production}
    path: production
    delivery: pull-request
    pull-request: {labels: [ml], reviewers: [rita]}
    gates: {metrics: {accuracy: {min: 0.9}}}
"""
SERVICE = """apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: NAME
  labels:
    model-version: "1"
spec:
  predictor:
    model:
      modelFormat:
        name: mlflow
      protocolVersion: v2
      storageUri: s3://models/NAME/v1/
"""
MOST_READS = {"github": 3, "gitlab": 3, "gitea": 3, "azure-devops": 6, "bitbucket-cloud": 4}
MOST_READS["bitbucket-data-center"] = 4
MOST_READS_APPROVED = {**MOST_READS, "gitlab": 4, "azure-devops": 8, "bitbucket-cloud": 5}
MOST_READS_APPROVED["bitbucket-data-center"] = 5
PASSED = dict.fromkeys(("artifact", "runtime", "signature", "metrics"), "success")
FAILED = {**PASSED, "metrics": "failure"}


@dataclass
class Story:
    """A forge with a repository, and the tool. Version 2 of each model is proposed at the start;
    its accuracy is not good enough.
    """

    host: LocalForge
    folder: Path
    registry: MemoryRegistry
    store: MemoryArtifactStore

    def __post_init__(self) -> None:
        self.starts()

    def starts(self) -> None:
        """The tool's process, once more where another one ended."""
        repository, self.forge = self.repository(), opened(self.host)
        observer = Observer(
            self.registry, repository, lambda: TIME, open_forge=lambda _: self.forge
        )
        self.reconciler = Reconciler(observer, self.store, pause=lambda _: None, threads=1)

    def repository(self) -> Repository:
        return GitRepository(str(self.host.bare), self.folder)

    def register(self, model: str = MODEL) -> str:
        source = f"{ROOT}0/{model}/{len(self.store.sources)}"
        self.store.sources[source] = FILES
        return self.registry.create_version(model, source=source)

    def asks(self, number: str, model: str = MODEL) -> None:
        for version in self.registry.snapshot(model).versions:
            if version.stage == "Production":
                self.registry.transition(model, version.number, "Archived")
        self.registry.transition(model, number, "Production")

    def look(self, model: str = MODEL) -> State:
        (outcome,) = self.reconciler.reconcile(model)
        assert outcome.error is None, outcome.error
        return outcome.state

    def measured(self, accuracy: float) -> None:
        self.registry.runs[""] = RunFacts(metrics={"accuracy": accuracy})

    def pull(self, number: int = 1) -> PullRequest:
        return self.forge.get(number)

    def verdicts(self, commit: str) -> dict[str, str]:
        found = {each.name: each.verdict for each in self.host.statuses(commit)}
        return {name.removeprefix("mlflow-gitops/"): verdict for name, verdict in found.items()}

    def message(self, number: str) -> str:
        version = self.registry.snapshot(MODEL).version(number)
        status = status_of(version, "production") if version else None
        return status.message if status else ""

    def writes(self) -> int:
        return sum(not each.startswith("GET") for each in self.host.seen)


@pytest.fixture(params=LOCAL)
def story(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Story]:
    monkeypatch.setattr("mlflow_gitops.adapters.forge.gitea.BETWEEN", 0.0)
    monkeypatch.setattr("mlflow_gitops.adapters.forge.github_client.WRITES_APART", None)
    files = {"mlflow-gitops.yaml": SETTINGS, PATH: SERVICE.replace("NAME", MODEL)}
    files["production/churn.yaml"] = SERVICE.replace("NAME", "churn")
    bare = make_bare(tmp_path / "ml" / "manifests.git", files)
    with SERVERS[request.param](bare, tmp_path / "people") as host:
        made = Story(host, tmp_path / "state", MemoryRegistry(), MemoryArtifactStore())
        made.measured(0.85)
        for _ in range(3):
            made.register()
        made.asks("2")
        assert made.look() is State.PROPOSED
        yield made


UPDATES = pytest.mark.parametrize("how", ["merge", "rebase"])


@UPDATES
def test_an_updated_branch_goes_on_as_ours(story: Story, how: Update) -> None:
    """Statuses at the first pass, the text at a later one, and version 3 in the same one."""
    host = story.host
    host.person("main").commits({"docs/x.md": "x"})
    head = host.update_branch(1, how)
    assert story.look() is State.PROPOSED
    assert story.verdicts(head) == FAILED
    story.measured(0.97)
    story.look()
    assert story.verdicts(head) == PASSED
    assert "0.97" in story.pull().body
    before = story.writes()
    story.look()
    assert story.writes() == before
    host.say(1, "looks good")
    story.asks("3")
    assert story.look() is State.PROPOSED
    pull = story.pull()
    assert (pull.state, pull.title) == ("open", f"production: {MODEL} v1 -> v3")
    assert WITHDRAWN not in pull.labels
    assert host.comments(1) == ["looks good"]
    assert story.verdicts(pull.head) == PASSED
    log = git("log", "--format=%s", f"main..{BRANCH}", cwd=host.bare)
    assert log == f"production: {MODEL} v1 -> v3"


def test_a_branch_that_is_updated_again_and_again_is_ours(story: Story) -> None:
    host = story.host
    for number, how in enumerate(("merge", "merge", "rebase", "merge"), 1):
        host.person("main").commits({f"docs/{number}.md": "x"})
        head = host.update_branch(1, how)  # type: ignore[arg-type]
    story.look()
    assert story.verdicts(head) == FAILED
    assert host.head(BRANCH) == head
    story.asks("3")
    story.look()
    assert story.pull().title.endswith("v1 -> v3")
    assert story.pull().state == "open"


@UPDATES
def test_an_update_after_the_base_changed_the_same_file_is_ours(story: Story, how: Update) -> None:
    text = SERVICE.replace("NAME", MODEL).replace("kind:", "# owned by risk\nkind:")
    story.host.person("main").commits({PATH: text})
    head = story.host.update_branch(1, how)
    story.look()
    assert story.verdicts(head) == FAILED
    story.asks("3")
    story.look()
    assert story.pull().state == "open"
    assert "# owned by risk" in git("show", f"{BRANCH}:{PATH}", cwd=story.host.bare)


def added(host: LocalForge) -> str:
    return host.person(BRANCH).commits({"note.txt": "mine\n"})


def added_and_updated(host: LocalForge) -> str:
    added(host)
    host.person("main").commits({"docs/x.md": "x"})
    return host.update_branch(1)


def merged_by_hand(host: LocalForge) -> str:
    host.person("main").commits({"docs/x.md": "x"})
    return host.person(BRANCH).merges("main", {"note.txt": "mine\n"})


def merged_another(host: LocalForge) -> str:
    git("branch", "feature", "main", cwd=host.bare)
    host.person("feature").commits({"feature.txt": "theirs\n"})
    return host.person(BRANCH).merges("feature")


def amended(host: LocalForge) -> str:
    text = git("show", f"{BRANCH}:{PATH}", cwd=host.bare)
    return host.person(BRANCH).amends({PATH: f"{text}\n# mine\n"})


def corrected(host: LocalForge) -> str:
    """In our file, as a suggestion that a person commits on the forge's page."""
    text = git("show", f"{BRANCH}:{PATH}", cwd=host.bare)
    return host.person(BRANCH).commits({PATH: text.replace("/v2/", "/v2-fixed/")}, "Apply")


def rebased_and_more(host: LocalForge) -> str:
    added(host)
    host.person("main").commits({"docs/x.md": "x"})
    return host.update_branch(1, "rebase")


WORK = [
    *(added, added_and_updated, merged_by_hand, merged_another, amended, corrected),
    rebased_and_more,
]


@pytest.mark.parametrize("work", WORK)
def test_a_persons_work_on_the_branch_is_told_and_kept(
    story: Story, work: Callable[[LocalForge], str]
) -> None:
    head = work(story.host)
    assert story.look() is State.PROPOSED
    assert set(story.verdicts(head).values()) == {"failure"}
    assert "take it off the branch, or ask for the version again" in story.message("2")
    assert story.host.head(BRANCH) == head
    story.asks("3")
    story.look()
    old, new = story.pull(1), story.pull(2)
    assert (old.state, old.is_rejected, new.state) == ("closed", False, "open")
    assert git("branch", "--format=%(refname:short)", "--contains", head, cwd=story.host.bare) == (
        f"mlflow-gitops/_kept/production/{MODEL}/{head[:12]}"
    )
    assert "_kept" in story.host.comments(1)[0]


def test_a_conflict_that_is_resolved_to_our_content_is_ours(story: Story) -> None:
    ours = git("show", f"{BRANCH}:{PATH}", cwd=story.host.bare)
    text = SERVICE.replace("NAME", MODEL)
    near = "# the files\n      storageUri: "
    story.host.person("main").commits({PATH: text.replace("storageUri: ", near)})
    theirs = ours.replace("storageUri: ", near) + "\n"
    head = story.host.person(BRANCH).merges("main", {PATH: theirs})
    story.look()
    assert story.verdicts(head) == FAILED
    story.asks("3")
    story.look()
    assert story.pull().state == "open"


def test_an_approved_one_survives_a_forge_that_still_looks_or_is_wrong(story: Story) -> None:
    host = story.host
    host.approve(1)
    host.person("main").commits({"docs/x.md": "x"})
    head = host.head(BRANCH)
    for lags, is_wrong in ((9, False), (0, True)):
        host.lags, host.is_wrong = lags, is_wrong
        assert story.look() is State.PROPOSED
    host.lags, host.is_wrong = 0, False
    assert (story.pull().state, host.head(BRANCH)) == ("open", head)
    assert story.pull().is_approved


def test_an_approved_one_keeps_its_commit_when_it_is_asked_for_again(story: Story) -> None:
    """A push would only change who asked, and when, and take the approval away."""
    host, head = story.host, story.host.head(BRANCH)
    host.approve(1)
    story.registry.transition(MODEL, "2", "Archived")
    assert story.look() is State.UNSELECTED
    host.person("main").commits({"docs/x.md": "x"})
    story.asks("2")
    assert story.look() is State.PROPOSED
    pull = story.pull()
    assert (pull.state, pull.is_approved, host.head(BRANCH)) == ("open", True, head)
    before = story.writes()
    story.look()
    assert story.writes() == before


def test_an_approval_between_a_crash_and_the_next_look_stays(story: Story) -> None:
    """The branch was pushed with version 3, and the text is still that of version 2."""
    host = story.host
    host.write_answers.append((502, {}, ""))
    story.asks("3")
    (outcome,) = story.reconciler.reconcile(MODEL)
    assert isinstance(outcome.error, TransientError)
    head = host.head(BRANCH)
    host.approve(1)
    story.starts()
    assert story.look() is State.PROPOSED
    pull = story.pull()
    assert (pull.head, pull.is_approved, pull.title[-8:]) == (head, True, "v1 -> v3")
    assert story.verdicts(head) == FAILED


def test_an_approved_one_in_conflict_is_made_again_in_place(story: Story) -> None:
    """The base changed a line beside ours, twice: the edit is the same, and so is the pull request,
    which goes on from the head that was approved.
    """
    host = story.host
    host.approve(1)
    text = SERVICE.replace("NAME", MODEL)
    for words in ("# the files", "# all of the files"):
        near = text.replace("storageUri: ", f"{words}\n      storageUri: ")
        reviewed, base = host.head(BRANCH), host.person("main").commits({PATH: near})
        assert not story.pull().mergeable
        story.look()
        pull = story.pull()
        assert pull.state == "open"
        assert pull.mergeable or not host.tells_conflicts
        assert [each.by for each in pull.approvals] == ["rita"]
        assert git("rev-parse", f"{BRANCH}^1", f"{BRANCH}^2", cwd=host.bare).split() == [
            base,
            reviewed,
        ]
        assert "conflicted with main" in git("log", "-1", "--format=%b", BRANCH, cwd=host.bare)
        assert story.verdicts(pull.head) == FAILED
        changed = git("diff", "--shortstat", base, BRANCH, cwd=host.bare)
        assert changed == "1 file changed, 2 insertions(+), 2 deletions(-)"
    before = story.writes()
    story.look()
    assert story.writes() == before


def test_an_approved_one_is_withdrawn_where_the_edit_became_another(story: Story) -> None:
    host = story.host
    host.approve(1)
    text = SERVICE.replace("NAME", MODEL).replace("/v1/", "/elsewhere/v1/")
    host.person("main").commits({PATH: text})
    story.look()
    assert WITHDRAWN in story.pull(1).labels
    assert story.pull(2).state == "open"


def test_each_look_adds_what_is_missing(story: Story) -> None:
    """The tool was killed before the labels, reviewers and statuses; the settings ask for more."""
    more = SETTINGS.replace("[ml]", "[ml, risk]").replace("[rita]", "[rita, raj]")
    story.host.person("main").commits({"mlflow-gitops.yaml": more})
    story.look()
    assert set(story.pull().labels) == {"ml", "risk"}
    assert set(story.host.reviewers(1)) == {"rita", "raj"}
    before = story.writes()
    story.look()
    assert story.writes() == before


def test_what_people_took_away_is_there_again(story: Story) -> None:
    """Also the numbers that a reviewer decides by, where somebody improved them."""
    host, whole, reviewers = story.host, story.pull(), story.host.reviewers(1)
    for body in (whole.body.replace("0.85", "0.95"), ""):
        host.rewrite(1, title="fix typo", body=body)
        host.unlabel(1, "ml")
        host.unask(1, "rita")
        story.look()
        found = story.pull()
        assert (found.title, found.body, found.labels) == (whole.title, whole.body, whole.labels)
        assert host.reviewers(1) == reviewers
    before = story.writes()
    story.look()
    assert story.writes() == before


def test_what_people_added_stays(story: Story) -> None:
    host, pull = story.host, story.pull()
    title, body = f"Draft: {pull.title} (ML-7)", f"Rita: on it\r\n\r\n{pull.body}\r\n"
    host.rewrite(1, title=title, body=body.replace("\n", "\r\n"))
    host.label(1, "urgent")
    before, changed = story.writes(), story.pull()
    story.look()
    assert story.writes() == before
    assert (changed.title, changed.body) == (story.pull().title, story.pull().body)


def test_a_look_at_one_that_is_as_it_should_be_only_reads(story: Story) -> None:
    """Also where somebody cannot be asked for a review: that is found out once. GitLab and others
    are asked for more once it is approved: which commit that was.
    """
    more = SETTINGS.replace("[rita]", "[rita, nobody]")
    story.host.person("main").commits({"mlflow-gitops.yaml": more})
    story.look()
    for is_approved in (False, True):
        before = len(story.host.seen)
        story.look()
        calls = story.host.seen[before:]
        assert {each.partition(" ")[0] for each in calls} == {"GET"}, calls
        assert len(calls) <= (MOST_READS_APPROVED if is_approved else MOST_READS)[story.host.kind]
        story.host.approve(1)


def test_the_checks_are_set_also_where_the_labels_cannot_be(story: Story) -> None:
    story.host.unlabel(1, "ml")
    story.host.person("main").commits({"docs/x.md": "x"})
    head = story.host.update_branch(1)
    story.host.write_answers.append((403, {}, '{"message": "no right to label"}'))
    assert story.look() is State.PROPOSED
    assert story.verdicts(head) == FAILED
    assert "could not be brought up to date: the forge does not allow it" in story.message("2")
    story.look()
    assert story.pull().labels == ("ml",)
    assert "brought up to date" not in story.message("2")


def test_one_that_is_merged_when_its_checks_succeed(story: Story) -> None:
    """It then has the text that goes with the checks."""
    host = story.host
    host.required = [f"mlflow-gitops/{name}" for name in PASSED]
    host.green.add(1)
    story.look()
    assert story.pull().state == "open"
    host.person("main").commits({"docs/x.md": "x"})
    host.update_branch(1)
    story.measured(0.97)
    story.look()
    pull = story.pull()
    assert pull.state == "merged"
    assert "0.97" in pull.body
    assert story.look() is State.COMMITTED
    assert 'model-version: "2"' in git("show", f"main:{PATH}", cwd=host.bare)


ON_GITHUB = pytest.mark.parametrize("story", [LOCAL[0]], indirect=True)
ON_GITLAB = pytest.mark.parametrize("story", [LOCAL[1]], indirect=True)


@ON_GITHUB
def test_a_merge_queue_gets_the_verdicts(story: Story) -> None:
    assert isinstance(story.host, GitHubServer)
    group = story.host.queue(1)
    story.look()
    assert story.verdicts(group) == FAILED
    story.measured(0.97)
    story.look()
    assert story.verdicts(group) == PASSED


@ON_GITHUB
def test_a_group_of_two_gets_the_worst(story: Story) -> None:
    assert isinstance(story.host, GitHubServer)
    story.measured(0.97)
    story.look()
    story.register("churn")
    second = story.register("churn")
    story.asks(second, "churn")
    story.look("churn")
    group = story.host.queue(2, story.host.queue(1))
    story.measured(0.5)
    story.look()
    assert story.verdicts(group) == FAILED
    story.measured(0.97)
    story.look("churn")
    assert story.verdicts(group) == FAILED  # of the other one, as it was told last
    story.look()
    assert story.verdicts(group) == PASSED


@ON_GITHUB
def test_a_group_of_a_fork_gets_none(story: Story) -> None:
    """Its branch has the name of ours, and its commit is another."""
    assert isinstance(story.host, GitHubServer)
    story.host.propose_from_fork()
    git("update-ref", "refs/heads/theirs", "main", cwd=story.host.bare)
    head = story.host.person("theirs").commits({"docs/x.md": "x"})
    name = f"gh-readonly-queue/main/pr-2-{story.host.head('main')}"
    git("update-ref", f"refs/heads/{name}", head, cwd=story.host.bare)
    ours = story.host.queue(1, head)
    story.look()
    assert story.verdicts(head) == {}
    assert story.verdicts(ours) == FAILED
    assert {each.text.partition(":")[0] for each in story.host.statuses(ours)} == {
        each.text.partition(":")[0] for each in story.host.statuses(story.pull().head)
    }


@ON_GITHUB
def test_a_group_with_a_persons_work_fails_there_too(story: Story) -> None:
    assert isinstance(story.host, GitHubServer)
    added(story.host)
    group = story.host.queue(1)
    story.look()
    assert set(story.verdicts(group).values()) == {"failure"}


@ON_GITLAB
@pytest.mark.parametrize("kind", ["train", "merge"])
def test_a_commit_that_tries_the_merge_gets_the_verdicts(story: Story, kind: str) -> None:
    assert isinstance(story.host, GitLabServer)
    tried = story.host.tries(1, kind)
    story.look()
    assert story.verdicts(tried) == FAILED
    story.measured(0.97)
    story.look()
    assert story.verdicts(tried) == PASSED
