"""Argo CD's globs for `directory.include` and `exclude`: gobwas/glob without separators."""

from __future__ import annotations

import time

import pytest

from mlflow_gitops.manifests.globs import matches


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("a.yaml", "a.yaml", True),
        ("a.yaml", "b/a.yaml", False),
        ("*.yaml", "a.yaml", True),
        ("*.yaml", "b/c/a.yaml", True),
        ("*.yaml", "a.yml", False),
        ("{*.yaml,*.yml}", "b/a.yml", True),
        ("{*.yaml,*.yml}", "a.json", False),
        ("{a,{b,c}d}.yaml", "cd.yaml", True),
        ("{a,{b,c}d}.yaml", "c.yaml", False),
        ("{,old-}a.yaml", "a.yaml", True),
        ("archive/*", "archive/x/a.yaml", True),
        ("archive/**", "archive/a.yaml", True),
        ("**/a.yaml", "a.yaml", False),
        ("?.yaml", "a.yaml", True),
        ("?.yaml", "ab.yaml", False),
        ("[abc].yaml", "b.yaml", True),
        ("[!abc].yaml", "b.yaml", False),
        ("[a-c].yaml", "b.yaml", True),
        ("[!a-c].yaml", "d.yaml", True),
        (r"\*.yaml", "*.yaml", True),
        (r"\*.yaml", "a.yaml", False),
        ("a,b.yaml", "a,b.yaml", True),
        ("", "a.yaml", False),
        ("[abc", "a", False),
        ("{a,b", "a", False),
        ("[]", "", False),
    ],
)
def test_a_pattern_matches_the_whole_path(pattern: str, path: str, expected: bool) -> None:
    assert matches(pattern, path) is expected


def test_no_pattern_takes_long() -> None:
    start = time.monotonic()
    assert not matches("*a" * 50 + "b", "a" * 2000)
    assert not matches("{" * 1000, "a")
    assert time.monotonic() - start < 5
