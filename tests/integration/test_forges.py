"""One set of scenarios for every forge's adapter, over HTTP. A new forge is one line in SERVERS.

The local servers rest on a real repository. With MLFLOW_GITOPS_TEST_FORGE_URL (the API's address),
_KIND, _TOKEN and _REPOSITORY (the Git address) the suite runs against that forge instead; what
needs a second person there, or an answer that it does not give, is skipped.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mlflow_gitops.adapters.forge import open_forge
from mlflow_gitops.errors import ConfigError, ForgeError, GitOpsError, TransientError
from mlflow_gitops.planning.marker import marker, read_marker
from mlflow_gitops.ports import Forge
from mlflow_gitops.pull_requests import (
    WITHDRAWN,
    CommitStatus,
    Draft,
    Protection,
    PullRequest,
)
from tests.support.azure_server import azure_server
from tests.support.bitbucket_cloud_server import bitbucket_cloud_server
from tests.support.bitbucket_server import bitbucket_server
from tests.support.forge_host import BRANCH, Answer, Host, How, LocalForge, Update, opened
from tests.support.git import git, make_bare
from tests.support.gitea_server import gitea_server
from tests.support.github_server import github_server
from tests.support.gitlab_server import gitlab_server
from tests.support.openapi import description
from tests.support.real_forge import CALLS, real_forge, variable

Serve = Callable[[Path, Path], AbstractContextManager[LocalForge]]

SERVERS: Mapping[str, Serve] = {
    "github": github_server,
    "gitlab": gitlab_server,
    "gitea": gitea_server,
    "azure-devops": azure_server,
    "bitbucket-cloud": bitbucket_cloud_server,
    "bitbucket-data-center": bitbucket_server,
}
DRAFT = Draft("production: v1 -> v2", "why", ("ml",))
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository whose branch is ahead of its base by one commit."""
    folder = tmp_path_factory.mktemp("forge")
    bare = make_bare(folder / "manifests.git", {"a.yaml": "uri: 1\n"})
    git("update-ref", f"refs/heads/{BRANCH}", "refs/heads/main", cwd=bare)
    with github_server(bare, folder / "people") as server:
        server.person(BRANCH).commits({"a.yaml": "uri: 2\n"})
    return bare


LOCAL = [pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in SERVERS]
FIRST = [each for each in LOCAL if each.values[0] in ("github", "gitlab", "gitea")]
"""Those whose pull requests Git can read too, and whose calls are counted."""


@pytest.fixture(params=["real"] if variable("URL") else LOCAL)
def host(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Host]:
    if request.param == "real":
        with real_forge(tmp_path) as found:
            yield found
        return
    monkeypatch.setattr("mlflow_gitops.adapters.forge.gitea.BETWEEN", 0.0)
    # the servers here have no second limit
    monkeypatch.setattr("mlflow_gitops.adapters.forge.github_client.WRITES_APART", None)
    bare = tmp_path / "ml" / "manifests.git"
    shutil.copytree(request.getfixturevalue("template"), bare)
    with SERVERS[request.param](bare, tmp_path / "people") as server:
        yield server


@pytest.fixture
def forge(host: Host) -> Forge:
    return opened(host)


def proposed(forge: Forge, host: Host, draft: Draft = DRAFT) -> PullRequest:
    return forge.open(host.branch, host.base, draft)


def settles(host: Host, look: Callable[[], object], wanted: object) -> bool:
    """A real forge looks at a push in its own time."""
    looks = 1 if isinstance(host, LocalForge) else 30
    return any(look() == wanted or time.sleep(looks / 60) for _ in range(looks))


def colleagues(host: Host) -> tuple[str, str]:
    """Two who may review."""
    if len(host.colleagues) < 2:
        pytest.skip("it needs a second person")
    return host.colleagues[0], host.colleagues[1]


def writes(host: Host) -> list[str]:
    return [each for each in host.seen if not each.startswith("GET")]


