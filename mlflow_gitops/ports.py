"""What the reconciler needs from the outside, as Protocols. `adapters/` has the real ones.

All methods raise `TerminalError` where a person must change something and `TransientError` where
trying later may help; no other exception of an I/O library passes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlflow_gitops.branches import Ahead
from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.pull_requests import CommitStatus, Draft, Protection, PullRequest
from mlflow_gitops.runs import RunFacts
from mlflow_gitops.state import (
    BranchPush,
    Change,
    CommitFacts,
    Delivered,
    Delivery,
    Edit,
    Landing,
    ModelFiles,
    ModelVersion,
    Publication,
    Reply,
    Request,
    Revision,
    Selector,
    SignedBy,
    Snapshot,
    Status,
)

if TYPE_CHECKING:
    from mlflow_gitops.planning.kept import Examined, Shelved
    from mlflow_gitops.planning.model_signature import Signed

__all__ = [
    "ArtifactStore",
    "Clock",
    "Cluster",
    "Forge",
    "Progress",
    "Registry",
    "Renderer",
    "Repository",
    "Scorer",
    "Shelf",
    "SignatureReader",
    "Tree",
]


class Registry(Protocol):
    """The MLflow model registry."""

    def snapshot(self, model: str) -> Snapshot:
        """One model, read now. Raises RequestError where there is no such model."""

    def snapshots(self) -> Iterator[Snapshot]:
        """Every registered model, from one paged listing.

        In the registry's order by name; models without versions come last.
        """

    def names(self) -> frozenset[str]:
        """The name of every registered model."""

    def artifact_location(self, version: ModelVersion) -> str:
        """The real place of the version's files (`s3://…`, `mlflow-artifacts:/…`, a path)."""

    def artifact_roots(self) -> tuple[str, ...]:
        """Where this server keeps artifacts: URI prefixes that are always allowed as sources."""

    def facts(self, version: ModelVersion) -> RunFacts:
        """What is known of the version's run; `missing` tells where nothing is."""

    def ask(self, version: ModelVersion, key: str, request: Request) -> None:
        """Write the request record, the version tag `gitops.request.<key>`."""

    def select(
        self,
        version: ModelVersion,
        selector: Selector,
        request: Request | None = None,
        *,
        relayed: bool = False,
    ) -> None:
        """Move the selector to the version (set the stage, the alias or the tag).

        With `request`, the move belongs to it: a tracking server that records moves by itself
        records this one as the same request, not as a later one. `relayed` says that this
        process is not who asks.
        """

    def record(self, model: str, environment: str, delivered: Delivered) -> None:
        """Write the registered-model tag `gitops.delivered.<environment>`."""

    def report(self, model: str, number: str, environment: str, status: Status) -> None:
        """Write the version tag `gitops.status.<environment>`, if it says anything new.

        A version that is gone by now is passed over.
        """


class Progress(Protocol):
    """Told of bytes as they are published; draws a bar, prints lines, or counts."""

    def start(self, what: str, files: int, size: int) -> None: ...

    def advance(self, size: int, *, file: str = "") -> None: ...

    def done(self, file: str) -> None:
        """The file is there, whole."""

    def finish(self) -> None: ...


class ArtifactStore(Protocol):
    """The write-once S3 bucket, and the sources that feed it."""

    def sealed(self, publication: Publication) -> Revision | None:
        """The sealed revision at the publication's URI, if it is of the same identity.

        Its files are listed and compared with the manifest by name and size. Raises PublishError
        where the path is claimed or sealed by another identity, or where files are amiss.
        """

    def inspect(self, source: str) -> ModelFiles:
        """The file names and MLmodel of a source. Raises PublishError for unsafe names."""

    def texts(self, source: str, names: Iterable[str]) -> Mapping[str, str]:
        """Named files of a source, or of a sealed URI: those of more than 64 KiB and those that are
        no UTF-8 are left out. Raises PublishError where one is not there.
        """

    def publish(self, publication: Publication, progress: Progress | None = None) -> Revision:
        """Claim, copy with conditional writes, seal; what is there is verified and skipped."""

    def download(
        self, publication: Publication, folder: Path | None, progress: Progress | None = None
    ) -> Revision | None:
        """The sealed files into an empty folder, each checked by its SHA-256; None where nothing
        is sealed. Raises PublishError for other bytes; nothing is then left of that file. Without
        a folder the files are read and checked, and kept nowhere.
        """


