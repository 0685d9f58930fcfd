"""What the servers of one PostgreSQL tell each other beside the rows: hints, which may be lost with a connection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import structlog
from sqlalchemy.exc import DBAPIError

from mayfly.store import dialect

CHANNEL = "mayfly"
LONGEST = 7_900
"""Bytes of a notice."""
_LOOK_S = 1.0
_AGAIN_S = 1.0

log = structlog.get_logger()


class Notices:
    """Any thread may `tell`. `heard` is given what was told, by this server too; `missed` is called when notices may have
    been lost, as after each time without a connection."""

    def __init__(self, url: str, heard: Callable[[str], None], missed: Callable[[], None]) -> None:
        self._engine = dialect.apart(url)
        self._heard, self._missed = heard, missed
        self._closing, self._listening = threading.Event(), threading.Event()
        self._sending = threading.Lock()
        self._sender = None
        self._thread = threading.Thread(target=self._listen, name="notices", daemon=True)

    def start(self, within_s: float = 10.0) -> None:
        """Nothing that is told after it has returned is missed, unless the database cannot be reached."""
        self._thread.start()
        self._listening.wait(within_s)

    def tell(self, text: str) -> bool:
        """False when it could not be told."""
        with self._sending:
            try:
                if self._sender is None:
                    self._sender = self._engine.connect()
                dialect.notify(self._sender, CHANNEL, text)
            except DBAPIError:
                self._drop()
                return False
        return True

    def close(self) -> None:
        self._closing.set()
        with self._sending:
            self._drop()
        if self._thread.is_alive():
            self._thread.join(timeout=2 * _LOOK_S)
        self._engine.dispose()

    def _drop(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            with suppress(DBAPIError):
                sender.close()

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                with self._engine.connect() as connection:
                    dialect.listen(connection, CHANNEL)
                    self._listening.set()
                    self._missed()
                    while not self._closing.is_set():
                        for text in dialect.notices(connection, _LOOK_S):
                            self._heard(text)
                            if self._closing.is_set():
                                return
            except DBAPIError as error:
                log.warning("notices interrupted", reason=str(error.orig or error).strip())
            except Exception:  # the driver's own, which SQLAlchemy does not see here
                log.warning("notices interrupted", exc_info=True)
            self._closing.wait(_AGAIN_S)
