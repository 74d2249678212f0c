"""`mlflow-gitops init DIR`: all files or none, and nothing of anybody's is touched."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_gitops.config import check_settings
from tests.support.fork_server import run_module

PLAIN = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "GIT_", "AWS_"))}


def init(*args: str, most: int | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """`most` is the size in bytes at which a file cannot grow any more, as on a full disk."""
    env = {**PLAIN, **environ}
    if most is None:
        return run_module("mlflow_gitops.cli", "init", *args, env=env)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    command = [sys.executable, "-B", "-m", "mlflow_gitops.cli", "init", *args]
    return subprocess.run(command, env=env, capture_output=True, text=True, preexec_fn=limit)


def files(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in found}


def test_a_new_repository_is_whole_and_its_settings_are_right(tmp_path: Path) -> None:
    target = tmp_path / "a" / "manifests"
    done = init(
        *(str(target), "--bucket", "prod-ml", "--prefix", "ml/models", "--branch", "trunk"),
        *("--model", "fraud", "--owners", "@acme/ml", "--role-arn", "arn:aws:iam::1:role/r"),
        "--no-gpu-example",
        MLFLOW_GITOPS_REPOSITORY="https://git.example.com/ml.git",
    )
    assert done.returncode == 0, done.stderr
    made = files(target)
    assert check_settings(made["mlflow-gitops.yaml"]) == []
    assert "bucket: prod-ml" in made["mlflow-gitops.yaml"]
    assert "prefix: ml/models" in made["mlflow-gitops.yaml"]
    assert "@acme/ml" in made["CODEOWNERS"]
    assert "arn:aws:iam::1:role/r" in made["models/base/common/service-account.yaml"]
    assert "https://git.example.com/ml.git" in made["argocd/production.yaml"]
    assert "trunk" in made["argocd/production.yaml"]
    assert "models/base/fraud/inference-service.yaml" in made
    assert "models/base/image-classifier/inference-service.yaml" not in made
    assert "git push https://git.example.com/ml.git trunk" in done.stdout
    assert f"Wrote {len(made)} files" in done.stdout


def test_a_folder_with_other_files_is_added_to(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "NOTES").write_text("mine")
    assert init(str(tmp_path), "--bucket", "prod-ml").returncode == 0
    assert (tmp_path / "NOTES").read_text() == "mine"
    assert (tmp_path / "mlflow-gitops.yaml").is_file()


def test_what_is_there_is_listed_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "CODEOWNERS").symlink_to("/nowhere")
    (tmp_path / "models").write_text("a file where a folder has to be")
    before = sorted(path.name for path in tmp_path.iterdir())
    done = init(str(tmp_path), "--bucket", "prod-ml")
    assert done.returncode == 1
    assert "3 files are there already" in done.stderr
    for name in ("README.md", "CODEOWNERS", "models"):
        assert f"    {name}\n" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target = tmp_path / "manifests"
    target.mkdir()
    (target / "models").symlink_to(elsewhere)
    done = init(str(target), "--bucket", "prod-ml")
    assert done.returncode == 1
    assert "    models\n" in done.stderr
    assert list(elsewhere.iterdir()) == []


def test_what_cannot_be_finished_is_undone(tmp_path: Path) -> None:
    target = tmp_path / "a" / "manifests"
    done = init(str(target), "--bucket", "prod-ml", most=700)
    assert done.returncode == 1, done.stdout
    assert "the files cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["--bucket", "No_Bucket"], "S3 bucket"),
        (["--bucket", "prod-ml", "--prefix", "/x/"], "prefix"),
        (["--bucket", "prod-ml", "--model", "No_Label"], "No_Label"),
        (["--bucket", "prod-ml", "--model", "../../x"], "../../x"),
        (["--bucket", "prod-ml", "--owners", "a\nb"], "one line"),
        (["--bucket", "prod-ml", "--branch", "-x"], "branch"),
        (["--bucket", "prod-ml", "--branch", "a b"], "branch"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else None,
)
def test_wrong_options_write_nothing(tmp_path: Path, args: list[str], what: str) -> None:
    done = init(str(tmp_path / "x"), *args)
    assert done.returncode == 1
    assert what in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()


def test_credentials_in_the_repositorys_url_do_not_reach_the_files(tmp_path: Path) -> None:
    url = "https://alice:hunter2@git.example.com/ml.git"
    done = init(str(tmp_path / "x"), "--bucket", "prod-ml", MLFLOW_GITOPS_REPOSITORY=url)
    assert done.returncode == 1
    assert "hunter2" not in done.stdout + done.stderr
    assert not (tmp_path / "x").exists()


def pushed(folder: Path, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`init --push` into `manifests.git` of the folder, which is named as people would there."""
    git = ["git", "init", "--quiet", "--bare", "--initial-branch=main", "manifests.git"]
    subprocess.run(git, cwd=folder, check=True, env=PLAIN)
    env = {**PLAIN, "MLFLOW_GITOPS_STATE_DIR": str(folder / "state"), **environ}
    words = (*args, "init", "--push", "--bucket", "prod-ml")
    return run_module("mlflow_gitops.cli", *words, env=env, cwd=folder)