class SignatureReader(Protocol):
    """Says who signed."""

    def verified(self, content: bytes, trusted: SignedBy) -> Signed:
        """What a signature says, if it is right and of one who is trusted.

        Raises PublishError where it is not, and ConfigError where that cannot be found out.
        """


class Shelf(Protocol):
    """The same bucket, for those who look at what lies there: what is amiss is no error here."""

    def examine(
        self, uri: str, *, deep: bool = False, progress: Progress | None = None
    ) -> Examined:
        """What there is of a revision now: its documents, and every object with the checksum that
        the storage keeps; with `deep` every byte is read too. Raises PublishError where the URI is
        none of a revision.
        """

    def revisions(self, folder: str) -> Sequence[Shelved]:
        """Every revision in a service's folder (`s3://…/<service>/`), also unfinished ones."""

    def remove(self, uri: str) -> None:
        """The manifest first, then the files, the signature, then the claim: what is left after a
        crash is never taken for a sealed revision, and removing it again ends it.
        """


class Tree(Protocol):
    """An immutable view of one commit's files. `head` is the commit's full hash."""

    @property
    def head(self) -> str: ...

    def paths(self) -> Sequence[str]:
        """Every file, sorted."""

    def __contains__(self, path: object) -> bool: ...

    def blob(self, path: str) -> str:
        """The content's id, for caches. Raises KeyError."""

    def read(self, path: str) -> str:
        """The text, decoded as UTF-8 with line ends as they are. Raises KeyError."""

    def read_all(self, paths: Iterable[str]) -> Mapping[str, str]:
        """Many texts in one go; a file that is no UTF-8 text is left out."""


class Repository(Protocol):
    """The Git manifests repository, through a local clone cache."""

    @property
    def identity(self) -> str:
        """Host and path, normalised, without scheme or credentials: what records compare."""

    @property
    def default_branch(self) -> str: ...

    def settings_text(self) -> str:
        """`mlflow-gitops.yaml` of the default branch. Raises ConfigError where it is missing."""

    def fetch(self) -> None:
        """Make the local refs equal to the remote's."""

    def tree(self, branch: str) -> Tree:
        """The branch's head, as last fetched. Raises RepositoryError where there is none."""

    def tree_at(self, commit: str) -> Tree:
        """Any commit that was fetched."""

    def narrow(self, commit: str, paths: Iterable[str]) -> Tree:
        """Only those files of the commit that are named, where they are there."""

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Whether `commit` is known and is `of` or one of its ancestors."""

    def deliveries(self, service: str, head: str, since: str = "") -> Iterator[Delivery]:
        """Commits with our trailer for `<environment>/<service>`, newest first, in since..head."""

    def touching(
        self, paths: Collection[str], head: str, since: str = "", *, most: int
    ) -> Sequence[CommitFacts]:
        """The commits of since..head that touched a path, newest first: first parents only, and of
        these the newest `most` are looked at.
        """

    def merged(self, merge: str, paths: Collection[str]) -> Sequence[CommitFacts]:
        """What a merge commit brought to the paths: commits that are no merges, newest first."""

    def message(self, commit: str) -> str:
        """The message of a commit by its name, which may be short; "" where there is none."""

    def landing(
        self, facts: CommitFacts, paths: Collection[str], branch: str = "", head: str = ""
    ) -> Landing | None:
        """The pull request that became the commit, where Git has it and it changed the same lines
        of these files. `branch` is the one that it may have been made from, `head` what the forge
        says of its newest commit. None where it is not known; never an error of the remote's.
        """

    def mentions(self, text: str, since: str) -> Iterable[tuple[str, str]]:
        """Lines that hold the text, each with where it is: at the head of any branch, or among what
        a commit of any branch brought or took away since then (ISO 8601).
        """

    def diff(self, base: str, edits: Sequence[Edit]) -> str:
        """The unified diff that the edits would make on `base`; nothing is written remotely."""

    def check_signing(self) -> None:
        """Raises ConfigError where commits are to be signed and cannot be; sends nothing."""

    def push(self, branch: str, base: str, edits: Sequence[Edit]) -> Sequence[Change]:
        """A commit for each edit on top of `base`, in order, and one push.

        Raises HeadMovedError where the branch is no longer at `base`; nothing is then changed.
        """

    def branch_head(self, branch: str) -> str:
        """Where the branch is, as last fetched; "" where there is none."""

    def ahead(self, base: str, head: str) -> Ahead:
        """Compare a branch's head with the head of its base. Both have to be fetched."""

    def first_parent(self, commit: str) -> str:
        """The first parent of a commit that was fetched; "" where it has none."""

    def conflicts(self, base: str, head: str) -> bool | None:
        """Whether Git cannot merge two commits; None where it cannot tell. Takes one command."""

    def branches(self, prefix: str) -> Mapping[str, str]:
        """The branches whose names begin so, with their heads, as last fetched."""

    def keep(self, branch: str, commit: str) -> None:
        """Make a branch that holds the commit, so that nothing of it is lost; nothing where it
        does already.
        """

    def propose(self, pushes: Sequence[BranchPush]) -> Mapping[str, Change | GitOpsError]:
        """Make each branch hold its edits and nothing else beyond its base: the branches of pull
        requests, that nobody else writes to. All of them with one push; the key is the branch.

        Each is pushed with a lease, and one that is not where it is expected to be, or that the
        server refuses, has its own error and stays as it is. The Change is from the base to the
        branch's new head; without a commit where the edits change nothing (then nothing is pushed)
        or where the branch was deleted. Raises what concerns all of them.
        """


