"""The home: the folder that holds everything melgraph makes from one library."""

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from melgraph.storage.errors import NewerFormat, OlderFormat, StorageError
from melgraph.storage.library import Library, open_library
from melgraph.storage.location import is_bucket
from melgraph.storage.relocation import BESIDE, correct_addresses, library_beside

# Format of the marker. In a home of format 1 or 2, a track is identified by the bytes of its file.
FORMAT = 3
MARKER = "melgraph.json"
# What a file system without symbolic links answers; which of them depends on the system.
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@dataclass(frozen=True)
class Home:
    """The paths of one home. Creating the object does not touch the disk.

    Attributes:
        root: absolute path of the home.
        library: absolute path of the folder of audio, or `s3://bucket/prefix`. melgraph never
            writes to it.
        label_level: folder level (1 = directly below the library) whose name is a track's label;
            None if folder names are not labels.
        artifact_store: `s3://bucket/prefix` of the committed artifacts; None if they are in the
            home.
    """

    root: Path
    library: str
    label_level: int | None = 1
    artifact_store: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "library", os.fspath(self.library))

    def open_library(self) -> Library:
        """The library, for listing and reading."""
        return open_library(self.library)

    @property
    def artifacts(self) -> Path:
        """`<asset>/<partition>/<version>/` below this folder."""
        return self.root / "artifacts"

    @property
    def cache(self) -> Path:
        """Artifacts fetched from a bucket. May be deleted while no melgraph process runs."""
        return self.root / "cache"

    @property
    def numba_cache(self) -> Path:
        """Code that numba has compiled. May be deleted while no melgraph process runs."""
        return self.cache / "numba"

    @property
    def pending(self) -> Path:
        """Uncommitted work."""
        return self.root / "pending"

    @property
    def locks(self) -> Path:
        """One lock file per (asset, partition)."""
        return self.root / "locks"

    @property
    def catalogue(self) -> Path:
        """The SQLite file of the catalogue."""
        return self.root / "catalogue.sqlite"

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME of this home."""
        return self.root / "dagster"

    @property
    def mlflow(self) -> Path:
        """Folder of the MLflow database and models."""
        return self.root / "mlflow"

    @property
    def specs(self) -> Path:
        """The user's own TOML files: `datasets/ experiments/ encoders/ ...`."""
        return self.root / "specs"

    def create(self) -> "Home":
        """Create the folder, or open an existing home of the same library.

        If the home was moved or copied, the paths that it holds are corrected.

        Raises:
            StorageError: the folder belongs to another library, uses another artifact store,
                or is not a melgraph home.
            NewerFormat: it was written by a newer version of melgraph.
            OlderFormat: it was written by an older one, and cannot be used any more.
        """
        existing = read_marker(self.root)
        if existing is not None:
            self._refuse_different(existing)
        elif self.root.exists() and _holds_more_than_specs(self.root):
            raise StorageError(
                "the folder is not empty and is not a melgraph home",
                where=self.root,
                remedy="choose a new or empty folder: --home FOLDER, or MELGRAPH_HOME",
            )
        marker = self._marker()
        if _stored_marker(self.root) != marker:
            self.root.mkdir(parents=True, exist_ok=True)
            write_aside(
                self.root / MARKER, json.dumps(marker, indent=1, ensure_ascii=False).encode()
            )
        self._link_library()
        correct_addresses(self.mlflow)
        return self

    def _link_library(self) -> None:
        """Link to the library from the home: pages link to the recordings by relative paths."""
        link = self.root / "library"
        if is_bucket(self.library):
            return
        if link.is_symlink() and link.readlink() != Path(self.library):  # both were moved together
            aside = link.with_name(f".library.{os.getpid()}.aside")
            aside.symlink_to(self.library, target_is_directory=True)
            aside.replace(link)
        elif not link.is_symlink():
            symlink_if_possible(link, self.library)

    def _refuse_different(self, existing: Mapping[str, Any]) -> None:
        beside = library_beside(self.root, existing)
        if self.library not in (existing["library"], beside):
            remedy = "give each library its own home: --home FOLDER, or MELGRAPH_HOME"
            if not is_bucket(existing["library"]) and not Path(existing["library"]).exists():
                remedy += (
                    "; or, if that library is now at the new place, write its new path after "
                    '"library" in the file above'
                )
            raise StorageError(
                f"this home belongs to the library {existing['library']}, not to {self.library}",
                where=self.root / MARKER,
                remedy=remedy,
            )
        if existing.get("store") != self.artifact_store:
            here = "the home itself"
            raise StorageError(
                f"this home keeps its artifacts in {existing.get('store') or here}, "
                f"not in {self.artifact_store or here}",
                where=self.root / MARKER,
                remedy="give each store its own home: --home FOLDER, or MELGRAPH_HOME",
            )

    def _marker(self) -> dict[str, object]:
        marker: dict[str, object] = {
            "format": FORMAT,
            "library": self.library,
            "label_level": self.label_level,
        }
        if not is_bucket(self.library):
            marker[BESIDE] = os.path.relpath(self.library, self.root)
        return marker | ({"store": self.artifact_store} if self.artifact_store else {})


