"""The authority of this machine: what it signs is trusted by who trusts it, and is renewed before it is over."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from mayfly.drivers.authority import Authority
from mayfly.testing.world import ManualClock

DAY = 86_400_000


def shake(authority: Authority, name: str, now: bool = True) -> bytes:
    """The server's certificate, as a client that trusts the authority (or, without `now`, one that looks at no date) sees it."""
    client = ssl.create_default_context(cafile=str(authority.certificate))
    client.verify_flags |= 0 if now else ssl.VerifyFlags(0x200000)  # no check of time
    near, far = socket.socketpair()

    def serve() -> None:
        with authority.context.wrap_socket(far, server_side=True, do_handshake_on_connect=False) as accepted:
            try:
                accepted.do_handshake()
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(near, server_hostname=name) as connection:
            return connection.getpeercert(binary_form=True) or b""
    finally:
        near.close()
        thread.join()


@pytest.fixture
def clock() -> ManualClock:
    import time

    return ManualClock(int(time.time() * 1000))


def test_it_is_trusted_under_every_name_of_the_machine_and_no_other(tmp_path: Path, clock: ManualClock) -> None:
    authority = Authority(tmp_path / "tls", ("builder.example",), clock)
    for name in ("localhost", "127.0.0.1", "builder.example"):
        assert shake(authority, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(authority, "portal.azure.com")


def test_keys_are_for_their_owner_and_a_second_start_takes_what_is_there(tmp_path: Path, clock: ManualClock) -> None:
    first = shake(Authority(tmp_path / "tls", (), clock), "localhost")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()} == {0o600}
    assert shake(Authority(tmp_path / "tls", (), clock), "localhost") == first


def test_the_certificate_is_renewed_while_the_server_runs_and_the_authority_stays(
    tmp_path: Path, clock: ManualClock
) -> None:
    authority = Authority(tmp_path / "tls", (), clock)
    first, trusted = shake(authority, "localhost"), authority.certificate.read_bytes()
    clock.advance(61 * DAY)
    second = shake(authority, "localhost", now=False)
    assert second != first and authority.certificate.read_bytes() == trusted
    assert shake(authority, "localhost", now=False) == second


def test_a_machine_of_another_name_and_a_broken_folder_begin_anew(tmp_path: Path, clock: ManualClock) -> None:
    old = Authority(tmp_path / "tls", ("old.example",), clock).certificate.read_bytes()
    renamed = Authority(tmp_path / "tls", ("new.example",), clock)
    assert shake(renamed, "new.example") and renamed.certificate.read_bytes() != old
    (tmp_path / "tls" / "host.pem").unlink()
    assert shake(Authority(tmp_path / "tls", ("new.example",), clock), "new.example")
