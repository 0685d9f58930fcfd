"""Components: registered, and made into command jobs where a job names one."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mayfly.domain.references import AssetKind, AssetReference, RegistryReference
from mayfly.domain.references import parse as parse_reference
from mayfly.kit.errors import Fault, Invalid, MayflyError
from mayfly.kit.ids import Digest
from mayfly.services import assets, registries
from mayfly.services.assets import NewAsset
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.spec import component, document, expansion, holders, pipeline
from mayfly.spec.job import invalid
from mayfly.spec.level import is_reference
from mayfly.spec.paths import LocalPath, Refers, refers
from mayfly.spec.pipeline import MOST_LEVELS
from mayfly.store.assets import AssetRow
from mayfly.transfer import ignore, includes, trees
from mayfly.transfer.registry import RegistryAsset
from mayfly.transfer.trees import Scan
from mayfly.wire.mayfly import Submission

PROPERTY = "mayfly.component"
"""A job's property: which version of which component it was made of."""
_PLACE = "/component"
_LABELS = ("name", "version", "description", "tags", "properties")


@dataclass(frozen=True, slots=True)
class Found:
    body: Mapping[str, Any]
    uploads: Mapping[str, str] = field(default_factory=dict)
    """Pointers relative to the component."""
    title: str = ""


def create(world: World, who: str, place: Place, submission: Submission) -> tuple[AssetRow, bool]:
    """Register the component of a submission (`definition.component`, its files sent). As `assets.register`; raises Invalid
    with every fault of the component, `UploadMissing`."""
    body = submission.definition.get("component")
    if not isinstance(body, dict):
        raise Invalid("WrongType", "A component is 'key: value' lines.", pointer=_PLACE)
    if str(body.get("type")).lower() == "pipeline":
        return _create_pipeline(world, who, place, submission)
    with moved(lambda pointer: _PLACE + pointer):
        known = component.read(body, named=True)
        wanted = component.local_paths(body)
        uploads = {
            pointer: submission.uploads[_PLACE + pointer]
            for pointer in wanted
            if _PLACE + pointer in submission.uploads
        }
        for pointer, path in wanted.items():
            if pointer not in uploads and refers(path.path) is Refers.LOCAL:
                raise Invalid("UploadMissing", "The files of this component were not sent.", pointer=pointer)
        for digest in uploads.values():
            if world.content.missing([Digest(digest)]):
                raise Invalid("UploadMissing", f"The files of this component ({digest[:12]}…) are not on the server.")
        fields = known.fields
        asset = NewAsset(
            kind=AssetKind.COMPONENT,
            name=str(fields.name),
            version=fields.version,
            type="command",
            definition={
                "component": {key: value for key, value in known.body.items() if key not in _LABELS},
                "uploads": {pointer: digest for pointer, digest in uploads.items() if pointer != "/code"},
            },
            description=fields.description,
            tags={key: value or "" for key, value in fields.tags.items()},
            properties={key: value or "" for key, value in fields.properties.items()},
            tree=uploads.get("/code"),
        )
        return assets.register(world, who, place, asset)


def _create_pipeline(world: World, who: str, place: Place, submission: Submission) -> tuple[AssetRow, bool]:
    """With the components of its steps in it, as they are now."""
    complete, missing = completed(world, place, submission)
    body = complete.definition["component"]
    try:
        made = pipeline.read_component(body)
    except Invalid as error:
        raise invalid([*missing, *error.all_faults()]) from error
    if missing:
        raise invalid(missing)
    check_sent(world, made.local_paths(), complete.uploads)
    asset = NewAsset(
        kind=AssetKind.COMPONENT,
        name=str(body["name"]),
        version=None if body.get("version") is None else str(body["version"]),
        type="pipeline",
        definition={
            "component": {key: value for key, value in body.items() if key not in _LABELS},
            "uploads": {pointer.removeprefix(_PLACE): digest for pointer, digest in complete.uploads.items()},
        },
        description=body.get("description"),
        tags={key: value or "" for key, value in (body.get("tags") or {}).items()},
        properties={key: value or "" for key, value in (body.get("properties") or {}).items()},
    )
    return assets.register(world, who, place, asset)


