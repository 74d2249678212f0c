"""MLflow's deployment plugin: `mlflow deployments … -t gitops`, and the same from Python.

Asking is `ask`, looking is `deployed`; here are only MLflow's names for them, the texts, and one
exception type, which the `mlflow` command prints as `Error: …` without a traceback.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property, wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

import click
from mlflow.deployments import BaseDeploymentClient, PredictionsResponse
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE

from mlflow_gitops.ask import ANY_FLAVOR, Asker
from mlflow_gitops.bootstrap import Session, connect, now
from mlflow_gitops.config import Process, target_uri
from mlflow_gitops.deployed import Deployed, deployed, told
from mlflow_gitops.deployment_options import HELP, Options, parse_options
from mlflow_gitops.errors import GitOpsError, RequestError, TransientError
from mlflow_gitops.predicting import Caller
from mlflow_gitops.progress import make_progress
from mlflow_gitops.relay import Relay
from mlflow_gitops.render import answer_fields, answer_text, clean
from mlflow_gitops.running import Runner, parse_local_options
from mlflow_gitops.state import Settings, Status
from mlflow_gitops.wish import Wish, locate, no_service, split_name

__all__ = ["GitOpsDeploymentClient", "GitOpsDeploymentError", "run_local", "target_help"]

P = ParamSpec("P")
R = TypeVar("R")


class GitOpsDeploymentError(MlflowException, click.ClickException):  # type: ignore[misc] # no types
    """A failure for people. `cause` is the typed error: what, where, next step."""

    def __init__(self, cause: GitOpsError) -> None:
        text = clean(str(cause))
        code = (
            TEMPORARILY_UNAVAILABLE
            if isinstance(cause, TransientError)
            else INVALID_PARAMETER_VALUE
        )
        MlflowException.__init__(self, text, error_code=code)
        click.ClickException.__init__(self, text)
        self.cause = cause


def _for_people(function: Callable[P, R]) -> Callable[P, R]:
    """Every failure that people can do something about, as MLflow's and click's exception."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except GitOpsError as error:
            raise GitOpsDeploymentError(error) from error

    return wrapped


def target_help() -> str:
    return HELP


