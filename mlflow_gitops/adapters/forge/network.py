"""What the network and a forge's client raise, as errors for people.

All of the clients speak through requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import requests

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.errors import GitOpsError

__all__ = ["talking", "told"]

P = ParamSpec("P")
R = TypeVar("R")


class _Client(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def asked(self) -> str: ...


class _Adapter(Protocol):
    @property
    def _client(self) -> _Client: ...


A = TypeVar("A", bound=_Adapter)


def told(act: Callable[Concatenate[A, P], R]) -> Callable[Concatenate[A, P], R]:
    """An answer that is not as the forge's API gives it is an error for people, too."""

    @wraps(act)
    def acting(adapter: A, /, *args: P.args, **named: P.kwargs) -> R:
        with talking(adapter._client.name, lambda: adapter._client.asked):
            return act(adapter, *args, **named)

    return acting


@contextmanager
def talking(forge: str, asked: Callable[[], str]) -> Iterator[None]:
    """Whatever is raised inside comes out as a GitOpsError; `asked` gives the request in hand."""
    try:
        yield
    except GitOpsError:
        raise
    except requests.exceptions.SSLError:
        raise failures.untrusted(where=asked()) from None
    except requests.exceptions.Timeout:
        raise failures.no_answer(where=asked()) from None
    except requests.exceptions.JSONDecodeError:
        raise failures.not_the_api(forge, where=asked()) from None
    except (requests.exceptions.RequestException, OSError):
        raise failures.unreachable(where=asked()) from None
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError, RecursionError):
        raise failures.not_the_api(forge, where=asked()) from None
