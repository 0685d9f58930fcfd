"""uv as the resolver, on a folder of wheels made here: no registry is asked."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from mayfly.drivers.pythons import find_interpreters
from mayfly.drivers.resolver_uv import UvResolver
from mayfly.kit.errors import Broken, Unavailable
from mayfly.testing.wheels import wheel
from mayfly.transfer.pip_settings import tool_environment, uv_environment


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "spoon", "1.0", "fork>=2")
    wheel(wheels, "fork", "2.5")
    wheel(wheels, "fork", "1.0")
    wheel(wheels, "pip", "99.0")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_INDEX": "1",
    }


def test_a_lock_is_pinned_hashed_and_names_no_place(environ: Mapping[str, str], tmp_path: Path):
    resolver = UvResolver(environ)
    said: list[str] = []
    lock = resolver.resolve(["spoon"], resolver.interpreters()[0], said.append)
    pins = [line.split(" ")[0] for line in lock.splitlines() if "==" in line]
    assert pins == ["fork==2.5", "pip==99.0", "spoon==1.0"]
    assert lock.count("--hash=sha256:") == 3
    assert str(tmp_path) not in lock
    assert "://" not in lock
    assert any("Resolved 3 packages" in line for line in said)
    assert resolver.resolve(["spoon"], resolver.interpreters()[0], said.append) == lock


def test_pip_is_not_doubled(environ: Mapping[str, str]):
    resolver = UvResolver(environ)
    lock = resolver.resolve(["pip<100"], resolver.interpreters()[0], lambda _: None)
    assert lock.count("pip==") == 1


def test_what_cannot_be_satisfied_is_told_in_uvs_words(environ: Mapping[str, str]):
    resolver = UvResolver(environ)
    with pytest.raises(Broken) as broken:
        resolver.resolve(["spoon", "fork<2"], resolver.interpreters()[0], lambda _: None)
    assert broken.value.code == "EnvironmentUnsatisfiable"
    assert "spoon" in broken.value.message
    assert "fork" in broken.value.message


def test_an_index_that_does_not_answer_is_not_the_users_fault(environ: Mapping[str, str]):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        index = f"http://127.0.0.1:{closed.getsockname()[1]}/simple"
        resolver = UvResolver({**environ, "PIP_NO_INDEX": "0", "PIP_INDEX_URL": index, "UV_HTTP_RETRIES": "0"})
        with pytest.raises(Broken) as broken:
            resolver.resolve(["spoon"], resolver.interpreters()[0], lambda _: None)
    assert broken.value.code == "PackageIndexUnreachable"


def test_a_cancelled_resolution_kills_uv(environ: Mapping[str, str], tmp_path: Path):
    slow = tmp_path / "uv"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\necho working >&2\nexec sleep 100\n")
    slow.chmod(0o755)
    cancelled = threading.Event()
    resolver = UvResolver(environ, uv=str(slow))

    def say(line: str) -> None:
        if line == "working":
            cancelled.set()

    with pytest.raises(Unavailable) as given_up:
        resolver.resolve(["spoon"], resolver.interpreters()[0], say, cancelled)
    assert given_up.value.code == "EnvironmentResolveCancelled"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_resolution_has_a_limit(environ: Mapping[str, str], tmp_path: Path):
    slow = tmp_path / "uv"
    slow.write_text("#!/bin/sh\nexec sleep 100\n")
    slow.chmod(0o755)
    resolver = UvResolver(environ, uv=str(slow), limit_s=0.2)
    with pytest.raises(Broken) as broken:
        resolver.resolve(["spoon"], resolver.interpreters()[0], lambda _: None)
    assert broken.value.code == "EnvironmentResolveTimeout"


def test_interpreters_are_real_and_the_own_one_is_first(tmp_path: Path):
    shims = tmp_path / "shims"
    shims.mkdir()
    shim = shims / "python3.9"
    shim.write_text("#!/bin/sh\ntouch ran\n")
    shim.chmod(0o755)
    (shims / "python3").symlink_to(sys.executable)
    (shims / "python3.10").write_bytes(b"\x7fELF not really")
    (shims / "python3.10").chmod(0o755)
    own, *others = find_interpreters({"PATH": str(shims), "HOME": str(tmp_path)})
    assert Path(own.path) == Path(sys.executable).resolve()
    assert own.version == ".".join(map(str, sys.version_info[:3]))
    assert others == []
    assert not Path("ran").exists()


def test_pips_settings_in_uvs_words(tmp_path: Path):
    folder = tmp_path / ".config" / "pip"
    folder.mkdir(parents=True)
    (folder / "pip.conf").write_text(
        "[global]\nindex-url = a\nextra-index-url =\n  b\n  c\n[install]\nfind_links = d e\n"
    )
    found = uv_environment({"HOME": str(tmp_path), "PIP_INDEX_URL": "z", "UV_FIND_LINKS": "mine"})
    assert found["UV_DEFAULT_INDEX"] == "z"
    assert found["UV_INDEX"] == "b c"
    assert found["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert "UV_FIND_LINKS" not in found
    assert uv_environment({"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "d e"}) == {"UV_FIND_LINKS": "d,e"}


def test_uv_sees_nothing_that_a_package_build_has_no_business_with() -> None:
    given = {"PATH": "/bin", "HTTPS_PROXY": "p", "AWS_SECRET_ACCESS_KEY": "s", "MAYFLY_DATABASE": "postgresql://u:p@h"}
    assert tool_environment({**given, "PIP_CONFIG_FILE": os.devnull}) == {"PATH": "/bin", "HTTPS_PROXY": "p"}
