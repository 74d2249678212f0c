"""Private keys in files: only their owner may read them."""

from __future__ import annotations

import os
import stat

__all__ = ["KEPT_OPEN", "open_to_others"]

KEPT_OPEN = "run `chmod 600` on it; for a mounted Kubernetes secret set `defaultMode: 0400`"


def open_to_others(status: os.stat_result) -> str:
    """What is wrong with a key file's rights; "" where nothing is.

    A file of another user, as root's in a mounted secret, is that one's matter.
    """
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid() or not mode & 0o077:
        return ""
    return f"others than its owner may read the key file ({mode:04o})"
