"""Every key of `mlflow-gitops.yaml`: what is allowed, what it means, and why its default."""

from __future__ import annotations

from mlflow_gitops.config.reference import Setting

__all__ = ["SETTINGS"]

SETTINGS = (
    Setting(
        "artifacts",
        "mapping",
        None,
        "Where published versions are kept, and where they may come from.",
    ),
    Setting(
        "artifacts.bucket",
        "S3 bucket name: 3 to 63 lower-case letters, digits, `.` and `-`; or an access point's "
        "alias, which ends in `-s3alias`",
        None,
        "The bucket that versions are published to, written once.",
        "There is none: nothing may be written to a place that nobody named.",
    ),
    Setting(
        "artifacts.prefix",
        "letters, digits, `.`, `_`, `-` and `/`; no `..`, no `/` at either end",
        "",
        "Goes before `<service>/v<version>/` in every key.",
        "A bucket of its own needs none.",
    ),
    Setting(
        "artifacts.sources",
        "list of URI prefixes (`s3://bucket/folder`, `gs://…`) or absolute paths",
        "[]",
        "Places that a version's files may come from, beside the tracking server's own artifact "
        "root. Each means that folder and what is below it.",
        "Whoever registers a version chooses its source, so other places are opened one by one.",
    ),
    Setting(
        "artifacts.write-once",
        "`conditional` or `checked`",
        "conditional",
        "What keeps a published version from being overwritten. `conditional`: the storage, which "
        "refuses a second write; one that does not is found out and refused. `checked`: the tool "
        "looks whether a key is there, then writes it. That is unsafe where several processes "
        "publish: docs/storage.md.",
        "Only the storage can keep two publishers apart.",
    ),
    Setting(
        "artifacts.object-lock",
        "mapping",
        "{}",
        "Every object that is written gets this retention, by S3 Object Lock: docs/storage.md. The "
        "bucket has to be made with Object Lock.",
        "Most buckets have no Object Lock, and what is locked is paid for until its date.",
    ),
    Setting(
        "artifacts.object-lock.mode",
        "`governance` or `compliance`",
        "",
        "Who can delete a version before its date: whoever has the right to pass over governance, "
        "or nobody at all. Needed in `object-lock`.",
    ),
    Setting(
        "artifacts.object-lock.days",
        "whole number from 1 to 36500",
        "",
        "How long, from the time of writing. Needed in `object-lock`.",
    ),
    Setting(
        "artifacts.encryption",
        "`AES256` (SSE-S3), `aws:kms` (SSE-KMS) or `aws:kms:dsse`",
        "",
        "The encryption that every write asks for: docs/storage.md.",
        "Without it `MLFLOW_S3_UPLOAD_EXTRA_ARGS` decides, else the bucket's own default.",
    ),
    Setting(
        "artifacts.kms-key",
        "ARN, id or alias of a KMS key",
        "",
        "The key of `encryption: aws:kms`.",
        "Without it the account's own key for S3 is used.",
    ),
    Setting(
        "artifacts.bucket-key",
        "`true` or `false`",
        "",
        "Whether S3 uses a key of the bucket for several objects with `encryption: aws:kms`, which "
        "asks KMS less often.",
        "Without it the bucket's own setting decides.",
    ),
    Setting(
        "artifacts.acl",
        "`private`, `bucket-owner-full-control`, `bucket-owner-read`, `authenticated-read`, "
        "`aws-exec-read`, `public-read` or `public-read-write`",
        "",
        "The canned ACL of every object.",
        "Most buckets have their ACLs disabled, and refuse one.",
    ),
    Setting(
        "artifacts.storage-class",
        "`STANDARD`, `INTELLIGENT_TIERING`, `STANDARD_IA`, `ONEZONE_IA`, `GLACIER_IR` or "
        "`REDUCED_REDUNDANCY`",
        "",
        "The storage class of every object that is written. `GLACIER` and `DEEP_ARCHIVE` are "
        "refused: KServe could not read the objects before somebody restores them.",
        "Without it `MLFLOW_S3_UPLOAD_EXTRA_ARGS` decides, else the bucket's own default.",
    ),
    Setting(
        "artifacts.signed-by",
        "mapping",
        "{}",
        "Each published version gets a signature in the format of `model-signing`, by a key that "
        "is trusted here; `verify` checks it: docs/signed-models.md. The private key is the "
        "process's: `MLFLOW_GITOPS_MODEL_KEY_FILE`.",
        "A signature proves nothing until somebody keeps a key for it.",
    ),
    Setting(
        "artifacts.signed-by.public-keys",
        "list of public keys of elliptic curves, each as PEM text",
        "[]",
        "Whoever has the private half of one of them may sign. With several, a key can be replaced "
        "while what the old one signed still counts.",
    ),
    Setting(
        "artifacts.signed-by.certificates",
        "root certificates, as PEM text",
        "",
        "Whoever has a certificate from one of them, for signing, may sign.",
    ),
    Setting(
        "version-name",
        "`number`, or `{tag: <key of a version tag>}`",
        "number",
        "What names a published version: MLflow's number, or the version tag, for example "
        "`{tag: semver}`.",
        "Every version has a number, and it never changes.",
    ),
    Setting(
        "forge",
        "mapping",
        "{}",
        "The forge that has the repository, for pull requests.",
        "The repository's URL tells it for the well-known hosts.",
    ),
    Setting(
        "forge.kind",
        "`github`, `gitlab`, `gitea`, `forgejo`, `azure-devops`, `bitbucket-cloud` or "
        "`bitbucket-data-center`",
        "",
        "Which API it speaks.",
        "Without it, what the repository's host name tells.",
    ),
    Setting(
        "forge.url",
        "http:// or https:// URL",
        "",
        "The address of its API, for example `https://git.example.com/api/v3`.",
        "Without it, where this kind of forge has it on the repository's host.",
    ),
    Setting(
        "commits",
        "mapping",
        "{}",
        "Whom the tool's commits name, and what their messages say. `MLFLOW_GITOPS_AUTHOR_NAME` "
        "and `_EMAIL` of a process win over `author` and `committer`.",
        "Who asked is in the commit's trailers.",
    ),
    Setting(
        "commits.author",
        "`Name <address>`, without other `<` and `>`",
        "mlflow-gitops <mlflow-gitops@localhost>",
        "The author.",
        "It belongs to nobody, so no Git host takes the commits for a person's.",
    ),
    Setting(
        "commits.committer",
        "`Name <address>`, without other `<` and `>`",
        "`commits.author`",
        "The committer: whose signing key a forge looks for.",
        "Most forges show one name where both are the same.",
    ),
    Setting(
        "commits.subject",
        "one line with the fields `{environment}`, `{model}`, `{service}`, `{version}`, "
        "`{before}`, `{action}`, `{reason}` and `{tag:<name>}` where wanted",
        "",
        "The first line of a commit's message, for a server that checks it; for example "
        "`feat({environment}): {tag:ticket} {action} {model} {version}`. It is also the title of "
        "the pull request where `pull-request.title` names no other. `{action}` is "
        "`deploy`, `rollback` or `retire`, `{before}` the version that "
        "Git has now, `{tag:<name>}` a tag of the version.",
        "Without it, the environment, the model and both versions.",
    ),
    Setting(
        "commits.body",
        "text of one or more lines with the same fields",
        "",
        "Further paragraphs of a commit's message, after the tool's own and before the trailers; "
        "for example `Refs {tag:ticket}`. A line is left out where it is empty.",
        "The tool's own say what is asked for, and why.",
    ),
    Setting(
        "commits.trailers",
        "mapping of a trailer's key to one line with the same fields",
        "{}",
        "Further trailers, after the tool's own.",
        "The tool's own say what was delivered and who asked.",
    ),
    Setting(
        "commits.trailers.<key>",
        "a key of letters, digits and `-`, and one line with the same fields",
        "",
        'One trailer, for example `Ticket: "{tag:ticket}"`. It is left out where its line is '
        "empty. Keys that this tool reads cannot be set.",
    ),
    Setting(
        "commits.sign-off",
        "`true` or `false`",
        "false",
        "Whether each commit has a `Signed-off-by` line with its committer.",
        "Only servers that check the Developer Certificate of Origin want one.",
    ),
    Setting(
        "applications",
        "list of paths in the repository, with `*` for any text, also across folders",
        "",
        "The files in which Argo CD Applications and ApplicationSets and Flux Kustomizations are "
        "looked for. What they say of an environment's folder counts: docs/repositories.md. `[]` "
        "looks nowhere.",
        "Every YAML and JSON file but those in folders that start with a dot: most repositories "
        "keep them somewhere.",
    ),
    Setting(
        "kserve",
        "a version from `0.14` to `0.21`, in quotes",
        "",
        "The cluster's version of KServe. New InferenceServices get the deployment mode that it "
        "can also update: `RawDeployment` up to 0.15, `Standard` from 0.16 on.",
        "Without it `Standard`, which KServe has known since 0.16.",
    ),
    Setting(
        "services",
        "mapping of model to InferenceService",
        "{}",
        "The models whose InferenceService has another name.",
        "The same name in MLflow and in Kubernetes is the easiest to follow.",
    ),
    Setting(
        "services.<model>",
        "1 to 63 lower-case letters, digits and `-`, first a letter, last no `-`",
        "the model's name",
        "`metadata.name` of the model's InferenceService. Two models cannot share one. One of more "
        "than 53 characters is not made: KServe appends `-predictor`.",
        "Names are made up only where `service-names` says so: two models would end in one "
        "service.",
    ),
    Setting(
        "service-names",
        "`exact` or `slug`",
        "exact",
        "What becomes of a model whose name Kubernetes does not allow and `services` does not map: "
        "refused, or served under a name that is derived (`Fraud Detector` as `fraud-detector`). "
        "Two models with one derived name are refused.",
        "A name that nobody wrote is hard to find.",
    ),
    Setting(
        "label",
        "key of a Kubernetes label, or `none`",
        "model-version",
        "The label of the InferenceService that carries the version, for example "
        "`example.com/model-version`. With `none` only the URI is written and compared.",
        "A selector or a dashboard can tell versions apart by it.",
    ),
    Setting(
        "storage-keys",
        "mapping of a connection's key to a bucket",
        "{}",
        "Which bucket each `storage.key` of InferenceServices leads to. Where `storage` names one "
        "of them, its `path` is what a promotion writes. Only the bucket that versions are "
        "published to is of use.",
        "The connection is in a Secret of the cluster, which no manifest shows.",
    ),
    Setting(
        "storage-keys.<key>",
        "S3 bucket name: 3 to 63 lower-case letters, digits, `.` and `-`",
        "",
        "The bucket that the connection in `storage-config` names.",
    ),
    Setting(
        "runtimes",
        "mapping of name to runtime",
        "{}",
        "Serving runtimes that the cluster has, beside those that KServe ships and those that an "
        "environment's manifests define: docs/layouts.md. Of one that the manifests define too, "
        "only `like` counts.",
        "What the manifests define is read there.",
    ),
    Setting(
        "runtimes.<name>.formats",
        "list of `modelFormat` names, or `name:version` in quotes",
        "[]",
        "Its `supportedModelFormats`.",
        "Without them it is used only where an InferenceService names it, and takes any format; "
        "for one of KServe's own they are those that KServe ships.",
    ),
    Setting(
        "runtimes.<name>.auto-select",
        "`true` or `false`",
        "false",
        "Whether KServe takes it for these formats where an InferenceService names no runtime.",
        "KServe's own default.",
    ),
    Setting(
        "runtimes.<name>.priority",
        "whole number from 1",
        "",
        "Of several, KServe takes the one with the highest.",
        "One with a priority comes before one without.",
    ),
    Setting(
        "runtimes.<name>.protocols",
        "list of `v1`, `v2`, `grpc-v1`, `grpc-v2`",
        "[]",
        "Its `protocolVersions`.",
        "Without them KServe takes it for any.",
    ),
    Setting(
        "runtimes.<name>.kind",
        "`ClusterServingRuntime` or `ServingRuntime`",
        "ClusterServingRuntime",
        "A ServingRuntime of the namespace comes before those of the cluster.",
        "Runtimes that live elsewhere are mostly the cluster's.",
    ),
    Setting(
        "runtimes.<name>.like",
        "name of a runtime that KServe ships, for example `kserve-mlserver`",
        "",
        "It loads the same files as that one: versions are published in the layout that it needs, "
        "and one that it would not load is refused.",
        "Nothing is known of what a runtime of your own loads: files are published as they are.",
    ),
    Setting(
        "environments",
        "mapping of at least one environment",
        None,
        "The places to deploy to.",
    ),
    Setting(
        "environments.<name>",
        "1 to 63 lower-case letters, digits and `-`, first and last no `-`",
        None,
        "One environment, for example `staging`. The name stays: the registry's records use it.",
    ),
    Setting(
        "environments.<name>.select",
        "one of `{stage: Staging}`, `{stage: Production}`, `{alias: <alias>}`, "
        "`{tag: {<key>: <value>}}`",
        None,
        "What in the registry selects a version for this environment.",
        "There is none: it decides what runs.",
    ),
    Setting(
        "environments.<name>.path",
        "relative path of a folder, without `..`",
        None,
        "The folder of this environment's manifests, from the root of the repository; `.` for the "
        "root itself.",
        "There is none: two environments in one folder would overwrite each other.",
    ),
    Setting(
        "environments.<name>.namespace",
        "1 to 63 lower-case letters, digits and `-`, first and last no `-`",
        "",
        "The Kubernetes namespace, for manifests that are scaffolded.",
        "Without it the kustomization or Argo CD decides.",
    ),
    Setting(
        "environments.<name>.cluster",
        "1 to 63 lower-case letters, digits and `-`, first and last no `-`",
        "",
        "A name for the Kubernetes cluster. It is only compared: two environments of one branch, "
        "namespace and cluster cannot have a service with the same name.",
        "Most teams have a namespace for each environment.",
    ),
    Setting(
        "environments.<name>.services",
        "mapping of model to InferenceService, as `services`",
        "{}",
        "The names in this environment alone; they win over `services` and `service-name`. The "
        "path in the bucket stays the same for all environments.",
        "One name for all environments is the easiest to follow.",
    ),
    Setting(
        "environments.<name>.service-name",
        "text with `{service}` once, that makes a name such as `{service}-challenger`",
        "{service}",
        "What a service is called in this environment; `{service}` is the name that it has without "
        "this setting. So champion and challenger can share a namespace.",
        "One name for all environments is the easiest to follow.",
    ),
    Setting(
        "environments.<name>.label",
        "key of a Kubernetes label, or `none`",
        "`label`",
        "As `label`, for this environment.",
        "Most teams have one label.",
    ),
    Setting(
        "environments.<name>.exclude",
        "list of patterns of paths below `path` (`*`, `**`, `?`, `[…]`)",
        "[]",
        "Files that are not manifests of this environment, in the form of `.gitignore`: `old` "
        "leaves out every file and folder of that name, `old/` folders only, `/old` and `a/old` "
        "the one at that path; `*` and `?` stop at `/`, `**` does not. What a kustomization lists "
        "is read all the same.",
        "Argo CD reads every file, too.",
    ),
    Setting(
        "environments.<name>.recurse",
        "`true` or `false`",
        "`true`",
        "Whether the folders below a folder without kustomization are read; for Argo CD it is "
        "`directory.recurse`.",
        "A service in a folder below is found.",
    ),
    Setting(
        "environments.<name>.branch",
        "name of a branch, without `refs/heads/`",
        "",
        "The branch that is read and committed to.",
        "Without it, the repository's default branch.",
    ),
    Setting(
        "environments.<name>.delivery",
        "`commit` or `pull-request`",
        "commit",
        "How a change reaches the branch: `commit` pushes to it, `pull-request` proposes it there.",
        "It needs no forge; whoever wants people to approve says so.",
    ),
    Setting(
        "environments.<name>.pull-request",
        "mapping",
        "{}",
        "What is put on this environment's pull requests.",
        "CODEOWNERS asks for reviews already.",
    ),
    Setting(
        "environments.<name>.pull-request.labels",
        "list of labels, 1 to 50 characters each, without commas",
        "[]",
        "Labels; those that are not there are made.",
        "The title says what it is for.",
    ),
    Setting(
        "environments.<name>.pull-request.reviewers",
        "list of user names, or `team:<name>`",
        "[]",
        "Who is asked to review. On Azure DevOps a user's name is an address, on Bitbucket Cloud a "
        "nickname or a UUID with its braces.",
        "CODEOWNERS asks for reviews already.",
    ),
    Setting(
        "environments.<name>.pull-request.title",
        "one line with the fields of `commits.subject`",
        "",
        "The title, for example `feat({environment}): {tag:ticket} {action} {model} {version}`.",
        "Without it, the subject of the commit.",
    ),
    Setting(
        "environments.<name>.pull-request.branch",
        "name of a branch that ends in `{service}`, with `{environment}` where wanted",
        "mlflow-gitops/{environment}/{service}",
        "The branch that a service's pull requests are made from, for a server that checks such "
        "names; for example `feature/mlops-{environment}-{service}`. A service has one branch for "
        "all its versions, so a tag of a version cannot be in it. An open pull request keeps the "
        "branch that it has. No other branch may begin so.",
        "The names are the tool's own, and tell whose branches they are.",
    ),
    Setting(
        "environments.<name>.models",
        "list of at least one name or pattern (`*`, `?`, `[…]`)",
        '["*"]',
        "Which registered models this environment takes; upper and lower case differ.",
        "All: the selector alone decides.",
    ),
    Setting(
        "environments.<name>.max-changes",
        "whole number, 1 or more",
        "20",
        "The most services that one resync changes by itself; for more it changes none and "
        "waits for `reconcile --yes` or `adopt`.",
        "More than a busy day brings, far less than what a wrong registry or a first run would "
        "rewrite.",
    ),
    Setting(
        "environments.<name>.unproved",
        "`mark` or `refuse`",
        "mark",
        "What happens to an edit that no build can prove, for example of a Helm chart's values: "
        "it is marked as not proved in the commit, the evidence and the status, or refused.",
        "A build that disproves an edit always refuses it. What no build reads is said, so that "
        "people can decide.",
    ),
    Setting(
        "environments.<name>.endpoint",
        "mapping",
        "{}",
        "Where `mlflow deployments predict` and `explain` ask this environment's services.",
        "The cluster is asked for each service's `status.url`.",
    ),
    Setting(
        "environments.<name>.endpoint.url",
        "http:// or https:// URL, with `{service}`, `{model}` and `{namespace}` where wanted",
        "",
        "The base URL, before `/v1/models/…`, `/v2/models/…` or `/invocations`; for example an "
        "ingress.",
        "Without it, the InferenceService's own, from the cluster.",
    ),
    Setting(
        "environments.<name>.endpoint.host",
        "host name, with `{service}`, `{model}` and `{namespace}` where wanted",
        "",
        "The Host header, for an ingress whose names are not in DNS.",
        "Without it, the URL's host.",
    ),
    Setting(
        "environments.<name>.endpoint.protocol",
        "`v1`, `v2` or `mlflow`",
        "",
        "What the servers speak: KServe's V1, the Open Inference Protocol (V2), or MLflow's own "
        "scoring (`/invocations`).",
        "Without it, what the manifest's format, protocolVersion and runtime mean to KServe.",
    ),
    Setting(
        "environments.<name>.values",
        "list of rules, each a mapping with the keys below",
        "[]",
        "Models whose URI is in another YAML file than an InferenceService: a Helm chart's values, "
        "an ApplicationSet's config. The first rule that takes a model counts.",
        "Where InferenceServices are written out, they are found by their names.",
    ),
    Setting(
        "environments.<name>.values[].models",
        "list of at least one name or pattern (`*`, `?`, `[…]`)",
        '["*"]',
        "Which models the rule takes.",
        "Most repositories have one form for all.",
    ),
    Setting(
        "environments.<name>.values[].file",
        "path of a file from the repository's root, with `{service}`, `{model}` and "
        "`{environment}` where wanted",
        None,
        "The file that the value is in.",
    ),
    Setting(
        "environments.<name>.values[].path",
        "keys with `.` between them, `[0]` or `[name=x]` for an item of a list, quotes for a key "
        "with a dot, `{service}` where wanted",
        None,
        "Where in the file the URI is, for example `model.storageUri`. Its last key is added where "
        "it is missing. It may lead on into a literal block that is YAML itself. Only an "
        "empty value or a model URI is ever replaced.",
    ),
    Setting(
        "environments.<name>.values[].version-path",
        "as `path`",
        "",
        "Where in the file the version is written too. A plain whole number stays one, but in a "
        "ConfigMap and a Secret, which take texts. Only an empty value or a version is replaced.",
        "Without it the version is the one in the URI.",
    ),
    Setting(
        "environments.<name>.values[].format",
        "a `modelFormat` of KServe",
        "mlflow",
        "What the InferenceService declares that is rendered from the value: whether its runtime "
        "can load a version is checked before the commit.",
        "MLflow's own loader serves what MLflow logs, as it is.",
    ),
    Setting(
        "environments.<name>.values[].protocol",
        "`v1`, `v2`, `grpc-v1` or `grpc-v2`",
        "v2",
        "Its `protocolVersion`.",
        "The only one that KServe has an MLflow runtime for.",
    ),
    Setting(
        "environments.<name>.values[].runtime",
        "name of a ServingRuntime",
        "",
        "Its `runtime`.",
        "Without it KServe selects one.",
    ),
    Setting(
        "environments.<name>.storage-keys",
        "mapping of a connection's key to a bucket",
        "{}",
        "As `storage-keys`, for this environment; wins over it.",
        "One connection of one name for all is the common case.",
    ),
    Setting(
        "environments.<name>.runtimes",
        "mapping of name to runtime, as `runtimes`",
        "{}",
        "Serving runtimes of this environment's cluster, in place of those of the same name in "
        "`runtimes`.",
        "Most environments have the same.",
    ),
    Setting(
        "environments.<name>.gates",
        "mapping",
        "{}",
        "What a version has to be before it is promoted to this environment: docs/gates.md.",
        "Whether its files are whole, and would load, is always checked.",
    ),
    Setting(
        "environments.<name>.gates.metrics",
        "mapping of metric to its thresholds, for example `{accuracy: {min: 0.9}}`",
        "{}",
        "The metrics of the version's run that are looked at.",
        "What is good enough, only people know.",
    ),
    Setting(
        "environments.<name>.gates.metrics.<metric>",
        "a metric's name as MLflow has it, up to 250 characters",
        "",
        "The thresholds of one metric, by the last value that its run logged. With `{}` it only "
        "has to be there.",
    ),
    Setting(
        "environments.<name>.gates.metrics.<metric>.min",
        "number",
        "",
        "The least that passes.",
        "Without it there is none.",
    ),
    Setting(
        "environments.<name>.gates.metrics.<metric>.max",
        "number",
        "",
        "The most that passes.",
        "Without it there is none.",
    ),
    Setting(
        "environments.<name>.gates.metrics.<metric>.direction",
        "`higher` or `lower`",
        "",
        "Which values are better.",
        "Without it `higher` where there is only a `min`, `lower` where there is only a `max`.",
    ),
    Setting(
        "environments.<name>.gates.metrics.<metric>.worse-by",
        "number from 0, or a percentage from 0 such as `5%`",
        "",
        "How much worse than the committed version's value it may be, in the metric's unit or in "
        "percent of that value; `0` for not at all.",
        "Without it nothing is compared.",
    ),
    Setting(
        "environments.<name>.gates.metrics.<metric>.missing",
        "`fail` or `allow`",
        "fail",
        "What a run without this metric means.",
        "A metric that was forgotten would else let anything through.",
    ),
    Setting(
        "environments.<name>.gates.signature",
        "`compatible`, `same` or `any`",
        "compatible",
        "Which changes of the inputs and outputs pass: those that clients of the committed version "
        "do not notice, none, or all.",
        "A breaking change is what clients find out last.",
    ),
    Setting(
        "environments.<name>.gates.required",
        "list of `artifact`, `runtime`, `signature` and `metrics`",
        "`artifact` and `runtime`, and `metrics` where a metric has thresholds",
        "The gates that block a promotion where `delivery` is `commit`; the others only tell. "
        "`artifact` and `runtime` always block.",
        "A threshold that holds nothing back would surprise; a signature is often changed on "
        "purpose.",
    ),
)
