"""The curated environments: names that Azure ML users write, and the packages that they stand for here (data only).

Each list is one that Python's own package index satisfies on the Pythons of its entry, and on newer ones where markers
say so. Cuda builds, MPI and apt packages of the original images are not part of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Curated:
    """One curated environment. `python` is what its packages are made for: a wish, not a condition."""

    name: str
    python: str | None
    requirements: tuple[str, ...]
    pattern: re.Pattern[str]
    """Which names, without version or label and without the prefix `AzureML-`, mean this one."""
    about: str


_TRACKING = ("mlflow>=2.14,<3",)
_SKLEARN = (
    'scikit-learn>=1.5,<1.6; python_version < "3.14"',
    'scikit-learn>=1.5; python_version >= "3.14"',
    'pandas>=1.5,<2; python_version < "3.12"',
    'pandas>=2,<3; python_version >= "3.12" and python_version < "3.14"',
    'pandas>=2; python_version >= "3.14"',
    'numpy>=1.24,<2; python_version < "3.13"',
    'numpy>=2,<2.3; python_version == "3.13"',
    'numpy>=2; python_version >= "3.14"',
    "scipy",
    "joblib",
    "matplotlib",
    "setuptools<81",
    'mlflow>=2.14,<3; python_version < "3.13"',
    'mlflow>=3; python_version >= "3.13"',
)


def _entry(name: str, python: str | None, requirements: tuple[str, ...], pattern: str, about: str) -> Curated:
    return Curated(name, python, requirements, re.compile(rf"(?:{pattern})\Z", re.IGNORECASE), about)


CURATED: tuple[Curated, ...] = (
    _entry(
        "sklearn-1.5",
        ">=3.9,<3.12",
        _SKLEARN,
        r"sklearn-\d+\.\d+(?:-.*)?|scikit-learn-\d+\.\d+(?:-.*)?",
        "scikit-learn 1.5 with pandas, numpy, scipy and MLflow",
    ),
    _entry(
        "lightgbm-3.3",
        ">=3.9,<3.12",
        ("lightgbm>=3.3", *_SKLEARN),
        r"lightgbm-\d+\.\d+(?:-.*)?",
        "LightGBM with scikit-learn, pandas and MLflow",
    ),
    _entry(
        "xgboost-0.9",
        ">=3.9,<3.12",
        ("xgboost>=1.7", *_SKLEARN),
        r"xgboost-\d+\.\d+(?:-.*)?",
        "XGBoost with scikit-learn, pandas and MLflow",
    ),
    _entry(
        "acpt-pytorch-2.2-cuda12.1",
        ">=3.9,<3.12",
        ("torch", "torchvision", "numpy", "pandas", "pillow", "tensorboard", "tqdm", *_TRACKING),
        r"acpt-pytorch-.*|acpt-.*|pytorch-\d+\.\d+(?:-.*)?",
        "PyTorch and torchvision with MLflow and TensorBoard",
    ),
    _entry(
        "tensorflow-2.16-cuda12",
        ">=3.9,<3.12",
        ("tensorflow>=2.12", "numpy", "pandas", "pillow", *_TRACKING),
        r"tensorflow-2\.\d+(?:-.*)?",
        "TensorFlow 2 with MLflow",
    ),
    _entry(
        "minimal",
        None,
        (),
        r"minimal|minimal-.*|python-sdk-v2",
        "a bare Python with pip",
    ),
)


def find(name: str) -> Curated | None:
    """The entry that `name` (prefix `AzureML-` optional, any case) means; retired names mean their successor."""
    bare = re.sub(r"\Aazureml-", "", name, flags=re.IGNORECASE)
    return next((entry for entry in CURATED if entry.pattern.match(bare)), None)


def names() -> tuple[str, ...]:
    """The names to offer to a person, current ones only."""
    return tuple(entry.name for entry in CURATED)
