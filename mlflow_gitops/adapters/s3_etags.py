"""What a storage proves of its own copies where it computes no checksum of them: their ETags.

The ETag of an upload is the MD5 of its parts' MD5s. A copy in the source's own parts therefore has
the source's ETag if it has the source's bytes. Where ETags are no MD5s (SSE-KMS), none agrees.
"""

from __future__ import annotations

import math
import re

from botocore.exceptions import ClientError

from mlflow_gitops.adapters.s3 import bare
from mlflow_gitops.adapters.s3_errors import talking
from mlflow_gitops.adapters.s3_uploads import Origin
from mlflow_gitops.planning.checksums import Checksum, etag_of

__all__ = ["etag_of_copy"]

ETAG = re.compile(r"([0-9a-f]{32})(?:-([1-9][0-9]{0,4}))?")
LEAST_PART = 5 * 1024 * 1024  # bytes, of all parts but the last
MOST_PART = 1024**3  # bytes that one request copies before it could be given up as hanging


def etag_of_copy(origin: Origin, size: int) -> Checksum | None:
    """The ETag that a copy has in parts of the `part_size` there; None where that is not known."""
    found = ETAG.fullmatch(bare(origin.etag))
    if found is None:
        return None
    parts = int(found[2] or 1)
    part_size = size if parts == 1 else _first_part(origin)
    least = 1 if parts == 1 else LEAST_PART
    if not least <= part_size <= MOST_PART or parts != math.ceil(size / part_size):
        return None
    value = found[0] if found[2] else etag_of([bytes.fromhex(found[1])])  # not uploaded in parts
    return Checksum("etag", value, part_size)


def _first_part(origin: Origin) -> int:
    """In bytes, 0 where the storage does not tell. The others have as many, but the last, or the
    ETags will differ.
    """
    bucket = origin.bucket
    with talking(bucket.uri(origin.key)):
        try:
            head = bucket.client.head_object(Bucket=bucket.name, Key=origin.key, PartNumber=1)
        except ClientError:
            return 0
    return head["ContentLength"]