def test_requests_and_replies_are_held_to_the_api_s_description(host: Host) -> None:
    """Without it the scenarios below run all the same, on what the server knows of the API."""
    if not isinstance(host, LocalForge):
        pytest.skip("a real forge answers as it does")
    if host.published is None:
        pytest.skip(f"no registry has the description of {host.kind}'s API: a table stands for it")
    package = host.published.package
    api = description(host.published)
    if api is None:
        pytest.skip(f"{package} cannot be had from a registry")
    below = urlsplit(host.url).path
    with pytest.raises(AssertionError, match="no such path"):
        api.operation("GET", f"{below}/nowhere")
    for call in CALLS[host.kind].values():
        path, fields = call.filled(
            "ml%2Fmanifests" if host.kind == "gitlab" else "ml/m", 1, "merge"
        )
        api.operation(call.verb, f"{below}{path}").check_request({}, fields)


# What a pull request goes through


def test_one_is_opened_and_found(forge: Forge, host: Host) -> None:
    assert forge.newest(host.branch) is None
    pull = proposed(forge, host)
    assert (pull.state, pull.branch, pull.base) == ("open", host.branch, host.base)
    mergeable = True if host.tells_conflicts else None
    assert (pull.head, pull.mergeable) == (host.head(host.branch), mergeable)
    assert (pull.title, pull.body, pull.labels) == (DRAFT.title, "why", ("ml",))
    assert (pull.approvals, pull.merge_commit, pull.decided_by) == ((), "", "")
    assert forge.newest(host.branch) == pull == forge.get(pull.number)


def test_there_is_one_for_a_branch(forge: Forge, host: Host) -> None:
    proposed(forge, host)
    with pytest.raises(TransientError, match="just now"):
        proposed(forge, host)


def test_it_is_updated_in_place_and_what_people_added_stays(forge: Forge, host: Host) -> None:
    pull = proposed(forge, host)
    host.label(pull.number, "urgent")
    forge.update(pull, Draft("other", "better", ("ml", "new")))
    pull = forge.get(pull.number)
    assert (pull.title, pull.body) == ("other", "better")
    assert set(pull.labels) == {"ml", "urgent", "new"}
    wrote = writes(host)
    forge.update(pull, Draft("other", "better", ("ml",)))
    assert writes(host) == wrote


def test_reviewers_are_asked_and_stay(forge: Forge, host: Host) -> None:
    rita, raj = colleagues(host)
    pull = proposed(forge, host, Draft("t", "b", reviewers=(rita, "nobody")))
    assert host.reviewers(pull.number) == [rita]  # whom the forge does not know stops nothing
    forge.update(pull, Draft("t", "b", reviewers=(raj,)))
    assert set(host.reviewers(pull.number)) == {rita, raj}
    wrote = writes(host)
    forge.update(pull, Draft("t", "b", reviewers=(rita, raj)))
    assert writes(host) == wrote


def test_a_newer_commit_is_its_head(forge: Forge, host: Host) -> None:
    pull = proposed(forge, host)
    newer = host.person(host.branch).commits({"a.yaml": "uri: 3\n"})
    found = forge.get(pull.number)
    assert (found.head, found.state) == (newer, "open")


def test_a_glance_is_one_request_while_it_is_open(forge: Forge, host: Host) -> None:
    rita, _ = colleagues(host)
    pull = proposed(forge, host)
    host.approve(pull.number, by=rita)
    asked = len(host.seen)
    found = forge.glance(pull.number)
    if forge.kind in ("github", "gitlab", "gitea"):
        assert len(host.seen) == asked + 1
    for part in ("number", "state", "branch", "base", "head", "title", "body", "labels"):
        assert getattr(found, part) == getattr(pull, part)
    host.merge(pull.number, by=host.me)
    assert forge.glance(pull.number) == forge.get(pull.number)


def test_nothing_is_asked_of_a_new_commits_statuses(forge: Forge, host: Host) -> None:
    head, status = host.head(host.branch), CommitStatus("mlflow-gitops/runtime", "success", "ok")
    asked = len(host.seen)
    forge.set_statuses(head, [status], is_new=True)
    assert not any("GET" in each and "statuses" in each for each in host.seen[asked:])
    assert host.statuses(head) == [status]


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
def test_a_merge_says_who_and_what_came_of_it(forge: Forge, host: Host, how: How) -> None:
    number = proposed(forge, host).number
    made = host.merge(number, by=host.me, how=how)
    pull = forge.get(number)
    assert (pull.state, pull.merge_commit, pull.decided_by) == ("merged", made, host.me)
    assert pull.decided_at
    assert not pull.is_rejected
    assert forge.of_commit(made) == pull == forge.newest(host.branch)


