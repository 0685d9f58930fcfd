"""Environments that are images: found, fetched or built by the container engine beside this server, where there is one."""

from __future__ import annotations

import hashlib
import platform
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from mayfly.domain import environments as rules
from mayfly.domain.environments import Container
from mayfly.kit.errors import Broken, Invalid
from mayfly.kit.ids import Digest
from mayfly.ports.images import Image, Say
from mayfly.services.world import World
from mayfly.store import builds, codec, waiting
from mayfly.store.environments import EnvironmentRow
from mayfly.transfer import trees
from mayfly.wire import agent
from mayfly.wire.agent import EnvironmentPlan

_SYSTEM = "its files are the system that the command sees, its own variables are set, and its entry point is not used"


@dataclass(frozen=True, slots=True)
class Chosen:
    """An environment that will be an image."""

    digest: str
    """Of what it is made from, and the platform."""
    kind: str
    """'image' or 'build'."""
    kept: dict[str, Any]
    """What its row says of it."""
    plan: EnvironmentPlan | None
    """Already known when the image is here."""
    notes: tuple[str, ...]


def choose(world: World, environment: str | Mapping[str, Any], name: str | None) -> Chosen | None:
    """The image that an environment means here; None where it stands for a Python and packages, which is also what an
    image means that is neither here nor allowed to be fetched. Raises Invalid for a build that cannot be, or not here."""
    wanted = rules.container(environment)
    if wanted is None:
        return None
    if wanted.image:
        return _image(world, wanted.image, name)
    return _build(world, wanted, name)


def _image(world: World, image: str, name: str | None) -> Chosen | None:
    found = world.images.find(image)
    if found is not None:
        note = f"The image {image} ({found.id[:12]}) is on this machine: {_SYSTEM}."
        kept = _kept(name or image, note, image=image)
        return Chosen(_digest("image", found.id), "image", kept, _plan(kept, found), (note,))
    if not world.settings().containers.pull or world.images.missing():
        return None
    note = f"The image {image} is fetched from its registry: {_SYSTEM}."
    return Chosen(_digest("pull", image), "image", _kept(name or image, note, image=image), None, (note,))


def _build(world: World, wanted: Container, name: str | None) -> Chosen:
    if why := world.images.missing():
        raise Invalid(
            "EnvironmentNeedsEngine",
            f"An image is built from a Dockerfile by a container engine, and there is none here. {why}",
            pointer=f"{rules.POINTER}/build",
            remedy="Install podman, or list the Python packages in 'conda_file' beside an 'image'.",
        )
    check_context(world, wanted)
    note = f"Built from {wanted.dockerfile}: {_SYSTEM}."
    kept = _kept(name or "built image", note, context=wanted.context, dockerfile=wanted.dockerfile)
    return Chosen(_digest("build", wanted.context, wanted.dockerfile), "build", kept, None, (note,))


def check_context(world: World, wanted: Container) -> None:
    """Raises Invalid `UploadMissing`, `DockerfileMissing` for a build whose folder is not here or has no Dockerfile."""
    if world.content.missing([Digest(wanted.context)]):
        raise Invalid(
            "UploadMissing",
            "The folder of 'build' is not on the server.",
            pointer=f"{rules.POINTER}/build/path",
            remedy="Submit again; what is missing is then sent.",
        )
    tree = world.trees.read(world.content, wanted.context)
    if not any(entry.path == wanted.dockerfile for entry in tree.entries):
        raise Invalid(
            "DockerfileMissing",
            f"There is no file '{wanted.dockerfile}' in the folder that 'path' names.",
            pointer=f"{rules.POINTER}/build/dockerfile_path",
            remedy="Name it with 'dockerfile_path', relative to 'path'.",
        )


def make(
    world: World, digest: str, kept: Mapping[str, Any], say: Say, cancelled: threading.Event | None
) -> EnvironmentPlan:
    """Fetch or build what `choose` found. May be repeated. Raises as `ports.images.ImageEngine`."""
    if not kept.get("context"):
        return _plan(kept, _fetch(world, kept["image"], say, cancelled))
    tree = world.trees.read(world.content, kept["context"])
    with tempfile.TemporaryDirectory(prefix="mayfly-build-") as scratch:
        folder = Path(scratch, "context")
        trees.materialise(tree, folder, lambda names: _fetched(world, names))
        pull = world.settings().containers.pull
        name = image_name(digest)
        return _plan(kept, world.images.build(folder, kept["dockerfile"], name, say, cancelled, pull=pull))


def _fetch(world: World, image: str, say: Say, cancelled: threading.Event | None) -> Image:
    found = world.images.find(image)
    if found is not None:
        return found
    if not world.settings().containers.pull:
        raise Broken(
            "ImageNotFound",
            f"The image {image} is not on this machine any more, and images may not be fetched.",
            remedy="Build or pull it again, or set containers.pull: mayfly config set containers.pull true.",
        )
    return world.images.pull(image, say, cancelled)


def give_up(world: World, digest: str) -> None:
    """Remove what `make` built."""
    world.images.remove(image_name(digest))


def wait(connection: Connection, row: EnvironmentRow | None) -> str | None:
    """Why an image that has to be built is not there yet, for people; None when nothing waits for it."""
    if row is None or row.kind != "build" or row.state != "wanted":
        return None
    if row.placement is not None:
        size = row.placement.instance_type
        return f"Its image is being built, on {size.name} with {size.vcpus} vCPUs; its turn comes when it is made."
    found = waiting.wait_of(connection, codec.class_text(builds.key(row))) if row.owner is not None else None
    why = found[0].sentence if found is not None else "It is about to be looked at."
    return f"Its image waits to be built. {why}"


def image_name(digest: str) -> str:
    """What the engine knows a built environment as, so that it is nobody's dangling image."""
    return f"localhost/mayfly-environment:{digest[:32]}"


def _plan(kept: Mapping[str, Any], image: Image) -> EnvironmentPlan:
    return EnvironmentPlan(
        digest=image.id,
        name=kept["name"],
        python="",
        python_version="",
        variables=dict(image.variables),
        note=kept["note"],
        image=agent.Image(id=image.id, engine=image.engine),
    )


def _kept(name: str, note: str, **more: str) -> dict[str, Any]:
    return {"name": name, "requirements": [], "note": note, **more}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join((*parts, platform.machine())).encode()).hexdigest()


def _fetched(world: World, digests: list[Digest]) -> Iterator[tuple[Digest, int, Iterator[bytes]]]:
    for digest in digests:
        yield digest, world.content.size(digest), iter(world.content.open(digest))
