"""Whose branch or file it is that a forge tells of, by the settings in the repository."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mlflow_gitops.errors import TerminalError, TransientError
from mlflow_gitops.outcome import Outcome
from mlflow_gitops.service import ServiceReconciler, _failure
from mlflow_gitops.state import ServiceKey, State
from tests.support.memory_registry import MemoryRegistry
from tests.support.memory_repository import MemoryRepository
from tests.support.memory_session import MemorySession, Parts

SETTINGS = """artifacts: {bucket: models}
services: {Fraud Model: fraud}
environments:
  staging: {select: {stage: Staging}, path: staging}
  production: {select: {stage: Production}, path: live/production, branch: live}
"""


def service(identity: str = "git.example.com/ML/manifests") -> ServiceReconciler:
    files: Mapping[str, str] = {"mlflow-gitops.yaml": SETTINGS}
    session = MemorySession.__new__(MemorySession)
    session.parts = Parts(repository=MemoryRepository({"main": files}, identity=identity))
    return ServiceReconciler(session.reconciler)


@pytest.mark.parametrize(
    ("branch", "model"),
    [
        ("mlflow-gitops/staging/churn", "churn"),
        ("mlflow-gitops/production/fraud", "Fraud Model"),
        ("mlflow-gitops/elsewhere/fraud", None),
        ("mlflow-gitops/staging/", None),
        ("mlflow-gitops/staging/a/b", None),
        ("main", None),
        ("", None),
    ],
)
def test_a_branch_of_ours_names_its_model(branch: str, model: str | None) -> None:
    assert service().model_of(branch) == model


def test_a_name_that_the_settings_make_leads_back_to_the_model() -> None:
    own = service()
    parts = own.reconciler.observer.registry
    text = SETTINGS.replace("path: staging", 'path: ".", service-name: "{service}-b"')
    repository = own.reconciler.repository
    assert isinstance(repository, MemoryRepository)
    assert isinstance(parts, MemoryRegistry)
    repository.person_commits({"mlflow-gitops.yaml": f"service-names: slug\n{text}"})
    parts.create_version("Card Churn")
    for branch, model in (
        ("mlflow-gitops/staging/card-churn-b", "Card Churn"),
        ("mlflow-gitops/staging/fraud-b", "Fraud Model"),
        ("mlflow-gitops/production/card-churn", "Card Churn"),
    ):
        assert own.model_of(branch) == model
    assert own.touched("main", ["card-churn-b.yaml", "fraud-b/x.yaml"]) == {
        "Card Churn",
        "Fraud Model",
        "x",
    }


def test_files_name_models_only_in_the_environments_of_their_branch() -> None:
    paths = ["staging/churn/kustomization.yaml", "live/production/fraud.yaml", "base/x/y.yaml"]
    own = service()
    assert own.touched("main", paths) == {"churn", "kustomization"}
    assert own.touched("live", paths) == {"Fraud Model"}
    assert own.touched("other", paths) == frozenset()


@pytest.mark.parametrize(
    ("urls", "is_own"),
    [
        (["https://git.example.com/ml/manifests.git"], True),
        (["git@git.example.com:ml/manifests.git"], True),
        (["http://forge.internal:3000/ml/manifests"], True),
        (["https://git.example.com/ml/other", "x", ""], False),
        (["https://user:secret@git.example.com/ml/manifests"], False),
        (["https://bitbucket.example.com/scm/ML/manifests.git"], True),
        ([], False),
    ],
)
def test_the_repository_is_known_by_its_path(urls: list[str], is_own: bool) -> None:
    assert service().is_own(urls) is is_own


def test_the_repository_is_known_by_either_address_of_azure() -> None:
    own = service("ssh.dev.azure.com/v3/org/ml/manifests")
    assert own.is_own(["https://org@dev.azure.com/org/ml/_git/manifests"])
    assert not own.is_own(["https://org@dev.azure.com/org/ml/_git/other"])


def test_the_longest_wait_that_is_asked_for_is_kept() -> None:
    def failed(error: TransientError | TerminalError) -> Outcome:
        return Outcome(ServiceKey("staging", "m"), State.FAILED, "", error=error)

    limited = [TransientError("a", retry_after=30.0), TransientError("b", retry_after=90.0)]
    for extra in ([], [TransientError("c")], [TerminalError("d")]):
        error = _failure([failed(each) for each in [*limited, *extra]])
        assert isinstance(error, TransientError)
        assert error.retry_after == 90.0
    plain = _failure([failed(TransientError("a"))])
    assert isinstance(plain, TransientError)
    assert plain.retry_after is None
