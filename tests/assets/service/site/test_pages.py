import os
import signal
from functools import partial
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from starlette.testclient import TestClient

from melgraph.assets.context import Context
from melgraph.assets.pages.links import LIBRARY, quote_path
from melgraph.assets.pages.site import PAGES
from melgraph.assets.service.app import build_app
from melgraph.assets.service.site.recordings import _decodes
from melgraph.assets.stages import TRACKS
from melgraph.ml.audio import AUDIO_SUFFIXES
from melgraph.ml.workers import IsolatedFunction
from melgraph.pipelines.intake import cut_batches, scan_library
from tests.assets.pages.small_home import ODD_PATHS, SmallHome
from tests.assets.service.served import serving
from tests.conftest import PATIENCE_S


def crash(file: Path) -> bool:
    """A decoder that ends its process, importable by the worker process."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return True


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return SmallHome(tmp_path_factory.mktemp("served"), tracks=8).everything()


@pytest.fixture(scope="module")
def artifact(home):
    return home.add_pages()


@pytest.fixture(scope="module")
def client(home, artifact):
    with serving(home.home) as client:
        yield client


class TestPages:
    @pytest.mark.parametrize("path", ["/", "/pages/", "/pages/index.html"])
    def test_overview_redirects_to_the_current_version(self, client, artifact, path):
        answer = client.get(path)
        assert answer.status == 307
        assert answer.headers["location"] == f"/artifacts/{artifact.reference}/index.html"
        assert answer.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("name", PAGES)
    def test_each_page(self, client, artifact, name):
        answer = client.get(client.get(f"/pages/{name}.html").headers["location"])
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.body == (artifact.folder / f"{name}.html").read_bytes()

    def test_style_and_scripts(self, client, artifact):
        for file, kind in (("style.css", "text/css"), ("common.js", "text/javascript")):
            answer = client.get(f"/artifacts/{artifact.reference}/{file}")
            assert answer.status == 200
            assert answer.headers["content-type"].startswith(kind)

    def test_unknown_page(self, client):
        answer = client.get("/pages/nothing.html")
        assert answer.status == 404
        assert "no page called" in answer.text

    def test_no_pages_yet_says_what_to_do(self, tmp_path):
        with serving(SmallHome(tmp_path).home) as client:
            answer = client.get("/")
            assert answer.status == 404
            assert "melgraph run" in answer.text
            assert answer.headers["content-type"].startswith("text/html")
            assert client.get("/artifacts/pages/all/index.html").status == 404

    def test_a_page_name_is_not_markup(self, client):
        answer = client.get("/pages/%3Cscript%3Ealert(1).html")
        assert answer.status == 404
        assert "<script>" not in answer.text


class TestRecordings:
    @pytest.mark.parametrize("path", ODD_PATHS)
    def test_the_links_of_the_pages_hold_over_http(self, client, artifact, home, path):
        page = f"http://127.0.0.1/artifacts/{artifact.reference}/tracks.html"
        answer = client.get(urlsplit(urljoin(page, LIBRARY + quote_path(path))).path)
        assert answer.status == 200
        assert answer.headers["content-type"] == "audio/flac"
        assert answer.body == (home.library / path).read_bytes()

    def test_ranges(self, client, home):
        url = "/library/" + quote_path(ODD_PATHS[0])
        data = (home.library / ODD_PATHS[0]).read_bytes()
        part = client.get(url, Range="bytes=100-299")
        assert (part.status, part.body) == (206, data[100:300])
        assert part.headers["content-range"] == f"bytes 100-299/{len(data)}"
        rest = client.get(url, Range="bytes=1000-")
        assert (rest.status, rest.body) == (206, data[1000:])
        assert client.get(url, Range=f"bytes={len(data)}-").status == 416
        head = client.get(url, method="HEAD")
        assert (head.status, head.headers["accept-ranges"], head.body) == (200, "bytes", b"")

    def test_ranges_of_a_dream(self, client, home):
        dream = home.store.need("dreams", "deep-dream")
        part = client.get(f"/artifacts/{dream.reference}/01-song.dream.flac", Range="bytes=0-3")
        assert (part.status, part.body) == (206, b"fLaC")

    def test_only_files_that_the_catalogue_knows(self, client, home):
        (home.library / "taxes.pdf").write_bytes(b"private")
        (home.library / ".secret.flac").write_bytes(b"private")
        new = home.library / "rock" / "not scanned yet.flac"
        new.write_bytes((home.library / ODD_PATHS[0]).read_bytes())
        names = ("taxes.pdf", ".secret.flac", ".melgraph-sample.json", "", "rock", "rock/")
        for path in (*names, quote_path("rock/not scanned yet.flac")):
            assert client.get(f"/library/{path}").status == 404, path

    def test_a_quarantined_file_is_not_served(self, client, home):
        assert (home.library / "rock/broken.mp3").is_file()
        assert client.get("/library/rock/broken.mp3").status == 404

    def test_links_that_the_catalogue_does_not_know(self, client, home, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "song.flac").write_bytes((home.library / ODD_PATHS[0]).read_bytes())
        (home.library / "linked.flac").symlink_to(elsewhere / "song.flac")
        (home.library / "linked").symlink_to(elsewhere, target_is_directory=True)
        assert client.get("/library/linked.flac").status == 404
        assert client.get("/library/linked/song.flac").status == 404


@pytest.fixture
def track(home):
    """The path of a good track; the file is restored afterwards."""
    path = home.library / home.paths[-1]
    data = path.read_bytes()
    yield path
    path.unlink(missing_ok=True)
    path.write_bytes(data)


class TestContent:
    """A track is served only while its content is audio."""

    @staticmethod
    def url(home, track):
        return "/library/" + quote_path(track.relative_to(home.library).as_posix())

    @pytest.mark.parametrize("secret", ["/etc/passwd", "/etc/ssl", "/dev/zero", "/gone"])
    def test_a_track_replaced_by_a_link_to_a_system_file(self, client, home, track, secret):
        assert client.get(self.url(home, track)).status == 200
        track.unlink()
        track.symlink_to(secret)
        answer = client.get(self.url(home, track))
        assert answer.status == 404
        assert b"root:" not in answer.body

    def test_a_track_replaced_by_a_link_to_audio(self, client, home, track, tmp_path):
        data = track.read_bytes()
        (tmp_path / "song.flac").write_bytes(data)
        track.unlink()
        track.symlink_to(tmp_path / "song.flac")
        assert client.get(self.url(home, track)).body == data

    def test_a_link_that_was_in_the_library_from_the_start(self, tmp_path):
        """The catalogue has it as a quarantined file."""
        home = SmallHome(tmp_path, tracks=4)
        (tmp_path / "secret.txt").write_text("secret " * 1000)
        (home.library / "rock").mkdir()
        (home.library / "rock" / "leak.mp3").symlink_to(tmp_path / "secret.txt")
        context = Context.open(home.home)
        scan = scan_library(home.home, context.catalogue, settle_s=0.0, look_again_s=0.0)
        (batch,) = cut_batches(context.catalogue, scan)
        spec = TRACKS.plan(context, batch)
        tracks, _ = home.store.produce(spec, partial(TRACKS.write, home.store))
        assert tracks.facts["quarantined"] == 1
        with serving(home.home) as client:
            answer = client.get("/library/rock/leak.mp3")
        assert answer.status == 404
        assert "secret" not in answer.text

    def test_a_decoder_that_crashes_ends_its_request_only(self, home):
        app = build_app(home.home)
        app.state.recordings.decodes = IsolatedFunction(crash, workers=1, time_limit_s=PATIENCE_S)
        with TestClient(app, base_url="http://127.0.0.1") as client:
            for path in ODD_PATHS[:2]:
                assert client.get("/library/" + quote_path(path)).status_code == 404
            assert client.get("/healthz").status_code == 200

    @pytest.mark.parametrize("suffix", sorted(AUDIO_SUFFIXES))
    def test_text_is_not_audio_whatever_its_name(self, tmp_path, suffix):
        file = tmp_path / f"leak{suffix}"
        file.write_text("root:x:0:0:root:/root:/bin/bash\n" * 200)
        assert not _decodes(file)


class TestNothingElse:
    @pytest.fixture(scope="class")
    def secrets(self, home):
        assert home.home.catalogue.is_file()
        for name in ("dagster/dagster.yaml", "mlflow/mlflow.db"):
            (home.home.root / name).parent.mkdir(exist_ok=True)
            (home.home.root / name).write_text("secret")
        (home.library.parent / "outside.flac").write_text("secret")

    @pytest.mark.parametrize(
        "path",
        [
            "/melgraph.json",
            "/catalogue.sqlite",
            "/dagster/dagster.yaml",
            "/mlflow/mlflow.db",
            "/locks/",
            "/artifacts/../melgraph.json",
            "/artifacts/%2e%2e/melgraph.json",
            "/artifacts/..%2fmelgraph.json",
            "/artifacts/..%5cmelgraph.json",
            "/artifacts/pages/..%2f..%2fmelgraph.json",
            "/artifacts//etc/passwd",
            "/artifacts/%2fetc/passwd",
            "/artifacts/%00",
            "/library/../home/melgraph.json",
            "/library/../outside.flac",
            "/library/..%2foutside.flac",
            "/library/rock/..%2f..%2foutside.flac",
            "/library/%2fetc/passwd.flac",
            "/library/x%00.flac",
            "/library/" + "x" * 300 + ".flac",
        ],
    )
    def test_no_path_escapes(self, client, secrets, path):
        answer = client.get(path)
        assert answer.status == 404
        assert b"secret" not in answer.body
        assert b"SQLite" not in answer.body

    def test_artifacts_do_not_lead_out_through_a_link(self, client, home):
        link = home.home.artifacts / "tracks" / "way-out.json"
        link.symlink_to(home.home.root / "melgraph.json")
        assert client.get("/artifacts/tracks/way-out.json").status == 404

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_read_only(self, client, artifact, method):
        library = "/library/" + quote_path(ODD_PATHS[0])
        for path in ("/", f"/artifacts/{artifact.reference}/index.html", library):
            assert client.get(path, method=method).status == 405

    def test_other_host_names_are_refused(self, client, monkeypatch, home):
        assert client.get("/", host="evil.example").status == 400
        for host in ("localhost:3001", "127.0.0.1:3001", "[::1]:3001"):
            assert client.get("/", host=host).status == 307, host
        monkeypatch.setenv("MELGRAPH_PAGES_URL", "https://music.example/")
        with serving(home.home) as proxied:
            assert proxied.get("/", host="music.example").status == 307
