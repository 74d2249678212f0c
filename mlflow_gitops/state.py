"""The values that flow through the tool: frozen, without I/O, one meaning each.

Desired and committed share `ServiceSpec`, so drift is `!=`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal

from mlflow_gitops.gates import GateRules
from mlflow_gitops.runtimes import Runtime
from mlflow_gitops.slugs import is_name, slug

__all__ = [
    "AS_IS",
    "LABEL",
    "LAYOUTS",
    "Action",
    "BranchPush",
    "Change",
    "CommitFacts",
    "Delivered",
    "Delivery",
    "Edit",
    "Endpoint",
    "Environment",
    "Hold",
    "Identity",
    "Layout",
    "ModelFiles",
    "ModelVersion",
    "Names",
    "ObjectLock",
    "Predictor",
    "Publication",
    "Reply",
    "Request",
    "Revision",
    "Selector",
    "ServiceKey",
    "ServiceSpec",
    "Settings",
    "Snapshot",
    "State",
    "Status",
    "ValueRule",
    "WriteOnce",
    "layout_in",
]

EMPTY: Mapping[str, str] = MappingProxyType({})

Action = Literal["deploy", "rollback", "retire"]

LABEL = "model-version"
"""The label that carries the version, where the settings name no other."""

BRANCH_NAME = "mlflow-gitops/{environment}/{service}"
"""The branches of pull requests, where the settings name them no other way."""

AS_IS = "as-is"
LAYOUTS = (
    "select",
    "rename",
    "nest",
    "merge",
)  # beside AS_IS; a version's path ends in `-<layout>`


def layout_in(name: str) -> str:
    """The layout that a version's folder, or a name that would become one, ends in; else ""."""
    return next((layout for layout in LAYOUTS if name.endswith(f"-{layout}")), "")


class State(StrEnum):
    """What people see of a service: one list for the registry, the page and the CLI."""

    REQUESTED = "requested"
    PUBLISHING = "publishing"
    PROPOSED = "proposed"
    COMMITTED = "committed"
    SYNCED = "synced"
    LIVE = "live"
    FAILED = "failed"
    HELD = "held"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    UNSELECTED = "unselected"
    ADOPTED = "adopted"
    AMBIGUOUS = "ambiguous"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, order=True)