def _holds_more_than_specs(folder: Path) -> bool:
    """Whether a folder without a marker contains anything but what a user may prepare.

    Before the first run a user may put TOML files into `specs/`, lists of collections into
    `metadata/` and weights into `weights/`. A killed `create` leaves a temporary marker file.
    """
    names = (path.name for path in folder.iterdir())
    allowed = ("specs", "metadata", "weights")
    return any(name not in allowed and not name.startswith(f".{MARKER}.") for name in names)


def read_marker(root: Path) -> dict[str, Any] | None:
    """The marker of the home at `root`, or None if there is no home.

    If the library is not where it was, but lies beside the home as before, both were moved
    together: `library` is then its present path.

    Raises:
        NewerFormat: the marker was written by a newer version of melgraph.
        StorageError: the marker cannot be read.
    """
    marker = _stored_marker(root)
    if marker is None or is_bucket(marker["library"]) or Path(marker["library"]).exists():
        return marker
    beside = library_beside(root, marker)
    return marker if beside is None else {**marker, "library": beside}


def _stored_marker(root: Path) -> dict[str, Any] | None:
    """The marker as it was written.

    Raises:
        NewerFormat: the marker was written by a newer version of melgraph.
        OlderFormat: it was written by an older one, and the home cannot be used any more.
        StorageError: the marker cannot be read.
    """
    path = root / MARKER
    try:
        marker: dict[str, Any] = json.loads(path.read_bytes())
        written_format = int(marker["format"])
        if written_format == FORMAT:
            _ = Path(marker["library"]), marker["label_level"]  # both must exist, one as a path
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise StorageError(
            f"the home's marker cannot be read ({error!r})",
            where=path,
            remedy="restore the file, or choose another home: --home FOLDER, or MELGRAPH_HOME",
        ) from None
    if written_format > FORMAT:
        raise NewerFormat(
            f"this home has format {written_format}, this melgraph reads up to {FORMAT}",
            where=path,
            remedy="upgrade melgraph, or choose another home: --home FOLDER, or MELGRAPH_HOME",
        )
    if written_format < FORMAT:
        raise OlderFormat(where=path)
    return marker


def open_home(root: Path) -> Home:
    """The existing home at `root`. If it was moved or copied, the paths in it are corrected.

    Raises:
        StorageError: there is no home at `root`.
    """
    marker = read_marker(root)
    if marker is None:
        raise StorageError(
            "there is no melgraph home here",
            where=root,
            remedy="run `melgraph demo` or `melgraph run --library FOLDER` first, "
            "or name the home: --home FOLDER, or MELGRAPH_HOME",
        )
    home = Home(root.resolve(), marker["library"], marker["label_level"], marker.get("store"))
    correct_addresses(home.mlflow)
    return home


def enclosing_home(path: Path) -> Home | None:
    """The home that contains `path`, or None."""
    path = path.absolute()
    for folder in (path, *path.parents):
        if (folder / MARKER).is_file():
            return open_home(folder)
    return None


def symlink_if_possible(link: Path, folder: str) -> None:
    """Create a symbolic link to a folder, unless the file system has none, as exFAT and FAT.

    Without the link, recordings can be played on pages that `melgraph ui` serves, but not on pages
    opened from disk.
    """
    try:
        link.symlink_to(folder, target_is_directory=True)
    except FileExistsError:  # another process was faster
        pass
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise


def write_aside(path: Path, data: bytes) -> None:
    """Write a file atomically: to a temporary file, flushed to disk, then renamed."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.aside")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable (fsync of the folder)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
