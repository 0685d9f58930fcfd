"""The curated environments: names that Azure ML users write, and the packages that they stand for here (data only).

Each list is one that Python's own package index satisfies on the Pythons of its entry, and on newer ones where markers
say so. Cuda builds, MPI and apt packages of the original images are not part of them. `scripts/environments-doc` builds
each and writes down what was proven.
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
    imports: tuple[str, ...]
    """The modules that must import together in one process."""
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
    "pyyaml",
    "setuptools<81",
    'mltable>=1.6; python_version < "3.12"',
    'mlflow>=2.14,<3; python_version < "3.13"',
    'mlflow>=3; python_version >= "3.13"',
)
_SKLEARN_IMPORTS = ("sklearn", "pandas", "numpy", "scipy", "joblib", "matplotlib", "yaml", "mltable", "mlflow")


def _entry(
    name: str, python: str | None, requirements: tuple[str, ...], imports: tuple[str, ...], pattern: str, about: str
) -> Curated:
    return Curated(name, python, requirements, imports, re.compile(rf"(?:{pattern})\Z", re.IGNORECASE), about)


CURATED: tuple[Curated, ...] = (
    _entry(
        "sklearn-1.5",
        ">=3.9,<3.12",
        _SKLEARN,
        _SKLEARN_IMPORTS,
        r"(?:sklearn|scikit-learn)(?:-\d.*)?|tutorial",
        "scikit-learn 1.5 with pandas, numpy, scipy, mltable and MLflow",
    ),
    _entry(
        "lightgbm-3.3",
        ">=3.9,<3.12",
        ("lightgbm>=3.3,<4", *_SKLEARN),
        ("lightgbm", *_SKLEARN_IMPORTS),
        r"lightgbm(?:-\d.*)?",
        "LightGBM 3.3 with scikit-learn, pandas and MLflow",
    ),
    _entry(
        "xgboost-0.9",
        ">=3.9,<3.12",
        ("xgboost>=1.7,<3", *_SKLEARN),
        ("xgboost", *_SKLEARN_IMPORTS),
        r"xgboost(?:-\d.*)?",
        "XGBoost with scikit-learn, pandas and MLflow",
    ),
    _entry(
        "acpt-pytorch-2.8-cuda12.6",
        ">=3.10,<3.13",
        (
            *("torch", "torchvision", "numpy", "pandas<3", "scikit-learn", "matplotlib", "pillow", "psutil"),
            *("tensorboard", "tqdm", "setuptools<81"),
            *_TRACKING,
        ),
        ("torch", "torchvision", "numpy", "pandas", "sklearn", "matplotlib", "PIL", "psutil", "tensorboard", "mlflow"),
        r"acpt(?:-.*)?|pytorch(?:-\d.*)?",
        "PyTorch and torchvision with MLflow and TensorBoard",
    ),
    _entry(
        "tensorflow-2.16-cuda12",
        ">=3.9,<3.13",
        (
            *("tensorflow>=2.16,<2.17", "numpy<2", "pandas<3", "scikit-learn", "matplotlib", "pillow", "psutil"),
            *("nvidia-ml-py", "setuptools<81"),
            *_TRACKING,
        ),
        ("tensorflow", "numpy", "pandas", "sklearn", "matplotlib", "PIL", "psutil", "pynvml", "mlflow"),
        r"tensorflow(?:-\d.*)?",
        "TensorFlow 2.16 with pandas and MLflow",
    ),
    _entry(
        "responsibleai-tabular",
        ">=3.9,<3.11",
        (
            *("responsibleai>=0.36", "raiwidgets>=0.36", "scikit-learn", "pandas<2", "numpy<2", "lightgbm<4"),
            *("pyarrow", "setuptools<81"),
            *_TRACKING,
        ),
        ("responsibleai", "raiwidgets", "sklearn", "pandas", "numpy", "lightgbm", "pyarrow", "mlflow"),
        r"responsibleai(?:-.*)?",
        "the Responsible AI toolbox with scikit-learn, pandas and MLflow",
    ),
    _entry(
        "model-evaluation",
        ">=3.10,<3.13",
        (
            *("evaluate", "datasets>=2.20", "transformers<5", "torch", "pandas<3", "numpy", "scikit-learn"),
            *("nltk", "rouge-score", "sacrebleu", "seqeval", "sentencepiece", "setuptools<81"),
            *_TRACKING,
        ),
        ("evaluate", "datasets", "transformers", "torch", "pandas", "numpy", "sklearn", "nltk", "sacrebleu", "mlflow"),
        r"model-evaluation",
        "Hugging Face evaluate, datasets and transformers with PyTorch and MLflow",
    ),
    _entry(
        "automl",
        ">=3.9,<3.12",
        ("lightgbm>=3.3,<5", "xgboost>=1.7,<3", "statsmodels", "holidays", *_SKLEARN),
        ("lightgbm", "xgboost", "statsmodels", "holidays", *_SKLEARN_IMPORTS),
        r"(?:ai-ml-)?automl(?:-.*)?",
        "what AutoML's models are made of: scikit-learn, LightGBM, XGBoost and statsmodels",
    ),
    _entry(
        "minimal",
        None,
        (),
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