def test_a_commit_without_one_has_none(forge: Forge, host: Host) -> None:
    assert forge.of_commit(host.head(host.base)) is None


def test_a_closing_is_a_rejection(forge: Forge, host: Host) -> None:
    number = proposed(forge, host).number
    host.close(number, by=host.me, comment="too slow")
    pull = forge.get(number)
    assert pull.is_rejected
    assert (pull.decided_by, pull.comment) == (host.me, "too slow")
    assert pull.decided_at
    assert forge.newest(host.branch) == pull


def test_a_rejection_has_the_words_of_who_closed_it(forge: Forge, host: Host) -> None:
    rita, raj = colleagues(host)
    number = proposed(forge, host).number
    host.say(number, "long ago", by=rita)
    host.passes(60)
    host.close(number, by=rita)
    assert forge.get(number).comment == ""
    second = proposed(forge, host).number
    host.say(second, "recall fell", by=rita)
    host.say(second, "are you sure?", by=raj)
    host.close(second, by=rita)
    host.say(second, "what a pity", by=raj)
    assert forge.get(second).comment == "recall fell"


def test_our_closing_is_none(forge: Forge, host: Host) -> None:
    pull = proposed(forge, host)
    forge.withdraw(pull, "version 3 is asked for")
    pull = forge.get(pull.number)
    assert (pull.state, pull.is_rejected) == ("closed", False)
    assert set(pull.labels) == {"ml", WITHDRAWN}
    assert host.comments(pull.number) == ["version 3 is asked for"]
    wrote = writes(host)
    forge.withdraw(pull, "again")
    assert writes(host) == wrote
    newer = proposed(forge, host)
    assert newer.number > pull.number
    assert forge.newest(host.branch) == newer


def test_a_withdrawal_is_said_once_whatever_is_cut(host: Host) -> None:
    if not isinstance(host, LocalForge):
        pytest.skip("a real forge cuts nothing on demand")
    forge = opened(host)
    pull = proposed(forge, host)
    for number in range(1, 10):  # one call further each time
        host.cut = (len(host.seen) + number, "after")
        with suppress(TransientError):
            forge.withdraw(pull, "version 3 is asked for")
    host.cut = None
    assert forge.get(1).state == "closed"
    assert host.comments(1) == ["version 3 is asked for"]


def test_a_comment_is_said_once_also_under_a_closed_one(forge: Forge, host: Host) -> None:
    pull = proposed(forge, host)
    forge.withdraw(pull, "version 3 is asked for")
    for _ in range(2):
        forge.comment(pull.number, "see https://example.com/2\n/close")
    said = host.comments(pull.number)
    assert len(said) == 2
    assert said[1].replace("\\", "") == "see https://example.com/2\n/close"


def test_the_open_one_comes_first(forge: Forge, host: Host) -> None:
    first = proposed(forge, host)
    host.close(first.number)
    second = proposed(forge, host)
    host.close(second.number)
    found = forge.newest(host.branch)
    assert found is not None
    assert found.number == second.number
    third = proposed(forge, host)
    assert forge.newest(host.branch) == third


def test_a_fork_s_is_passed_over(forge: Forge, host: Host) -> None:
    theirs = host.propose_from_fork()
    assert forge.newest(host.branch) is None
    ours = proposed(forge, host)
    assert ours.number != theirs
    assert forge.newest(host.branch) == ours


def test_an_approval_counts_for_its_head(forge: Forge, host: Host) -> None:
    rita, raj = colleagues(host)
    number = proposed(forge, host).number
    host.approve(number, by=rita)
    pull = forge.get(number)
    assert pull.is_approved
    assert [approval.by for approval in pull.approvals] == [rita]
    host.person(host.branch).commits({"a.yaml": "uri: 3\n"})
    assert not forge.get(number).is_approved
    host.approve(number, by=raj)
    assert forge.get(number).is_approved


def test_the_last_verdict_of_a_person_counts(forge: Forge, host: Host) -> None:
    rita, _ = colleagues(host)
    number = proposed(forge, host).number
    host.request_changes(number, by=rita)
    assert not forge.get(number).is_approved
    host.approve(number, by=rita)
    assert forge.get(number).is_approved
    host.request_changes(number, by=rita)
    assert not forge.get(number).is_approved


