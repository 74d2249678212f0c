"""A resync with nothing to do, against the bare MLflow listing that it cannot do without.

25,000 versions of 5,000 models, seeded through MLflow's store; a repository that says what the
registry asks for. Both take turns in one run, over HTTP; the resync's first round is cold (every
manifest is parsed), the others are warm. Memory is what a process holds above its imports.

    python benchmarks/resync.py [--models 5000] [--versions 5] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from _common import close, large_repository, show
from mlflow import MlflowClient
from mlflow.store.model_registry.dbmodels.models import (
    SqlModelVersion,
    SqlModelVersionTag,
    SqlRegisteredModel,
    SqlRegisteredModelTag,
)
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.config import Process
from mlflow_gitops.demo.mlflow_server import MlflowServer, mlflow_server
from mlflow_gitops.planning.deliveries import DELIVERED, delivered_text
from mlflow_gitops.planning.plan import next_delivered, reports
from mlflow_gitops.planning.records import STATUS, status_text
from tests.support.git import GitHttpServer

TARGET = 2.0
TARGET_MEMORY = 150.0  # MB above the imports
BUCKET = "models"
CREATED = 1_760_000_000_000


def seed(server: MlflowServer, models: list[str], versions: int) -> None:
    """The newest version of each model is in Production, the others are archived."""
    with SqlAlchemyStore(server.database).ManagedSessionMaker() as rows:
        for model in models:
            rows.add(SqlRegisteredModel(name=model, creation_time=CREATED))
            rows.flush()
            for number in range(1, versions + 1):
                rows.add(
                    SqlModelVersion(
                        name=model,
                        version=number,
                        creation_time=CREATED + number,
                        last_updated_time=CREATED + number,
                        current_stage="Production" if number == versions else "Archived",
                        source=f"mlflow-artifacts:/{model}/{number}",
                        run_id=f"{number:032x}",
                        status="READY",
                    )
                )


def settle(server: MlflowServer, session: Session) -> None:
    """Write the records and reports that reconciling every service would have left."""
    store = SqlAlchemyStore(server.database)
    observer = session.observer
    settings = session.settings()
    for _ in range(2):  # what was delivered, then what the registry is told of it
        with store.ManagedSessionMaker() as rows:
            for snapshot, environment in observer.services(settings):
                view = observer.view(snapshot, environment, settings, recover=False)
                record = next_delivered(view.plan, view.delivered, head=view.tree.head)
                if record is not None and view.stored is None:
                    key, value = DELIVERED + environment.name, delivered_text(record)
                    rows.add(SqlRegisteredModelTag(name=snapshot.model, key=key, value=value))
                    continue
                for number, status in reports(view.plan, view.delivered).items():
                    rows.add(
                        SqlModelVersionTag(
                            name=snapshot.model,
                            version=int(number),
                            key=STATUS + environment.name,
                            value=status_text(status),
                        )
                    )


def listing(url: str) -> float:
    """What MLflow's own client needs to list everything. Returns seconds."""
    client = MlflowClient(url, url)
    started = time.perf_counter()
    token = None
    while True:
        page = client.search_model_versions(
            max_results=2000, order_by=["name ASC"], page_token=token
        )
        token = page.token
        if not token:
            break
    while True:
        found = client.search_registered_models(max_results=1000, page_token=token)
        token = found.token
        if not token:
            break
    return time.perf_counter() - started


def resync(session: Session, services: int) -> float:
    started = time.perf_counter()
    survey = session.reconciler.survey()
    seconds = time.perf_counter() - started
    assert survey.services == services, survey.services
    assert not survey.work, f"{len(survey.work)} models had something to do"
    return seconds


MEMORY = """
import os, re, mlflow, boto3, git, ruamel.yaml
from pathlib import Path
import mlflow_gitops.adapters.registry, mlflow_gitops.adapters.repository
from mlflow_gitops.bootstrap import Session
from mlflow_gitops.config import Process

def kilobytes(what):
    return int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

before = kilobytes("VmRSS")
session = Session(Process.from_environ(os.environ))
for _ in range(2):
    assert session.reconciler.survey().services
print((kilobytes("VmHWM") - before) / 1024)
"""


def memory(environ: Mapping[str, str]) -> float:
    """Megabytes at the peak of two resyncs above the imports, in a process of their own.

    Linux's VmHWM, which begins anew with a program: the `ru_maxrss` of a child begins with its
    parent's.
    """
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], env=environ, capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=5000)
    parser.add_argument("--versions", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(mlflow_server(folder / "mlflow"))
        models = [f"model-{number:05}" for number in range(options.models)]
        large_repository(folder / "root/manifests.git", models, BUCKET, str(options.versions))
        web = stack.enter_context(GitHttpServer(folder / "root"))
        environ = {
            **os.environ,
            "MLFLOW_TRACKING_URI": server.url,
            "MLFLOW_GITOPS_REPOSITORY": web.url("manifests.git"),
            "MLFLOW_GITOPS_STATE_DIR": str(folder / "state"),
        }
        seed(server, models, options.versions)
        settle(server, Session(Process.from_environ(environ)))
        session = Session(Process.from_environ(environ))
        cold = resync(session, options.models)
        pairs = [
            (listing(server.url), resync(session, options.models)) for _ in range(options.rounds)
        ]
        megabytes = memory(environ)
    bare, warm = median(a for a, _ in pairs), median(b for _, b in pairs)
    show(
        f"{options.models * options.versions} versions, nothing to do",
        ("", "seconds", "times the listing"),
        [
            (f"bare MLflow listing, median of {options.rounds}", f"{bare:.2f}", "1.00"),
            (f"resync, warm, median of {options.rounds}", f"{warm:.2f}", f"{warm / bare:.2f}"),
            ("resync, cold (first in its process)", f"{cold:.2f}", f"{cold / bare:.2f}"),
            ("memory above the imports, MB", f"{megabytes:.0f}", ""),
        ],
    )
    ok = warm / bare <= TARGET and megabytes <= TARGET_MEMORY
    against = f"bare MLflow listing; memory {megabytes:.0f} MB of at most {TARGET_MEMORY:.0f}"
    return close("resync", warm / bare, TARGET, against, ok=ok)


if __name__ == "__main__":
    raise SystemExit(main())
