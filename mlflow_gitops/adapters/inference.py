"""HTTP to inference servers: one request, one answer, never a second try.

The token goes to the address that was asked and nowhere else: redirects are not followed, and no
netrc file is read. It is taken out of an answer that repeats it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import requests
import requests.exceptions as wrong
from requests.auth import AuthBase

from mlflow_gitops.errors import ConfigError, GitOpsError, PredictionError, TransientError
from mlflow_gitops.state import Reply

__all__ = ["HttpScorer"]

CONNECT_SECONDS = 10.0
LARGEST = 256 * 1024 * 1024  # bytes of an answer
CHUNK = 64 * 1024
HIDDEN = b"***"
CERTIFICATE = (
    *("self-signed certificate", "certificate has expired", "Hostname mismatch"),
    *("unable to get local issuer certificate", "WRONG_VERSION_NUMBER"),
)
CHECK_ADDRESS = (
    "check `environments.<name>.endpoint` in mlflow-gitops.yaml, and that this machine reaches the "
    "service (or `kubectl port-forward`, with `endpoint.url` on localhost)"
)


@dataclass(frozen=True, slots=True)
class _Bearer(AuthBase):
    """Also without a token it is given to requests, which would else look into ~/.netrc."""

    token: str = field(repr=False)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


@dataclass(frozen=True, slots=True)
class HttpScorer:
    """`ports.Scorer`. `token` is asked for at each request; `timeout` is in seconds."""

    token: Callable[[], str]
    timeout: float

    def get(self, url: str, host: str = "") -> Reply:
        return self._ask("GET", url, host, None)

    def post(self, url: str, body: bytes, host: str = "") -> Reply:
        return self._ask("POST", url, host, body)

    def _ask(self, method: str, url: str, host: str, body: bytes | None) -> Reply:
        token = self.token()
        headers = {"Accept": "application/json", "User-Agent": "mlflow-gitops"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if host:
            headers["Host"] = host
        try:
            with requests.request(
                method,
                url,
                data=body,
                headers=headers,
                auth=_Bearer(token),
                timeout=(min(CONNECT_SECONDS, self.timeout), self.timeout),
                allow_redirects=False,
                stream=True,
            ) as answer:
                kind = answer.headers.get("Content-Type", "")
                return Reply(answer.status_code, _content(answer, url, token), kind)
        except (requests.RequestException, OSError, ValueError) as error:
            raise _failed(error, url, self.timeout) from None


def _content(answer: requests.Response, url: str, token: str) -> bytes:
    found = bytearray()
    for chunk in answer.iter_content(CHUNK):
        found += chunk
        if len(found) > LARGEST:
            raise PredictionError(
                f"the answer has more than {LARGEST} bytes", where=url, hint="ask for fewer rows"
            )
    content = bytes(found)
    return content.replace(token.encode(), HIDDEN) if token else content


def _failed(error: Exception, url: str, timeout: float) -> GitOpsError:
    """The class says what happened; requests' texts hold addresses of objects, and are long."""
    if isinstance(error, wrong.SSLError):
        return ConfigError(
            f"the service's certificate is not accepted{_reason(error)}",
            where=url,
            hint="set REQUESTS_CA_BUNDLE to the CA that signed it",
        )
    if isinstance(error, wrong.ProxyError):
        return TransientError(
            "the proxy does not let the request through",
            where=url,
            hint="check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
        )
    if isinstance(error, wrong.ConnectTimeout):
        return TransientError("nothing answers at this address", where=url, hint=CHECK_ADDRESS)
    if isinstance(error, wrong.Timeout) or "Read timed out" in str(error):
        return TransientError(
            f"the service did not answer within {timeout:g} seconds",
            where=url,
            hint="ask for fewer rows, or set MLFLOW_GITOPS_PREDICT_TIMEOUT to more seconds",
        )
    if isinstance(error, (wrong.ConnectionError, wrong.ChunkedEncodingError)):
        return TransientError(_connection(error), where=url, hint=CHECK_ADDRESS)
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return ConfigError(
            "the CA file cannot be read",
            where="REQUESTS_CA_BUNDLE",
            hint="set it to a file that this process can read, or unset it",
        )
    return ConfigError("this address cannot be asked", where=url, hint=CHECK_ADDRESS)


def _connection(error: Exception) -> str:
    text = str(error)
    if "NameResolution" in text or "getaddrinfo" in text:
        return "the host's name is not known here"
    if "refused" in text.lower():
        return "nothing listens at this address: the connection was refused"
    return "the connection broke off"


def _reason(error: Exception) -> str:
    found = next((each for each in CERTIFICATE if each in str(error)), "")
    return f" ({found})" if found else ""