def test_a_conflict_is_told(forge: Forge, host: Host) -> None:
    if not host.tells_conflicts:
        pytest.skip(f"{host.kind} does not tell of conflicts")
    number = proposed(forge, host).number
    host.person(host.base).commits({"b.yaml": "b: 1\n"})
    assert settles(host, lambda: forge.get(number).mergeable, True)  # only behind
    host.person(host.base).commits({"a.yaml": "uri: 9\n"})
    assert settles(host, lambda: forge.get(number).mergeable, False)


@pytest.mark.parametrize("how", ["merge", "rebase"])
def test_an_updated_branch_stays_the_same_pull_request(
    forge: Forge, host: Host, how: Update
) -> None:
    pull = proposed(forge, host)
    host.person(host.base).commits({"b.yaml": "b: 1\n"})
    head = host.update_branch(pull.number, how)
    assert settles(host, lambda: forge.get(pull.number).head, head)
    found = forge.get(pull.number)
    assert (found.state, found.number, head != pull.head) == ("open", pull.number, True)
    status = CommitStatus("mlflow-gitops/metrics", "success", "fine")
    forge.set_statuses(head, [status])
    assert (host.statuses(head), host.statuses(pull.head)) == ([status], [])


def test_an_approval_before_an_update_is_not_of_the_new_head(forge: Forge, host: Host) -> None:
    rita, _ = colleagues(host)
    number = proposed(forge, host).number
    host.approve(number, by=rita)
    assert forge.get(number).is_approved
    host.person(host.base).commits({"b.yaml": "b: 1\n"})
    host.update_branch(number)
    pull = forge.get(number)
    assert not pull.is_approved
    assert [approval.by for approval in pull.approvals] == [rita]


def test_while_it_looks_nothing_is_said_of_a_conflict(forge: Forge, host: Host) -> None:
    if not isinstance(host, LocalForge):
        pytest.skip("a real forge looks when it does")
    if not host.tells_conflicts:
        pytest.skip(f"{host.kind} does not tell of conflicts")
    number = proposed(forge, host).number
    host.lags = 1
    is_asked_again = host.kind == "gitea"  # it says false then
    assert forge.get(number).mergeable is (True if is_asked_again else None)
    assert forge.get(number).mergeable is True


def test_who_is_asked_is_told(forge: Forge, host: Host) -> None:
    rita, raj = colleagues(host)
    pull = proposed(forge, host, Draft("t", "b", reviewers=(rita, "nobody")))
    forge.update(pull, Draft("t", "b", reviewers=(rita, "nobody")))
    assert set(forge.get(pull.number).asked) == {rita, "nobody"}  # whom it refused, too
    host.approve(pull.number, by=raj)
    assert rita in forge.get(pull.number).asked


def test_our_statuses_are_read_back(forge: Forge, host: Host) -> None:
    head = host.head(host.branch)
    assert list(forge.verdicts(head)) == []
    first = CommitStatus("mlflow-gitops/metrics", "failure", "f1 0.8")
    forge.set_statuses(head, [first, CommitStatus("tests", "success", "theirs")])
    assert list(forge.verdicts(head)) == [first]
    later = CommitStatus(first.name, "success", "f1 0.9")
    forge.set_statuses(head, [later, CommitStatus("mlflow-gitops/runtime", "pending", "soon")])
    assert {(e.name, e.verdict) for e in forge.verdicts(head)} == {
        (first.name, "success"),
        ("mlflow-gitops/runtime", "pending"),
    }


def test_statuses_are_set_where_they_say_something_new(forge: Forge, host: Host) -> None:
    head = host.head(host.branch)
    status = CommitStatus("mlflow-gitops/metrics", "failure", "f1 0.8", "https://ml.example.com/1")
    for _ in range(2):
        forge.set_statuses(head, [status])
    assert host.statuses(head) == [status]
    passed = CommitStatus(status.name, "success", "fine")
    forge.set_statuses(head, [passed, CommitStatus("mlflow-gitops/runtime", "pending", "soon")])
    assert [each.verdict for each in host.statuses(head)] == ["failure", "success", "pending"]


