"""The server of a home whose library and artifacts are in a bucket: the same links hold."""

from urllib.parse import urljoin, urlsplit

import pytest

from melgraph.assets.pages.links import LIBRARY, artifact_link, quote_path
from melgraph.assets.pages.site import PAGES
from melgraph.assets.service.site import recordings
from melgraph.storage.bucket import Bucket
from tests.assets.pages.small_home import ODD_PATHS, SmallHome
from tests.assets.service.served import serving


def build(home: SmallHome) -> SmallHome:
    """Its library put into the bucket, as its user does; and its pages."""
    songs = Bucket(home.home.library)
    for path in sorted(home.library.rglob("*")):
        if path.is_file():
            songs.upload(path, path.relative_to(home.library).as_posix())
    home.add_pages()
    return home


@pytest.fixture
def home(tmp_path, bucket) -> SmallHome:
    return SmallHome(tmp_path, tracks=8, bucket=bucket.location)


@pytest.fixture
def client(home):
    with serving(home.home) as client:
        yield client


def test_pages_recordings_and_sounds(home, client, monkeypatch):
    build(home.everything())
    pages = home.store.need("pages", "all")
    base = f"http://127.0.0.1/artifacts/{pages.reference}/tracks.html"
    for name in PAGES:
        answer = client.get(client.get(f"/pages/{name}.html").headers["location"])
        assert answer.status == 200
        assert answer.body == (pages.folder / f"{name}.html").read_bytes()
    monkeypatch.setattr(recordings, "CACHED_RECORDINGS", 2)
    for path in (*ODD_PATHS, ODD_PATHS[0]):  # more than are kept
        data = (home.library / path).read_bytes()
        url = urlsplit(urljoin(base, LIBRARY + quote_path(path))).path
        whole = client.get(url)
        assert (whole.status, whole.headers["content-type"]) == (200, "audio/flac")
        assert whole.body == data
        part = client.get(url, Range="bytes=100-299")
        assert (part.status, part.body) == (206, data[100:300])
    dream = home.store.need("dreams", "deep-dream")
    sound = urlsplit(urljoin(base, artifact_link(dream.reference, "01-song.dream.flac"))).path
    part = client.get(sound, Range="bytes=0-3")
    assert (part.status, part.body) == (206, b"fLaC")


def test_nothing_else(home, client, bucket):
    build(home.add_tracks())
    for name in ("songs/taxes.pdf", "songs/.secret.flac", "outside.flac", "made/x/y/z/a.flac"):
        bucket.put(name, b"private")
    pages = home.store.need("pages", "all").reference
    for path in (
        "/library/taxes.pdf", "/library/.secret.flac", "/library/../outside.flac",
        "/library/..%2foutside.flac", "/library/nothing.flac", "/library/",
        "/library/a%2f%2fb.flac",
        "/library/x%00.flac", "/library/x%0a.flac",
        f"/artifacts/{pages}", f"/artifacts/{pages}/", f"/artifacts/{pages}/nothing.html",
        f"/artifacts/{pages}/../../../../melgraph.json", "/artifacts/../catalogue.sqlite",
        "/artifacts/%2fetc/passwd/x/y", "/artifacts/x/y/z/a.flac", "/artifacts//x/y/z/a.flac",
    ):  # fmt: skip
        answer = client.get(path)
        assert answer.status == 404, path
        assert b"private" not in answer.body


def test_an_outage_is_told(client, monkeypatch):
    from melgraph.storage.errors import BucketTrouble

    def outage(*_: object) -> bytes:
        raise BucketTrouble("the bucket does not answer", where="there", remedy="wait <a while>")

    monkeypatch.setattr(Bucket, "read", outage)
    answer = client.get("/")
    assert answer.status == 503
    assert "The bucket does not answer. Wait &lt;a while&gt;." in answer.text
    assert "<a while>" not in answer.text
