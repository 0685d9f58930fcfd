"""Settings of `scripts/test-public`: where the checkout is, and one embedded server for all its files."""

from __future__ import annotations

import csv
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sklearn.datasets import load_diabetes

from mayfly.testing.embedded import Embedded

HERE = Path(__file__).parent
EXPECTED = yaml.safe_load((HERE / "expectations.yml").read_text(encoding="utf-8"))


def checkout() -> Path:
    """The `cli` folder of the checkout. Never skipped: without it nothing was shown."""
    told = os.environ.get("EXAMPLES_DIR", "")
    folder = Path(told).expanduser() / "cli"
    if not told or not (folder / "jobs" / "basics" / "hello-world.yml").is_file():
        pytest.exit("EXAMPLES_DIR must name a checkout of Azure/azureml-examples.", returncode=2)
    return folder


@pytest.fixture(scope="session")
def examples() -> Path:
    return checkout()


@pytest.fixture(scope="session")
def server(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A server whose `uri_map` names what the network would give."""
    place = tmp_path_factory.mktemp("public")
    found = Embedded(place / "home")
    datasets = place / "datasets"
    datasets.mkdir()
    shutil.copy(HERE.parent / "examples" / "iris" / "iris.csv", datasets / "iris.csv")
    _diabetes(datasets / "diabetes.csv")
    _credit_cards(datasets / "credit_card" / "default_of_credit_card_clients.csv")
    (datasets / "Titanic.csv").write_text("PassengerId,Survived,Age\n1,0,22\n2,1,38\n", encoding="utf-8")
    found.folder.mkdir(mode=0o700)
    settings = {"uri_map": dict.fromkeys(EXPECTED["uri_map"], str(datasets))}
    (found.folder / "config.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    found.start()
    yield found
    found.finish()


def _diabetes(path: Path) -> None:
    """scikit-learn's copy of the public data set, in the public file's form."""
    data = load_diabetes(scaled=False)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow([*data.feature_names, "target"])
        out.writerows([*row, target] for row, target in zip(data.data, data.target, strict=True))


def _credit_cards(path: Path) -> None:
    """Rows in the public file's form: two lines of names, an id, 23 numbers, and whether a payment was missed."""
    numbers = random.Random(0)
    path.parent.mkdir()
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["", *(f"X{number}" for number in range(1, 24)), "Y"])
        out.writerow(["ID", *(f"column {number}" for number in range(1, 24)), "default payment next month"])
        for id in range(1, 301):
            row = [numbers.randrange(0, 1000) for _ in range(23)]
            out.writerow([id, *row, int(row[0] + numbers.randrange(0, 200) > 600)])