def test_more_statuses_than_a_page_are_not_sent_twice(forge: Forge, host: Host) -> None:
    assert writes(host) == []
    head = host.head(host.branch)
    many = [CommitStatus(f"mlflow-gitops/{n}", "success", "fine") for n in range(101)]
    forge.set_statuses(head, many)
    wrote = writes(host)
    assert len(wrote) == len(many)
    forge.set_statuses(head, many)
    assert writes(host) == wrote


def test_a_long_text_keeps_its_mark(forge: Forge, host: Host) -> None:
    mark = marker({"request": "r1"})
    pull = proposed(forge, host, Draft("t", "x" * 80_000 + "\n" + mark))
    assert read_marker(pull.body) == {"request": "r1"}
    wrote = writes(host)
    forge.update(pull, Draft("t", "x" * 80_000 + "\n" + mark))
    assert writes(host) == wrote


# Who may, and what goes wrong


def test_the_token_s_rights_are_checked(forge: Forge, host: Host) -> None:
    assert forge.check()
    host.may_write = False
    with pytest.raises(ForgeError, match="may not write"):
        forge.check()


def local(host: Host) -> LocalForge:
    if not isinstance(host, LocalForge):
        pytest.skip("a real forge is protected as it is")
    return host


def test_an_unprotected_branch_asks_for_nothing(forge: Forge, host: Host) -> None:
    local(host)
    assert forge.protection(host.base) == Protection()
    assert writes(host) == []


def test_a_branch_that_takes_no_pushes_is_told(forge: Forge, host: Host) -> None:
    local(host).takes_pushes = False
    assert forge.protection(host.base).refuses


def test_required_statuses_are_told_and_which_of_them_nobody_set(forge: Forge, host: Host) -> None:
    if not local(host).names_required:
        pytest.skip(f"{host.kind} requires no statuses by their names")
    local(host).required = ("mlflow-gitops/metrics", "ci/build")
    found = forge.protection(host.base)
    assert found.required == ("mlflow-gitops/metrics", "ci/build")
    if host.kind == "azure-devops":
        return  # what a policy requires is set on pull requests alone
    assert found.unset == ("ci/build",)
    forge.set_statuses(host.head(host.base), [CommitStatus("ci/build", "success", "built")])
    assert forge.protection(host.base).unset == ()


def test_what_the_token_may_not_see_is_told(forge: Forge, host: Host) -> None:
    if local(host).tells_protection:
        pytest.skip(f"{host.kind} tells everybody who may write")
    local(host).hides = True
    found = forge.protection(host.base)
    assert found.unknown
    assert not found.refuses


def test_a_repository_that_nobody_can_write_to_is_told(forge: Forge, host: Host) -> None:
    if host.kind == "bitbucket-cloud":
        pytest.skip("it archives no repositories")
    local(host).is_archived = True
    with pytest.raises(ForgeError, match="nobody can write"):
        forge.check()


