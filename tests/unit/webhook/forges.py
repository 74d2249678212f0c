"""Deliveries as the forges send them: small bodies of our own, with the documented fields."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

SECRET = "forge-s3cr3t"
SIGNING_TOKEN = "whsec_" + base64.b64encode(b"k" * 32).decode()
BRANCH = "mlflow-gitops/production/fraud"
ID = "6d1a3f2e-0001-11ef-8000-000000000000"
NOW = 1_795_390_400

REPOSITORY = {
    "id": 7,
    "full_name": "ml/manifests",
    "clone_url": "https://git.example.com/ml/manifests.git",
    "ssh_url": "git@git.example.com:ml/manifests.git",
    "html_url": "https://git.example.com/ml/manifests",
}
PROJECT = {
    "id": 7,
    "path_with_namespace": "ml/manifests",
    "git_http_url": "https://git.example.com/ml/manifests.git",
    "git_ssh_url": "git@git.example.com:ml/manifests.git",
    "web_url": "https://git.example.com/ml/manifests",
}
COMMITS = [
    {"id": "a" * 40, "added": [], "modified": ["p/fraud/kustomization.yaml"], "removed": []},
    {"id": "b" * 40, "added": ["p/churn/x.yaml"], "modified": [], "removed": ["docs/a.md"]},
]


def pull_request(action: str = "closed", branch: str = BRANCH, **more: Any) -> dict[str, Any]:
    """GitHub's, Gitea's and Forgejo's."""
    head = {"ref": branch, "sha": "c" * 40, "repo": {"id": 7}}
    return {
        "action": action,
        "pull_request": {"number": 12, "head": head, "base": {"ref": "main"}, "merged": True},
        "repository": REPOSITORY,
    } | more


def merge_request(action: str = "merge", branch: str = BRANCH, source: int = 7) -> dict[str, Any]:
    attributes = {
        "iid": 12,
        "action": action,
        "source_branch": branch,
        "target_branch": "main",
        "source_project_id": source,
        "target_project_id": 7,
    }
    return {"object_kind": "merge_request", "object_attributes": attributes, "project": PROJECT}


def pipeline(status: str = "pending", source: int = 7, **more: Any) -> dict[str, Any]:
    """GitLab's, of a merge train or a merged result: `ref` is the branch also there."""
    attributes = {"id": 31, "ref": BRANCH, "source": "merge_request_event", "status": status}
    merge = {
        "iid": 12,
        "source_branch": BRANCH,
        "target_branch": "main",
        "source_project_id": source,
        "target_project_id": 7,
    }
    data = {"object_attributes": attributes, "merge_request": merge, "project": PROJECT}
    return {"object_kind": "pipeline", **data, **more}


def push(ref: str = "refs/heads/main") -> dict[str, Any]:
    """With GitLab's place of the repository beside that of the others."""
    return {"ref": ref, "commits": COMMITS, "repository": REPOSITORY, "project": PROJECT}


def github(event: str, data: Any, delivery: str = ID) -> tuple[Mapping[str, str], bytes]:
    body = json.dumps(data).encode()
    signature = f"sha256={digest(body)}"
    return {
        "content-type": "application/json",
        "x-github-event": event,
        "x-github-delivery": delivery,
        "x-hub-signature-256": signature,
    }, body


def gitlab(event: str, data: Any, delivery: str = ID) -> tuple[Mapping[str, str], bytes]:
    return {
        "content-type": "application/json",
        "x-gitlab-event": event,
        "x-gitlab-event-uuid": delivery,
        "x-gitlab-token": SECRET,
    }, json.dumps(data).encode()


def gitlab_signed(event: str, data: Any, at: int = NOW) -> tuple[Mapping[str, str], bytes]:
    headers, body = gitlab(event, data)
    content = f"{ID}.{at}.".encode() + body
    signature = base64.b64encode(hmac.digest(b"k" * 32, content, "sha256")).decode()
    rest = {name: value for name, value in headers.items() if name != "x-gitlab-token"}
    return rest | {
        "webhook-id": ID,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{signature}",
    }, body


