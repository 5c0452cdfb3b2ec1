"""Named fault points, put around what a run does to its home, from outside.

A point is `<place>: <when> <what>`: the place is the asset whose files are touched (else the
`catalogue`, the `home` or `intake`), the rest says what is about to happen or has just happened.
Where "before" and "after" would leave the same disk behind, one of them is the point.
"""

import os
import shutil
import signal
import sqlite3
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from melgraph.storage.records import RECORD_NAME

POINTERS = "current"


class FaultPoints:
    """Counts the points a run comes by; ends the process at one of them.

    Args:
        root: the home.
        point: name of the point to die at; none where empty.
        occurrence: the how manieth time, from 1.
        passed: told the name of each point that is passed.

    Attributes:
        trace: names of the points passed, in order.
    """

    def __init__(
        self, root: Path, point: str, occurrence: int, passed: Callable[[str], None]
    ) -> None:
        self.root, self.point, self.occurrence, self.passed = root, point, occurrence, passed
        self.counts: Counter[str] = Counter()
        self.trace: list[str] = []
        self.doing = "read"  # of the catalogue
        self._modules = [
            m for name, m in sys.modules.items() if name.startswith("melgraph.assets.")
        ]

    def at(self, name: str) -> bool:
        """Come by a point. Returns whether this is where to die."""
        self.counts[name] += 1
        self.trace.append(name)
        self.passed(name)
        return name == self.point and self.counts[name] == self.occurrence

    def here(self, name: str) -> None:
        """A point at which nothing is half done."""
        if self.at(name):
            die()

    def place(self, path: object) -> str | None:
        """The place a path belongs to; None outside of the home."""
        try:
            parts = Path(os.fsdecode(path)).relative_to(self.root).parts  # type: ignore[arg-type]
        except (ValueError, TypeError):
            return None
        if len(parts) > 1 and parts[0] in ("artifacts", "pending", "locks"):
            return parts[1]
        return "home"

    def install(self) -> None:
        """Wrap everything that changes the home."""
        self._files()
        self._writers()
        self._catalogue()

    # -- the file system --------------------------------------------------------------------------

    def _files(self) -> None:
        fsync, replace, rmtree, unlink = os.fsync, os.replace, shutil.rmtree, os.unlink

        def watched_fsync(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if place := self.place(path):
                is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
                self.here(f"{place}: before fsync of {'a folder' if is_folder else kind(path)}")
            fsync(descriptor)

        def watched_replace(source: Any, target: Any, **options: Any) -> None:
            place = self.place(target)
            what = "the folder" if Path(source).is_dir() else kind(target)
            if place:
                self.here(f"{place}: before rename of {what}")
            replace(source, target, **options)
            if place:
                self.here(f"{place}: after rename of {what}")

        def watched_rmtree(path: Any, *arguments: Any, **options: Any) -> None:
            place = self.place(path) if Path(path).exists() else None
            if place is None:
                return rmtree(path, *arguments, **options)
            what = "work aside" if "pending" in Path(path).parts else "what has no record"
            self.here(f"{place}: before removal of {what}")
            if self.at(f"{place}: in removal of {what}"):
                for found in sorted(Path(path).rglob("*")):
                    if found.is_file():
                        unlink(found)
                        break
                die()
            rmtree(path, *arguments, **options)
            return self.here(f"{place}: after removal of {what}")

        os.fsync, os.replace, shutil.rmtree = watched_fsync, watched_replace, watched_rmtree  # type: ignore[assignment]
        self._after("mkdir", lambda path: "making a folder")
        self._after("unlink", lambda path: f"removal of {kind(path)}")

    def _after(self, name: str, what: Callable[[Any], str]) -> None:
        original = getattr(os, name)

        def watched(path: Any, *arguments: Any, **options: Any) -> None:
            original(path, *arguments, **options)
            if options.get("dir_fd") is None and (place := self.place(path)):
                self.here(f"{place}: after {what(path)}")

        setattr(os, name, watched)

    # -- what writes files ------------------------------------------------------------------------

    def _writers(self) -> None:
        import numpy as np

        from melgraph.assets.library import ingest_pass
        from melgraph.storage import home, local_artifacts, tables
        from melgraph.storage.locks import Lock
        from melgraph.storage.ragged_array import RaggedWriter

        write_aside = home.write_aside

        def watched_write_aside(path: Path, data: bytes) -> None:
            if self.at(f"{self.place(path)}: in {kind(path)}"):
                aside = path.with_name(f".{path.name}.{os.getpid()}.aside")
                aside.write_bytes(data[: len(data) // 2])
                die()
            write_aside(path, data)

        home.write_aside = local_artifacts.write_aside = watched_write_aside
        self._torn_file(tables, "write_table", 1)
        for module, name in ((np, "save"), (np, "savez"), (Path, "write_text")):
            self._torn_file(module, name, 0)
        self._around(
            RaggedWriter, "_write_shard", lambda w: w.array.store_path.store.root, "a shard"
        )
        self._around(
            ingest_pass._TemporaryArrayWriter, "append", lambda sink: sink._path, "rows aside"
        )
        self._around(Lock, "acquire", lambda lock: lock.path, "taking the lock")
        self._around(Lock, "release", lambda lock: lock.path, "release of the lock")

    def _torn_file(self, owner: Any, name: str, path_at: int) -> None:
        """A function that writes a file: half of it may be there, or all."""
        original = getattr(owner, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            answer = original(*arguments, **options)
            path = arguments[path_at]
            if place := self.place(path):
                what = f"writing {kind(path)} ({name})"
                if self.at(f"{place}: in {what}"):
                    os.truncate(path, Path(path).stat().st_size // 2)
                    die()
                self.here(f"{place}: after {what}")
            return answer

        setattr(owner, name, watched)
        for module in self._modules:  # those that imported it by name
            if vars(module).get(name) is original:
                setattr(module, name, watched)

    def _around(self, owner: Any, name: str, path_of: Callable[[Any], Any], what: str) -> None:
        original = getattr(owner, name)

        def watched(this: Any, *arguments: Any) -> Any:
            place = self.place(path_of(this))
            if place:
                self.here(f"{place}: before {what}")
            answer = original(this, *arguments)
            if place:
                self.here(f"{place}: after {what}")
            return answer

        setattr(owner, name, watched)

    # -- the catalogue ----------------------------------------------------------------------------

    def _catalogue(self) -> None:
        from melgraph.storage import catalogue_state
        from melgraph.storage.catalogue import Catalogue

        points, connect = self, sqlite3.connect

        class Watched(sqlite3.Connection):
            def __exit__(self, *error: Any) -> Any:
                if not self.in_transaction:
                    return super().__exit__(*error)
                points.here(f"catalogue: before commit of {points.doing}")
                answer = super().__exit__(*error)
                points.here(f"catalogue: after commit of {points.doing}")
                return answer

            def execute(self, statement: str, *arguments: Any) -> Any:
                answer = super().execute(statement, *arguments)
                if self.in_transaction and not statement.startswith(("SELECT", "PRAGMA")):
                    points.here(f"catalogue: within {points.doing}")
                return answer

        def watched_connect(path: Any, **options: Any) -> sqlite3.Connection:
            return connect(path, factory=Watched, **options)

        sqlite3.connect = watched_connect  # type: ignore[assignment]
        for name in ("register_batch", "identify", "note", "remember_look"):
            self._label(Catalogue, name)
        self._label(catalogue_state, "prepare")

    def _label(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            with self._doing(name):
                return original(*arguments, **options)

        setattr(owner, name, watched)

    @contextmanager
    def _doing(self, name: str) -> Iterator[None]:
        before, self.doing = self.doing, name
        yield
        self.doing = before


def _folder_of(writer: Any) -> Path:
    return writer.array.store_path.store.root


def kind(path: object) -> str:
    """What a file is, for people: many files of a sort are one point."""
    name = os.fsdecode(path).rpartition("/")[2]  # type: ignore[arg-type]
    if RECORD_NAME in name:
        return "the record"
    if name == POINTERS or name.startswith(f".{POINTERS}."):
        return "the pointer"
    if "melgraph.json" in name:
        return "the marker"
    if name.endswith(".holder"):
        return "the holder's note"
    return "a file"


def die() -> None:
    """The end: no clean-up, no flush, no atexit."""
    os.kill(os.getpid(), signal.SIGKILL)
