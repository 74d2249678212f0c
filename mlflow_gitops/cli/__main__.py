"""`python -m mlflow_gitops.cli`: the command line where the script is not on the PATH."""

from mlflow_gitops.cli import main

main()
