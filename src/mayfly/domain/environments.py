"""What an environment definition means: a Python, an ordered list of package wishes, and notes for the job's record.

Without a container engine an image stands for "a Python of that version and its curated packages" (house §6); the notes
say what it became. Names and versions do not enter the hash, order does (semantics §15).
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mayfly.domain import conda, curated
from mayfly.kit.errors import Fault, Invalid, nearest

POINTER = "/environment"
_LONGEST_NAME = 1024


@dataclass(frozen=True, slots=True)
class Definition:
    """An understood environment. Two definitions with equal `wish_digest` may share one lock on one platform."""

    name: str
    """For people: 'sklearn-1.5', 'library/python:latest', 'inline'."""
    image: str | None = None
    python: str | None = None
    """'3.11', '>=3.8,<3.12' or None (any)."""
    python_asked: bool = False
    """True when the user's conda file asks for it: then nothing else will do. False: implied by a name or a tag."""
    requirements: tuple[str, ...] = ()
    """pip requirements, in the order written."""
    channels: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)


def understand(environment: str | Mapping[str, Any]) -> Definition:
    """Read a job's `environment` (files already inlined by the client). Raises Invalid, with a pointer below
    `/environment` and a remedy, for whatever is not supported."""
    for key, text in ((POINTER, environment), (f"{POINTER}/image", _part(environment, "image"))):
        if isinstance(text, str) and len(text) > _LONGEST_NAME:
            raise Invalid("EnvironmentInvalid", f"No environment has a name of {len(text)} characters.", pointer=key)
    if isinstance(environment, str):
        return _reference(environment.strip())
    if environment.get("build") is not None:
        raise Invalid(
            "EnvironmentNeedsEngine",
            "An image is built from a Dockerfile by a container engine, and there is none here.",
            pointer=f"{POINTER}/build",
            remedy="Install podman, or list the Python packages in 'conda_file' beside an 'image'.",
        )
    image, conda_file = environment.get("image"), environment.get("conda_file")
    if image is None and conda_file is None:
        raise Invalid(
            "EnvironmentEmpty",
            "The environment says neither 'image' nor 'conda_file'.",
            pointer=POINTER,
            remedy="Write 'image: python:3.11' or name a curated environment.",
        )
    if image is not None and (not isinstance(image, str) or not image.strip()):
        raise Invalid("ImageInvalid", "'image' must be the name of an image.", pointer=f"{POINTER}/image")
    base = _image(image.strip()) if image is not None else Definition("inline")
    return base if conda_file is None else _with_conda(base, conda_file)


@dataclass(frozen=True, slots=True)
class Container:
    """What a container engine would make of an environment: an image by its name, or one built from a folder."""

    image: str = ""
    context: str = ""
    """Digest of the tree with the Dockerfile and what it adds; '' for an image."""
    dockerfile: str = ""
    """Its path in the context."""


def container(environment: str | Mapping[str, Any]) -> Container | None:
    """None where only Python and packages are wished for: a reference, or a conda file, whatever image stands beside it.
    Raises Invalid for a build that cannot be."""
    if isinstance(environment, str):
        return None
    build, image, conda_file = (environment.get(key) for key in ("build", "image", "conda_file"))
    if build is None:
        name = image.strip() if isinstance(image, str) and conda_file is None else ""
        if name.startswith("-"):
            raise Invalid("ImageInvalid", f"'{name[:60]}' cannot name an image.", pointer=f"{POINTER}/image")
        return Container(name) if name else None
    for key, other in (("image", image), ("conda_file", conda_file)):
        if other is not None:
            raise Invalid(
                "EnvironmentInvalid",
                f"An environment has '{key}' or 'build', not both.",
                pointer=f"{POINTER}/{key}",
                remedy="Begin the Dockerfile with the image, and install the packages there.",
            )
    if not isinstance(build, Mapping) or not isinstance(build.get(CONTEXT), str):
        raise Invalid(
            "EnvironmentNotSent",
            "The folder of 'build' was not sent.",
            pointer=f"{POINTER}/build/path",
            remedy="Submit with `mayfly job create`, which sends it.",
        )
    dockerfile = posixpath.normpath(str(build.get("dockerfile_path") or "Dockerfile"))
    if dockerfile.startswith(("/", "..")):
        raise Invalid(
            "DockerfileOutside",
            f"'{dockerfile}' lies outside of the folder that 'path' names.",
            pointer=f"{POINTER}/build/dockerfile_path",
            remedy="It is relative to 'path'.",
        )
    return Container(context=build[CONTEXT], dockerfile=dockerfile)


