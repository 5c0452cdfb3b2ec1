"""A new index is opened once, by one thread, while the others are answered from the old one."""

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from melgraph.assets.service.indexes import Indexes
from melgraph.assets.service.problems import Refusal
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Reference
from tests.assets.pages.small_home import SmallHome

ENCODER = "mel-statistics"


@dataclass
class Opener:
    """Opens pretended indexes: only their versions matter here."""

    version: int = 0
    opened: list[str | None] = field(default_factory=list)
    may_open: threading.Event = field(default_factory=threading.Event)
    begins: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    def __call__(self, context, encoder):
        self.opened.append(encoder)
        self.begins.set()
        self.may_open.wait()
        if self.error is not None:
            raise self.error
        version = self.version
        return SimpleNamespace(
            index=Reference("recommendation_indexes", ENCODER, f"{version:032x}"),
            encoder=Reference("encoders", ENCODER, "0" * 32),
            is_current=lambda: self.version == version,
        )


@pytest.fixture
def home(tmp_path):
    home = SmallHome(tmp_path, tracks=4).add_tracks()
    home.produce("recommendation_indexes", ENCODER, (), lambda work: None)
    return home


@pytest.fixture
def opener():
    opener = Opener()
    opener.may_open.set()
    return opener


def test_an_index_is_opened_once(home, opener):
    indexes = Indexes(home.store, opener)
    assert indexes.open_indexes() == []
    first = indexes.current()
    assert indexes.current() is first
    assert indexes.current(ENCODER) is first  # the same index by its name
    assert indexes.open_indexes() == [first]
    assert opener.opened == [None, ENCODER]


def test_many_threads_wait_for_the_first_index(home, opener):
    indexes, answers = Indexes(home.store, opener), []
    opener.may_open.clear()
    threads = [
        threading.Thread(target=lambda: answers.append(indexes.current())) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    opener.begins.wait()
    assert answers == []
    opener.may_open.set()
    for thread in threads:
        thread.join()
    assert len({id(answer) for answer in answers}) == 1
    assert len(answers) == 20
    assert opener.opened == [None]


def test_the_old_index_answers_while_one_thread_opens_the_new_one(home, opener):
    indexes = Indexes(home.store, opener)
    old = indexes.current()
    opener.may_open.clear()
    opener.begins.clear()
    opener.version = 1
    new = []
    thread = threading.Thread(target=lambda: new.append(indexes.current()))
    thread.start()
    opener.begins.wait()
    assert [indexes.current() for _ in range(50)] == [old] * 50
    opener.may_open.set()
    thread.join()
    assert new[0].recommender.index != old.recommender.index
    assert indexes.current() is new[0]
    assert opener.opened == [None, None]
    assert indexes.open_indexes() == new


def test_an_index_that_cannot_be_opened_does_not_replace_the_old_one(home, opener):
    indexes = Indexes(home.store, opener)
    old = indexes.current()
    opener.version, opener.error = 1, UserError("it is damaged", where="here", remedy="remake it")
    assert [indexes.current() for _ in range(5)] == [old] * 5
    assert opener.opened == [None, None]  # it is tried again only after some seconds


def test_the_first_index_cannot_be_opened(home, opener):
    opener.error = UserError("it is damaged", where="here", remedy="remake it")
    with pytest.raises(Refusal, match="it is damaged") as refused:
        Indexes(home.store, opener).current()
    assert (refused.value.status_code, refused.value.problem.code) == (409, "unusable-index")


def test_no_index(tmp_path, opener):
    home = SmallHome(tmp_path, tracks=4)
    opener.error = UserError("there is no index", where="here", remedy="make it")
    indexes = Indexes(home.store, opener)
    for encoder in (None, ENCODER):
        with pytest.raises(Refusal) as refused:
            indexes.current(encoder)
        assert (refused.value.status_code, refused.value.problem.code) == (503, "no-index")
        assert int(refused.value.headers["Retry-After"]) > 0
    assert not indexes.exist()
    assert not home.home.catalogue.exists()  # asking writes nothing


def test_encoders_that_are_not_in_service(home, opener):
    indexes = Indexes(home.store, opener)
    indexes.current(ENCODER)
    toml = home.home.specs / "encoders.toml"
    toml.parent.mkdir(exist_ok=True)
    toml.write_text('in_service = ["small-cnn"]\n')
    with pytest.raises(Refusal) as refused:
        indexes.current(ENCODER)
    assert (refused.value.status_code, refused.value.problem.code) == (410, "retired-encoder")
    assert "small-cnn" in refused.value.problem.remedy
    assert indexes.open_indexes() == []
    with pytest.raises(Refusal) as refused:
        indexes.current("never-heard-of")
    assert (refused.value.status_code, refused.value.problem.code) == (404, "unknown-encoder")
    toml.write_text("in_service = [")  # while a person edits it, the file as it was is used
    with pytest.raises(Refusal, match="no longer in service"):
        indexes.current(ENCODER)
    toml.unlink()
    assert indexes.current(ENCODER).recommender.index.partition == ENCODER


def test_a_scan_that_recorded_changes_leads_to_a_new_look_at_the_library(home, opener):
    indexes = Indexes(home.store, opener)
    indexes.current()
    catalogue = ArtifactStore(home.home).home.catalogue
    from melgraph.storage.catalogue import Catalogue

    Catalogue(catalogue).remember_look([])  # a scan that recorded nothing
    indexes.current()
    assert opener.opened == [None]
    Catalogue(catalogue).note_missing([home.paths[0]])
    indexes.current()
    indexes.current()
    assert opener.opened == [None, None]
