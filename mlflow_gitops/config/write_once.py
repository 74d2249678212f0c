"""`artifacts.write-once` and `artifacts.object-lock`: how the storage keeps what is published."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow_gitops.config.document import Findings, Value
from mlflow_gitops.config.reference_settings import SETTINGS
from mlflow_gitops.state import ObjectLock, Settings, WriteOnce

__all__ = ["LONGEST_DAYS", "read_write_once", "settings_warnings"]

FORMS = {row.key: row.form for row in SETTINGS}
KEYS = ("mode", "days")
LONGEST_DAYS = 36_500  # S3's own limit


def read_write_once(artifacts: Mapping[str, Value], found: Findings) -> WriteOnce:
    mode = artifacts.get("write-once")
    text = found.text(mode, _mode_complaint, FORMS["artifacts.write-once"]) if mode else ""
    return WriteOnce(
        "checked" if text == "checked" else "conditional",
        _lock(artifacts.get("object-lock"), found),
    )


def settings_warnings(settings: Settings) -> tuple[str, ...]:
    """What whoever runs the tool should hear each time."""
    if settings.write_once.mode == "conditional":
        return ()
    return (
        "`artifacts.write-once: checked` leaves it to chance which of two publishers writes a "
        "version: let only one process publish",
    )


def _lock(value: Value | None, found: Findings) -> ObjectLock | None:
    fields = found.fields(value, KEYS) if value else None
    if not fields:
        return None  # `{}` is what stands for none
    for key in KEYS:
        if key not in fields:
            assert value is not None
            found.add(value, f"has no `{key}`", hint=f"add the key `{key}`")
            return None
    mode = found.text(fields["mode"], _lock_complaint, FORMS["artifacts.object-lock.mode"])
    days = _days(fields["days"], found)
    if mode is None or days is None:
        return None
    return ObjectLock("compliance" if mode == "compliance" else "governance", days)


def _days(value: Value, found: Findings) -> int | None:
    form = FORMS["artifacts.object-lock.days"]
    days = found.number(value, form)
    if days is not None and days > LONGEST_DAYS:
        found.add(value, f"is {days}", allowed=form)
        return None
    return days


def _mode_complaint(text: str) -> str:
    return "" if text in ("conditional", "checked") else "is no way to write once"


def _lock_complaint(text: str) -> str:
    return "" if text in ("governance", "compliance") else "is no mode of Object Lock"
