"""Ask for a model version in an environment from Python, as a notebook would.

    python examples/promote.py production fraud-detector 3 "better recall on the March data"

Needs MLFLOW_TRACKING_URI, MLFLOW_GITOPS_REPOSITORY and S3 credentials in the environment.
"""

from __future__ import annotations

import sys

from mlflow.deployments import get_deploy_client


def main(environment: str, model: str, version: str, reason: str = "") -> None:
    client = get_deploy_client("gitops")
    name, uri = f"{environment}/{model}", f"models:/{model}/{version}"

    preview = client.create_deployment(name, uri, config={"dry-run": "true"})
    print("would change:", preview["diff"] or "nothing", sep="\n")

    done = client.create_deployment(name, uri, config={"reason": reason} if reason else {})
    print(f"{done['name']}: {done['state']}", done["commit"])

    for deployed in client.list_deployments():
        print(deployed["name"], deployed["version"])


if __name__ == "__main__":
    main(*sys.argv[1:])
