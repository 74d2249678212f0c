"""A forge's published API description (OpenAPI 2 or 3): local servers are held to it.

A request's path, query and body, and a reply, are errors where the description does not name them
or gives them another type: objects are closed. A reply is filled up with what the description
requires, so that a server gives only what matters to the adapter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import fastjsonschema

from tests.support.published import Published, fetched

__all__ = ["Description", "Operation", "description"]

Schema = Mapping[str, Any]
Check = Callable[[object], object]

NOTHING: Schema = {}
KEPT = ("type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems")
MANY = ("anyOf", "oneOf")
TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
NULL: Schema = {"type": "null"}
MADE = {
    "date-time": "2026-11-23T10:00:00Z",
    "date": "2026-11-23",
    "uri": "https://forge.example.com/",
    "email": "somebody@example.com",
}


@cache
def description(wanted: Published) -> Description | None:
    """None where it cannot be fetched."""
    path = fetched(wanted)
    if path is None:
        return None
    text = TEMPLATE.sub("", path.read_text(encoding="utf-8"))  # Gitea's is one
    return Description(json.loads(text))


class Description:
    """`document` is OpenAPI 2 or 3, as read from its JSON."""

    def __init__(self, document: Schema) -> None:
        self._base = document.get("basePath", "").rstrip("/")
        self._schemas = _Schemas(document)
        self._paths = sorted(
            ((re.compile(_pattern(path)), path, item) for path, item in document["paths"].items()),
            key=lambda row: row[1].count("{"),  # a literal name wins over a parameter
        )
        self._known: dict[tuple[str, str], Operation] = {}

    def operation(self, verb: str, path: str) -> Operation:
        """Raises AssertionError where there is none."""
        assert path.startswith(self._base), f"{path} is not below {self._base}"
        rest = path.removeprefix(self._base)
        for form, name, item in self._paths:
            if verb.lower() in item and form.fullmatch(rest):
                key = (verb, name)
                if key not in self._known:
                    self._known[key] = Operation(item, item[verb.lower()], self._schemas)
                return self._known[key]
        raise AssertionError("no such path")


class Operation:
    def __init__(self, item: Schema, found: Schema, schemas: _Schemas) -> None:
        self._schemas = schemas
        self._found = found
        every = [*item.get("parameters", ()), *found.get("parameters", ())]
        parameters = [schemas.resolved(each) for each in every]
        self._query = {p["name"]: p for p in parameters if p["in"] == "query"}
        self._body = self._body_schema(parameters)
        self._checks: dict[str, Check] = {}

    def check_request(self, query: Mapping[str, str], body: object) -> None:
        unknown = sorted(set(query) - set(self._query))
        assert not unknown, f"no such query parameters: {unknown}"
        missing = [n for n, p in self._query.items() if p.get("required") and n not in query]
        assert not missing, f"no {missing} in the query"
        for name, text in query.items():
            schema = self._query[name].get("schema") or self._query[name]
            self._check(f"query {name}", schema, self._parsed(schema, text))
        assert self._body is not None or not body, f"it takes no body: {body}"
        if self._body is not None:
            self._check("body", self._body, body)

    def reply(self, status: int, given: object) -> object:
        """`given` with what is required beside it, checked. An error's form may be left open."""
        answers = self._found["responses"]
        found = self._schemas.resolved(answers.get(str(status), NOTHING))
        schema = self._content(found)
        if schema is None:
            assert status >= 400 or (found and given is None), f"it never answers so: {status}"
            return given
        whole = self._schemas.filled(schema, given)
        self._check(str(status), schema, whole, nulls=self._schemas.leaves_nulls_out)
        return whole

    def _check(self, what: str, schema: Schema, value: object, *, nulls: bool = False) -> None:
        if what not in self._checks:
            self._checks[what] = _Closer(self._schemas, nulls).check(schema)
        try:
            self._checks[what](value)
        except fastjsonschema.JsonSchemaException as error:
            raise AssertionError(f"{what}: {error.message}") from None

    def _parsed(self, schema: Schema, text: str) -> object:
        kind = self._schemas.resolved(schema).get("type")
        if kind == "array":
            return text.split(",")
        if kind in ("integer", "number", "boolean"):
            return json.loads(text)
        return text

    def _body_schema(self, parameters: list[Schema]) -> Schema | None:
        if "requestBody" in self._found:
            return self._content(self._schemas.resolved(self._found["requestBody"]))
        fields = {p["name"]: p for p in parameters if p["in"] == "formData"}
        if fields:
            return {"type": "object", "properties": fields}
        return next((p["schema"] for p in parameters if p["in"] == "body"), None)

    @staticmethod
    def _content(found: Schema) -> Schema | None:
        """Of a request or a reply: below its media type, or in OpenAPI 2 beside it."""
        content = found.get("content", {})
        for kind in (kind for kind in content if "json" in kind):
            return content[kind].get("schema", NOTHING)
        return found.get("schema")


