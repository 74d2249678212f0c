"""Bodies to triggers, reasons for ignoring, or errors that name the field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.events import EventError, Ignored, Trigger, parse


def body(entity: str, action: str, /, **data: Any) -> bytes:
    return json.dumps({"entity": entity, "action": action, "data": data}).encode()


@pytest.mark.parametrize(
    ("raw", "trigger"),
    [
        (
            body("model_version", "created", name="m", version="3", tags={"a": "b"}),
            Trigger("m", "model_version.created 3", version="3"),
        ),
        (
            body("model_version", "created", name="m", version=3),
            Trigger("m", "model_version.created 3", version="3"),
        ),
        (
            body("model_version_tag", "set", name="m", version="1", key="k", value="v"),
            Trigger("m", "model_version_tag.set k on version 1", version="1", key="k"),
        ),
        (
            body("model_version_tag", "deleted", name="m", version="1", key="k"),
            Trigger("m", "model_version_tag.deleted k on version 1", version="1", key="k"),
        ),
        (
            body("model_version_alias", "created", name="m", version="1", alias="champion"),
            Trigger(
                "m",
                "model_version_alias.created champion on version 1",
                version="1",
                key="champion",
            ),
        ),
        (
            body("model_version_alias", "deleted", name="m", alias="champion"),
            Trigger("m", "model_version_alias.deleted champion", key="champion"),
        ),
        (
            body(
                "model_version_tag", "set", name="größe 模型", version="1", key="gitops.request.x"
            ),
            Trigger(
                "größe 模型",
                "model_version_tag.set gitops.request.x on version 1",
                version="1",
                key="gitops.request.x",
            ),
        ),
    ],
)
def test_an_event_names_the_model_to_look_at(raw: bytes, trigger: Trigger) -> None:
    assert parse(raw) == trigger


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (body("registered_model", "created", name="m"), "no version"),
        (body("prompt", "created", name="m"), "prompt.created is not an event"),
        (body("model_version", "deleted", name="m"), "not an event"),
        (b'{"entity": "prompt", "action": "created"}', "not an event"),
        (
            body("model_version_tag", "set", name="m", key="gitops.status.staging"),
            "written by this tool itself",
        ),
        (
            body("model_version_tag", "deleted", name="m", key="gitops.delivered.x"),
            "written by this tool itself",
        ),
        (body("model_version_tag", "set", name="m", key="gitops.request"), "this tool itself"),
    ],
)
def test_what_asks_for_nothing_is_ignored_and_says_why(raw: bytes, why: str) -> None:
    event = parse(raw)
    assert isinstance(event, Ignored)
    assert why in event.why


GOOD = {"entity": "model_version_tag", "action": "set", "data": {"name": "m", "key": "k"}}


@pytest.mark.parametrize(
    ("raw", "where", "what"),
    [
        (b"", "body", "not JSON"),
        (b"{", "body", "not JSON"),
        (b"\xef\xbb\xbf{}", "body", "not JSON"),
        (b'{"entity": "\xff"}', "body", "not UTF-8 at byte 12"),
        ("{}".encode("utf-16"), "body", "not UTF-8"),
        (b"[]", "body", "must be an object, not a list"),
        (b"null", "body", "must be an object, not missing"),
        (b'"text"', "body", "must be an object, not text"),
        (b"1", "body", "must be an object, not a number"),
        (b"true", "body", "must be an object, not true or false"),
        (b'{"entity": NaN}', "body", "NaN is not JSON"),
        (b"-Infinity", "body", "-Infinity is not JSON"),
        (b"9" * 5000, "body", "number that is too long"),
        (b"[" * 100_000, "body", "nested too deeply"),
        (b'{"a":' * 100_000, "body", "nested too deeply"),
        (b'{"entity": "a", "entity": "b"}', "body", "same key twice"),
        (b'{"data": {"name": "a", "name": "b"}}', "body", "same key twice"),
        (b"{}", "entity", "must be text, not missing"),
        (b'{"entity": 1}', "entity", "must be text, not a number"),
        (b'{"entity": "model_version"}', "action", "must be text"),
        (b'{"entity": "model_version", "action": ["created"]}', "action", "not a list"),
        (b'{"entity": "model_version", "action": "created"}', "data", "must be an object"),
        (b'{"entity": "model_version", "action": "created", "data": []}', "data", "not a list"),
        (body("model_version", "created"), "data.name", "not missing"),
        (body("model_version", "created", name=None), "data.name", "not missing"),
        (body("model_version", "created", name=7), "data.name", "not a number"),
        (body("model_version", "created", name={}), "data.name", "not an object"),
        (body("model_version", "created", name=""), "data.name", "must not be empty"),
        (body("model_version", "created", name=" \t"), "data.name", "must not be empty"),
        (body("model_version", "created", name="a\nb"), "data.name", "control character"),
        (body("model_version", "created", name="a\x00"), "data.name", "control character"),
        (body("model_version", "created", name="a\u2028b"), "data.name", "control character"),
        (body("model_version", "created", name="a\ud800b"), "data.name", "control character"),
        (body("model_version", "created", name="x" * 257), "data.name", "257 characters"),
        (body("model_version", "created", name="m", version=True), "data.version", "true or"),
        (body("model_version", "created", name="m", version=1.5), "data.version", "number"),
        (body("model_version", "created", name="m", version=[1]), "data.version", "a list"),
        (body("model_version", "created", name="m", version="-1"), "data.version", "number"),
        (body("model_version", "created", name="m", version="٣"), "data.version", "number"),
        (body("model_version", "created", name="m", version="1" * 65), "data.version", "number"),
        (body("model_version_tag", "set", name="m"), "data.key", "not missing"),
        (body("model_version_tag", "set", name="m", key=1), "data.key", "not a number"),
        (body("model_version_tag", "set", name="m", key="\x1b["), "data.key", "control"),
        (body("model_version_alias", "created", name="m"), "data.alias", "not missing"),
    ],
)
def test_a_wrong_shape_names_the_field(raw: bytes, where: str, what: str) -> None:
    with pytest.raises(EventError, match=what) as caught:
        parse(raw)
    assert caught.value.where == where
    assert caught.value.hint


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    st.binary(max_size=64)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {
            "entity": st.sampled_from(["model_version", "model_version_tag", "prompt"]),
            "action": st.sampled_from(["created", "set", "deleted"]),
            "data": st.fixed_dictionaries({"name": json_values, "key": json_values}),
        }
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_have_a_meaning_or_a_known_error(raw: bytes) -> None:
    try:
        event = parse(raw)
    except EventError:
        return
    assert isinstance(event, Ignored) or event.model.encode()