def gitea(
    event: str, data: Any, delivery: str = ID, name: str = "gitea"
) -> tuple[Mapping[str, str], bytes]:
    """`name` is gitea or forgejo; Forgejo sends Gitea's headers too, and both GitHub's."""
    body = json.dumps(data).encode()
    headers, _ = github(event, data, delivery)
    for each in {"gitea", name}:
        headers = {
            **headers,
            f"x-{each}-event": event,
            f"x-{each}-delivery": delivery,
            f"x-{each}-signature": digest(body),
        }
    return headers, body


def bitbucket(event: str, data: Any, delivery: str = ID) -> tuple[Mapping[str, str], bytes]:
    """Of Cloud; Data Center's id is in another header."""
    body = json.dumps(data).encode()
    return {
        "content-type": "application/json",
        "x-event-key": event,
        "x-request-uuid": delivery,
        "x-hub-signature": f"sha256={digest(body)}",
    }, body


def azure(data: Any, secret: str = SECRET) -> tuple[Mapping[str, str], bytes]:
    pair = base64.b64encode(f"mlflow-gitops:{secret}".encode()).decode()
    return {
        "content-type": "application/json; charset=utf-8",
        "authorization": f"Basic {pair}",
        "user-agent": "VSServices/19.225.34309.2 (w3wp.exe)",
    }, json.dumps(data).encode()


CLOUD = {"full_name": "ml/manifests", "uuid": "{7}"}
SERVER = {"id": 7, "slug": "manifests", "project": {"key": "ML"}}
AZURE = {"id": "7", "name": "manifests", "remoteUrl": "https://dev.azure.com/org/ml/_git/manifests"}


def cloud_pull(branch: str = BRANCH, fork: str = "ml/manifests") -> dict[str, Any]:
    source = {"branch": {"name": branch}, "repository": {"full_name": fork}}
    return {"pullrequest": {"id": 12, "state": "MERGED", "source": source}, "repository": CLOUD}


def cloud_push(name: str = "main", kind: str = "branch") -> dict[str, Any]:
    changes = [{"new": {"type": "tag", "name": "v1"}}, {"new": {"type": kind, "name": name}}]
    return {"push": {"changes": changes}, "repository": CLOUD}


def server_pull(branch: str = BRANCH, key: str = "ML") -> dict[str, Any]:
    source = {**SERVER, "project": {"key": key}}
    refs = {"fromRef": {"id": f"refs/heads/{branch}", "repository": source}}
    return {"pullRequest": {"id": 12, **refs, "toRef": {"repository": SERVER}}}


def server_push(ref: str = "refs/heads/main") -> dict[str, Any]:
    changes = [{"refId": "refs/tags/v1"}, {"refId": ref}]
    return {"eventKey": "repo:refs_changed", "repository": SERVER, "changes": changes}


def azure_pull(branch: str = BRANCH, event: str = "git.pullrequest.merged") -> dict[str, Any]:
    resource = {"pullRequestId": 12, "sourceRefName": f"refs/heads/{branch}", "repository": AZURE}
    return {"id": ID, "eventType": event, "resource": resource}


def azure_push(ref: str = "refs/heads/main") -> dict[str, Any]:
    updates = [{"name": "refs/tags/v1"}, {"name": ref}]
    resource = {"refUpdates": updates, "repository": AZURE}
    return {"id": ID, "eventType": "git.push", "resource": resource}


def digest(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def merge_group(action: str = "checks_requested") -> dict[str, Any]:
    group = {
        "head_sha": "d" * 40,
        "head_ref": f"refs/heads/gh-readonly-queue/main/pr-12-{'e' * 40}",
        "base_ref": "refs/heads/main",
    }
    return {"action": action, "merge_group": group, "repository": REPOSITORY}
