"""Trains the demo's model on data that scikit-learn ships, and registers it."""

from __future__ import annotations

__all__ = ["train"]


def train(tracking_uri: str, model: str, *, depth: int) -> float:
    """Train, log and register one version. Returns the accuracy on held-out rows, 0 to 1.

    The rows are scikit-learn's breast cancer table, whose two classes stand in for fraud. The
    model is saved as a pickle, which KServe's stock MLServer can load (skops it cannot).
    """
    import mlflow
    from mlflow import MlflowClient
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import train_test_split

    mlflow.set_tracking_uri(tracking_uri)
    table, label = load_breast_cancer(return_X_y=True)
    split = train_test_split(table, label, test_size=0.3, random_state=7)
    train_x, test_x, train_y, test_y = split
    forest = RandomForestClassifier(n_estimators=20, max_depth=depth, random_state=7)
    forest.fit(train_x, train_y)
    accuracy = float(forest.score(test_x, test_y))
    client = MlflowClient(tracking_uri)
    experiment = client.get_experiment_by_name(model)
    identity = experiment.experiment_id if experiment else client.create_experiment(model)
    with mlflow.start_run(experiment_id=identity):
        mlflow.log_params({"max_depth": depth, "n_estimators": 20})
        mlflow.log_metric("accuracy", accuracy)
        mlflow.sklearn.log_model(
            forest,
            name="model",
            registered_model_name=model,
            serialization_format="cloudpickle",
            pip_requirements=["scikit-learn", "cloudpickle"],
        )
    return accuracy
