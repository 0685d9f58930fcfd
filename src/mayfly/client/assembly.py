"""A definition with what the files that it names hold in their place: components, environments, conda files, at every
level of a pipeline."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

from mayfly.client.parts import Part, read_part
from mayfly.kit.errors import Fault, Invalid
from mayfly.spec import holders
from mayfly.spec.paths import Refers, local, refers
from mayfly.spec.rebasing import rebased

_UNREADABLE = "azureml:unreadable"
"""Stands where a component could not be read: nothing is known of it, so that nothing more is said of it."""


class Assembly:
    """Of one definition, whose local paths are relative to `folder`. `parts` and `faults` grow as files are read."""

    def __init__(self, path: Path, definition: dict[str, Any], parts: tuple[Part, ...]) -> None:
        self._folder = path.parent
        self.definition = copy.deepcopy(definition)
        self.parts = list(parts)
        self.faults: list[Fault] = []
        self._fill("", self.definition, (Path(os.path.normpath(path)),))

    def _fill(self, place: str, holder: dict[str, Any], files: tuple[Path, ...]) -> None:
        """`files`: those that this part of the definition stands in."""
        files = self._component(place, holder, files)
        self._environment(place, holder)
        self._conda_file(place, holder)
        for below, one in holders.below(place, holder):
            self._fill(below, one, files)

    def _component(self, place: str, holder: dict[str, Any], files: tuple[Path, ...]) -> tuple[Path, ...]:
        """`component: ./train.yml`: the component in its place, its own paths relative to it."""
        text, pointer = holder.get("component"), f"{place}/component"
        if not isinstance(text, str) or refers(text) is not Refers.LOCAL:
            return files
        file = Path(os.path.normpath(_located(self._folder, local(text))))
        holder["component"] = _UNREADABLE
        if file in files:
            around = " → ".join(one.name for one in (*files[files.index(file) :], file))
            message = f"A component stands in itself: {around}."
            self.faults.append(
                Fault("ComponentCycle", message, pointer, "Take the step out, or name another component.")
            )
            return files
        part = self._read(file, pointer)
        if part is None:
            return files
        holder["component"] = rebased(part.document.data, lambda path: self._rebased(part, path))
        return (*files, file)

    def _environment(self, place: str, holder: dict[str, Any]) -> None:
        """`environment: file:./env.yml` (semantics §1.6): its own paths are relative to it."""
        text, pointer = holder.get("environment"), f"{place}/environment"
        if not isinstance(text, str) or text[:5].lower() != "file:":
            return
        # `check` raises for what cannot be read, whatever stands there; one fault about it is enough.
        holder["environment"] = {"image": "unreadable"}
        part = self._read(_located(self._folder, local(text)), pointer)
        if part is not None:
            told = {"environment": part.document.data}
            holder |= rebased(told, lambda path: self._rebased(part, path))

    def _conda_file(self, place: str, holder: dict[str, Any]) -> None:
        environment = holder.get("environment")
        text = environment.get("conda_file") if isinstance(environment, dict) else None
        if not isinstance(environment, dict) or not isinstance(text, str):
            return
        part = self._read(_located(self._folder, local(text)), f"{place}/environment/conda_file")
        if part is not None:
            holder["environment"] = {**environment, "conda_file": part.document.data}

    def _read(self, path: Path, pointer: str) -> Part | None:
        try:
            part = read_part(path, pointer)
        except Invalid as error:
            if error.code == "JobFileNotFound":
                self.faults.append(Fault("FileNotFound", error.message, pointer, error.remedy))
            else:
                own = None if error.code.startswith("Yaml") else pointer
                self.faults.append(Fault(error.code, error.message, own, error.remedy))
            return None
        self.parts.append(part)
        return part

    def _rebased(self, part: Part, text: str) -> str:
        """A path of an included file, as the job file would name it."""
        if text.startswith("~/"):
            return text
        return (Path(os.path.relpath(part.path.parent, self._folder)) / local(text)).as_posix()


def _located(folder: Path, path: str) -> Path:
    return folder / Path(path).expanduser() if path.startswith("~/") else folder / path
