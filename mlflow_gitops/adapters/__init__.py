"""The only place that talks to S3, Git, MLflow and Kubernetes."""
