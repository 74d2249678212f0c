"""KServe's serving runtimes as values, without I/O: what each takes, and what is known of it.

`planning/runtimes.py` says which one KServe selects, and has those that KServe ships.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Format", "Runtime"]


@dataclass(frozen=True, slots=True)
class Format:
    """One of a runtime's `supportedModelFormats`. `version` is "" where it names none."""

    name: str
    version: str = ""
    auto_select: bool = False
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Runtime:
    """A ClusterServingRuntime, or with `is_namespaced` a ServingRuntime.

    `like` names the runtime of KServe's own that loads the same files, "" where nothing is known of
    what this one loads. `origin` is the file that defines it, "" for one that KServe ships. Without
    `formats` it is used only where an InferenceService names it, and takes any format.
    """

    name: str
    formats: tuple[Format, ...] = ()
    protocols: tuple[str, ...] = ()
    like: str = ""
    origin: str = ""
    is_namespaced: bool = False
    is_disabled: bool = False
    is_multi_model: bool = False
    is_multi_node: bool = False
