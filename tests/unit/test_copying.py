from __future__ import annotations

from typing import Any

import pytest

from mlflow_gitops.adapters import copying
from mlflow_gitops.adapters.copying import COPIED_WHOLE, Copy

SMALL, LARGE = 1000, COPIED_WHOLE + 1  # bytes
NOBODY: Any = None


@pytest.fixture
def copy() -> Copy:
    return Copy(NOBODY, NOBODY, NOBODY, 5 * 1024 * 1024)


@pytest.mark.parametrize(("first", "other"), [(False, True), (True, False)])
def test_a_file_goes_by_its_own_trial_whatever_another_tells_meanwhile(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, first: bool, other: bool
) -> None:
    """The storage computes CRC32s of some files' copies, and of others none."""

    def trial(_: Any, key: str, __: Any) -> bool:
        if key == "first":
            assert copy._is_summed("other", LARGE, NOBODY) == other
            return first
        return other

    monkeypatch.setattr(copying, "sums_copies", trial)
    assert copy._is_summed("first", LARGE, NOBODY) == first
    monkeypatch.setattr(copying, "sums_copies", None)
    assert not copy._is_summed("third", SMALL, NOBODY), "one no is enough for all that follow"


def test_small_files_are_like_the_first_and_large_ones_are_tried_each(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def trial(_: Any, key: str, __: Any) -> bool:
        tried.append(key)
        return key != "large-2"

    monkeypatch.setattr(copying, "sums_copies", trial)
    sizes = {
        "small-1": SMALL,
        "small-2": SMALL,
        "large-1": LARGE,
        "large-2": LARGE,
        "large-3": LARGE,
    }
    told = [copy._is_summed(key, size, NOBODY) for key, size in sizes.items()]
    assert told == [True, True, True, False, False]
    assert tried == ["small-1", "large-1", "large-2"]