LOOK_ALIKES: Mapping[str, tuple[Answer, str]] = {
    "a page": ((200, {"Content-Type": "text/html"}, "<html>Welcome</html>"), "not .*API"),
    "no such page": ((404, {"Content-Type": "text/html; charset=utf-8"}, "<html>"), "not .*API"),
    "a proxy's refusal": ((403, {"Content-Type": "text/html"}, "<html>"), "not .*API"),
    "another API": ((200, JSON, '{"status": "ok"}'), "not .*API"),
    "a list": ((200, JSON, "[]"), "not .*API"),
    "a proxy's login": (
        (302, {"Location": "https://sso.example.com/login?token=hunter2"}, ""),
        "page to sign in",
    ),
    "an identity provider": (
        (303, {"Location": "https://id.example.com/adfs/ls?x=hunter2"}, ""),
        "page to sign in",
    ),
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_what_is_not_the_api_is_told_with_its_request(forge: Forge, host: Host, name: str) -> None:
    answer, text = LOOK_ALIKES[name]
    local(host).answers += [answer] * 2
    with pytest.raises(ForgeError, match=text) as caught:
        forge.check()
    assert caught.value.where.startswith(f"GET {urlsplit(host.url).scheme}://")
    assert "hunter2" not in str(caught.value)


def test_an_error_names_the_request_that_failed(forge: Forge, host: Host) -> None:
    with pytest.raises(ForgeError) as caught:
        forge.get(4711)
    where = caught.value.where
    assert re.fullmatch(r"GET http://\S+/4711 \(HTTP 404\)", where), where
    host.write_answers.append((403, JSON, said("not for you")))
    with pytest.raises(ForgeError) as caught:
        proposed(forge, host)
    assert re.fullmatch(r"POST http://\S+ \(HTTP 403\)", caught.value.where)


def test_the_token_is_read_for_each_request(host: Host) -> None:
    tokens = ["expired"]
    identity = f"forge.example.com/{host.repository}"
    rotated = open_forge(identity, host.kind, host.url, token=lambda: tokens[0])
    with pytest.raises(ForgeError, match="refuses the token"):
        rotated.newest(host.branch)
    tokens[0] = host.token
    assert rotated.newest(host.branch) is None
    tokens[0] = ""
    with pytest.raises(ConfigError, match="no token"):
        rotated.newest(host.branch)


def test_what_is_not_there_is_told(forge: Forge, host: Host) -> None:
    with pytest.raises(ForgeError, match="no such"):
        forge.get(4711)


def said(text: str) -> str:
    return f'{{"message": "{text}"}}'


MOVED = {"Location": "https://forge.example.com/api/new"}
ELSEWHERE = {"Location": "ftp://elsewhere.example.com/x"}
FAILURES: Mapping[str, tuple[Answer, type[GitOpsError], str]] = {
    "expired": ((401, JSON, said("expired")), ForgeError, "refuses the token"),
    "forbidden": ((403, JSON, said("not for you")), ForgeError, "does not allow it"),
    "missing": ((404, JSON, said("Not Found")), ForgeError, "no such"),
    "invalid": ((422, JSON, said("too odd")), ForgeError, "does not take it"),
    "limit": ((429, {**JSON, "Retry-After": "42"}, said("slow")), TransientError, "42 seconds"),
    "500": ((500, JSON, "{}"), TransientError, "HTTP 500"),
    "502": ((502, {}, "<html>TOKEN</html>"), TransientError, "HTTP 502"),
    "503": ((503, {"Retry-After": "42"}, "busy"), TransientError, "HTTP 503"),
    "page": ((200, {}, "<html>sign in, TOKEN</html>"), ForgeError, "not"),
    "no object": ((200, JSON, "7"), ForgeError, "not"),
    "moved": ((301, MOVED, said("Moved Permanently")), ForgeError, "moved"),
    "found": ((302, MOVED, ""), ForgeError, "moved"),
    "temporary": ((307, MOVED, ""), ForgeError, "moved"),
    "permanent": ((308, MOVED, ""), ForgeError, "moved"),
    "elsewhere": ((301, ELSEWHERE, ""), ForgeError, "moved"),
    "nowhere": ((301, {}, ""), ForgeError, "moved"),
}


@pytest.mark.parametrize("asks", ["reads", "writes"])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_told_and_nothing_is_sent_twice(
    forge: Forge, host: Host, caplog: pytest.LogCaptureFixture, failure: str, asks: str
) -> None:
    caplog.set_level(logging.DEBUG)
    (status, headers, body), kind, text = FAILURES[failure]
    answers = host.answers if asks == "reads" else host.write_answers
    answers.append((status, headers, body.replace("TOKEN", host.token)))
    draft = Draft("t", "b")
    with pytest.raises(kind) as caught:
        forge.newest(host.branch) if asks == "reads" else proposed(forge, host, draft)
    assert text in str(caught.value)
    assert caught.value.where or caught.value.hint
    assert host.token not in str(caught.value) + repr(forge) + caplog.text
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert answers == []
    assert len(writes(host)) == (asks == "writes")
    if asks == "reads":
        assert len(host.seen) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_how_long_to_wait_is_told(forge: Forge, host: Host, status: int) -> None:
    host.answers.append((status, {"Retry-After": "42"}, said("later")))
    with pytest.raises(TransientError) as caught:
        forge.newest(host.branch)
    assert caught.value.retry_after == 42


def test_where_it_moved_to_is_told(forge: Forge, host: Host) -> None:
    host.answers.append((301, MOVED, ""))
    with pytest.raises(ForgeError, match=r"forge\.example\.com/api/new"):
        forge.newest(host.branch)


def test_nobody_answers(host: Host) -> None:
    host.url = "http://127.0.0.1:9"
    with pytest.raises(TransientError, match="cannot be reached"):
        opened(host).newest(host.branch)
