"""The files of an artifact in a local folder: list, hash, flush and verify them."""

import hashlib
import json
import os
from pathlib import Path

from melgraph.storage.records import RECORD_NAME, Record


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digests(folder: Path) -> dict[str, tuple[str, int]]:
    """(SHA-256, size in bytes) of every file below a folder, by relative path."""
    return {
        name: (file_sha256(folder / name), (folder / name).stat().st_size)
        for name in file_names(folder)
    }


def file_names(folder: Path) -> list[str]:
    """Relative paths of the files below a folder, sorted, without the record."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = (path.relative_to(folder).as_posix() for path in paths)
    return sorted(name for name in names if name != RECORD_NAME)


def flush(path: Path) -> None:
    """Force a file's bytes to disk (fsync)."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def verify_folder(folder: Path, record: Record) -> list[str]:
    """Compare the files of a folder with a record. Returns one line per problem."""
    problems = []
    names = set(file_names(folder))
    for name, (sha256, size) in record.files.items():
        path = folder / name
        if name not in names:
            problems.append(f"{path}: missing")
            continue
        try:
            if path.stat().st_size != size:
                problems.append(f"{path}: {path.stat().st_size} bytes, recorded {size}")
            elif file_sha256(path) != sha256:
                problems.append(f"{path}: content differs from its recorded SHA-256")
        except OSError as error:  # a failing disk, or no permission
            problems.append(f"{path}: cannot be read ({error.strerror})")
    problems += [
        f"{folder / name}: not in the record" for name in sorted(names - set(record.files))
    ]
    return problems


def write_json(path: Path, value: object) -> None:
    """Write JSON that reads the same every time.

    Raises:
        ValueError: the value holds NaN or infinity, which JSON has not.
    """
    path.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False))