@_for_people
def run_local(
    name: str,
    model_uri: str,
    flavor: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> None:
    """Serve the published files with MLflow's own server, in the foreground until Ctrl-C."""
    options = parse_local_options(config)
    session = connect(progress=make_progress())
    runner = Runner(session.observer, session.store, click.echo, session.progress)
    with suppress(KeyboardInterrupt):
        runner.run(name, model_uri, "" if flavor == ANY_FLAVOR else flavor or "", options)


class GitOpsDeploymentClient(BaseDeploymentClient):  # type: ignore[misc] # MLflow has no types
    """MLflow's face of the tool. Every method raises GitOpsDeploymentError, and nothing else.

    One client keeps its connections; Git and the registry are read again at each call.
    """

    @_for_people
    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        process = Process.from_environ(os.environ, repository=target_uri(uri))
        for warning in process.warnings:
            click.echo(f"Warning: {clean(warning)}", err=True)
        self._process = process

    @cached_property
    def _session(self) -> Session:
        return Session(self._process, make_progress())

    @_for_people
    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Ask for a registered version and commit it; prints what was committed.

        The same as `update_deployment`: what stands already stays, and says so. Where no
        repository is named the request goes into the registry, and the service's answer is
        waited for (`config`: `through`, `wait`).
        """
        _refuse_endpoint(endpoint)
        options = parse_options(config)
        wish = Wish(name, model_uri, options.by, options.reason, flavor or "")
        if self._is_relayed(options):
            answer = self._relay().ask(wish, wait=options.wait)
        else:
            answer = Asker(self._session.reconciler).ask(wish, dry_run=options.dry_run)
        click.echo(answer_text(answer))
        return answer_fields(answer, flavor)

    @_for_people
    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Ask for another registered version: the same as `create_deployment`."""
        if not model_uri:
            raise RequestError(
                "nothing to update to: no model was given",
                where=name,
                hint="name a registered version: -m models:/<model>/<version>",
            )
        fields: dict[str, Any] = self.create_deployment(name, model_uri, flavor, config, endpoint)
        return fields

    @_for_people
    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """What Git says of one service, and the registry's state of it where it answers.

        Where no repository is named: what the registry was told of it.
        """
        _refuse_endpoint(endpoint)
        if not self._process.repository:
            return self._told_fields(name)
        settings = self._session.settings()
        environment, model = locate(name, settings)
        services = deployed(self._session.observer, settings, [environment.name])
        service = settings.service(model, environment)
        found = next((each for each in services if each.service == service), None)
        if found is None:
            names = [str(each.key) for each in services]
            where = f"{self._session.repository.identity}: {environment.path}"
            raise no_service(f"{environment.name}/{model}", names, where)
        return {**_deployed_fields(found), **self._registry_fields(found)}

    @_for_people
    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """Every service that Git has, of all environments."""
        _refuse_endpoint(endpoint)
        settings: Settings = self._session.settings()
        found = deployed(self._session.observer, settings, settings.environments)
        return [_deployed_fields(each) for each in found]

    def _registry_fields(self, found: Deployed) -> dict[str, Any]:
        """Git alone answers too: a registry that does not is no failure."""
        try:
            snapshot = self._session.registry.snapshot(found.key.model)
        except GitOpsError as error:
            return {"state": "unknown", "message": f"the registry does not say: {error.what}"}
        return _status_fields(told(snapshot, found.key.environment))

    def _told_fields(self, name: str) -> dict[str, Any]:
        environment, model = split_name(name)
        snapshot = self._session.registry.snapshot(model)
        delivered, status = snapshot.delivered.get(environment), told(snapshot, environment)
        if delivered is None and status is None:
            raise RequestError(
                f"the registry was told nothing of {environment}/{clean(model)}",
                where=f"model {clean(model)}",
                hint="set MLFLOW_GITOPS_REPOSITORY to see what Git says",
            )
        spec = delivered.spec if delivered else None
        return {
            "name": f"{environment}/{model}",
            "flavor": ANY_FLAVOR,
            "environment": environment,
            "model": model,
            "service": delivered.service if delivered else "",
            "version": spec.version if spec else "",
            "uri": spec.uri if spec else "",
            "branch": delivered.branch if delivered else "",
            "head": delivered.head if delivered else "",
            **_status_fields(status),
        }

    @_for_people
    def delete_deployment(
        self, name: str, config: Mapping[str, Any] | None = None, endpoint: str | None = None
    ) -> None:
        """Ask to retire a service: its manifests leave Git. Files, versions and stages stay."""
        _refuse_endpoint(endpoint)
        options = parse_options(config)
        wish = Wish(name, by=options.by, reason=options.reason)
        if self._is_relayed(options):
            answer = self._relay().retire(wish, wait=options.wait)
        else:
            answer = Asker(self._session.reconciler).retire(wish, dry_run=options.dry_run)
        click.echo(answer_text(answer))

    def _is_relayed(self, options: Options) -> bool:
        """Whether the service does it, since this process is not meant to reach Git."""
        through = options.through or ("git" if self._process.repository else "service")
        if through == "service" and options.dry_run:
            raise RequestError(
                "a dry run reads the manifests repository, and none is named",
                where="-C dry-run",
                hint="set MLFLOW_GITOPS_REPOSITORY, or look at `mlflow-gitops plan` where it is "
                "set",
            )
        return through == "service"

    def _relay(self) -> Relay:
        def say(text: str) -> None:
            click.echo(clean(text), err=True)

        return Relay(self._session.registry, now, self._session.store.inspect, say)

    @_for_people
    def predict(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> PredictionsResponse:
        """Ask the live service. `inputs` is as `predicting.Caller.predict` has it."""
        _refuse_endpoint(endpoint)
        return PredictionsResponse(self._caller.predict(deployment_name or "", inputs))

    @_for_people
    def predict_stream(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> NoReturn:
        del inputs
        raise RequestError(
            "the target `gitops` streams no predictions",
            where=deployment_name or endpoint or "",
            hint="use predict",
        )

    @_for_people
    def explain(
        self, deployment_name: str | None = None, df: Any = None, endpoint: str | None = None
    ) -> dict[str, Any]:
        """Ask the service's explainer, where the manifest has one."""
        _refuse_endpoint(endpoint)
        return self._caller.explain(deployment_name or "", df)

    @property
    def _caller(self) -> Caller:
        session = self._session
        return Caller(session.observer, session.scorer, lambda: session.cluster)

    @_for_people
    def create_endpoint(self, name: str, config: Mapping[str, Any] | None = None) -> NoReturn:
        del config
        raise _no_endpoints(name)

    @_for_people
    def update_endpoint(self, endpoint: str, config: Mapping[str, Any] | None = None) -> NoReturn:
        del config
        raise _no_endpoints(endpoint)

    @_for_people
    def delete_endpoint(self, endpoint: str) -> NoReturn:
        raise _no_endpoints(endpoint)

    @_for_people
    def list_endpoints(self) -> NoReturn:
        raise _no_endpoints("all")

    @_for_people
    def get_endpoint(self, endpoint: str) -> NoReturn:
        raise _no_endpoints(endpoint)


def _refuse_endpoint(endpoint: str | None) -> None:
    if endpoint:
        raise _no_endpoints(endpoint)


def _no_endpoints(endpoint: str) -> RequestError:
    return RequestError(
        "the target `gitops` has no endpoints",
        where=f"--endpoint {endpoint}",
        hint="the environment is part of the deployment's name: --name <environment>/<model>",
    )


def _status_fields(status: Status | None) -> dict[str, Any]:
    if status is None:
        return {"state": "unknown", "message": "the registry was told nothing of it yet"}
    fields = {"state": status.state.value, "message": status.message, "commit": status.commit}
    return {**fields, "pull_request": status.pull}


def _deployed_fields(found: Deployed) -> dict[str, Any]:
    return {
        "name": str(found.key),
        "flavor": ANY_FLAVOR,
        "environment": found.key.environment,
        "model": found.key.model,
        "service": found.service,
        "version": found.spec.version,
        "uri": found.spec.uri,
        "branch": found.branch,
        "head": found.head,
    }
