"""Licences are inherited from inputs, and each is named once."""

from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Spec

ENTRY = {"of": "a", "sha256": "1", "weights": "MIT"}
OTHER = {"of": "b", "sha256": "2", "weights": "CC0"}


def produce(store, name, inputs=(), own=()):
    def write(work):
        (work.folder / "x").write_text(name)
        work.licences += own

    return store.produce(Spec("things", name, 1, tuple(inputs)), write)[0]


def test_an_artifact_names_the_licences_of_all_that_it_follows_from(home):
    store = ArtifactStore(home)
    plain = produce(store, "plain")
    first = produce(store, "first", own=[ENTRY])
    second = produce(store, "second", [plain.reference], own=[OTHER])
    third = produce(store, "third", [first.reference, second.reference], own=[ENTRY])
    last = produce(store, "last", [third.reference])
    assert "licences" not in plain.facts
    assert first.facts["licences"] == [ENTRY]
    assert last.facts["licences"] == third.facts["licences"] == [ENTRY, OTHER]
    assert store.get(last.reference).facts["licences"] == [ENTRY, OTHER]
