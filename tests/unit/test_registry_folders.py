"""Which files of a registry's folder are assets."""

from __future__ import annotations

from pathlib import Path

from mayfly.domain.references import AssetKind
from mayfly.transfer import registry

COMPONENT = "name: add\nversion: {version}\ncommand: echo\nenvironment: {{image: python:3.11}}\n"


def test_the_servers_state_within_it_is_no_part_of_it(tmp_path: Path) -> None:
    for version, place in enumerate(("mine", "state/jobs/a/code", "else/state")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "add.yml").write_text(COMPONENT.format(version=version), encoding="utf-8")

    def versions(folder: Path, state: Path) -> set[str]:
        return {one.version for one in registry.assets("ours", folder, AssetKind.COMPONENT, state)}

    (tmp_path / "link").symlink_to(tmp_path / "state")
    assert versions(tmp_path, tmp_path / "state") == {"0", "2"}
    assert versions(tmp_path, tmp_path / "link") == {"0", "2"}
    assert versions(tmp_path, tmp_path.parent / "elsewhere") == {"0", "1", "2"}
    assert versions(tmp_path / "mine", tmp_path / "state") == {"0"}
    assert versions(tmp_path / "state", tmp_path / "state") == {"1"}
