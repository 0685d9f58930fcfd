"""The state folder's door."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from mayfly.kit.errors import Conflict
from mayfly.main.folder import Home


def test_answers_on_the_servers_port_are_sent_at_once(tmp_path: Path):
    async def accepted() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = writer.get_extra_info("socket")
            found.set_result(peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = Home(tmp_path).bind()
        async with await asyncio.start_server(connected, sock=listener):
            with socket.create_connection(listener.getsockname()):
                return await found

    assert asyncio.run(accepted())


def test_a_folder_has_one_server_and_is_its_owners_alone(tmp_path: Path):
    folder = Home(tmp_path / "state")
    folder.id()
    with pytest.raises(Conflict) as refused:
        Home(tmp_path / "state")
    assert refused.value.code == "ServerRunning"
    found = [tmp_path / "state", *(tmp_path / "state").iterdir()]
    assert [path.name for path in found if path.stat().st_mode & 0o077] == []
