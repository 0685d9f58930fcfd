"""Everything a service may use, handed in by `main.server`. Services are functions that take it first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mayfly.domain.catalogue import CATALOGUE
from mayfly.domain.compute import Fleet, InstanceType
from mayfly.kit.clock import Clock, Millis
from mayfly.kit.ids import IdMaker
from mayfly.ports.blocks import BlockStore
from mayfly.ports.caches import NodeCaches
from mayfly.ports.compute import ComputeProvider
from mayfly.ports.content import ContentStore
from mayfly.ports.images import ImageEngine
from mayfly.ports.logs import LogStore
from mayfly.ports.peers import Alone, Peers
from mayfly.ports.resolver import PackageResolver
from mayfly.ports.storage import Storage
from mayfly.services.contacts import Contacts
from mayfly.services.courtesy import Courtesy
from mayfly.services.mlflow import Mlflow, NoServer
from mayfly.services.progress import Progress
from mayfly.services.sealing import Sealing
from mayfly.services.signatures import Signatures
from mayfly.services.tokens import Tokens
from mayfly.services.trees import Trees
from mayfly.services.troubles import Troubles
from mayfly.services.wakeups import Wakeups
from mayfly.spec.settings import Settings
from mayfly.store.unit import Store
from mayfly.store.workspaces import Workspace


@dataclass(frozen=True, slots=True)
class World:
    clock: Clock
    ids: IdMaker
    store: Store
    content: ContentStore
    blocks: BlockStore
    logs: LogStore
    provider: ComputeProvider
    resolver: PackageResolver
    images: ImageEngine
    caches: NodeCaches
    storage: Storage
    sealing: Sealing
    tokens: Tokens
    signatures: Signatures
    wakeups: Wakeups
    contacts: Contacts
    fleet: Fleet
    epoch: int
    version: str
    state_folder: str
    database: str
    started_at: Millis
    automatic: bool
    isolation: str
    isolation_note: str
    mlflow: Mlflow = field(default_factory=lambda: Mlflow(NoServer()))
    progress: Progress = field(default_factory=Progress)
    troubles: Troubles = field(default_factory=Troubles)
    trees: Trees = field(default_factory=Trees)
    courtesy: Courtesy = field(default_factory=Courtesy)
    workspaces: dict[tuple[str, str, str], Workspace] = field(default_factory=dict)
    """Those that were asked for, by subscription, resource group and name."""
    settings: Callable[[], Settings] = Settings
    """The configuration file as it is now."""
    peers: Peers = field(default_factory=Alone)
    """The other servers of the same store."""
    embedded: bool = True
    """One person's server: unknown subscriptions, groups and workspaces are made on first write, and said."""

    @property
    def sizes(self) -> Mapping[str, InstanceType]:
        """Every size there is to name, by lower-case name: the catalogue's and this fleet's own."""
        return {**CATALOGUE, **{size.name.lower(): size for size in self.fleet.own_sizes}}
