"""What leads Azure's clients here: `mayfly doctor` names the first link that is broken, `mayfly.connect()` needs none of it."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from mayfly.client import chain
from mayfly.testing.embedded import Embedded, Make

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]

OTHER = """
from pathlib import Path
from mayfly.drivers.authority import Authority
from mayfly.main.making import SteadyClock
print(Authority(Path("other"), ("elsewhere",), SteadyClock()).certificate)
"""
CONNECT = """
import mayfly
ml = mayfly.connect(workspace="mine", resource_group="ours")
print(ml.workspace_name, ml.resource_group_name, [one.name for one in ml.datastores.list()], list(ml.jobs.list()))
"""


def azure(one: Embedded, **environ: str) -> tuple[str, str]:
    said = one.run("doctor", "-o", "json", **environ)
    return next(
        (found["state"], found["message"]) for found in json.loads(said.out)["checks"] if found["name"] == "azure"
    )


def test_doctor_names_the_first_broken_link(fresh: Make) -> None:
    one = fresh()
    one.start()
    assert azure(one) == (
        "ok",
        f"certificates, metadata, token, workspace and blobs answer at {one.record['secure_url']}",
    )
    assert "AZURE_CLIENT_SECRET would lead to the real Azure" in azure(one, AZURE_CLIENT_SECRET="x")[1]
    state, said = azure(one, REQUESTS_CA_BUNDLE="/nowhere.pem")
    assert state == "fault" and "stop at the certificates" in said and "/nowhere.pem" in said
    key = one.folder / "tls" / "authority.key"
    key.chmod(0o644)
    assert "stop at the authority: Others may read" in azure(one)[1]
    key.chmod(0o600)
    token = one.folder / "token"
    kept = token.read_text(encoding="utf-8")
    token.write_text("mfu.x.y", encoding="utf-8")
    assert "stop at the token" in azure(one)[1]
    token.write_text(kept, encoding="utf-8")
    subprocess.run([sys.executable, "-c", OTHER], cwd=one.place, check=True, env=one.environ)
    authority = one.folder / "tls" / "authority.pem"
    authority.write_bytes((one.place / "other" / "authority.pem").read_bytes())
    assert "stop at the TLS" in azure(one)[1]
    record = one.folder / "server.json"
    record.write_text(json.dumps({**one.record, "secure_url": "https://127.0.0.1:9"}), encoding="utf-8")
    assert "stop at the metadata" in azure(one)[1]


def check(one: Embedded, name: str, **environ: str) -> tuple[str, str]:
    said = one.run("doctor", "-o", "json", **environ)
    found = next(found for found in json.loads(said.out)["checks"] if found["name"] == name)
    return found["state"], found["message"]


def test_doctor_looks_at_the_shell_and_at_its_sdk(fresh: Make) -> None:
    one = fresh()
    assert check(one, "shell") == ("ok", "sets nothing; scripts are led here by `mayfly exec`")
    stale = {"ARM_CLOUD_METADATA_URL": "http://127.0.0.1:9/metadata/endpoints", "AZUREML_CURRENT_CLOUD": "Mayfly"}
    assert "127.0.0.1:9, and no server runs" in check(one, "shell", **stale)[1]
    (one.place / "bin").mkdir()
    python = one.place / "bin" / "python"
    for script, state, words in (
        ("echo 1.15.0", "warning", "azure-ai-ml 1.15.0, older than what is tried here (1.28)"),
        ("echo 1.35.2", "ok", "azure-ai-ml 1.35.2"),
        ("exit 1", "ok", "has no azure-ai-ml"),
    ):
        python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        python.chmod(0o755)
        found = check(one, "azure sdk", PATH=f"{python.parent}:{one.environ['PATH']}")
        assert found[0] == state and words in found[1], found


@pytest.mark.parametrize(
    ("code", "words"), [(9, "is not valid yet"), (10, "has expired"), (62, "another name"), (20, "is not trusted")]
)
def test_a_certificate_that_is_not_taken_says_what_is_wrong_with_it(code: int, words: str) -> None:
    error = ssl.SSLCertVerificationError("verify failed")
    error.verify_code = code
    message, remedy = chain._distrust(error)
    assert words in message and remedy.endswith(chain.ANEW)


def test_connect_gives_a_client_to_a_script_that_was_started_plainly(fresh: Make) -> None:
    one = fresh()
    one.start()
    said = subprocess.run(
        [sys.executable, "-c", CONNECT],
        cwd=Path(one.place),
        env=one.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("mine ours [") and "'workspaceblobstore'" in said.stdout, said.stdout
