"""`storage-keys`: which bucket is behind a `storage.key` of an InferenceService.

KServe looks the key up in the Secret `storage-config`, which no manifest shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from mlflow_gitops.config import names
from mlflow_gitops.config.document import Findings, Value
from mlflow_gitops.config.reference_settings import SETTINGS

__all__ = ["read_storage_keys"]

ROWS = {row.key: row for row in SETTINGS}
KEY = re.compile(r"[-._A-Za-z0-9]{1,253}")  # of a Secret


def read_storage_keys(value: Value | None, found: Findings) -> Mapping[str, str]:
    """Read the mapping of key to bucket."""
    buckets: dict[str, str] = {}
    entries = found.entries(value, ROWS["storage-keys"].form) if value is not None else None
    for key, at in (entries or {}).items():
        if not KEY.fullmatch(key):
            found.add(at, "the key cannot be one of a Secret")
        bucket = found.text(at, names.bucket_complaint, ROWS["storage-keys.<key>"].form)
        if bucket is not None:
            buckets[key] = bucket
    return MappingProxyType(buckets)