def shown(folder: Path, path: str) -> str:
    command = ["git", "--git-dir", str(folder / "manifests.git"), "show", f"main:{path}"]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=PLAIN).stdout


def test_a_push_prints_the_address_that_it_pushed_to(tmp_path: Path) -> None:
    done = pushed(tmp_path, "--repository", "manifests.git")
    assert done.returncode == 0, done.stderr
    address = str(tmp_path / "manifests.git")
    assert f"files to main of {address}: " in done.stdout
    assert f"export MLFLOW_GITOPS_REPOSITORY={address}\n" in done.stdout
    assert f"replace {address} in argocd/*.yaml by the URL that Argo CD reads" in done.stdout
    for name in ("staging", "production"):
        assert f"repoURL: {address}\n" in shown(tmp_path, f"argocd/{name}.yaml")


def test_an_exported_address_is_not_asked_for_again(tmp_path: Path) -> None:
    done = pushed(tmp_path, MLFLOW_GITOPS_REPOSITORY="manifests.git")
    assert done.returncode == 0, done.stderr
    assert "export MLFLOW_GITOPS_REPOSITORY" not in done.stdout


def test_a_user_name_in_the_url_does_not_reach_the_files(tmp_path: Path) -> None:
    url = "https://org@dev.azure.com/org/p/_git/r"
    done = init(str(tmp_path / "x"), "--bucket", "prod-ml", MLFLOW_GITOPS_REPOSITORY=url)
    assert done.returncode == 0, done.stderr
    assert not [text for text in files(tmp_path / "x").values() if "org@" in text]
    application = (tmp_path / "x" / "argocd" / "production.yaml").read_text()
    assert "repoURL: https://dev.azure.com/org/p/_git/r\n" in application
    assert f"git push {url} main" in done.stdout


@pytest.mark.parametrize(
    ("version", "mode"),
    [("0.15", "RawDeployment"), ("v0.15.2", "RawDeployment"), ("0.21.0", "Standard")],
)
def test_the_mode_is_that_of_kserves_version(tmp_path: Path, version: str, mode: str) -> None:
    target = tmp_path / "x"
    done = init(str(target), "--bucket", "prod-ml", "--model", "fraud", "--kserve", version)
    assert done.returncode == 0, done.stderr
    made = files(target)
    assert check_settings(made["mlflow-gitops.yaml"]) == []
    assert (
        f'kserve: "{".".join(version.removeprefix("v").split(".")[:2])}"'
        in (made["mlflow-gitops.yaml"])
    )
    written = [text for text in made.values() if "serving.kserve.io/deploymentMode: " in text]
    assert len(written) == 2
    for text in written:
        assert f"serving.kserve.io/deploymentMode: {mode}\n" in text


@pytest.mark.parametrize("version", ["0.13", "0.22", "1.0", "latest", "0.15.x", "$(id)"])
def test_another_version_of_kserve_is_refused(tmp_path: Path, version: str) -> None:
    done = init(str(tmp_path / "x"), "--bucket", "prod-ml", "--kserve", version)
    assert done.returncode == 2
    assert "Give one from 0.14 to 0.21, or leave it out for a later one." in done.stderr
    assert not (tmp_path / "x").exists()
