"""`mlflow-gitops init`: a manifests repository to start from, in a folder or as a first commit."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click

from mlflow_gitops.adapters.git_address import Address
from mlflow_gitops.cli.app import App, as_json
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.config import SETTINGS_FILE, kserve_complaint, parse_settings
from mlflow_gitops.errors import ConfigError, RepositoryError, RequestError
from mlflow_gitops.manifests import InitOptions, scaffold_repository
from mlflow_gitops.ports import Repository
from mlflow_gitops.render import clean
from mlflow_gitops.state import Edit

__all__ = ["init"]

EXAMPLE_URL = "https://git.example.com/your-organisation/manifests.git"
MESSAGE = "Start a manifests repository\n\nScaffolded by `mlflow-gitops init`.\n"
SHOWN = 20  # files in an error


@click.command(short_help="Scaffold a manifests repository.")
@click.argument(
    "directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path, file_okay=True)
)
@click.option("--bucket", required=True, help="The S3 bucket that published versions go to.")
@click.option("--prefix", default="", help="A key prefix in that bucket.")
@click.option("--branch", default="main", show_default=True, help="The repository's branch.")
@click.option(
    "--model", "models", multiple=True, metavar="NAME", help="Scaffold a base for this model too."
)
@click.option("--owners", metavar="TEAM", help="Who approves changes, for CODEOWNERS.")
@click.option("--role-arn", metavar="ARN", help="The IAM role that KServe reads the bucket with.")
@click.option("--no-gpu-example", is_flag=True, help="Leave out the example that needs a GPU.")
@click.option(
    "--kserve",
    default="",
    metavar="VERSION",
    callback=lambda _context, _option, text: _minor(text),
    help="The cluster's KServe, 0.14 to 0.21: which deployment mode to write.",
)
@click.option(
    "--applicationset",
    is_flag=True,
    help="Let an ApplicationSet find each service by its folder, so that no list is shared.",
)
@click.option("--push", is_flag=True, help="Make it the first commit of the empty repository.")
@as_json
@click.pass_obj
def init(
    app: App,
    directory: Path | None,
    bucket: str,
    prefix: str,
    branch: str,
    models: tuple[str, ...],
    owners: str | None,
    role_arn: str | None,
    no_gpu_example: bool,
    kserve: str,
    applicationset: bool,
    push: bool,
    as_json: bool,
) -> None:
    """Scaffold a manifests repository: into DIR, or with --push into the repository itself.

    Nothing that is there is overwritten, and nothing is half-written.
    """
    if push == (directory is not None):
        raise click.UsageError("Give either DIR or --push.")
    named = app.process().repository
    address = Address.parse(named) if named else None
    url = address.url if address else ""
    options = InitOptions(
        bucket=bucket,
        repository_url=url or EXAMPLE_URL,
        prefix=prefix,
        branch=branch,
        models=tuple(dict.fromkeys(models)),
        gpu_example=not no_gpu_example,
        kserve=kserve,
        applicationset=applicationset,
    )
    if owners is not None:
        options = replace(options, owners=owners)
    if role_arn is not None:
        options = replace(options, account_role_arn=role_arn)
    files = scaffold_repository(options)
    parse_settings(files[SETTINGS_FILE], where="the options")  # what it would say of them later
    commit = ""
    if directory is None:
        repository = app.session().repository
        commit = _push(repository, branch, files)
        done = f"Pushed {len(files)} files to {branch} of {clean(url)}: {commit}"
    else:
        _write(directory, files)
        done = f"Wrote {len(files)} files to {clean(str(directory))}."
    exported = named == app.environ.get("MLFLOW_GITOPS_REPOSITORY", "").strip()
    remote = url if address and address.scheme == "file" else named
    steps = _next_steps(directory, branch, remote, is_exported=exported)
    if as_json:
        where = str(directory) if directory is not None else ""
        made = {"directory": where, "repository": url, "branch": branch, "commit": commit}
        print_json({**made, "files": sorted(files), "next": steps})
        return
    click.echo(done)
    click.echo("Next:")
    for number, step in enumerate(steps, start=1):
        click.echo(f"  {number}. {step}")


def _minor(version: str) -> str:
    """Return a version of KServe as `0.<minor>`."""
    wrong = kserve_complaint(version) if version else ""
    if wrong:
        raise click.BadParameter(
            f"`{clean(version)}` {wrong}. Give one from 0.14 to 0.21, or leave it out for a later "
            "one."
        )
    return ".".join(version.removeprefix("v").split(".")[:2])


def _push(repository: Repository, branch: str, files: Mapping[str, str]) -> str:
    """The commit. Raises RequestError for a repository that is not empty."""
    repository.fetch()
    _check_empty(repository)
    return repository.push(branch, "", [Edit(files=files, message=MESSAGE)])[0].commit


def _check_empty(repository: Repository) -> None:
    try:
        there = repository.default_branch
    except ConfigError:  # what an empty repository answers
        return
    except RepositoryError:
        there = "some branch"
    raise RequestError(
        f"the repository is not empty, it has {there}",
        where=repository.identity,
        hint="scaffold into a clone of it, `mlflow-gitops init DIR`, and commit what you want",
    )


def _write(directory: Path, files: Mapping[str, str]) -> None:
    """All files or none: what is there is found first, and what fails is undone."""
    _check_free(directory, files)
    made: list[Path] = []
    try:
        for name, text in files.items():
            path = directory / name
            made += _make_folders(path.parent)
            with path.open("x", encoding="utf-8", newline="") as file:
                made.append(path)
                file.write(text)
    except OSError as error:
        _undo(made)
        raise RequestError(
            f"the files cannot be written: {error.strerror or type(error).__name__}",
            where=clean(str(error.filename or directory)),
            hint="nothing was kept; name a folder that this user may write to",
        ) from error
    except BaseException:
        _undo(made)
        raise


def _check_free(directory: Path, files: Mapping[str, str]) -> None:
    if directory.exists() and not directory.is_dir():
        raise RequestError(
            "it is no folder", where=clean(str(directory)), hint="name a folder, new or empty"
        )
    taken = sorted({each for name in files for each in _in_the_way(directory, name)})
    if not taken:
        return
    more = f"\n    and {len(taken) - SHOWN} more" if len(taken) > SHOWN else ""
    names = "".join(f"\n    {clean(name)}" for name in taken[:SHOWN])
    raise RequestError(
        f"{len(taken)} files are there already, and nothing was written:{names}{more}",
        where=clean(str(directory)),
        hint="name an empty folder, and copy over what you want",
    )


def _in_the_way(directory: Path, name: str) -> list[str]:
    """The file itself, or a file where a folder has to be; links count, wherever they lead."""
    path = directory / name
    above = [directory / part for part in Path(name).parents if part != Path()]
    blocking = [
        each for each in above if each.is_symlink() or (each.exists() and not each.is_dir())
    ]
    if path.exists() or path.is_symlink():
        blocking.append(path)
    return [str(each.relative_to(directory)) for each in blocking]


def _make_folders(folder: Path) -> list[Path]:
    """Those that were made, outermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def _undo(made: list[Path]) -> None:
    for path in reversed(made):
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()


def _next_steps(
    directory: Path | None, branch: str, remote: str, *, is_exported: bool
) -> list[str]:
    steps = []
    url = shlex.quote(clean(remote)) if remote else "<URL of your repository>"
    if directory is not None:
        steps.append(
            f"cd {shlex.quote(clean(str(directory)))} && git init -b {branch} && git add -A && "
            f"git commit -m 'Start' && git push {url} {branch}"
        )
    if not is_exported or not remote:
        steps.append(f"export MLFLOW_GITOPS_REPOSITORY={url}")
    if not remote:
        steps.append(f"replace {EXAMPLE_URL} in argocd/*.yaml by that URL")
    elif remote.startswith("/"):
        steps.append(f"replace {url} in argocd/*.yaml by the URL that Argo CD reads")
    return [
        *steps,
        "set the IAM role in models/base/common/service-account.yaml",
        "mlflow-gitops config check",
        "kubectl apply -f argocd/",
        "mlflow-gitops serve",
    ]
