"""What Bitbucket alone has: Cloud's short hashes and its index, Data Center's versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mlflow_gitops.errors import ForgeError, TransientError
from mlflow_gitops.planning.marker import marker, read_marker
from mlflow_gitops.pull_requests import WITHDRAWN, CommitStatus, Draft
from tests.support.bitbucket_cloud_server import BitbucketCloudServer, bitbucket_cloud_server
from tests.support.bitbucket_server import BitbucketServer, bitbucket_server
from tests.support.forge_host import BRANCH, opened
from tests.support.git import git, make_bare

Bitbucket = BitbucketCloudServer | BitbucketServer
JSON = {"Content-Type": "application/json"}


def serve(
    server: Callable[[Path, Path], AbstractContextManager[Bitbucket]], folder: Path
) -> Iterator[Bitbucket]:
    bare = make_bare(folder / "manifests.git", {"a.yaml": "uri: 1\n"})
    git("update-ref", f"refs/heads/{BRANCH}", "refs/heads/main", cwd=bare)
    with server(bare, folder / "people") as found:
        found.person(BRANCH).commits({"a.yaml": "uri: 2\n"})
        yield found


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Bitbucket]:
    yield from serve(bitbucket_cloud_server, tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Bitbucket]:
    yield from serve(bitbucket_server, tmp_path)


@pytest.fixture(params=["cloud", "server"])
def either(request: pytest.FixtureRequest) -> Bitbucket:
    found: Bitbucket = request.getfixturevalue(request.param)
    return found


def test_people_see_no_html_and_the_mark_is_read_back(either: Bitbucket) -> None:
    forge = opened(either)
    text = f"why\n\n<details><summary>More</summary>\n\nx\n\n</details>\n\n{marker({'a': '(1)'})}"
    pull = forge.open(BRANCH, "main", Draft("t", text, ("ml",)))
    assert "<" not in either.pulls[0].description.replace("<-", "")
    assert read_marker(pull.body) == {"a": "(1)"}
    before = len(either.seen)
    forge.update(pull, Draft("t", text, ("ml",)))
    assert [each for each in either.seen[before:] if not each.startswith("GET")] == []


def test_a_withdrawal_is_marked_before_it_is_closed(either: Bitbucket) -> None:
    """So a crash in between leaves none that looks like a person's rejection."""
    forge = opened(either)
    pull = forge.open(BRANCH, "main", Draft("t", f"b\n\n{marker({'a': '1'})}"))
    put = len(either.seen)
    forge.withdraw(pull, "version 3 is asked for")
    verbs = [each.partition(" ")[0] for each in either.seen[put:]]
    assert verbs == ["GET", "PUT", "GET", "POST", "POST"]  # the mark, the words, the closing
    assert read_marker(forge.get(1).body) == {"a": "1"}
    assert WITHDRAWN in forge.get(1).labels


def test_reviewers_stay_when_the_text_changes(either: Bitbucket) -> None:
    forge = opened(either)
    pull = forge.open(BRANCH, "main", Draft("t", "b", reviewers=("rita",)))
    forge.update(pull, Draft("t", "better"))
    assert either.reviewers(1) == ["rita"]


def test_a_status_has_a_short_key_and_its_whole_name(either: Bitbucket) -> None:
    forge, head = opened(either), either.head(BRANCH)
    names = [f"mlflow-gitops/{'x' * 40}{n}" for n in range(2)]
    statuses = [CommitStatus(name, "success", "fine") for name in names]
    for _ in range(2):
        forge.set_statuses(head, statuses)
    assert either.statuses(head) == statuses
    assert [each.name for each in forge.verdicts(head)] == names


def test_a_user_s_password_goes_as_one(either: Bitbucket) -> None:
    either.token = "ada@example.com:ATATTs3cr3t"
    with pytest.raises(ForgeError, match="refuses the token"):  # the server here wants tokens
        opened(either).newest(BRANCH)


def test_nobody_is_asked_where_a_team_is_named(either: Bitbucket) -> None:
    pull = opened(either).open(BRANCH, "main", Draft("t", "b", reviewers=("team:risk",)))
    assert either.reviewers(1) == []
    assert "team:risk" in pull.asked


