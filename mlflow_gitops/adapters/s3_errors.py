"""Turns what boto3 raises into errors for people, without secrets, signed URLs or bodies.

A storage's own sentence is quoted where it says why it refused: one line, bounded, and without what
looks like a credential.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import urllib3.exceptions
from boto3.exceptions import Boto3Error
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from mlflow_gitops.errors import ConfigError, GitOpsError, PublishError, TransientError
from mlflow_gitops.planning.sources import printable

__all__ = [
    "code_of",
    "is_conflict",
    "is_missing_key",
    "is_storing",
    "is_there",
    "status_of",
    "talking",
]

LOGIN = frozenset(
    (
        *("AuthFailure", "ExpiredToken", "InvalidAccessKeyId", "InvalidClientTokenId"),
        *("InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired", "UnauthorizedAccess"),
    )
)
ELSEWHERE = frozenset(
    (
        *("AuthorizationHeaderMalformed", "IllegalLocationConstraintException"),
        *("PermanentRedirect", "TemporaryRedirect"),
    )
)
BUSY = frozenset(
    (
        *("RequestLimitExceeded", "RequestTimeout", "RequestTimeoutException", "SlowDown"),
        *("ServiceUnavailable", "Throttling", "ThrottlingException", "TooManyRequests"),
    )
)
NO_ACLS_CODE = "AccessControlListNotSupported"
STORING = frozenset(
    (NO_ACLS_CODE, "InvalidEncryptionAlgorithmError", "InvalidStorageClass", "InvalidTag")
)
DAMAGED = frozenset(
    (
        *("BadDigest", "IncompleteBody", "InvalidDigest"),
        *("XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"),
    )
)
CODE = re.compile(r"[A-Za-z0-9.]{1,60}")
SECRETS = re.compile(
    r"\b(?:AKIA|ASIA|AIDA|AROA)[A-Z0-9]{12,}\b"  # ids of access keys, users and roles
    r"|(?<![A-Za-z0-9/+=])[A-Za-z0-9/+=]{40}(?![A-Za-z0-9/+=])"  # as AWS's secret keys are
    r"|\b[A-Za-z0-9+=_-]{64,}"  # signatures and tokens
    r"|(?<=//)[^/\s]*@"
    r"|\b[\w-]*(?i:signature|token|secret|password|credential)[\w-]*=[^\s&]+"
)
LONGEST_SAID = 300  # characters
SAYS_NOTHING = ("forbidden", "accessdenied", "notimplemented", "badrequest", "none", "")

CHECK_LOGIN = (
    "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the profile or role that is used), and "
    "that they are of this storage"
)
CHECK_POLICY = (
    "allow s3:ListBucket on the bucket and s3:GetObject, s3:PutObject and "
    "s3:AbortMultipartUpload on its objects"
)
CHECK_WRITES = (
    "where a bucket policy demands encryption or an ACL of every write, set `artifacts.encryption` "
    "(`aws:kms` with `artifacts.kms-key`, or `AES256`) or "
    "`artifacts.acl: bucket-owner-full-control` in mlflow-gitops.yaml: docs/storage.md"
)
CHECK_KEY = "allow kms:GenerateDataKey and kms:Decrypt on the key, and check `artifacts.kms-key`"
CHECK_STORING = (
    "check `artifacts.encryption`, `kms-key`, `bucket-key`, `acl` and `storage-class` in "
    "mlflow-gitops.yaml, and MLFLOW_S3_UPLOAD_EXTRA_ARGS, which counts where they say nothing"
)
NO_ACLS = (
    "the bucket's ACLs are disabled, and its owner has every object anyway: remove "
    "`artifacts.acl`, and ACL and grants from MLFLOW_S3_UPLOAD_EXTRA_ARGS"
)
CHECK_ADDRESS = "check MLFLOW_GITOPS_S3_ENDPOINT, and that the storage runs"
CHECK_REGION = "set AWS_REGION to the bucket's region"


def code_of(error: boto.ClientError) -> str:
    """The server's word for it, or the status; safe to show."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code if CODE.fullmatch(code) else str(status_of(error))


def said_by(error: boto.ClientError) -> str:
    """The storage's own sentence, after a colon; "" where it says no more than its code."""
    message = error.response.get("Error", {}).get("Message", "")
    line = printable(" ".join(str(message or "").split()))
    if re.sub("[^a-z]", "", line.lower()) in (*SAYS_NOTHING, code_of(error).lower()):
        return ""
    line = SECRETS.sub("…", line).replace('"', "'")
    short = line if len(line) <= LONGEST_SAID else f"{line[:LONGEST_SAID]}…"
    return f': "{short}"'


