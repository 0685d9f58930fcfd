"""What a reference names, in every form that Azure's files have (semantics §2). Pure: whether it exists is asked elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from mayfly.kit.errors import Invalid, nearest


class AssetKind(StrEnum):
    DATA = "data"
    MODEL = "model"
    ENVIRONMENT = "environment"
    COMPONENT = "component"


_COLLECTIONS = {
    "data": AssetKind.DATA,
    "models": AssetKind.MODEL,
    "environments": AssetKind.ENVIRONMENT,
    "components": AssetKind.COMPONENT,
    "codes": None,
    "computes": None,
    "datastores": None,
}


@dataclass(frozen=True, slots=True)
class WorkspaceNames:
    """The workspace that a long form names."""

    subscription: str
    resource_group: str
    workspace: str


@dataclass(frozen=True, slots=True)
class AssetReference:
    """A version, a label, or neither: then only what needs no version can be meant, or the newest."""

    name: str
    version: str | None = None
    label: str | None = None
    kind: AssetKind | None = None
    """Where the form says it."""
    workspace: WorkspaceNames | None = None

    def __str__(self) -> str:
        return f"azureml:{self.name}" + (f":{self.version}" if self.version else f"@{self.label}" if self.label else "")


@dataclass(frozen=True, slots=True)
class RegistryReference:
    registry: str
    kind: AssetKind
    name: str
    version: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class DatastoreReference:
    datastore: str
    path: str
    """Without slashes at its ends; '' is the whole datastore."""
    workspace: WorkspaceNames | None = None

    def __str__(self) -> str:
        return f"azureml://datastores/{self.datastore}/paths/{self.path}"


@dataclass(frozen=True, slots=True)
class JobOutputReference:
    job: str
    output: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class RunReference:
    """`runs:/<run>/<path>`: an artifact of an MLflow run, which is a job's own or one it made."""

    run: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class RemoteReference:
    """Storage elsewhere, as it was written, without a leading `azureml:`."""

    address: str


@dataclass(frozen=True, slots=True)
class LocalReference:
    path: str


Reference = (
    AssetReference
    | RegistryReference
    | DatastoreReference
    | JobOutputReference
    | RunReference
    | RemoteReference
    | LocalReference
)

SCHEMES = ("http", "https", "s3", "gs", "wasb", "wasbs", "abfs", "abfss", "adl", "az", "azure", "file")
"""What storage may be named by."""

_ARM = re.compile(
    r"/?subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)"
    r"(/providers/Microsoft\.MachineLearningServices)?/workspaces/(?P<workspace>[^/]+)/(?P<rest>.+)\Z",
    re.IGNORECASE,
)
_VERSIONED = re.compile(
    r"(?P<collection>\w+)/(?P<name>[^/]+)(/versions/(?P<version>[^/]+)|/labels/(?P<label>[^/]+))?/?\Z"
)
_DATASTORE = re.compile(r"datastores/(?P<name>[^/]+)(/paths(/(?P<path>.*))?)?\Z", re.IGNORECASE | re.DOTALL)
_JOB = re.compile(
    r"jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(/paths(/(?P<path>.*))?|/(?P<bare>.*))?\Z", re.IGNORECASE | re.DOTALL
)
_REGISTRY = re.compile(r"registries/(?P<registry>[^/]+)/(?P<rest>.+)\Z", re.IGNORECASE)
_SHORT = re.compile(r"(?P<name>[^:@/\\]+)(:(?P<version>[^:@/\\]+)|@(?P<label>[^:@/\\]+))?\Z")
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://")


def parse(text: str) -> Reference:
    """Raises Invalid `ReferenceInvalid`, and `PathLeavesDatastore` for a path with '..' in it."""
    text = text.strip()
    lower = text.lower()
    if lower.startswith("azureml:"):
        return _azureml(text, text[len("azureml:") :])
    if lower.startswith("runs:/"):
        run, _, path = text[len("runs:/") :].strip("/").partition("/")
        if not run:
            raise _invalid(text, "names no run", "Write runs:/<run id>/<path>.")
        return RunReference(run, inner(path, text))
    if lower.startswith("models:/"):
        return _models(text, text[len("models:/") :].strip("/"))
    if lower.startswith("/subscriptions/"):
        return _arm(text, text)
    if (scheme := _SCHEME.match(text)) is not None:
        return _remote(text, scheme["scheme"])
    return LocalReference(text.removeprefix("file:") if lower.startswith("file:") else text)


