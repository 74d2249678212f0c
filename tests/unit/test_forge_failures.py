"""What a forge's failure is told as, from its status and headers alone; what else goes wrong."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import requests

from mlflow_gitops.adapters.forge.bodies import shortened
from mlflow_gitops.adapters.forge.closing import Comment, closing_comment, said_since
from mlflow_gitops.adapters.forge.failures import failed, moved
from mlflow_gitops.adapters.forge.network import talking
from mlflow_gitops.errors import ForgeError, TransientError
from mlflow_gitops.planning.marker import marker, read_marker

HERE = {"where": "https://forge", "rights": "give it more"}
DATE = "Mon, 01 Jan 2035 00:00:00 GMT"
CLOSED = "2026-11-23T11:00:00Z"


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {}, 60),
        (429, {"Retry-After": "5"}, 5),
        (429, {"retry-after": "x"}, 60),
        (429, {"Retry-After": "-5"}, 60),
        (429, {"Retry-After": "Mon, 01 Jan 2035 00:02:00 GMT", "Date": DATE}, 120),
        (429, {"Retry-After": "Sun, 31 Dec 2034 23:00:00 GMT", "Date": DATE}, 1),
        (429, {"Retry-After": "Mon, 01 Jan 2035 00:02:00 GMT"}, 60),
        (429, {"RateLimit-Remaining": "0", "RateLimit-Reset": "2051222410", "Date": DATE}, 10),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2051222410"}, 60),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1", "Date": DATE}, 1),
        (500, {"Retry-After": "7"}, 7),
        (500, {"X-RateLimit-Remaining": "9", "X-RateLimit-Reset": "2051222410"}, None),
        (502, {}, None),
    ],
)
def test_how_long_to_wait(status: int, headers: Mapping[str, str], seconds: float | None) -> None:
    error = failed(status, headers, "", **HERE)
    assert isinstance(error, TransientError)
    assert error.retry_after == seconds


def test_a_missing_right_is_no_limit() -> None:
    error = failed(403, {"X-RateLimit-Remaining": "4999"}, "not accessible", **HERE)
    assert isinstance(error, ForgeError)
    assert (error.what, error.hint) == (
        "the forge does not allow it: not accessible",
        HERE["rights"],
    )


def test_the_forge_s_words_are_one_short_line_that_acts_on_nothing() -> None:
    error = failed(422, {}, "closes #1\n@rita " + "x" * 1000, **HERE)
    assert "\n" not in error.what
    assert "@rita" not in error.what
    assert len(error.what) < 400


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("https://api.example:8443/r/7?token=s3cr3t", ", to https://api.example:8443/r/7"),
        ("https://u:s3cr3t@api.example/r/7", ", to https://api.example/r/7"),
        ("/repositories/7#s3cr3t", ", to /repositories/7"),
        ("https://[s3cr3t", ""),
        ("", ""),
    ],
)
def test_where_it_moved_to_is_told_without_a_secret(location: str, told: str) -> None:
    assert moved(location, where="x").what == f"the repository has moved or was renamed{told}"


@pytest.mark.parametrize(
    ("raised", "kind", "told"),
    [
        (requests.exceptions.ReadTimeout("s3cr3t"), TransientError, "in time"),
        (requests.exceptions.ConnectTimeout("s3cr3t"), TransientError, "in time"),
        (requests.exceptions.SSLError("s3cr3t"), ForgeError, "certificate"),
        (requests.exceptions.ConnectionError("s3cr3t"), TransientError, "cannot be reached"),
        (ConnectionResetError("s3cr3t"), TransientError, "cannot be reached"),
        (RecursionError("s3cr3t"), ForgeError, "not GitHub's API"),
        (KeyError("s3cr3t"), ForgeError, "not GitHub's API"),
    ],
)
def test_what_the_network_raises_is_told(
    raised: Exception, kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told) as caught, talking("GitHub", lambda: "https://forge"):
        raise raised
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("after", ["", "\nby a person"])
def test_a_text_is_cut_before_its_mark(after: str) -> None:
    mark = marker({"request": "r1"})
    body = f"{'x' * 500}\n{mark}{after}"
    assert shortened(body, 1000) == body
    cut = shortened(body, 300)
    assert len(cut) <= 300
    assert read_marker(cut) == {"request": "r1"}
    assert shortened("x" * 500, 300).startswith("x" * 200)


def test_a_cut_text_leaves_no_part_folded() -> None:
    mark = marker({"request": "r1"})
    rows = "| row | 1 |\n" * 99
    body = f"Verdict\n\n<details><summary>All</summary>\n\n{rows}\n</details>\n\n{mark}"
    cut = shortened(body, 400)
    assert len(cut) <= 400
    assert cut.count("<details") == cut.count("</details>") == 1
    assert "| row | 1 |\n\n</details>" in cut  # at the end of a line
    assert cut.index("</details>") < cut.index("cut here")


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_page_for_people_is_no_api(status: int) -> None:
    page = failed(status, {"Content-Type": "text/html; charset=utf-8"}, "", **HERE)
    assert "not the forge's API" in str(page)
    assert page.where == f"https://forge (HTTP {status})"
    answer = failed(status, {"Content-Type": "application/json"}, "", **HERE)
    assert "not the forge's API" not in str(answer)


@pytest.mark.parametrize(
    ("location", "is_sign_in"),
    [
        ("https://sso.example.com/login?next=x", True),
        ("https://id.example.com/oauth2/authorize", True),
        ("/users/sign_in", True),
        ("https://gateway.example.com/saml2/idp", True),
        ("https://git.example.com/api/v3/repos/ml/login-service", False),
        ("https://git.example.com/repositories/7", False),
    ],
)
def test_a_page_to_sign_in_is_no_new_address(location: str, is_sign_in: bool) -> None:
    error = moved(location, where="https://forge")
    assert ("page to sign in" in error.what) is is_sign_in
    assert "next=x" not in str(error)


def said(by: str, time: str, text: str) -> Comment:
    return Comment(by, time, text)


@pytest.mark.parametrize(
    ("comments", "told"),
    [
        ([], ""),
        ([said("rita", "2026-11-23T10:59:00Z", "no")], "no"),
        ([said("rita", "2026-11-23T11:00:01.5+00:00", "no")], "no"),
        ([said("raj", CLOSED, "no")], ""),
        ([said("rita", "2026-11-23T10:49:59Z", "no")], ""),
        ([said("rita", "2026-11-23T12:00:00Z", "thanks")], ""),
        (
            [said("rita", CLOSED, "last"), said("rita", "2026-11-23T10:55:00Z", "first")],
            "last",
        ),
    ],
)
def test_a_closing_has_the_last_words_of_who_closed_it(comments: list[Comment], told: str) -> None:
    assert closing_comment(comments, "rita", CLOSED) == told
    assert closing_comment(comments, "", CLOSED) == ""


def test_what_was_said_is_asked_for_from_shortly_before() -> None:
    assert said_since(CLOSED) == "2026-11-23T10:50:00Z"
