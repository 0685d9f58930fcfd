"""The certificate authority of this machine alone, and its server's certificate: kept, and renewed by itself."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path
from typing import Any

from mayfly.drivers.files import sync
from mayfly.kit.clock import Clock

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DAY_MS = 86_400_000
_AUTHORITY_MS, _AUTHORITY_DUE_MS = 3650 * _DAY_MS, 365 * _DAY_MS
_HOST_MS, _HOST_DUE_MS = 90 * _DAY_MS, 30 * _DAY_MS
_FILES = ("authority.pem", "authority.key", "host.pem", "host.key")


class Authority:
    """Keeps `authority.pem`, for clients to trust, and the rest in its folder, readable by its owner alone. A folder
    that is in order is taken as it is: no cryptography is loaded for it."""

    def __init__(self, folder: Path, names: tuple[str, ...], clock: Clock) -> None:
        """`names`: what the machine is called beside its loopback names."""
        self._folder = folder
        self._names = list(dict.fromkeys((*LOOPBACK, *names)))
        self._clock = clock
        folder.mkdir(exist_ok=True, mode=0o700)
        self._due = self._renew()
        self._context = self._load()

    @property
    def certificate(self) -> Path:
        return self._folder / "authority.pem"

    @property
    def context(self) -> ssl.SSLContext:
        """For a listener that stays: a handshake that comes when the certificate is due has it renewed first."""
        return self._context

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._folder / "host.pem", self._folder / "host.key")
        context.sni_callback = self._before_handshake
        return context

    def _before_handshake(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        if self._clock.now() >= self._due:
            self._due = self._renew()
            self._context = self._load()
        connection.context = self._context

    def _renew(self) -> int:
        """When to look again; what is due now is made anew."""
        told, now = self._told(), self._clock.now()
        if told.get("names") != self._names or now >= told["authority_until"] - _AUTHORITY_DUE_MS:
            told = {"names": self._names, "authority_until": now + _AUTHORITY_MS, "host_until": 0}
        if now >= told["host_until"] - _HOST_DUE_MS:
            told = self._make(told, now)
        return told["host_until"] - _HOST_DUE_MS

    def _make(self, told: dict[str, Any], now: int) -> dict[str, Any]:
        from mayfly.drivers import certificates  # loads much, and is needed once in two months

        (self._folder / "made.json").unlink(missing_ok=True)  # who dies in the middle finds nothing, and begins again
        if told["host_until"] == 0:
            parent = certificates.authority(self._names, now, told["authority_until"])
            _write(self._folder / "authority.key", parent.key)
            _write(self.certificate, parent.certificate)
        else:
            key = (self._folder / "authority.key").read_bytes()
            parent = certificates.Pair(self.certificate.read_bytes(), key)
        until = now + _HOST_MS
        made = certificates.host(self._names, parent, now, until)
        _write(self._folder / "host.key", made.key)
        _write(self._folder / "host.pem", made.certificate)
        told = {**told, "host_until": until}
        _write(self._folder / "made.json", json.dumps(told).encode())
        return told

    def _told(self) -> dict[str, Any]:
        """Empty when anything is missing: then all is made anew."""
        if not all((self._folder / name).exists() for name in _FILES):
            return {}
        try:
            return json.loads((self._folder / "made.json").read_bytes())
        except (OSError, ValueError):
            return {}


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, after a power loss too."""
    fresh = path.with_name(path.name + ".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    sync(path.parent)