CONTEXT = "context"
"""The key below `build` under which the digest of what was sent stands."""


def with_context(environment: str | Mapping[str, Any], sent: str | None) -> str | Mapping[str, Any]:
    """An environment with what was sent for its `build/path`. Nobody but the server says what that is."""
    build = environment.get("build") if isinstance(environment, Mapping) else None
    if not isinstance(environment, Mapping) or not isinstance(build, Mapping):
        return environment
    kept = {key: value for key, value in build.items() if key != CONTEXT}
    return {**environment, "build": {**kept, CONTEXT: sent} if sent else kept}


def _part(environment: str | Mapping[str, Any], key: str) -> Any:
    return None if isinstance(environment, str) else environment.get(key)


def wish_digest(definition: Definition) -> str:
    """SHA-256 (hex) over base image, Python and packages in order; name, version and notes do not enter."""
    return _digest(
        {
            "image": definition.image,
            "python": definition.python,
            "asked": definition.python_asked,
            "requirements": definition.requirements,
            "channels": definition.channels,
        }
    )


def plan_digest(python_version: str, lock: str | None, variables: Mapping[str, str]) -> str:
    """SHA-256 (hex) over exactly what a node materialises of packages. Changes with each byte of the lock, not with the
    order of the variables."""
    return _digest({"python": python_version, "lock": lock, "variables": dict(variables)})


_PASSING = frozenset(
    ["PackageIndexUnreachable", "EnvironmentResolveTimeout", "ImageRegistryUnreachable", "EngineFailed"]
)


def passes(code: str) -> bool:
    """Whether a failure to make an environment may be over by itself, so that the next job tries again unasked."""
    return code in _PASSING


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


# --- references -------------------------------------------------------------------------------------------------------

_REGISTRY = re.compile(
    r"azureml://registries/(?P<registry>[^/]+)/environments/(?P<name>[^/]+)"
    r"(?:/(?:versions|labels)/(?P<version>[^/]+))?/?\Z"
)
_LONG = re.compile(
    r"(?:azureml:)?/subscriptions/.+/environments/(?P<name>[^/]+)(?:/(?:versions|labels)/(?P<version>[^/]+))?/?\Z"
)
_SHORT = re.compile(r"(?P<prefix>azureml:)?(?P<name>[A-Za-z0-9][\w.-]*)(?:[:@](?P<version>[\w.-]+))?\Z")
_LABELS = (None, "latest")


def _reference(text: str) -> Definition:
    match = _REGISTRY.match(text) or _LONG.match(text) or _SHORT.match(text)
    if match is None:
        raise _unreadable(text)
    name, version = match["name"], match["version"]
    entry = curated.find(name)
    if entry is None:
        raise _unknown(text, name)
    notes = []
    if _bare(name) != entry.name or version not in _LABELS:
        said = name if version in _LABELS else f"{name}, version {version},"
        notes.append(f"{said} stands for the curated environment {entry.name}: {entry.about}.")
    return _curated(entry, tuple(notes))


def _curated(entry: curated.Curated, notes: tuple[str, ...], image: str | None = None) -> Definition:
    return Definition(entry.name, image=image, python=entry.python, requirements=entry.requirements, notes=notes)


def _bare(name: str) -> str:
    return re.sub(r"\Aazureml-", "", name, flags=re.IGNORECASE)


def _unreadable(text: str) -> Invalid:
    if text.startswith((".", "/", "file:")) or text.endswith((".yml", ".yaml")):
        return Invalid(
            "EnvironmentNotInlined",
            f"'{text}' names a file, which the server cannot see.",
            pointer=POINTER,
            remedy="Submit with `mayfly job create`, which puts the file's content in its place.",
        )
    return Invalid(
        "EnvironmentUnknown",
        f"'{text}' is not a reference to an environment.",
        pointer=POINTER,
        remedy=f"For an image write 'environment: {{image: {text}}}'; curated: {', '.join(curated.names())}.",
    )


