"""What ssh-keygen and gpg say when they cannot sign, as errors for people. PURE.

Their words are shown only where nothing better is known, and never with the key file's name:
people put the key itself there by mistake.
"""

from __future__ import annotations

import re

from mlflow_gitops.errors import ConfigError

__all__ = ["failure", "refused"]

WHERE = "MLFLOW_GITOPS_SIGNING_KEY_FILE, MLFLOW_GITOPS_SIGNING_KEY_ID"
HINT = "give a private SSH or GPG key; docs/signing.md tells how to make one"
WORDS_LIMIT = 300

# The first that matches counts.
MEANINGS = (
    (
        r"incorrect passphrase|Bad passphrase|can't get input|NEED_PASSPHRASE|No pinentry"
        r"|Inappropriate ioctl",
        "the key's passphrase is missing or wrong",
        "set MLFLOW_GITOPS_SIGNING_PASSPHRASE, or the file that its _FILE names",
    ),
    (
        r"Unusable secret key|KEYEXPIRED|KEYREVOKED|Key expired",
        "the GPG key is expired or revoked, or is not meant for signatures",
        "give another key, or extend this one's time and export it again",
    ),
    (
        r"No secret key|skipped .*: (No|Not found)",
        "there is no such private GPG key",
        "give the fingerprint of a key that `gpg --list-secret-keys` shows to this user",
    ),
    (
        r"UNPROTECTED PRIVATE KEY|too open",
        "others than its owner may read the key file",
        "run `chmod 600` on it",
    ),
    (
        r"unknown option|illegal option|unsupported|Too many arguments",
        "this ssh-keygen cannot sign",
        "install OpenSSH 8.2 or later",
    ),
    (
        r"agent|Couldn't get agent socket",
        "the agent that has the key cannot be reached, or has it not",
        "start the agent for this process, or name the private key's own file",
    ),
    (
        r"no valid OpenPGP data|invalid format|error in libcrypto|Couldn't load|No private key",
        "the key file cannot be read as a private key",
        HINT,
    ),
)


def refused(what: str, hint: str = HINT) -> ConfigError:
    return ConfigError(f"commits cannot be signed: {what}", where=WHERE, hint=hint)


def failure(words: str, key_file: str) -> ConfigError:
    """What the words of a program that failed mean. Always a person's to change."""
    for pattern, what, hint in MEANINGS:
        if re.search(pattern, words):
            return refused(what, hint)
    said = [line for line in words.splitlines() if line and not line.startswith("[GNUPG:]")]
    last = (said or ["no reason was given"])[-1]
    if key_file:
        last = last.replace(key_file, "the key file")
    shown = "".join(c if c.isprintable() else " " for c in last)[:WORDS_LIMIT]
    return refused(f"the program said: {shown}")
