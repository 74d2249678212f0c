"""How often a test that tries much by chance does so: in every run, and with `make soak`."""

from __future__ import annotations

import os


def rounds(usual: int, soak: int) -> int:
    return soak if "MLFLOW_GITOPS_SOAK" in os.environ else usual