def _unknown(text: str, name: str) -> Invalid:
    near = nearest(_bare(name), curated.names())
    hint = f"Did you mean azureml://registries/azureml/environments/{near}/labels/latest? " if near else ""
    return Invalid(
        "EnvironmentUnknown",
        f"There is no environment '{name}' here (asked for as '{text}').",
        pointer=POINTER,
        remedy=f"{hint}Curated: {', '.join(curated.names())}. For an image write 'environment: {{image: …}}'.",
    )


# --- images -----------------------------------------------------------------------------------------------------------

_TAG_PYTHON = re.compile(r"(\d+)\.(\d+)")
_NAME_PYTHON = re.compile(r"(?:py|python)-?(\d)\.?(\d{1,2})(?!\d)")
_NOT_PYTHON = re.compile(
    r"(?:.*/)?(?:ubuntu|debian|alpine|centos|fedora|rockylinux|almalinux|amazonlinux|busybox|bash|r-base|r-ver|rstudio"
    r"|tidyverse|julia|node|golang|openjdk|eclipse-temurin|rust|gcc|dotnet)\Z|(?:.*/)?nvidia/cuda\Z|(?:.*/)?rocker/.*\Z"
)
_HUBS = ("docker.io/", "index.docker.io/", "registry-1.docker.io/")


def _image(image: str) -> Definition:
    path, tag = _split_image(image)
    last = path.rsplit("/", 1)[-1]
    match = re.search(r"azureml/curated/([^/]+)\Z", path)
    entry = curated.find(match[1]) if match else None
    if path.startswith("pytorch/pytorch"):
        entry = curated.find("pytorch-2.0")
    elif path.startswith("tensorflow/tensorflow"):
        entry = curated.find("tensorflow-2.0")
    if entry is not None:
        note = f"The image {image} stands for the curated environment {entry.name}: {entry.about}."
        return _curated(entry, (note,), image)
    if last == "python":
        python = _version(_TAG_PYTHON.match(tag))
        what = f"Python {python}" if python else "a Python"
        note = f"The image {image} stands for {what} of this machine with pip; no container is used."
    elif _NOT_PYTHON.match(path):
        python = None
        note = (
            f"The image {image} is not a Python image and no container is used: the command runs on the node's own "
            "system, with a Python beside it; what else the image holds is not there."
        )
    else:
        python = _version(_NAME_PYTHON.search(f"{last}-{tag}"))
        what = f"a Python {python}" if python else "a Python"
        note = f"The image {image} stands for {what} with pip; no container is used, what else it holds is not there."
    return Definition(image, image=image, python=python, notes=(note,))


def _split_image(image: str) -> tuple[str, str]:
    """'docker.io/library/python:3.11@sha256:…' → ('library/python', '3.11')."""
    path = image.split("@", 1)[0]
    tag = ""
    if ":" in path.rsplit("/", 1)[-1]:
        path, tag = path.rsplit(":", 1)
    for hub in _HUBS:
        path = path.removeprefix(hub)
    return path.lower(), tag.lower()


def _version(match: re.Match[str] | None) -> str | None:
    return f"{match[1]}.{match[2]}" if match else None


# --- conda files ------------------------------------------------------------------------------------------------------


def _with_conda(base: Definition, conda_file: Any) -> Definition:
    pointer = f"{POINTER}/conda_file"
    if isinstance(conda_file, str):
        raise Invalid(
            "EnvironmentNotInlined",
            f"'conda_file: {conda_file}' names a file, which the server cannot see.",
            pointer=pointer,
            remedy="Submit with `mayfly job create`, which puts the file's content in its place.",
        )
    if not isinstance(conda_file, Mapping):
        raise Invalid("CondaFileInvalid", "'conda_file' must be a mapping with 'dependencies'.", pointer=pointer)
    wishes = conda.read(conda_file, pointer)
    if wishes.faults:
        raise _first(wishes.faults)
    image_note = ()
    if base.image is not None:
        image_note = (
            f"The image {base.image} itself is not used: the environment is made from the conda file's Python and "
            "packages.",
        )
    return Definition(
        name="inline",
        image=base.image,
        python=wishes.python if wishes.python is not None else base.python,
        python_asked=wishes.python is not None,
        requirements=wishes.requirements,
        channels=wishes.channels,
        notes=(*image_note, *wishes.notes),
    )


def _first(faults: tuple[Fault, ...]) -> Invalid:
    head = faults[0]
    return Invalid(head.code, head.message, remedy=head.remedy, pointer=head.pointer, faults=faults)
