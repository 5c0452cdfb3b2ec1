"""Which artifacts are served: the pages, what they show, and no other file of the home."""

import shutil

import pytest

from melgraph.assets.stages import SHOWN_STAGES
from melgraph.storage.records import RECORD_NAME
from tests.assets.pages.small_home import SmallHome
from tests.assets.service.served import serving


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = SmallHome(tmp_path_factory.mktemp("artifacts"), tracks=8).everything()
    home.add_pages()
    return home


@pytest.fixture(scope="module")
def client(home):
    with serving(home.home) as client:
        yield client


def one_file(artifact) -> str:
    return next(iter(sorted(artifact.record.files)))


def test_every_file_of_the_current_artifacts_that_pages_show(home, client):
    n_served = 0
    for asset in (*SHOWN_STAGES, "pages"):
        for partition in home.store.partitions(asset):
            artifact = home.store.need(asset, partition)
            for name in artifact.record.files:
                answer = client.get(f"/artifacts/{artifact.reference}/{name}")
                assert answer.status == 200, f"{artifact.reference}/{name}"
                assert answer.body == (artifact.folder / name).read_bytes()
                n_served += 1
    assert n_served > 50


def test_assets_that_no_page_shows(home, client):
    hidden = set(home.store.assets()) - {*SHOWN_STAGES, "pages"}
    assert {"embeddings", "encoders", "mel_spectrograms"} <= hidden
    for asset in hidden:
        for partition in home.store.partitions(asset):
            artifact = home.store.need(asset, partition)
            for name in (*artifact.record.files, RECORD_NAME):
                assert client.get(f"/artifacts/{artifact.reference}/{name}").status == 404


def test_files_that_the_record_does_not_name(home, client):
    dream = home.store.need("dreams", "deep-dream")
    (dream.folder / "notes.txt").write_text("private")
    for name in ("notes.txt", RECORD_NAME, "", ".", "nothing.flac", "../current", "%2e%2e/current"):
        answer = client.get(f"/artifacts/{dream.reference}/{name}")
        assert answer.status == 404, name
        assert b"private" not in answer.body
    assert client.get("/artifacts/dreams/deep-dream/current").status == 404


@pytest.mark.parametrize("target", ["outside", "circle"])
def test_a_link_that_leads_out_of_its_artifact(tmp_path, target):
    home = SmallHome(tmp_path, tracks=8).add_tracks().add_dataset().add_dreams()
    dream = home.store.need("dreams", "deep-dream")
    file = dream.folder / one_file(dream)
    (tmp_path / "outside.flac").write_text("private")
    file.unlink()
    file.symlink_to(tmp_path / "outside.flac" if target == "outside" else file)
    with serving(home.home) as client:
        answer = client.get(f"/artifacts/{dream.reference}/{file.name}")
    assert answer.status == 404
    assert b"private" not in answer.body


def test_a_link_inside_of_an_artifact_is_served(tmp_path):
    """Tools that remove duplicate files replace them by links."""
    home = SmallHome(tmp_path, tracks=8).add_tracks().add_dataset().add_dreams()
    dream = home.store.need("dreams", "deep-dream")
    first, second = sorted(dream.record.files)[:2]
    (dream.folder / first).unlink()
    (dream.folder / first).symlink_to(second)
    with serving(home.home) as client:
        answer = client.get(f"/artifacts/{dream.reference}/{first}")
    assert answer.body == (dream.folder / second).read_bytes()


def test_an_earlier_version_is_served_as_long_as_the_pages_show_it(tmp_path):
    home = SmallHome(tmp_path, tracks=8).add_tracks().add_dataset().add_dreams()
    old = home.store.need("dreams", "deep-dream")
    address = f"/artifacts/{old.reference}/{one_file(old)}"

    def write(work):
        shutil.copytree(old.folder, work.folder, dirs_exist_ok=True)
        (work.folder / RECORD_NAME).unlink()
        work.facts.update(old.facts)

    with serving(home.home) as client:
        pages = home.add_pages()
        assert client.get(address).status == 200
        new = home.produce("dreams", "deep-dream", home.references("datasets"), write, {"new": 1})
        assert new.reference != old.reference
        assert client.get(f"/artifacts/{new.reference}/{one_file(new)}").status == 200
        assert client.get(address).status == 200  # a page that is open in a browser links to it
        assert home.add_pages().reference != pages.reference
        assert client.get(address).status == 404
        assert client.get(f"/artifacts/{new.reference}/{one_file(new)}").status == 200
        # A browser may still show the earlier page.
        assert client.get(f"/artifacts/{pages.reference}/index.html").status == 200


def test_an_artifact_without_a_record(home, client):
    folder = home.home.artifacts / "dreams" / "deep-dream" / ("ab" * 16)
    folder.mkdir()
    (folder / "secret.flac").write_text("private")
    assert client.get(f"/artifacts/dreams/deep-dream/{'ab' * 16}/secret.flac").status == 404
    shutil.rmtree(folder)