def completed(world: World, place: Place, submission: Submission) -> tuple[Submission, list[Fault]]:
    """A pipeline with registered components and those of registries in their places, and their files among the uploads;
    what could not be found."""
    definition = copy.deepcopy(submission.definition)
    uploads, found = dict(submission.uploads), []
    for at, holder in holders.within(definition):
        written = holder.get("component")
        if not is_reference(written):
            continue
        try:
            there = _find(world, place, written)
        except MayflyError as error:
            found += [replace(fault, pointer=f"{at}/component") for fault in error.all_faults()]
            continue
        holder["component"] = copy.deepcopy(dict(there.body))
        uploads |= {f"{at}/component{pointer}": digest for pointer, digest in there.uploads.items()}
        if there.title:
            labels = holder.get("properties")
            holder["properties"] = {**(labels if isinstance(labels, dict) else {}), PROPERTY: there.title}
    return submission.model_copy(update={"definition": definition, "uploads": uploads}), found


def check_sent(world: World, wanted: Mapping[str, LocalPath], uploads: Mapping[str, str]) -> None:
    """Raises Invalid `UploadMissing`, with every file or folder that did not come."""
    faults = [
        Fault("UploadMissing", "Files of this pipeline were not sent.", pointer)
        for pointer, path in wanted.items()
        if path.kind != "text" and pointer not in uploads
    ]
    if faults:
        raise invalid(faults)
    if world.content.missing([Digest(digest) for digest in uploads.values()]):
        raise Invalid(
            "UploadMissing",
            "Files of this pipeline are not on the server.",
            remedy="Submit again; what is missing is then sent.",
        )


@contextmanager
def expanded(world: World, place: Place, submission: Submission) -> Iterator[Submission]:
    """The submission with its component made into a plain command job (itself, where it names none). What is raised while
    it is used points to what was written. Raises Invalid with every fault, NotFound for a component that is not there."""
    written = submission.definition.get("component")
    if written is None:
        yield submission
        return
    found = _find(world, place, written)
    own = dict(submission.definition)
    if found.title:
        labels = own.get("properties")
        own["properties"] = {**labels, PROPERTY: found.title} if isinstance(labels, dict) else {PROPERTY: found.title}
    job, made = expansion.job_of({**own, "component": found.body})
    sent = {**{_PLACE + pointer: digest for pointer, digest in found.uploads.items()}, **submission.uploads}
    wanted = job.local_paths()
    uploads = {pointer: digest for name, digest in sent.items() if (pointer := made.forward(name)) in wanted}
    files = [made.forward(name) for name in submission.files]
    _check_sent(own, wanted, uploads)
    with moved(made.back):
        yield submission.model_copy(update={"definition": made.definition, "uploads": uploads, "files": files})


def _check_sent(written: Mapping[str, Any], wanted: Mapping[str, LocalPath], uploads: Mapping[str, str]) -> None:
    """Only the server knows that an input of a registered component is data; a bare path was not sent then."""
    given = written.get("inputs")
    for name, value in given.items() if isinstance(given, dict) else ():
        place = f"/inputs/{document.escape(name)}"
        if isinstance(value, str) and f"{place}/path" in wanted and f"{place}/path" not in uploads:
            raise Invalid(
                "InputKindWrong",
                f"The component's input '{name}' is data, and '{value}' is a path of your machine.",
                pointer=place,
                remedy=f"Write '{name}: {{path: {value}}}'.",
            )


def _find(world: World, place: Place, written: Any) -> Found:
    """The component that a job or a step names. Raises Invalid `ComponentInvalid`, those of `assets.find_reference` and
    `registries.find`, each pointing to `/component`."""
    if not isinstance(written, str):
        return Found(written)
    with moved(lambda _pointer: _PLACE, always=True):
        reference = parse_reference(written)
        if isinstance(reference, RegistryReference):
            asset = registries.find(world, reference)
            return replace(_of_registry(world, asset), title=asset.named)
        if not isinstance(reference, AssetReference):
            raise Invalid(
                "ComponentInvalid",
                f"'{written}' names no component.",
                remedy="Write azureml:NAME:VERSION, azureml:NAME@latest, or the component's file.",
            )
        row = assets.find_reference(world, place, AssetKind.COMPONENT, reference)
    uploads = dict(row.definition.get("uploads", {}))
    if row.tree is not None:
        uploads["/code"] = row.tree
    return Found(row.definition["component"], uploads, f"{row.name}:{row.version}")


