"""Which library, which home: from the environment, and from what the home itself remembers.

- `MELGRAPH_LIBRARY`: the folder of audio, or `s3://BUCKET/PREFIX`. Default: what the home
  remembers, else the sample.
- `MELGRAPH_HOME`: where everything made is kept. Default: `.melgraph/home/<name of the library>`.
- `MELGRAPH_STORE`: `s3://BUCKET/PREFIX` for the artifacts. Default: as remembered, else the home.
- `MELGRAPH_CACHE_GB`: most gigabytes of such artifacts to keep in the home too. Default: 50.
- `MELGRAPH_LABEL_LEVEL`: folder level of the label, or `none`. Default: as remembered, else 1.
- `MELGRAPH_WEIGHTS`: folder of published weights, for all homes. Default: `weights` in the home.
- `MELGRAPH_PAGES_URL`: where the pages are served. Default: `http://127.0.0.1:3001`.
- `MELGRAPH_MLFLOW_URL`: where MLflow is served, for links to runs. Default: `MLFLOW_TRACKING_URI`
  where that is a server, else none are made.
- `MELGRAPH_DAGSTER_URL`: where Dagster is served, for links from MLflow's runs. Default: none.
- `MELGRAPH_WORKERS`: files decoded at once, each by a process of its own. Default: one per core.
- `MELGRAPH_BLOCK_SECONDS`: seconds of a file in the memory of such a process. Default: 5.
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
    """The home the environment names. Touches nothing on disk.

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
            f"the home would lie inside the library {library}, which is read-only to melgraph",
            where=root,
            remedy="choose a folder elsewhere: --home FOLDER, or MELGRAPH_HOME",
        )
    label_level = _label_level(os.environ.get("MELGRAPH_LABEL_LEVEL"), marker.get("label_level", 1))
    store = _artifact_store(os.environ.get("MELGRAPH_STORE"), marker.get("store"))
    return Home(root, library, label_level, store)


def is_sample_library(library: Library) -> bool:
    """Whether it is the sample library: what is learned from it is labelled so."""
    from melgraph.ml.sample_library import MARKER

    return library.exists(MARKER)


def weights_folder(home: Home) -> Path:
    """Where published weights lie, and are fetched to."""
    setting = os.environ.get("MELGRAPH_WEIGHTS")
    return Path(setting).expanduser().resolve() if setting else home.root / "weights"


def pages_url() -> str:
    """Where `melgraph ui` serves the pages, without a slash at the end."""
    return os.environ.get("MELGRAPH_PAGES_URL", "http://127.0.0.1:3001").rstrip("/")


def mlflow_url() -> str | None:
    """Where MLflow is served: at `MLFLOW_TRACKING_URI`, where that names a server; else where
    `melgraph ui` or the user said in `MELGRAPH_MLFLOW_URL`, if they did.
    """
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    url = server if server.startswith("http") else os.environ.get("MELGRAPH_MLFLOW_URL")
    return url.rstrip("/") if url else None


def dagster_url() -> str | None:
    """Where Dagster is served, if `melgraph ui` or the user said so in `MELGRAPH_DAGSTER_URL`."""
    url = os.environ.get("MELGRAPH_DAGSTER_URL")
    return url.rstrip("/") if url else None


def worker_count() -> int:
    """How many files are decoded at once.

    Raises:
        StorageError: the setting is not a number from 1 up.
    """
    from melgraph.ml.workers import default_workers

    return int(_positive("MELGRAPH_WORKERS", default_workers(), "the number of worker processes"))


def block_seconds() -> float:
    """How many seconds of a file a worker holds in memory.

    Raises:
        StorageError: the setting is not a number from 1 up.
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
            f"{what} cannot be {setting!r}", where=name, remedy="give a number from 1 up"
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
            f"the artifact store {setting!r} is no bucket",
            where=where,
            remedy="name s3://BUCKET/PREFIX; or leave it out, and the artifacts lie in the home",
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
        f"the label level {setting!r} is neither a number from 1 up nor 'none'",
        where="--label-level, or MELGRAPH_LABEL_LEVEL",
        remedy="1 is the folder directly below the library, 2 the one below that, ...",
    )
