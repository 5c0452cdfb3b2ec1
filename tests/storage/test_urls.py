"""Databases below any path."""

from pathlib import Path

import pytest
import sqlalchemy

from melgraph.storage.errors import StorageError
from melgraph.storage.urls import sqlite_url, unquoted_path

ORDINARY = ("plain", "100%", "#1", "a b", "夜明け", "a;b&c+d")
NAMES = ("what?", "what?mode=ro&x=1", "100%25", "%41%?", *ORDINARY)


@pytest.mark.parametrize("name", NAMES)
def test_a_database_is_where_its_url_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "links"))
    (tmp_path / "links").mkdir()
    engine = sqlalchemy.create_engine(sqlite_url(folder / "a.db"))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE t (x)"))
    engine.dispose()
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.db")] == [Path(name) / "a.db"]
    assert {path.name for path in tmp_path.iterdir()} == {name, "links"}


@pytest.mark.parametrize("name", NAMES)
def test_a_path_that_can_be_part_of_a_url_as_it_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, links = tmp_path / name, tmp_path / "links"
    (folder / "sub").mkdir(parents=True)
    links.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(links))
    for _ in range(2):
        path = unquoted_path(folder / "sub") / ".."
        database = f"sqlite:///{path}/b.db"  # as Dagster writes it
        assert sqlalchemy.make_url(database).database == f"{path}/b.db"
        assert path.resolve() == folder.resolve()
        assert (unquoted_path(folder) == folder) == (name in ORDINARY)


def test_a_link_that_leads_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / "what?"
    folder.mkdir()
    link = unquoted_path(folder)
    link.unlink()
    link.symlink_to(tmp_path)
    with pytest.raises(StorageError, match=r"'what\?' cannot be part .* leads elsewhere"):
        unquoted_path(folder)
    link.unlink()
    monkeypatch.setattr("melgraph.storage.urls._user", lambda: 12345)  # not the owner
    with pytest.raises(StorageError, match="belongs to another user"):
        unquoted_path(folder)