def _of_registry(world: World, asset: RegistryAsset, depth: int = 0) -> Found:
    """From the registry's folder: what it names is read and kept as if it had been sent. Raises what is wrong with it, and
    Invalid `RegistryFileInvalid` where it stands in itself."""
    if str(asset.body.get("type")).lower() == "pipeline":
        return _pipeline_of_registry(world, asset, depth)
    known = component.read(_with_environment(asset))
    return Found(known.body, _files_of_registry(world, asset, known.body, known.fields.additional_includes))


def _pipeline_of_registry(world: World, asset: RegistryAsset, depth: int) -> Found:
    """With the files that its steps name in their places."""
    if depth > MOST_LEVELS:
        message = f"{asset.path.name} stands in itself, or more than {MOST_LEVELS} levels deep."
        raise Invalid("RegistryFileInvalid", message, remedy="Take a step out that names a pipeline around it.")
    body, uploads = copy.deepcopy(asset.body), dict[str, str]()
    steps = body["jobs"] if isinstance(body.get("jobs"), dict) else {}
    for name, step in steps.items():
        place, written = f"/jobs/{document.escape(str(name))}", step.get("component") if isinstance(step, dict) else ""
        if written is None:
            found = _step_of_registry(world, replace(asset, body=step), depth)
            steps[name] = dict(found.body)
        elif isinstance(written, dict) or refers(str(written)) is Refers.LOCAL:
            inner = asset.at(written) if isinstance(written, str) else replace(asset, body=written)
            found = _of_registry(world, inner, depth + 1)
            step["component"], place = dict(found.body), f"{place}{_PLACE}"
        else:
            continue  # named in a form that is followed like any other, or no step at all
        uploads |= {place + pointer: digest for pointer, digest in found.uploads.items()}
    return Found(body, uploads)


def _step_of_registry(world: World, asset: RegistryAsset, depth: int) -> Found:
    """A step without a component."""
    if "jobs" in asset.body:
        return _pipeline_of_registry(world, asset, depth + 1)
    body = _with_environment(asset)
    holder = {key: body[key] for key in ("code", "environment") if body.get(key) is not None}
    return Found(body, _files_of_registry(world, asset, {"command": "true", **holder}, []))


def _with_environment(asset: RegistryAsset) -> dict[str, Any]:
    return {**asset.body, "environment": asset.environment(asset.body.get("environment"))}


def _files_of_registry(
    world: World, asset: RegistryAsset, body: Mapping[str, Any], included: Iterable[str]
) -> dict[str, str]:
    uploads: dict[str, str] = {}
    beside = [asset.place(one) for one in included]

    def code(place: Path) -> Scan:
        return registries.scan(world, place, ignore.load(place))

    with tempfile.TemporaryDirectory(prefix="mayfly-") as scratch:
        for pointer, wanted in component.local_paths(body).items():
            if refers(wanted.path) is not Refers.LOCAL:
                continue
            place = asset.beside(wanted.path or ".")
            if pointer == "/code":
                found = includes.added(
                    code(place) if wanted.path else Scan(trees.EMPTY), beside, code, Path(scratch), None
                )
            elif wanted.kind == "build":
                found = registries.scan(world, place, ignore.load_context(place, wanted.dockerfile))
            else:
                found = registries.scan(world, place)
            uploads[pointer] = registries.keep(world, found)
    return uploads


@contextmanager
def moved(move: Callable[[str], str], *, always: bool = False) -> Iterator[None]:
    """Faults raised inside have their pointers moved; `always`: those that have none get one."""
    try:
        yield
    except MayflyError as error:

        def place(pointer: str | None) -> str | None:
            return move(pointer or "") if pointer is not None or always else None

        faults = [replace(fault, pointer=place(fault.pointer)) for fault in error.faults]
        own = Fault(error.code, error.message, place(error.pointer), error.remedy)
        raise type(error)(own.code, own.message, remedy=own.remedy, pointer=own.pointer, faults=faults) from error
