"""The helper that holds local forges to an API description: what is not described is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.openapi import Description, Operation

USER: Mapping[str, Any] = {
    "type": "object",
    "properties": {"login": {"type": "string"}, "boss": {"$ref": "#/definitions/user"}},
    "required": ["login"],
}
PULL: Mapping[str, Any] = {
    "allOf": [
        {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
        {
            "properties": {
                "by": {"allOf": [{"$ref": "#/definitions/user"}], "x-nullable": True},
                "state": {"type": "string", "enum": ["open", "closed"]},
                "merged": {"type": "string", "format": "date-time", "nullable": True},
                "label": {"oneOf": [{"type": "string"}, {"$ref": "#/definitions/user"}]},
            },
            "required": ["by", "state", "merged"],
        },
    ]
}
PAGE = {"name": "page", "in": "query", "type": "integer"}
WANTED = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
OF_TWO: Mapping[str, Any] = {
    "swagger": "2.0",
    "basePath": "/api/v1",
    "definitions": {"user": USER, "pull": PULL},
    "paths": {
        "/pulls": {
            "get": {
                "parameters": [PAGE],
                "responses": {
                    "200": {"schema": {"type": "array", "items": {"$ref": "#/definitions/pull"}}}
                },
            },
            "post": {
                "parameters": [{"name": "x", "in": "body", "schema": WANTED}],
                "responses": {"201": {"schema": PULL}, "204": {"description": "nothing"}},
            },
        },
        "/pulls/{number}": {"get": {"responses": {"200": {"schema": PULL}}}},
        "/pulls/newest": {"get": {"responses": {"200": {"schema": USER}}}},
    },
}
OF_THREE: Mapping[str, Any] = {
    "openapi": "3.0.3",
    "definitions": {"user": USER, "pull": PULL},
    "paths": {
        "/pulls": {
            "parameters": [{"name": "page", "in": "query", "schema": {"type": "integer"}}],
            "get": {"responses": {}},
            "post": {
                "requestBody": {"content": {"application/json": {"schema": WANTED}}},
                "responses": {"201": {"content": {"application/json": {"schema": PULL}}}},
            },
        }
    },
}
API = pytest.mark.parametrize(
    ("document", "base"), [(OF_TWO, "/api/v1"), (OF_THREE, "")], ids=["2", "3"]
)


def operation(verb: str, path: str) -> Operation:
    return Description(OF_TWO).operation(verb, f"/api/v1{path}")


@API
def test_a_request_is_held_to_it(document: Mapping[str, Any], base: str) -> None:
    api = Description(document)
    api.operation("GET", f"{base}/pulls").check_request({"page": "2"}, {})
    api.operation("POST", f"{base}/pulls").check_request({}, {"title": "t"})
    for query in ({"pages": "2"}, {"page": "true"}):
        with pytest.raises(AssertionError, match="page"):
            api.operation("GET", f"{base}/pulls").check_request(query, {})
    for body in ({"title": 1}, {"title": "t", "head": "x"}, {}):
        with pytest.raises(AssertionError, match="body"):
            api.operation("POST", f"{base}/pulls").check_request({}, body)
    with pytest.raises(AssertionError, match="no body"):
        api.operation("GET", f"{base}/pulls").check_request({}, {"title": "t"})


@pytest.mark.parametrize(
    ("verb", "path"), [("GET", "/pull"), ("DELETE", "/pulls"), ("GET", "/pulls/1/x")]
)
def test_an_unknown_path_is_an_error(verb: str, path: str) -> None:
    with pytest.raises(AssertionError, match="no such path"):
        operation(verb, path)


def test_a_literal_path_comes_before_a_parameter() -> None:
    assert operation("GET", "/pulls/newest").reply(200, {"login": "rita"}) == {"login": "rita"}


def test_what_a_reply_needs_is_filled_in() -> None:
    whole = {"number": 7, "by": None, "state": "open", "merged": None}
    assert operation("GET", "/pulls").reply(200, [{"number": 7}]) == [whole]
    given = {"number": 7, "by": {"boss": {"login": "raj"}}, "label": "x"}
    found = operation("GET", "/pulls/7").reply(200, given)
    assert found == {**whole, "by": {"login": "", "boss": {"login": "raj"}}, "label": "x"}


@pytest.mark.parametrize(
    "given",
    [
        {"number": "7"},
        {"number": 7, "state": "merged"},
        {"number": 7, "unknown": 1},
        {"number": 7, "by": {"login": "rita", "mail": "x"}},
        {"number": 7, "by": {"login": "rita", "boss": {"login": None}}},
        {"number": None},
        [],
    ],
)
def test_another_reply_is_an_error(given: object) -> None:
    with pytest.raises(AssertionError, match="201"):
        Description(OF_THREE).operation("POST", "/pulls").reply(201, given)


def test_openapi_2_does_not_say_what_may_be_null() -> None:
    given = {"number": None, "by": {"login": None}, "state": None, "merged": None}
    found = operation("GET", "/pulls/7")
    assert found.reply(200, given) == given
    with pytest.raises(AssertionError, match="200"):
        found.reply(200, {**given, "number": "7"})
    with pytest.raises(AssertionError, match="body"):
        operation("POST", "/pulls").check_request({}, {"title": None})


def test_another_status_is_an_error_but_for_failures() -> None:
    with pytest.raises(AssertionError, match="never answers so"):
        operation("GET", "/pulls/7").reply(201, {"number": 7})
    with pytest.raises(AssertionError, match="never answers so"):
        operation("POST", "/pulls").reply(204, {"number": 7})
    assert operation("POST", "/pulls").reply(204, None) is None
    assert operation("GET", "/pulls/7").reply(403, {"message": "no"}) == {"message": "no"}