class ServiceKey:
    """One InferenceService of one environment: the key of all work."""

    environment: str
    model: str

    def __str__(self) -> str:
        return f"{self.environment}/{self.model}"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a model version *is*, beyond its name and number, which can be used twice.

    `created` is the registry's creation time in milliseconds since the epoch.
    """

    created: int
    run_id: str = ""
    model_id: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asked for a version in an environment: the record behind `gitops.request.*`.

    `time` is ISO 8601 in UTC with milliseconds, so that text order is time order. `by` is who
    asked; it is proven only where `signed` (the signature was checked), else merely claimed.
    A version that was seen selected without a record has an id that starts with `seen:`.
    `pending` says that nobody moved the selector for it: who asked cannot read the settings.
    `closed` says that such a request was refused or overtaken: it asks for nothing any more.
    """

    id: str
    version: str
    action: Action = "deploy"
    time: str = ""
    by: str = ""
    signed: bool = False
    reason: str = ""
    rollout: str = ""
    pending: bool = False
    closed: bool = False

    @property
    def recorded(self) -> bool:
        return not self.id.startswith("seen:")


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A row of the registry. `number` is MLflow's, as text; times are milliseconds."""

    model: str
    number: str
    identity: Identity
    stage: str = "None"
    status: str = "READY"
    source: str = ""
    updated: int = 0
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True)
class Selector:
    """What in the registry selects a version for an environment.

    `name` is the stage, the alias or the tag's key; `value` is the tag's value, else "".
    """

    kind: Literal["stage", "alias", "tag"]
    name: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}={self.value}" if self.value else f"{self.kind} {self.name}"

    @property
    def key(self) -> str:
        """The suffix of the request record that a server writes, which knows no environments."""
        return f"{self.kind}.{self.name}"

    def matches(self, version: ModelVersion) -> bool:
        if self.kind == "stage":
            return version.stage.lower() == self.name.lower()
        if self.kind == "alias":
            return self.name in version.aliases
        return version.tags.get(self.name) == self.value


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where predictions are asked for, as templates with `{service}`, `{model}`, `{namespace}`.

    `url` is the base before the protocol's path, "" for what the cluster says; `host` is a Host
    header, "" for the URL's; `protocol` is "v1", "v2", "mlflow", or "" for what the manifest says.
    """

    url: str = ""
    host: str = ""
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class ValueRule:
    """Where models have their URI, if that is not an InferenceService: a value in any YAML file.

    `models` are glob patterns. `file` is relative to the repository's root, `path` and
    `version_path` lead to the values in it ("" where the version is only in the URI); they may
    hold `{service}`, and `file` also `{model}` and `{environment}`. The rest is what the
    InferenceService declares that is made of them: see `Predictor`.
    """

    file: str
    path: str
    models: tuple[str, ...] = ("*",)
    version_path: str = ""
    model_format: str = "mlflow"
    protocol: str = "v2"
    runtime: str = ""

    def takes(self, model: str) -> bool:
        return any(fnmatchcase(model, pattern) for pattern in self.models)


@dataclass(frozen=True, slots=True)
class Hold:
    """A comment in Git that holds a service as it is: why, and where it stands (from line 1)."""

    reason: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Environment:
    """A configured place to deploy to.

    `path` is the folder of its manifests, relative to the repository's root, without a trailing
    slash. `branch` is "" for the repository's default branch. `models` are glob patterns of the
    models that it takes. `max_changes` bounds what one resync may change by itself, in services.
    `unproved` says what becomes of an edit that no build can prove.
    Of `values`, the first rule that takes a model says where it is served from. `storage_keys`
    maps the key of a `storage` in an InferenceService to the bucket behind it. `labels` and
    `reviewers` are for its pull requests. `runtimes` are serving runtimes of its cluster that the
    manifests need not define. `title` is a template for the titles of its pull requests ("" for the
    commit's subject), `branch_name` one for the names of the branches that they are made from.

    `services` maps a model's name to its InferenceService's in this environment alone, and
    `service_name` makes the name of every other one from the name for all environments. `cluster`
    tells environments with the same namespace apart. `label` is the key of the label that carries
    the version, "" for none. `exclude` are patterns of files below `path` that are not manifests;
    `recurse` says whether folders below it are read, None where the settings leave it open.
    """

    name: str
    select: Selector
    path: str
    namespace: str = ""
    branch: str = ""
    delivery: Literal["commit", "pull-request"] = "commit"
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    title: str = ""
    branch_name: str = BRANCH_NAME
    models: tuple[str, ...] = ("*",)
    max_changes: int = 20
    unproved: Literal["mark", "refuse"] = "mark"
    endpoint: Endpoint = Endpoint()
    values: tuple[ValueRule, ...] = ()
    storage_keys: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    gates: GateRules = field(default_factory=GateRules)
    runtimes: tuple[Runtime, ...] = ()
    services: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    service_name: str = "{service}"
    cluster: str = ""
    label: str = LABEL
    exclude: tuple[str, ...] = ()
    recurse: bool | None = None

    def takes(self, model: str) -> bool:
        return any(fnmatchcase(model, pattern) for pattern in self.models)


@dataclass(frozen=True, slots=True)
class Names:
    """How the InferenceServices of models are called, in all environments and in each.

    `services` maps a model's name to its service's where they differ. With `by_slug` a model whose
    name Kubernetes does not allow gets one that is derived from it.
    """

    services: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    by_slug: bool = False
    models: Mapping[str, str] = field(init=False, repr=False, compare=False)
    """`services` the other way round."""

    def __post_init__(self) -> None:
        models = {service: model for model, service in self.services.items()}
        object.__setattr__(self, "models", models)

    def shared(self, model: str) -> str:
        """The name that the environments start from."""
        return self.services.get(model) or (slug(model) if self.is_derived(model) else model)

    def service(self, model: str, environment: Environment) -> str:
        own = environment.services.get(model)
        return own or environment.service_name.replace("{service}", self.shared(model))

    def folder(self, model: str, environment: Environment) -> str:
        """The model's folder in the bucket: one for all environments, so that a version with
        several services is published once. Only a model whose name is none takes its service's.
        """
        shared = self.shared(model)
        return shared if is_name(shared) else self.service(model, environment)

    def model(self, service: str, environment: Environment) -> str:
        """The model behind a service, as far as the settings alone say; else the service's name."""
        own = (model for model, name in environment.services.items() if name == service)
        before, _, after = environment.service_name.partition("{service}")
        fits = service.startswith(before) and service.endswith(after)
        shared = service[len(before) : len(service) - len(after)] if fits else ""
        return next(own, "") or self.models.get(shared) or shared or service

    def is_derived(self, model: str) -> bool:
        """Whether the name is a slug, and not what people wrote."""
        return self.by_slug and model not in self.services and slug(model) != model


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a commit names."""

    name: str = "mlflow-gitops"
    address: str = "mlflow-gitops@localhost"


@dataclass(frozen=True, slots=True)
class People:
    """Author and committer of the tool's commits."""

    author: Person = Person()
    committer: Person = Person()


@dataclass(frozen=True, slots=True)
class CommitStyle:
    """What the messages of the tool's commits are to be, beyond the usual.

    `subject` is a template ("" for the usual subject), `body` one for further
    paragraphs, `trailers` are further keys with their templates. `sign_off` adds a `Signed-off-by`
    line with the committer.
    """

    subject: str = ""
    trailers: tuple[tuple[str, str], ...] = ()
    sign_off: bool = False
    body: str = ""


@dataclass(frozen=True, slots=True)
class ObjectLock:
    """Until when the storage itself refuses to delete an object: `days` from its writing.

    With the right to, people may still lift "governance"; nobody may lift "compliance".
    """

    mode: Literal["governance", "compliance"]
    days: int


@dataclass(frozen=True, slots=True)
class WriteOnce:
    """How published objects are kept as they are.

    "conditional" is the storage's doing: it refuses a second write. "checked" is for storages that
    cannot: each key is looked for before it is written, which holds for one publisher at a time.
    """

    mode: Literal["conditional", "checked"] = "conditional"
    lock: ObjectLock | None = None


@dataclass(frozen=True, slots=True)
class SignedBy:
    """Who may sign published versions: public keys, and root certificates, each as PEM text.

    Without any, nothing is signed and no signature is asked for.
    """

    public_keys: tuple[str, ...] = ()
    certificates: str = ""

    def __bool__(self) -> bool:
        return bool(self.public_keys or self.certificates)


@dataclass(frozen=True, slots=True)
class Settings:
    """`mlflow-gitops.yaml`, parsed.

    `services` maps a model's name to its InferenceService's where they differ, for all
    environments; `by_slug` derives the names that Kubernetes does not allow. `sources` are URI
    prefixes that artifacts may come from, beside the registry's artifact root. `version_tag` is
    the version tag that names a published version ("" for MLflow's number). `forge` is the kind
    of forge that has the repository and `forge_url` its API's address, "" for what the
    repository's own address tells. `people` are the commits' author and committer, where the
    process names no other; `commit_style` is what their messages look like. `write_once` is how
    the storage is held to keep what is published, `storing` what each write asks of it (by boto3's
    names: `planning.storing`), `signed_by` whose signature each published version has.
    `applications` are globs of the files in which Argo CD and Flux objects are looked for; None for
    the whole repository. `kserve` is the cluster's version of KServe, "" where nobody names it.
    """

    environments: Mapping[str, Environment]
    bucket: str
    prefix: str = ""
    sources: tuple[str, ...] = ()
    services: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    version_tag: str = ""
    forge: str = ""
    forge_url: str = ""
    people: People = People()
    commit_style: CommitStyle = CommitStyle()
    write_once: WriteOnce = WriteOnce()
    storing: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    signed_by: SignedBy = SignedBy()
    applications: tuple[str, ...] | None = None
    kserve: str = ""
    by_slug: bool = False
    names: Names = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", Names(self.services, self.by_slug))

    def service(self, model: str, environment: Environment) -> str:
        """The name of the model's InferenceService in the environment."""
        return self.names.service(model, environment)

    def environments_for(self, model: str) -> tuple[Environment, ...]:
        return tuple(e for e in self.environments.values() if e.takes(model))


@dataclass(frozen=True, slots=True)
class Delivered:
    """What this tool last delivered for a service: a cache, Git is the truth.

    `matched` maps each version that the selector matched then to the id of the request record
    that was seen on it ("" without one). `head` is the branch head when this was written,
    `commit` our own commit ("" where the state was found, not made). `spec` is None when the
    request was to retire. `refused` are the versions that people turned down. `left` says how the
    delivered version left the selector: "moved on", "dropped", "gone" (deleted), "adopted" (it
    never was in it), or "". `pull` is the number of the pull request that it was proposed with, 0
    for a commit; `commit` is then "" until people have merged it. `not_proved` says why no build
    proved the edit, "" where one did.
    """

    request: Request
    identity: Identity
    model: str
    service: str
    repository: str
    branch: str
    head: str
    spec: ServiceSpec | None
    commit: str = ""
    digest: str = ""
    matched: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    refused: tuple[str, ...] = ()
    left: str = ""
    adopted: bool = False
    pull: int = 0
    not_proved: str = ""

    @property
    def is_proposed(self) -> bool:
        """Whether it was not seen merged yet: it may be open, or turned down."""
        return bool(self.pull) and not self.commit


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One read of one registered model: versions, aliases, tags, requests and deliveries.

    `delivered` maps an environment's name to what its tag says, where it can be read;
    `unreadable` maps it to why not. `versions` is ordered by number.
    """

    model: str
    versions: tuple[ModelVersion, ...]
    aliases: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    tags: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    delivered: Mapping[str, Delivered] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=lambda: EMPTY)

    def version(self, number: str) -> ModelVersion | None:
        return next((v for v in self.versions if v.number == number), None)


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """The managed part of an InferenceService: what desired and committed are compared by.

    `rollout` is a canonical text of every traffic split found in the manifest ("" without one).
    """

    uri: str
    version: str
    rollout: str = ""


@dataclass(frozen=True, slots=True)
class Predictor:
    """How an InferenceService loads its files: decides which layouts it can serve.

    `key` is the field under `spec.predictor` that holds the storageUri: `model` or a legacy
    framework name; `model_format` is then that framework. It is `llm` for an LLMInferenceService.
    `format_version` is the modelFormat's. `runtimes` are the serving runtimes that the cluster has
    besides those that KServe ships.
    """

    model_format: str
    protocol: str = ""
    runtime: str = ""
    key: str = "model"
    format_version: str = ""
    runtimes: tuple[Runtime, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What a source holds: path to size in bytes, and the text of its MLmodel ("" if none)."""

    files: Mapping[str, int]
    mlmodel: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a version's files have to lie for its server: the published path of each to its path in
    the source. What is not named there is not published.
    """

    name: str
    paths: Mapping[str, str]

    def applied(self, files: ModelFiles) -> ModelFiles:
        sizes = {published: files.files[path] for published, path in self.paths.items()}
        return ModelFiles(sizes, files.mlmodel)


@dataclass(frozen=True, slots=True)
class Publication:
    """What to publish, and where to: one model version at one write-once path.

    `uri` is `s3://<bucket>/<prefix>/<service>/v<version>/`, or `…/v<version>-<layout>/`; `source`
    is the real artifact location; `name` is the published name of the version, fixed by the
    manifest. `paths` is the layout's where it is published, None for the files as they are.
    """

    uri: str
    source: str
    model: str
    number: str
    name: str
    identity: Identity
    layout: str = AS_IS
    write_once: WriteOnce = WriteOnce()
    storing: Mapping[str, str] = field(default_factory=lambda: EMPTY, hash=False)
    signed_by: SignedBy = SignedBy()
    paths: Mapping[str, str] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Revision:
    """An immutable published copy of a model version.

    `uri` ends in "/"; `digest` is `sha256:<hex>` over the manifest's list of files. `contents`
    are the published names, sizes in bytes and the MLmodel text, as sealed. `created` says
    whether this call published it, or it was there.
    """

    uri: str
    digest: str
    contents: ModelFiles
    created: bool

    @property
    def size(self) -> int:
        return sum(self.contents.files.values())


@dataclass(frozen=True, slots=True)
class Reply:
    """What an HTTP server answered. `kind` is the Content-Type."""

    status: int
    body: bytes
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """One commit to be: path to new text, or to None to delete the file.

    With `sign_off` the message gets a `Signed-off-by` line with the committer of then.
    """

    files: Mapping[str, str | None]
    message: str
    sign_off: bool = False


@dataclass(frozen=True, slots=True)
class BranchPush:
    """A branch of ours to be: the edits on top of `base`, in place of what the branch holds;
    without edits it is deleted.

    `expected` is the commit that it is believed to be at, "" where it must not be there. `is_merge`
    keeps what the branch holds: its new head merges `base` and `expected`, and holds exactly what
    the one edit makes of `base`.
    """

    branch: str
    base: str
    edits: tuple[Edit, ...]
    expected: str = ""
    is_merge: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One commit that was made: `diff` is the unified diff of that commit."""

    commit: str
    parent: str
    diff: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A commit of ours to a service, as Git has it.

    What it delivered is read from the trees at `commit` and at `parent`; the trailers only add
    who and why. `time` is the commit time, ISO 8601 in UTC.
    """

    commit: str
    parent: str
    time: str
    trailers: Mapping[str, str] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True)
class CommitFacts:
    """A commit as Git stores it. People are `name <mail>`, times ISO 8601 in UTC."""

    commit: str
    parents: tuple[str, ...]
    author: str
    committer: str
    time: str
    message: str

    @property
    def is_merge(self) -> bool:
        return len(self.parents) > 1


@dataclass(frozen=True, slots=True)
class Landing:
    """The pull request that brought a commit to its branch, as Git has it: its branch changed the
    same lines. `reference` is like `#12`, "" where only the branch is known. `commits` are those of
    the pull request, newest first and without merges, that touched the files in question.
    """

    reference: str
    head: str
    commits: tuple[CommitFacts, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """What the registry's tag says about one version in one environment.

    `request` is the id of the request that it answers, "" where none was recorded. `pull` is the
    address of its pull request.
    """

    state: State
    message: str
    commit: str = ""
    uri: str = ""
    digest: str = ""
    time: str = ""
    request: str = ""
    pull: str = ""