def status_of(error: boto.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_there(error: boto.ClientError) -> bool:
    """The condition `If-None-Match: *` failed: an object has this key."""
    return status_of(error) == 412 or code_of(error) == "PreconditionFailed"


def is_conflict(error: boto.ClientError) -> bool:
    """Another write of the key was going on; neither is known to have won."""
    return code_of(error) == "ConditionalRequestConflict"


def is_missing_key(error: boto.ClientError) -> bool:
    return code_of(error) in ("NoSuchKey", "404", "NotFound")


def is_storing(error: boto.ClientError) -> bool:
    """The storage refuses how the object is to be kept: its encryption, ACL, class or tags."""
    code = code_of(error)
    return code in STORING or code.startswith("KMS.")


@contextmanager
def talking(where: str) -> Iterator[None]:
    """Whatever boto3 raises inside comes out as a GitOpsError."""
    try:
        yield
    except GitOpsError:
        raise
    except boto.ClientError as error:
        raise _answered(error, where) from None
    except (boto.BotoCoreError, boto.HTTPClientError, Boto3Error) as error:
        raise _not_answered(error, where) from None
    except ResponseParserError:
        raise PublishError(
            "what answers there is not an S3 server", where=where, hint=CHECK_ADDRESS
        ) from None
    except urllib3.exceptions.HTTPError as error:
        raise TransientError(
            f"the storage broke off ({type(error).__name__})", where=where, hint=CHECK_ADDRESS
        ) from None
    except ValueError as error:  # boto3's word for an endpoint that is no URL
        raise _unusable(error, where) from None


def _answered(error: boto.ClientError, where: str) -> GitOpsError:
    code, status = code_of(error), status_of(error)
    if code == "NoSuchBucket":
        return PublishError(
            "there is no such bucket",
            where=where,
            hint="create the bucket, or correct `artifacts.bucket` in mlflow-gitops.yaml",
        )
    if code in LOGIN or status == 401:
        return PublishError(
            f"the storage does not accept the credentials ({code})", where=where, hint=CHECK_LOGIN
        )
    if code == "RequestTimeTooSkewed":
        return PublishError("this machine's clock is wrong", where=where, hint="set the clock")
    if code in ELSEWHERE or status in (301, 307):
        return PublishError("the bucket is in another region", where=where, hint=CHECK_REGION)
    if code in DAMAGED:
        return TransientError(f"the bytes did not arrive as they were sent ({code})", where=where)
    if code in BUSY or status in (429, 500, 502, 503, 504):
        return TransientError(
            f"the storage cannot do it now ({code})",
            where=where,
            hint="it is tried again; if it stays so, look at the storage's log",
        )
    said = said_by(error)
    if status == 403:
        check = CHECK_KEY if "kms:" in said.lower() else CHECK_POLICY
        return PublishError(
            f"the storage does not permit it ({code}){said}",
            where=where,
            hint=f"{check}; or, {CHECK_WRITES}; or {CHECK_LOGIN}",
        )
    if code == NO_ACLS_CODE:
        return PublishError(f"the storage takes no ACL ({code}){said}", where=where, hint=NO_ACLS)
    if is_storing(error):
        return PublishError(
            f"the storage cannot keep the object as it is asked to ({code}){said}",
            where=where,
            hint=CHECK_STORING,
        )
    if status == 404:
        return PublishError(
            f"the storage finds nothing there ({code})",
            where=where,
            hint=f"check `artifacts.bucket` in mlflow-gitops.yaml; {CHECK_ADDRESS}",
        )
    if status == 501 or code == "NotImplemented":
        return PublishError(
            "the storage cannot write on condition, so it could not keep a version as it is, or "
            f"cannot keep an object as it is asked to{said}",
            where=where,
            hint="take a storage that knows `If-None-Match` on PUT and multipart completion; and "
            f"{CHECK_STORING}",
        )
    return PublishError(f"the storage refused it ({code}){said}", where=where, hint=CHECK_ADDRESS)


def _not_answered(error: Exception, where: str) -> GitOpsError:
    kind = type(error).__name__
    if isinstance(error, (boto.NoCredentialsError, boto.PartialCredentialsError)):
        return PublishError("there are no credentials for S3", where=where, hint=CHECK_LOGIN)
    if isinstance(error, (boto.ProfileNotFound, boto.NoAuthTokenError, boto.SSOTokenLoadError)):
        return PublishError(
            f"the credentials for S3 cannot be used ({kind})", where=where, hint=CHECK_LOGIN
        )
    if isinstance(error, boto.SSLError):
        return PublishError(
            "the storage's certificate is not accepted",
            where=where,
            hint="set AWS_CA_BUNDLE to the CA that signed it",
        )
    if isinstance(error, boto.ParamValidationError):
        return PublishError("the name cannot be used with S3", where=where, hint="correct it")
    if isinstance(error, (boto.NoRegionError, boto.InvalidRegionError)):
        return PublishError("the region cannot be used", where=where, hint=CHECK_REGION)
    if isinstance(error, boto.FlexibleChecksumError):
        return TransientError("the bytes did not arrive as the storage keeps them", where=where)
    cause = getattr(error, "kwargs", {}).get("error")
    if isinstance(cause, ValueError) and str(cause).startswith("Invalid header value"):
        return PublishError(
            "the credentials cannot be sent: they have a line end, or what else no header may have",
            where=where,
            hint=CHECK_LOGIN,
        )
    host = urlsplit(str(getattr(error, "kwargs", {}).get("endpoint_url", ""))).netloc
    at = f" at {host.rpartition('@')[2]}" if host else ""
    return TransientError(
        f"the storage cannot be reached{at} ({kind})", where=where, hint=CHECK_ADDRESS
    )


def _unusable(error: ValueError, where: str) -> GitOpsError:
    if "endpoint" not in str(error).lower():
        raise error
    return ConfigError("the S3 endpoint is no URL", where=where, hint=CHECK_ADDRESS)
