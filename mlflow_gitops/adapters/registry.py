"""The MLflow model registry, through MLflow's own client. Nothing global is set.

Retries are the client's: it repeats a failed request for minutes (the CLI shortens that), so
a server that does not answer at all is found out beforehand, with one short request of our own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from mlflow_gitops.adapters.registry_errors import is_unknown, one_line, place, talking
from mlflow_gitops.adapters.registry_limits import (
    TAG_EVERYWHERE,
    check_version,
    clipped,
    too_long,
)
from mlflow_gitops.adapters.registry_rows import Model, joined, model_of, name_filter, snapshot_of
from mlflow_gitops.adapters.registry_runs import facts_of
from mlflow_gitops.adapters.registry_sources import resolve, root_of
from mlflow_gitops.adapters.registry_wire import own_connections
from mlflow_gitops.errors import RegistryError, RequestError, TransientError
from mlflow_gitops.planning.deliveries import DELIVERED, delivered_text
from mlflow_gitops.planning.records import (
    REQUESTS,
    STATUS,
    parse_status,
    request_text,
    same_news,
    selector_key,
    status_text,
)
from mlflow_gitops.runs import RunFacts
from mlflow_gitops.state import Delivered, ModelVersion, Request, Selector, Snapshot, Status

__all__ = ["MlflowRegistry"]

DEFAULT_EXPERIMENT = "0"
FRESH = 5.0  # seconds for which a server that answered is trusted to answer
PROBE_TIMEOUT = 10  # seconds
GATEWAY_ERRORS = (502, 503, 504)
FINE = 200  # the HTTP status

# MLflow wraps what has to do with stages to print a warning, with a lock on nothing.
_transition = getattr(
    MlflowClient.transition_model_version_stage,
    "__wrapped__",
    MlflowClient.transition_model_version_stage,
)


class MlflowRegistry:
    """Implements `ports.Registry`; safe for several threads.

    Without URIs MLflow's own rules decide (MLFLOW_TRACKING_URI, …). The page sizes are the
    largest that are cheap: 1,000 models is also the most that a server gives.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        registry_uri: str | None = None,
        *,
        versions_page: int = 2_000,
        models_page: int = 1_000,
    ) -> None:
        where = place(registry_uri or tracking_uri or "")
        with talking(where):
            self._client = MlflowClient(tracking_uri or None, registry_uri or None)
        self._uri: str = registry_uri or tracking_uri or self._client._registry_uri
        self._where = place(self._uri)
        self._versions_page = versions_page
        self._models_page = models_page
        self._answered = float("-inf")
        self._is_known = False

    def snapshot(self, model: str) -> Snapshot:
        self._check_answers()
        where = f"{self._where}: model {one_line(model)}"
        with self._talking(where):
            try:
                entity = self._client.get_registered_model(model)
            except MlflowException as error:
                if is_unknown(error):
                    raise self._unknown(model) from None
                raise
            if entity.name != model:
                raise RegistryError(
                    "what answers there is not an MLflow registry",
                    where=where,
                    hint="check MLFLOW_TRACKING_URI",
                )
            rows = [row for row in self._rows(name_filter(model)) if row.name == model]
        return snapshot_of(model, model_of(entity), rows)

    def snapshots(self) -> Iterator[Snapshot]:
        self._check_answers()
        with self._talking(self._where):
            models = self._models()
        yield from joined(models, self._rows(None))

    def names(self) -> frozenset[str]:
        self._check_answers()
        with self._talking(self._where):
            return frozenset(self._models())

    def artifact_location(self, version: ModelVersion) -> str:
        self._check_answers()
        where = f"{self._where}: {version.model} version {version.number}"
        with self._talking(where):
            uri = self._client.get_model_version_download_uri(version.model, version.number)
            return resolve(self._client, uri, where)

    def artifact_roots(self) -> tuple[str, ...]:
        self._check_answers()
        with self._talking(self._where):
            try:
                location = self._client.get_experiment(DEFAULT_EXPERIMENT).artifact_location
            except MlflowException as error:
                if not is_unknown(error):
                    raise
                location = ""
        roots = ("mlflow-artifacts:/", root_of(location, DEFAULT_EXPERIMENT))
        return tuple(dict.fromkeys(root for root in roots if root))

    def facts(self, version: ModelVersion) -> RunFacts:
        self._check_answers()
        with self._talking(f"{self._where}: {version.model} version {version.number}"):
            return facts_of(self._client, version, self._uri)

    def ask(self, version: ModelVersion, key: str, request: Request) -> None:
        """It is never signed: only a tracking server knows who somebody is."""
        asked = replace(request, version=version.number)
        text = request_text(asked, model=version.model, tag=REQUESTS + key)
        self._set_version_tag(version.model, version.number, REQUESTS + key, text)

    def select(
        self,
        version: ModelVersion,
        selector: Selector,
        request: Request | None = None,
        *,
        relayed: bool = False,
    ) -> None:
        model, number = version.model, version.number
        if request is not None:
            self._announce(version, selector, request, relayed=relayed)
        if selector.kind == "tag":
            self._set_version_tag(model, number, selector.name, selector.value)
            return
        self._check_answers()
        with self._talking(f"{self._where}: {model} version {number}"):
            if selector.kind == "stage":
                _transition(
                    self._client, model, number, selector.name, archive_existing_versions=False
                )
            else:
                self._client.set_registered_model_alias(model, selector.name, number)

    def record(self, model: str, environment: str, delivered: Delivered) -> None:
        tag, text = DELIVERED + environment, delivered_text(delivered)
        where = f"{self._where}: model {one_line(model)}"
        self._check_answers()
        try:
            with self._talking(where):
                self._client.set_registered_model_tag(model, tag, text)
        except RequestError:
            if len(text) > TAG_EVERYWHERE:
                raise too_long(tag, text, where) from None
            raise

    def report(self, model: str, number: str, environment: str, status: Status) -> None:
        self._check_answers()
        tag, status = STATUS + environment, clipped(status)
        with self._talking(f"{self._where}: {model} version {number}"):
            try:
                tags = self._client.get_model_version(model, number).tags
                told = parse_status(tags[tag]) if tag in tags else None
                if not same_news(told, status):
                    self._client.set_model_version_tag(model, number, tag, status_text(status))
            except MlflowException as error:
                if not is_unknown(error):
                    raise

    # Reading

    def _rows(self, filter_string: str | None) -> Iterator[Any]:
        """Every version that the filter finds, by name and number; each page is one request."""
        token: str | None = None
        while True:
            with self._talking(self._where):
                page = self._client.search_model_versions(
                    filter_string or "",
                    max_results=self._versions_page,
                    order_by=["name ASC", "version_number ASC"],
                    page_token=token,
                )
            yield from page
            token = page.token
            if not token:
                return

    def _models(self) -> dict[str, Model]:
        found: dict[str, Model] = {}
        token: str | None = None
        while True:
            page = self._client.search_registered_models(
                max_results=self._models_page, order_by=["name ASC"], page_token=token
            )
            for entity in page:
                found[entity.name] = model_of(entity)
            token = page.token
            if not token:
                return found

    def _unknown(self, model: str) -> RequestError:
        close: list[str] = []
        with suppress(Exception):  # a hint is no reason to fail otherwise
            pattern = re.sub(r"[^A-Za-z0-9-]", "_", model[:3])
            page = self._client.search_registered_models(f"name ILIKE '{pattern}%'", 100)
            close = get_close_matches(model, [entity.name for entity in page], n=3)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        return RequestError(
            f"there is no registered model `{one_line(model)}`",
            where=self._where,
            hint=f"{meant}register it, or correct the name",
        )

    # Writing

    def _announce(
        self, version: ModelVersion, selector: Selector, request: Request, *, relayed: bool
    ) -> None:
        """Tell a server that records moves by itself which request the next one belongs to."""
        tag = REQUESTS + selector_key(selector)
        asked = replace(request, version=version.number, pending=False)
        text = request_text(asked, model=version.model, tag=tag, moving=True, relayed=relayed)
        self._set_version_tag(version.model, version.number, tag, text)

    def _set_version_tag(self, model: str, number: str, tag: str, text: str) -> None:
        self._check_answers()
        with self._talking(f"{self._where}: {model} version {number}"):
            self._client.set_model_version_tag(model, number, tag, text)

    @contextmanager
    def _talking(self, where: str) -> Iterator[None]:
        try:
            with talking(where), own_connections(self._uri):
                yield
        except TransientError:
            self._answered = float("-inf")  # ask again before MLflow's client repeats for minutes
            raise

    def _check_answers(self) -> None:
        """Raises where nothing answers at the address: at once, not after MLflow's retries."""
        if not self._uri.startswith(("http://", "https://")):
            return
        if time.monotonic() - self._answered < FRESH:
            return
        status, _ = self._get("/health")
        if status in GATEWAY_ERRORS:
            raise TransientError(
                f"the registry cannot be reached (HTTP {status})",
                where=self._where,
                hint="check that the MLflow server runs",
            )
        if not self._is_known:
            status, version = self._get("/version")
            if status == FINE:
                check_version(version, self._where)
            self._is_known = True
        self._answered = time.monotonic()

    def _get(self, path: str) -> tuple[int, str]:
        """One short request, with the client's credentials: status and text.

        Once more where the first gets nothing: a kept connection may be closed just then.
        """
        with self._talking(self._where):
            response = http_request(
                get_default_host_creds(self._uri),
                path,
                "GET",
                max_retries=1,
                backoff_jitter=0,
                retry_codes=frozenset(),
                timeout=PROBE_TIMEOUT,
                raise_on_status=False,
            )
        return response.status_code, response.text
