"""Settings: text and a mapping of environment variables in, values out.

`mlflow-gitops.yaml` says what the team decided and is in Git; the environment says what one
process needs to get there. Both are checked here, whole, before anything acts on them: an error
names the key or the variable, and what is allowed. Nothing is read from disk or network but the
secret files that variables name, through a callable that the caller may replace. `reference` has
the tables that document, and decide, which keys and variables there are.
"""

from mlflow_gitops.config.document import Problem
from mlflow_gitops.config.names import kserve_complaint
from mlflow_gitops.config.placing import name_warnings
from mlflow_gitops.config.process import Process, target_uri
from mlflow_gitops.config.secret import Secret
from mlflow_gitops.config.settings import SETTINGS_FILE, check_settings, parse_settings
from mlflow_gitops.config.write_once import settings_warnings

__all__ = [
    "SETTINGS_FILE",
    "Problem",
    "Process",
    "Secret",
    "check_settings",
    "kserve_complaint",
    "name_warnings",
    "parse_settings",
    "settings_warnings",
    "target_uri",
]
