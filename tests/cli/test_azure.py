"""`mayfly exec` and `mayfly env`: what a command is given so that Azure's clients speak to this server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mayfly.client import azure
from mayfly.client.home import ServerRecord
from mayfly.kit.errors import Invalid

ONE = "-----BEGIN CERTIFICATE-----\nMINE\n-----END CERTIFICATE-----\n"
OURS = "-----BEGIN CERTIFICATE-----\nOURS\n-----END CERTIFICATE-----\n"


@pytest.fixture
def record(tmp_path: Path) -> ServerRecord:
    (tmp_path / "token").write_text("mfu.x.y\n")
    (tmp_path / "authority.pem").write_text(OURS)
    return ServerRecord(
        "http://127.0.0.1:1",
        1,
        "1",
        0,
        False,
        tmp_path / "token",
        "",
        "https://127.0.0.1:2",
        tmp_path / "authority.pem",
    )


def test_a_bundle_that_is_set_is_added_to_and_never_replaced(record: ServerRecord, tmp_path: Path) -> None:
    (tmp_path / "company.pem").write_text(ONE)
    environ = {"REQUESTS_CA_BUNDLE": str(tmp_path / "company.pem")}
    found = azure.variables(record, environ, tmp_path / "tls")
    bundle = Path(found.values["REQUESTS_CA_BUNDLE"])
    text = bundle.read_text()
    assert "MINE" in text and "OURS" in text and text.count("BEGIN") > 50
    again = azure.variables(record, dict(found.values), tmp_path / "tls")
    assert Path(again.values["SSL_CERT_FILE"]).read_text().count("OURS") == 1
    with pytest.raises(Invalid, match="cannot be read"):
        azure.variables(record, {"SSL_CERT_FILE": "/nowhere.pem"}, tmp_path / "tls")


def test_credentials_for_the_real_azure_are_not_handed_on(record: ServerRecord, tmp_path: Path) -> None:
    environ = {"AZURE_CLIENT_SECRET": "s", "HTTPS_PROXY": "http://proxy", "NO_PROXY": "intern"}
    found = azure.variables(record, environ, tmp_path / "tls")
    assert found.dropped == ("AZURE_CLIENT_SECRET",)
    assert found.values["NO_PROXY"].startswith("intern,127.0.0.1")
    assert found.values["AZURE_TOKEN_CREDENTIALS"] == "ManagedIdentityCredential"
    assert set(found.values) <= set(azure.NAMES)


@pytest.mark.parametrize(
    ("environ", "told", "dropped"),
    [
        ({}, True, ()),
        ({"MLFLOW_TRACKING_URI": "https://mlflow.example.com"}, False, ()),
        ({"MLFLOW_TRACKING_USERNAME": "me"}, False, ()),
        ({"MLFLOW_TRACKING_URI": "azureml://eastus.api.azureml.ms/mlflow"}, True, ("MLFLOW_TRACKING_URI",)),
        ({"AZUREML_DEV_URL_MFE": "https://management.azure.com"}, True, ("AZUREML_DEV_URL_MFE",)),
    ],
)
def test_the_key_for_mlflow_is_told_to_no_other_server(
    record: ServerRecord, tmp_path: Path, environ: dict[str, str], told: bool, dropped: tuple[str, ...]
) -> None:
    found = azure.variables(record, environ, tmp_path / "tls")
    assert ("MLFLOW_TRACKING_TOKEN" in found.values, found.dropped) == (told, dropped)


@pytest.mark.end_to_end
def test_a_shell_takes_the_variables_up_and_back(tmp_path: Path) -> None:
    from mayfly.testing.embedded import Embedded

    one = Embedded(tmp_path / "home")
    try:
        one.start()
        said = one.run("exec", "--", "sh", "-c", "echo $AZUREML_CURRENT_CLOUD; exit 7", AZURE_PASSWORD="x")
        assert (said.status, said.out) == (7, "Mayfly\n") and "AZURE_PASSWORD" in said.err
        mine = os.environ.get("REQUESTS_CA_BUNDLE", "")
        mayfly = 'run() { "$PY" -m mayfly.main.cli "$@"; }'
        script = f'{mayfly}; eval "$(run env)"; echo $AZUREML_CURRENT_CLOUD; eval "$(run env --unset)"; env'
        import sys

        told = subprocess.run(
            ["sh", "-c", script], env={**one.environ, "PY": sys.executable}, capture_output=True, text=True, check=True
        ).stdout
        assert told.startswith("Mayfly\n")
        assert "AZUREML_CURRENT_CLOUD=" not in told and "MAYFLY_KEPT_" not in told
        assert f"REQUESTS_CA_BUNDLE={mine}" in told if mine else "REQUESTS_CA_BUNDLE" not in told
        assert one.run("exec", "--", "no-such-command").status == 4
    finally:
        one.finish()