class Forge(Protocol):
    """The forge's API for the one manifests repository.

    Reads may be repeated, writes never are. A rate limit (the primary and the secondary ones), a
    forge that is down and a 5xx are TransientError, whose `retry_after` is the seconds that the
    forge asks to wait (None where it does not say); a refused or expired token, a missing right, a
    repository that is not there are ForgeError (terminal). No token is in an error or a log.
    """

    @property
    def kind(self) -> str:
        """One of the kinds that the setting `forge.kind` takes."""

    def newest(self, branch: str) -> PullRequest | None:
        """The pull request of this branch of the repository that counts: an open one before
        closed ones, and of several the newest. Those of forks are passed over. It is whole, as
        `get` gives it.
        """

    def get(self, number: int) -> PullRequest:
        """Whole, with approvals. Raises ForgeError where there is none."""

    def glance(self, number: int) -> PullRequest:
        """As `get`, with one call where it is open and the forge allows that: then nothing may be
        said of approvals, of those who were asked for a review, or of whether it can be merged.
        """

    def open(self, branch: str, base: str, draft: Draft) -> PullRequest:
        """Raises TransientError where there is one for this branch already (someone was faster)."""

    def update(self, pull: PullRequest, draft: Draft) -> None:
        """Title, body, labels and reviewers, each only where it is not so already. Labels and
        reviewers that people added stay.
        """

    def withdraw(self, pull: PullRequest, comment: str) -> None:
        """Label it `WITHDRAWN` first, say why, then close it; nothing where it is closed."""

    def comment(self, number: int, text: str) -> None:
        """Say it under a pull request, open or closed; nothing where it says exactly that."""

    def set_statuses(
        self, commit: str, statuses: Sequence[CommitStatus], *, is_new: bool = False
    ) -> None:
        """Commit statuses (GitLab: external ones); those that say the same already stay. A commit
        that is new has none of ours yet, so nothing is asked.
        """

    def verdicts(self, commit: str) -> Sequence[CommitStatus]:
        """Return our statuses of a commit (`mlflow-gitops/…`), each as it was set last."""

    def of_commit(self, commit: str) -> PullRequest | None:
        """The merged pull request that brought a commit, for who approved it; None for none."""

    def check(self) -> str:
        """Who the token belongs to. Raises ForgeError where it may not do its work here, as far
        as the forge tells without a write.
        """

    def protection(self, branch: str) -> Protection:
        """Return what the forge asks of whoever changes the branch."""


class Renderer(Protocol):
    """Builds what would be applied to the cluster (`kustomize build`)."""

    def version(self) -> str | None:
        """Return the program that builds, with its version; None where none is found.

        Raises RenderError where it does not run.
        """

    def render(self, files: Mapping[str, str], folder: str) -> str | None:
        """The objects of a folder, as YAML, from the texts of a repository; None where this
        machine cannot build it. Raises RenderError where the manifests cannot be built.
        """


class Cluster(Protocol):
    """The Kubernetes API."""

    def inference_service(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The object as the API has it now; None where there is none."""


class Scorer(Protocol):
    """Asks an inference server over HTTP. Never tries again: a prediction may have effects."""

    def get(self, url: str, host: str = "") -> Reply: ...

    def post(self, url: str, body: bytes, host: str = "") -> Reply:
        """`body` is JSON; `host` replaces the Host header. Any status is an answer."""


Clock = Callable[[], str]
"""Now, as ISO 8601 in UTC with milliseconds."""
