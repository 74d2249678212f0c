"""Which lines, added to a kustomization, do nothing but list more files and folders."""

from __future__ import annotations

import pytest

from mlflow_gitops.manifests import newly_listed

PATH = "models/overlays/production/kustomization.yaml"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["  - fraud"], ("models/overlays/production/fraud",)),
        (
            ["- ../../base/fraud", "- a.yaml"],
            ("models/base/fraud", "models/overlays/production/a.yaml"),
        ),
        ([], ()),
        (["  - fraud", ""], None),
        (["resources:", "  - fraud"], None),
        (["  - path: fraud.yaml"], None),
        (["  - name: fraud"], None),
        (["  - https://example.com/x"], None),
        (["  - ../../../../outside"], None),
        (["  - fraud # new"], None),
        (["namePrefix: x-"], None),
        (["  - &fraud fraud"], None),
        (['  - "fraud"'], None),
    ],
)
def test_only_plain_entries_count(lines: list[str], found: tuple[str, ...] | None) -> None:
    assert newly_listed(PATH, lines) == found