def inner(path: str, whole: str) -> str:
    """A path below something, without slashes at its ends, doubled ones or '.'. Raises Invalid `PathLeavesDatastore`,
    `ReferenceInvalid`."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or any(part == ".." for part in (unquote(one) for one in parts)):
        raise Invalid(
            "PathLeavesDatastore",
            f"'{shown(whole)}' leads out of its place with '..'.",
            remedy="Write the path without '..'.",
        )
    if any(ord(letter) < 32 or letter == "\\" for letter in path):
        raise _invalid(whole, "has a character in its path that no file can have", "Use '/' between folders.")
    return "/".join(parts)


def shown(address: str) -> str:
    """An address as it may be printed: without a password, and without what is signed into its query."""
    scheme = _SCHEME.match(address)
    if scheme is None:
        return address
    rest = address[scheme.end() :]
    host, slash, path = rest.partition("/")
    if "@" in host and scheme["scheme"].lower() in ("http", "https", "s3", "gs", "ftp"):
        host = host.rpartition("@")[2]
    elif ":" in host.partition("@")[0] and "@" in host:
        host = "***@" + host.rpartition("@")[2]
    path, question, _query = path.partition("?")
    return address[: scheme.end()] + host + slash + path + ("?…" if question else "")


def has_password(address: str) -> bool:
    """Whether a person's credentials stand in the address itself: `https://user:password@…`."""
    scheme = _SCHEME.match(address)
    if scheme is None:
        return False
    host = address[scheme.end() :].partition("/")[0]
    return ":" in host.rpartition("@")[0]


def _azureml(text: str, rest: str) -> Reference:
    lower = rest.lower()
    if lower.startswith("azureml:"):
        return _azureml(text, rest[len("azureml:") :])
    if rest.startswith("//"):
        return _long(text, rest[2:])
    if rest.startswith("/"):
        return _arm(text, rest)
    if (scheme := _SCHEME.match(rest)) is not None:
        return _remote(rest, scheme["scheme"])
    match = _SHORT.match(rest)
    if match is None:
        raise _invalid(text, "is no name with a version or label", "Write azureml:NAME:VERSION or azureml:NAME@latest.")
    return AssetReference(match["name"].strip(), match["version"], match["label"])


def _long(text: str, rest: str) -> Reference:
    if (match := _DATASTORE.match(rest)) is not None:
        return DatastoreReference(match["name"], inner(match["path"] or "", text))
    if (match := _JOB.match(rest)) is not None:
        return JobOutputReference(match["job"], match["output"], inner(match["path"] or match["bare"] or "", text))
    if (match := _REGISTRY.match(rest)) is not None:
        return _registry(text, match["registry"], match["rest"])
    if rest.lower().startswith("subscriptions/"):
        return _arm(text, rest)
    if rest.lower().startswith("locations/") and (found := re.search(r"/workspaces/[^/]+/(.+)\Z", rest)) is not None:
        return _of_collection(text, found[1], None)
    raise _invalid(
        text,
        "is not understood",
        "Write azureml://datastores/NAME/paths/PATH or azureml://jobs/JOB/outputs/OUTPUT/paths/PATH.",
    )


def _arm(text: str, rest: str) -> Reference:
    match = _ARM.match(rest)
    if match is None:
        raise _invalid(text, "is not a whole resource id", "It ends in /data/NAME/versions/VERSION, for example.")
    workspace = WorkspaceNames(match["subscription"], match["group"], match["workspace"])
    below = match["rest"]
    if (datastore := _DATASTORE.match(below)) is not None:
        return DatastoreReference(datastore["name"], inner(datastore["path"] or "", text), workspace)
    return _of_collection(text, below, workspace)


def _of_collection(text: str, below: str, workspace: WorkspaceNames | None) -> AssetReference:
    match = _VERSIONED.match(below)
    collection = match["collection"].lower() if match is not None else ""
    if match is None or collection not in _COLLECTIONS:
        raise _invalid(text, "names nothing that is known here", "It ends in /data/NAME/versions/VERSION, for example.")
    name = match["name"].removeprefix("azureml:")  # the SDK writes out azureml:NAME@latest with its prefix
    return AssetReference(name, match["version"], match["label"], _COLLECTIONS[collection], workspace)


def _registry(text: str, registry: str, rest: str) -> RegistryReference:
    match = _VERSIONED.match(rest)
    kind = _COLLECTIONS.get(match["collection"].lower()) if match is not None else None
    if match is None or kind is None:
        close = nearest(rest.partition("/")[0], [name for name, one in _COLLECTIONS.items() if one is not None])
        raise _invalid(
            text,
            "names nothing of a registry",
            f"Did you mean '{close}'?" if close else "Write azureml://registries/REGISTRY/data/NAME/versions/VERSION.",
        )
    return RegistryReference(registry, kind, match["name"], match["version"], match["label"])


def _models(text: str, rest: str) -> AssetReference:
    """MLflow's own form: models:/NAME/VERSION, models:/NAME@ALIAS."""
    name, _, version = rest.partition("/")
    name, _, label = name.partition("@")
    if not name or "/" in version or (version and label):
        raise _invalid(text, "names no model", "Write models:/NAME/VERSION.")
    if version.lower() == "latest":
        version, label = "", "latest"
    return AssetReference(name, version or None, label or None, AssetKind.MODEL)


def _remote(text: str, scheme: str) -> RemoteReference:
    if scheme.lower() not in SCHEMES:
        close = nearest(scheme, SCHEMES)
        raise _invalid(
            text, f"begins with '{scheme}://', which is not read here", f"Did you mean '{close}://'?" if close else None
        )
    return RemoteReference(scheme.lower() + text[len(scheme) :])


def _invalid(text: str, why: str, remedy: str | None) -> Invalid:
    return Invalid("ReferenceInvalid", f"'{shown(text)}' {why}.", remedy=remedy)
