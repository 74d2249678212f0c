"""A secret of the environment, or of a file that the environment names. Never shown.

A file is read each time the secret is used, so that it may be rotated under a running service.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mlflow_gitops.config.names import unprintable
from mlflow_gitops.errors import ConfigError

__all__ = ["Secret", "read_text"]

PEM = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----\s.*\s-----END \1-----", re.DOTALL)


def read_text(path: str) -> str:
    """A secret file, as it is now."""
    return Path(path).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A secret of the environment, or of the file that the environment names.

    `variable` is the one for the value; with `_FILE` at its end it names the file. Not even that
    name is shown: people put the secret there by mistake.
    """

    variable: str
    value: str = ""
    path: str = ""
    read: Callable[[str], str] = field(default=read_text, compare=False)

    @property
    def is_set(self) -> bool:
        """Whether one is named; whether it can be read is known when it is used."""
        return bool(self.value or self.path)

    def text(self) -> str:
        """The secret as it is now, "" where none is set. Raises ConfigError."""
        if not self.path:
            return self.value
        try:
            text = self.read(self.path).removeprefix("\ufeff").strip()
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the file cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}",
                where=f"{self.variable}_FILE",
                hint="name a file that this process can read, with the secret in it, or unset it",
            ) from None
        if not text:
            raise ConfigError(
                "the file is empty",
                where=f"{self.variable}_FILE",
                hint="put the secret into the file, or unset the variable",
            )
        return text

    def line(self) -> str:
        """A secret that is one line without spaces."""
        text = self.text()
        if text and (unprintable(text) or " " in text):
            raise self._refused("is more than one word")
        return text

    def phrase(self) -> str:
        """A secret that is one line, with or without spaces."""
        text = self.text()
        if unprintable(text):
            raise self._refused("is more than one line")
        return text

    def lines(self) -> tuple[str, ...]:
        """Several secrets: separated by commas in a variable, one a line in a file."""
        text = self.text()
        parts = text.splitlines() if self.path else text.split(",")
        found = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
        if any(map(unprintable, found)):
            raise self._refused("has an unprintable character")
        if text and not found:
            raise self._refused("holds no secret")
        return found

    def pem(self) -> str:
        """A private key in PEM form; in a variable its line ends may be written as `\\n`."""
        text = self.text()
        if text and not self.path and "\n" not in text:
            text = text.replace("\\n", "\n")
        if text and not PEM.fullmatch(text):
            raise self._refused("is no private key in PEM form")
        return text

    def data(self) -> bytes | None:
        try:
            return self.text().encode() or None
        except UnicodeEncodeError:
            raise self._refused("is no text in UTF-8") from None

    def _refused(self, what: str) -> ConfigError:
        name = f"{self.variable}_FILE" if self.path else self.variable
        hint = "docs/settings.md tells what is allowed; the secret itself is not shown here"
        return ConfigError(f"the secret {what}", where=name, hint=hint)
