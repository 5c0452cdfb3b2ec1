"""What a listing of the library leaves out, and the rules for it, for folders and buckets alike."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

# Folders that systems and network storage create. Their names are compared without case.
SYSTEM_FOLDERS = frozenset(
    (
        "$recycle.bin",
        "#recycle",
        "#snapshot",
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "lost+found",
        "recycler",
        "system volume information",
    )
)
MARKER_FILE = ".nomelgraph"


@dataclass
class Omissions:
    """What a listing left out. `.` is the library itself.

    Attributes:
        others: suffix -> number of files that were ignored because of their suffix.
        unreadable: folders that could not be listed, files that could not be examined, and names
            that cannot be used.
        excluded: folders and files that are left out on purpose: folders of the system, folders
            with a marker file, and what the home's `exclude` matches.
        repeated: links to folders that are listed at another path, or that form a loop.
        dangling: links whose target does not exist.
    """

    others: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)

    def hides(self, path: str) -> bool:
        """Whether the listing could not say if there is a file at this path.

        The path is unreadable or a dangling link, or lies below one.
        """
        return _lies_in(path, (*self.unreadable, *self.dangling))

    def excludes(self, path: str) -> bool:
        """Whether this path is left out on purpose, or lies in a folder that is."""
        return _lies_in(path, self.excluded)

    def parts(self) -> list[str]:
        """One part of a sentence for each kind of omission that occurred, for people."""
        kinds = {
            "excluded": self.excluded,
            "links to folders that are listed already": self.repeated,
            "dangling links": self.dangling,
            "unreadable": self.unreadable,
        }
        return [f"{len(paths)} {kind}: {_some_of(paths)}" for kind, paths in kinds.items() if paths]


def is_excluded(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path of the library is left out by its name or by a pattern of the home.

    Args:
        path: of a file or folder, relative to the library.
        patterns: as in the shell, compared with the whole path; `*` also matches `/`.
    """
    name = path.rpartition("/")[2]
    return name.lower() in SYSTEM_FOLDERS or any(
        fnmatchcase(path, pattern.strip("/")) for pattern in patterns
    )


def _lies_in(path: str, folders: Sequence[str]) -> bool:
    return any(folder in (".", path) or path.startswith(f"{folder}/") for folder in folders)


def _some_of(paths: Sequence[str], most: int = 5) -> str:
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(sorted(paths)[:most]) + more
