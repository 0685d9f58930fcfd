"""Trees that were read lately. A tree never changes, so what was decoded once is right for ever."""

from __future__ import annotations

import threading
from collections import OrderedDict

from mayfly.kit.ids import Digest
from mayfly.ports.content import ContentStore
from mayfly.transfer import trees
from mayfly.wire.agent import Tree

_MOST_ENTRIES = 200_000


class Trees:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Tree] = OrderedDict()
        self._entries = 0

    def read(self, content: ContentStore, digest: str) -> Tree:
        """Raises NotFound `ContentNotFound`, Invalid `TreeInvalid`."""
        with self._lock:
            found = self._kept.get(digest)
            if found is not None:
                self._kept.move_to_end(digest)
                return found
        found = trees.decode(b"".join(content.open(Digest(digest))))
        with self._lock:
            if digest not in self._kept and len(found.entries) <= _MOST_ENTRIES:
                self._kept[digest] = found
                self._entries += len(found.entries) + 1
                while self._entries > _MOST_ENTRIES:
                    self._entries -= len(self._kept.popitem(last=False)[1].entries) + 1
        return found
