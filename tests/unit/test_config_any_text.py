"""Whatever is in the file or in the environment, people get settings or an explained error."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlflow_gitops.config import Process, check_settings, parse_settings
from mlflow_gitops.config.reference_variables import VARIABLES
from mlflow_gitops.errors import ConfigError

WITH_KEY = """\
artifacts: {{bucket: prod-ml-models}}
environments:
  staging:
    {key}: {value}
"""

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

WORDS = st.sampled_from(
    (
        *"{}[],:&*!|>'\"%@#-? \n\t\x85\u2028\ufeff\ud800",
        *("artifacts", "bucket", "environments", "select", "tag", "stage", "models", "path"),
        *("\n  ", "\n    ", ": ", "- ", "&a ", "*a", "!!str ", "<<", "null", "0x1"),
        *("\\U99999999", "%YAML 9.9\n---\n", "...\n"),
    )
)


@patient
@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=60).map("".join)))
def test_any_text_is_settings_or_a_config_error(text: str) -> None:
    problems = check_settings(text)
    with pytest.raises(ConfigError) if problems else nullcontext():
        parse_settings(text)


def test_a_bomb_of_aliases_is_only_wrong() -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    assert len(check_settings("\n".join(lines))) == 42  # each unknown, and two keys missing


def test_many_wrong_keys_shared_by_many_environments_end_at_a_hundred() -> None:
    shared = ", ".join(f"k{n}: 1" for n in range(100))
    names = "".join(f"  e{n}: *a\n" for n in range(100))
    text = f"artifacts: {{bucket: abc}}\nenvironments:\n  e: &a {{{shared}}}\n{names}"
    assert len(check_settings(text)) == 100


def test_many_good_values_shared_by_many_environments_end_too() -> None:
    shared = "{stage: Staging}, path: a, models: [" + "m, " * 2000 + "]"
    names = "".join(f"  e{n}: *a\n" for n in range(2000))
    text = f"artifacts: {{bucket: abc}}\nenvironments:\n  e: &a {{select: {shared}}}\n{names}"
    assert check_settings(text)[-1].what == "has aliases that repeat too much"


def test_a_mapping_that_holds_itself_is_only_wrong() -> None:
    assert check_settings("environments: &a\n  staging: *a\nartifacts: *a\n")


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = ["select", "path", "namespace", "branch", "delivery", "models", "max-changes"]


@patient
@given(st.sampled_from(KEYS), VALUES)
def test_any_value_of_any_key_is_taken_or_told_at_that_key(key: str, value: object) -> None:
    text = WITH_KEY.format(key=key, value=json.dumps(value))
    problems = [p for p in check_settings(text) if p.what != "is missing"]
    for problem in problems:
        assert not problem.path or problem.path.startswith(f"environments.staging.{key}")
        assert problem.line >= 1


NAMES = st.sampled_from([row.name for row in VARIABLES] + ["HOME", "XDG_STATE_HOME"])


@patient
@given(st.dictionaries(NAMES, st.text(max_size=30)))
def test_any_environment_is_taken_or_told_with_a_next_step(environ: dict[str, str]) -> None:
    try:
        process = Process.from_environ(environ)
    except ConfigError as error:
        told = error
    else:
        assert 10 <= process.resync_seconds <= 86_400
        return
    assert told.where
    assert told.hint
