"""mlflow-gitops: registry stage transitions become Git commits."""