def test_a_reviewer_may_be_named_by_id(cloud: BitbucketCloudServer) -> None:
    forge = opened(cloud)
    pull = forge.open(BRANCH, "main", Draft("t", "b", reviewers=("{1}",)))
    assert cloud.reviewers(1) == ["rita"]
    forge.update(pull, Draft("t", "b", reviewers=("{1}",)))
    assert set(forge.get(1).asked) == {"rita", "{1}"}


def test_a_merge_is_found_without_bitbucket_s_index(cloud: BitbucketCloudServer) -> None:
    forge = opened(cloud)
    forge.open(BRANCH, "main", Draft("t", "b"))
    cloud.has_index = False
    made = cloud.merge(1, how="squash")
    assert forge.of_commit(made) is None  # its message is not Bitbucket's
    said = f"Merged in {BRANCH} (pull request #1)"
    made = cloud.person("main").commits({"x": "1"}, said)
    cloud.pulls[0].merge_commit = made
    found = forge.of_commit(made)
    assert found is not None
    assert found.merge_commit == made


def test_a_number_in_a_message_proves_nothing(cloud: BitbucketCloudServer) -> None:
    forge = opened(cloud)
    forge.open(BRANCH, "main", Draft("t", "b"))
    cloud.merge(1)
    for number in (1, 4711):
        other = cloud.person("main").commits({"x": f"{number}"}, f"x (pull request #{number})")
        assert forge.of_commit(other) is None


def test_a_token_of_the_repository_has_no_user(cloud: BitbucketCloudServer) -> None:
    cloud.knows_user = False
    assert opened(cloud).check() == "a token"


def test_a_second_one_is_not_opened_over_the_first(cloud: BitbucketCloudServer) -> None:
    """Bitbucket would change the first one."""
    forge = opened(cloud)
    forge.open(BRANCH, "main", Draft("t", "b"))
    with pytest.raises(TransientError, match="just now"):
        forge.open(BRANCH, "release", Draft("t", "b"))


def test_what_changed_meanwhile_is_looked_at_again(server: BitbucketServer) -> None:
    forge = opened(server)
    pull = forge.open(BRANCH, "main", Draft("t", "b"))
    body = '{"errors": [{"message": "out-of-date information"}]}'
    server.write_answers.append((409, JSON, body))
    with pytest.raises(TransientError, match="busy"):
        forge.update(pull, Draft("t", "better"))


def test_another_conflict_is_no_second_pull_request(server: BitbucketServer) -> None:
    body = '{"errors": [{"message": "there is nothing to merge"}]}'
    server.write_answers.append((409, JSON, body))
    with pytest.raises(ForgeError, match="nothing to merge"):
        opened(server).open(BRANCH, "main", Draft("t", "b"))


def test_the_scopes_of_a_token_are_checked(cloud: BitbucketCloudServer) -> None:
    forge = opened(cloud)
    for scopes in ("", "pullrequest:write, repository:admin", "write:repository:bitbucket"):
        cloud.scopes = scopes
        if scopes.startswith("write"):
            cloud.scopes += ", write:pullrequest:bitbucket, read:user:bitbucket"
        assert forge.check() == "mlflow-gitops"
    for scopes in ("repository:write", "pullrequest, repository", "read:repository:bitbucket"):
        cloud.scopes = scopes
        with pytest.raises(ForgeError, match="its scopes are") as caught:
            forge.check()
        assert "pullrequest:write" in caught.value.hint


def test_whose_groups_may_push_is_not_told(cloud: BitbucketCloudServer) -> None:
    cloud.takes_pushes, cloud.groups = False, [{"slug": "deployers"}]
    found = opened(cloud).protection("main")
    assert (found.refuses, bool(found.unknown)) == ("", True)


def test_a_rule_of_another_branch_is_none_of_this_one(either: Bitbucket) -> None:
    either.takes_pushes = False
    base, either.base = either.base, "release"
    git("branch", "release", "main", cwd=either.bare)
    assert opened(either).protection(base).refuses == ""
    assert opened(either).protection("release").refuses


def test_an_approval_of_a_commit_that_is_gone_is_none_of_the_head(
    cloud: BitbucketCloudServer,
) -> None:
    """After a rebase Bitbucket may forget the old head."""
    forge = opened(cloud)
    number = forge.open(BRANCH, "main", Draft("t", "b")).number
    cloud.approve(number)
    cloud.pulls[0].activity[0]["update"]["source"]["commit"]["hash"] = "0" * 12
    pull = forge.get(number)
    assert [approval.by for approval in pull.approvals] == ["rita"]
    assert not pull.is_approved
