"""Which conda packages are to be had from Python's own index, under which name, and which never will be (data only)."""

from __future__ import annotations

SAME_NAME = frozenset(
    """
    absl-py accelerate adlfs aiofiles aiohttp alembic altair aniso8601 annoy anyio argon2-cffi arrow arviz asgiref astropy
    async-timeout attrs autograd azure-ai-ml azure-core azure-identity azure-storage-blob azureml-core azureml-mlflow
    babel backoff bayesian-optimization beautifulsoup4 biopython black bleach bokeh boto3 botocore bottleneck brotli
    cachetools cartopy catboost category-encoders certifi cffi chardet charset-normalizer click cloudpickle colorama
    confluent-kafka contourpy coverage cryptography cvxpy cycler cython dash dask dask-ml databricks-cli datasets
    dataclasses-json debugpy decorator deepspeed delta-spark deltalake diffusers dill distributed distro docker docutils
    duckdb eli5 einops evaluate fastai fastapi fastparquet fastprogress feather-format filelock fiona fire flake8 flask
    folium fonttools fs-gcsfs fsspec future gcsfs gensim geopandas gitpython google-cloud-storage grpcio gunicorn gym
    gymnasium h5netcdf h5py holidays httpx huggingface-hub hydra-core hyperopt hypothesis idna igraph imageio
    imbalanced-learn imgaug implicit importlib-metadata importlib-resources inflection intake interpret ipykernel ipython
    ipywidgets isodate isort itsdangerous jax jaxlib jedi jinja2 jmespath joblib jsonlines jsonschema jupyter
    jupyter-server-proxy jupyterlab keras kneed kornia langchain lifelines lightfm lightgbm lightning lime
    llvmlite locket loguru lxml mako mapie markdown markupsafe marshmallow matplotlib matplotlib-inline mistune mlflow
    mlflow-skinny mlxtend more-itertools mpmath msgpack multidict multiprocess mypy mysqlclient nbconvert nbformat
    neptune-client netcdf4 networkx nibabel ninja nltk nose notebook numba numcodecs numexpr numpy oauthlib onnx
    onnxmltools onnxruntime openai openpyxl optax optuna orjson packaging pandas pandas-datareader pandas-profiling
    papermill paramiko parso partd patsy peft pexpect pickleshare pillow platformdirs plotly plotnine pluggy pmdarima
    polars pooch portalocker pot prettytable prometheus-client prompt-toolkit prophet protobuf psutil
    pyarrow pyasn1 pycocotools pycparser pycryptodome pydantic pydot pydub pyflakes pygments pyinstrument pyjwt pylint
    pymc pymongo pymysql pynndescent pynvml pyodbc pyomo pyopenssl pyparsing pyproj pyreadstat python-snappy pyrsistent pysftp
    pyspark pytest pytest-cov python-dateutil python-dotenv python-igraph python-json-logger pytorch-lightning pytz
    pywavelets pyyaml pyzmq qtconsole querystring-parser rasterio ray redis regex requests requests-oauthlib retrying rich
    rouge-score ruamel.yaml s3fs s3transfer sacrebleu sacremoses safetensors salib scikit-image scikit-learn scikit-learn-intelex
    scikit-optimize scipy scrapy seaborn sentence-transformers sentencepiece seqeval setuptools setuptools-scm shap
    shapely simplejson six sklearn-pandas slicer smart-open smmap snakeviz sortedcontainers soupsieve spacy sqlalchemy
    sqlparse stable-baselines3 statsmodels sympy tabulate tblib tenacity tensorboard tensorboardx tensorflow
    tensorflow-datasets tensorflow-hub tensorflow-probability termcolor textblob textdistance threadpoolctl tifffile tiktoken
    timm tokenizers toml toolz torchaudio torchmetrics torchtext torchvision tornado tox tqdm traitlets transformers
    trimesh tsfresh typer typing-extensions tzdata tzlocal ujson umap-learn unidecode urllib3 uvicorn virtualenv wandb
    watchdog wcwidth webcolors websocket-client werkzeug wheel widgetsnbextension wordcloud wrapt xarray xgboost xlrd
    xlsxwriter xxhash yapf yarl yellowbrick zarr zipp zstandard
    """.split()  # noqa: SIM905  (a column of three hundred lines would say no more)
)
"""Packages that are the same thing under the same name on conda's channels and on Python's index."""

OTHER_NAME = {
    "dask-core": "dask",
    "feather": "feather-format",
    "importlib_metadata": "importlib-metadata",
    "lightgbm-cpu": "lightgbm",
    "lightning-bolts": "pl-bolts",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "opencv": "opencv-python-headless",
    "psycopg2": "psycopg2-binary",
    "py-opencv": "opencv-python-headless",
    "py-xgboost": "xgboost",
    "py-xgboost-cpu": "xgboost",
    "pytables": "tables",
    "python-annoy": "annoy",
    "python-blosc": "blosc",
    "python-confluent-kafka": "confluent-kafka",
    "python-duckdb": "duckdb",
    "python-flatbuffers": "flatbuffers",
    "python-graphviz": "graphviz",
    "python-kubernetes": "kubernetes",
    "python-lmdb": "lmdb",
    "python-tzdata": "tzdata",
    "python-xxhash": "xxhash",
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "tensorflow-base": "tensorflow",
    "tensorflow-cpu": "tensorflow",
    "tensorflow-gpu": "tensorflow",
    "xgboost-cpu": "xgboost",
}
"""The same thing under another name."""

NATIVE = frozenset(
    """
    blas bzip2 cmake cuda cuda-toolkit cudatoolkit cudatoolkit-dev cudnn cxx-compiler c-compiler ffmpeg fftw gcc
    gcc_linux-64 gdal geos git graphviz gxx gxx_linux-64 hdf5 icu intel-openmp jdk julia libblas libgcc libgcc-ng libgomp
    libjpeg-turbo liblapack libpng libsndfile libstdcxx-ng llvm-openmp make maven mkl mkl-service mpi mpich nccl ncurses
    ninja-base nodejs openblas openjdk openmp openmpi openslide openssl perl pkg-config poppler proj protoc
    pytorch-cuda pytorch-mutex r-base readline rust sox sqlite swig tesseract tk unzip wget xz yasm zlib zstd
    """.split()  # noqa: SIM905  (a column of three hundred lines would say no more)
)
"""Programs and libraries of the system, which Python's index does not have."""
