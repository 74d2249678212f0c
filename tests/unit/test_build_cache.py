"""What was built before is kept, as far as there is room, and told apart by every byte."""

from __future__ import annotations

import pytest

from mlflow_gitops.adapters.build_cache import BuildCache, key_of
from mlflow_gitops.errors import RenderError


@pytest.mark.parametrize(("limit", "most"), [("MOST", 10), ("MOST_BUILDS", 2)])
def test_what_was_used_longest_ago_goes_first(
    limit: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"mlflow_gitops.adapters.build_cache.{limit}", most)
    cache = BuildCache()
    error = RenderError("bad")
    cache.put("a", "12345")
    cache.put("b", error)
    assert cache.get("a") == "12345"
    cache.put("c", "123")
    assert [cache.get(key) for key in "abc"] == ["12345", None, "123"]
    cache.put("d", "12345678901")
    assert cache.get("a") is None


def test_files_are_told_apart_by_folder_name_and_text() -> None:
    several = [
        ({"a": "b"}, ""),
        ({"a": "b"}, "a"),
        ({"ab": ""}, ""),
        ({"a": "", "b": ""}, ""),
        ({"a": "b\r\n"}, ""),
        ({"a": "b\n"}, ""),
    ]
    assert len({key_of(files, folder) for files, folder in several}) == len(several)
    assert key_of({"a": "1", "b": "2"}, "") == key_of({"b": "2", "a": "1"}, "")
