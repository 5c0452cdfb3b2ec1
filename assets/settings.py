"""The settings of melgraph, from environment variables and from the marker file of the home.

A home remembers its library, its artifact store and its label level in the marker file. The
environment variables are:

- `MELGRAPH_LIBRARY`: the folder of audio files, or `s3://BUCKET/PREFIX`. Default: the library that
  the home remembers, otherwise the sample library.
- `MELGRAPH_HOME`: the folder for everything melgraph writes. Default:
  `.melgraph/home/<name of the library>`.
- `MELGRAPH_STORE`: `s3://BUCKET/PREFIX` for the artifacts. Default: the store that the home
  remembers, otherwise the home itself.
- `MELGRAPH_CACHE_GB`: if the artifacts are in a bucket, the largest size of their local copies in
  the home, in gigabytes. Default: 50.
- `MELGRAPH_LABEL_LEVEL`: the folder level that names the label, or `none`. Default: the level that
  the home remembers, otherwise 1.
- `MELGRAPH_WEIGHTS`: a folder of published weights for all homes. Default: `weights` in the home.
- `MELGRAPH_PAGES_URL`: the address of the pages. Default: `http://127.0.0.1:3001`.
- `MELGRAPH_MLFLOW_URL`: the address of MLflow, for links to its runs. Default:
  `MLFLOW_TRACKING_URI` if it names a server, otherwise `http://127.0.0.1:3002`.
- `MELGRAPH_DAGSTER_URL`: the address of Dagster, for links in MLflow runs. Default:
  `http://127.0.0.1:3000`.
- `MELGRAPH_WORKERS`: how many files are decoded at once, each in its own process. Default: one per
  core, or fewer if the CPU quota of a container is smaller.
- `MELGRAPH_EXECUTOR`: the Dagster executor of all jobs: `in_process`, `multiprocess`, or
  `PACKAGE.MODULE:NAME` of an executor. Default: `in_process`.
- `MELGRAPH_BLOCK_SECONDS`: how many seconds of a file such a process holds in memory. Default: 5.
"""

import os
from pathlib import Path

from melgraph.storage.errors import StorageError
from melgraph.storage.home import Home, read_marker
from melgraph.storage.library import Library, open_library
from melgraph.storage.location import is_bucket, tidy_location

BASE = Path(".melgraph")
SAMPLE_LIBRARY = BASE / "sample-library"


def current_home() -> Home:
    """The home that the environment names. Nothing is written to disk.

    Raises:
        StorageError: a setting cannot be used, or the home cannot be read.
    """
    library_setting = os.environ.get("MELGRAPH_LIBRARY")
    home_setting = os.environ.get("MELGRAPH_HOME")
    library = tidy_location(
        library_setting or str(SAMPLE_LIBRARY), where="--library, or MELGRAPH_LIBRARY"
    )
    root = Path(home_setting).resolve() if home_setting else _default_root(library)
    marker = read_marker(root) or {}
    if not library_setting and "library" in marker:
        library = marker["library"]
    if not is_bucket(library) and root.is_relative_to(library):
        raise StorageError(
            f"the home would be inside the library {library}, which melgraph must not write to",
            where=root,
            remedy="choose a folder outside of the library with --home FOLDER or MELGRAPH_HOME",
        )
    label_level = _label_level(os.environ.get("MELGRAPH_LABEL_LEVEL"), marker.get("label_level", 1))
    store = _artifact_store(os.environ.get("MELGRAPH_STORE"), marker.get("store"))
    return Home(root, library, label_level, store)


def is_sample_library(library: Library) -> bool:
    """Whether this is the sample library. Results from it are labelled as such."""
    from melgraph.ml.sample_library import MARKER

    return library.exists(MARKER)


def weights_folder(home: Home) -> Path:
    """The folder of the published weights. Downloads are stored there."""
    setting = os.environ.get("MELGRAPH_WEIGHTS")
    return Path(setting).expanduser().resolve() if setting else home.root / "weights"


def pages_url() -> str:
    """The address at which `melgraph ui` serves the pages, without a slash at the end."""
    return os.environ.get("MELGRAPH_PAGES_URL", "http://127.0.0.1:3001").rstrip("/")


def mlflow_url() -> str:
    """The address at which MLflow shows runs, without a slash at the end.

    It is `MLFLOW_TRACKING_URI` if that names a server, otherwise the address at which `melgraph ui`
    serves MLflow.
    """
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    default = "http://127.0.0.1:3002"
    url = server if server.startswith("http") else os.environ.get("MELGRAPH_MLFLOW_URL", default)
    return url.rstrip("/")


def dagster_url() -> str:
    """The address at which `melgraph ui` serves Dagster, without a slash at the end."""
    return os.environ.get("MELGRAPH_DAGSTER_URL", "http://127.0.0.1:3000").rstrip("/")


def use_numba_cache(home: Home) -> None:
    """Let numba keep compiled code in the home, unless `NUMBA_CACHE_DIR` names another folder.

    By default numba writes beside the installed packages or into HOME. In a container the former
    are often read-only, and the latter does not exist. Call it before numba is imported.
    """
    os.environ.setdefault("NUMBA_CACHE_DIR", str(home.numba_cache))


def worker_count() -> int:
    """The number of files that are decoded at once.

    Raises:
        StorageError: the setting is not a number of at least 1.
    """
    from melgraph.ml.workers import default_workers

    return int(_positive("MELGRAPH_WORKERS", default_workers(), "the number of worker processes"))


def executor_name() -> str:
    """The executor of all Dagster jobs: see the top of this module."""
    return os.environ.get("MELGRAPH_EXECUTOR", "in_process")


def block_seconds() -> float:
    """The number of seconds of a file that a worker holds in memory.

    Raises:
        StorageError: the setting is not a number of at least 1.
    """
    return _positive("MELGRAPH_BLOCK_SECONDS", 5.0, "the seconds of audio in memory")


def _positive(name: str, default: float, what: str) -> float:
    setting = os.environ.get(name)
    if setting is None:
        return default
    try:
        value = float(setting)
    except ValueError:
        value = 0.0
    if not 1 <= value < float("inf"):
        raise StorageError(
            f"{what} cannot be {setting!r}", where=name, remedy="set it to a number of at least 1"
        )
    return value


def _default_root(library: str) -> Path:
    return (BASE / "home" / open_library(library).name).resolve()


def _artifact_store(setting: str | None, remembered: str | None) -> str | None:
    if not setting:
        return remembered
    location = tidy_location(setting, where=(where := "--store, or MELGRAPH_STORE"))
    if not is_bucket(location):
        raise StorageError(
            f"the artifact store {setting!r} is not a bucket",
            where=where,
            remedy="use the form s3://BUCKET/PREFIX, or omit it to store the artifacts in the home",
        )
    return location


def _label_level(setting: str | None, remembered: int | None) -> int | None:
    if setting is None:
        return remembered
    if setting == "none":
        return None
    if setting.isdigit() and int(setting) >= 1:
        return int(setting)
    raise StorageError(
        f"the label level {setting!r} is neither a number of at least 1 nor 'none'",
        where="--label-level, or MELGRAPH_LABEL_LEVEL",
        remedy="use 1 for the folders directly below the library, 2 for the next level, and so on",
    )