@dataclass
class _Schemas:
    """The description's schemas, without references and `allOf` where they are looked at."""

    document: Schema

    @property
    def leaves_nulls_out(self) -> bool:
        """OpenAPI 2 has no word for what may be null."""
        return self.document.get("swagger") == "2.0"

    def resolved(self, schema: Schema) -> Schema:
        """The same without a reference at its top, and its `allOf` as one."""
        while "$ref" in schema:
            found: Any = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            schema = found
        if "allOf" not in schema:
            return schema
        whole = {key: value for key, value in schema.items() if key != "allOf"}
        for part in map(self.resolved, schema["allOf"]):
            whole = _merged(whole, part)
        return whole

    def variants(self, schema: Schema) -> list[Schema]:
        """What a value may be, each with what all have in common."""
        found = self.resolved(schema)
        many = [each for key in MANY for each in found.get(key, ())]
        if not many:
            return [found]
        common = {key: value for key, value in found.items() if key not in MANY}
        parts = [part for each in many for part in self.variants(each)]
        return [_merged(common, part) for part in parts]

    def filled(self, schema: Schema, given: object) -> Any:
        """`given`, with the least value for each required property that it lacks."""
        fitting = [each for each in self.variants(schema) if _fits(each, given)]
        chosen = fitting[0] if fitting else NOTHING
        if isinstance(given, dict):
            properties = chosen.get("properties", {})
            least = {
                name: self._least(properties.get(name, NOTHING))
                for name in chosen.get("required", ())
                if name not in given
            }
            return least | {
                name: self.filled(properties.get(name, NOTHING), each)
                for name, each in given.items()
            }
        if isinstance(given, list):
            return [self.filled(chosen.get("items", NOTHING), each) for each in given]
        return given

    def _least(self, schema: Schema) -> Any:
        chosen = self.variants(schema)[0]
        if _may_be_null(chosen):
            return None
        if "enum" in chosen:
            return chosen["enum"][0]
        match chosen.get("type"):
            case "object":
                return self.filled(chosen, {})
            case "array":
                return []
            case "boolean":
                return False
            case "integer" | "number":
                return chosen.get("minimum", 0)
            case "string":
                return MADE.get(chosen.get("format", ""), "x" * chosen.get("minLength", 0))
        return self.filled(chosen, {}) if "properties" in chosen else None


@dataclass
class _Closer:
    """Makes closed schemas of JSON Schema's draft 7; with `nulls` each property may be null."""

    schemas: _Schemas
    nulls: bool
    named: dict[str, dict[str, Any]] = field(default_factory=dict)

    def check(self, schema: Schema) -> Check:
        closed = self._closed(schema)
        whole = {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": self.named}
        return fastjsonschema.compile(
            {**whole, **closed}, use_default=False, detailed_exceptions=False
        )

    def _closed(self, schema: Schema) -> dict[str, Any]:
        """References stay references: a schema may hold itself."""
        if "$ref" not in schema:
            return self._closed_here(schema)
        name = re.sub(r"\W", "-", schema["$ref"])
        if name not in self.named:
            self.named[name] = {}
            self.named[name].update(self._closed_here(schema))
        return {"$ref": f"#/definitions/{name}"}

    def _property(self, schema: Schema) -> dict[str, Any]:
        closed = self._closed(schema)
        return {"anyOf": [closed, dict(NULL)]} if self.nulls else closed

    def _closed_here(self, schema: Schema) -> dict[str, Any]:
        forms = [self._closed_one(each) for each in self.schemas.variants(schema)]
        if _may_be_null(self.schemas.resolved(schema)):
            forms.append(dict(NULL))
        return forms[0] if len(forms) == 1 else {"anyOf": forms}

    def _closed_one(self, schema: Schema) -> dict[str, Any]:
        found = {key: schema[key] for key in KEPT if key in schema}
        if "properties" in schema:
            found["properties"] = {n: self._property(e) for n, e in schema["properties"].items()}
            found["required"] = list(schema.get("required", ()))
        more = schema.get("additionalProperties")
        if isinstance(more, Mapping) and more:
            found["additionalProperties"] = self._closed(more)
        elif "properties" in schema:
            found["additionalProperties"] = more is True or more == {}
        if isinstance(schema.get("items"), Mapping):
            found["items"] = self._closed(schema["items"])
        return found


def _merged(one: Schema, other: Schema) -> dict[str, Any]:
    """What satisfies both. Alternatives of either stay alternatives."""
    found = {**one, **other}
    if "properties" in one or "properties" in other:
        found["properties"] = {**one.get("properties", {}), **other.get("properties", {})}
    if "required" in one or "required" in other:
        found["required"] = [*one.get("required", ()), *other.get("required", ())]
    return found


def _fits(schema: Schema, value: object) -> bool:
    if value is None:
        return _may_be_null(schema)
    if isinstance(value, dict):
        return set(value) <= set(schema.get("properties", value)) and "items" not in schema
    if isinstance(value, list):
        return schema.get("type", "array") == "array"
    return True


def _may_be_null(schema: Schema) -> bool:
    return bool(schema.get("nullable") or schema.get("x-nullable")) or schema.get("type") == "null"


def _pattern(path: str) -> str:
    return "".join(
        "[^/]+" if part.startswith("{") else re.escape(part)
        for part in re.split(r"(\{[^}]*\})", path)
    )
