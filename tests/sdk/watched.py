"""Which operations of a client were called, and those that this server refuses, each called for real."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any


class Watched:
    """A client that remembers which of its operations came back. It is used as the client itself."""

    def __init__(self, client: Any, passed: set[str], prefix: str = "") -> None:
        self._client, self._passed, self._prefix = client, passed, prefix

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if _is_operations(found):
            return Watched(found, self._passed, f"{name}.")
        if not callable(found) or name.startswith("_"):
            return found

        def call(*args: Any, **more: Any) -> Any:
            came = found(*args, **more)
            self._passed.add(self._prefix + name)
            return came

        return call


def operations(client: Any) -> set[str]:
    """Every one there is, as `jobs.stream`."""
    found = set()
    for group in dir(client):
        if group.startswith("_"):
            continue
        there = getattr(client, group)
        if _is_operations(there):
            found |= {f"{group}.{name}" for name in _methods(there)}
        elif inspect.ismethod(there):
            found.add(group)
    return found


def _is_operations(value: Any) -> bool:
    return "operations" in type(value).__module__ and type(value).__module__.startswith("azure.ai.ml")


def _methods(operations: Any) -> Iterator[str]:
    kind = type(operations)
    return (name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name)))


def why_not(call: Callable[[], Any]) -> str:
    """The reason that the call was refused with, '' where there was none; 'passes' where it came back."""
    try:
        came = call()
        if hasattr(came, "result"):
            came.result()
        elif hasattr(came, "__iter__"):
            list(came)
    except Exception as error:  # noqa: BLE001 - what it is, is the question
        return _reason(error)
    return "passes"


def _reason(error: Exception) -> str:
    told = getattr(error, "error", None)
    code = getattr(told, "code", None)
    if code in (None, "DoorNotFound", "MethodNotAllowed", "DoorUnknown"):
        return "" if code else f"the SDK itself stops: {type(error).__name__}: {' '.join(str(error).split())[:160]}"
    return " ".join(str(told.message).split())
