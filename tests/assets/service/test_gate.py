"""The gate: places, threads, time limits, and the size of a body. Counted, not timed."""

import asyncio
import threading
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from fastapi import APIRouter, FastAPI, UploadFile
from starlette.requests import Request
from starlette.testclient import TestClient

from melgraph.assets.service.gate import MOST_WAIT_S, Gate, GatedRoute
from melgraph.assets.service.problems import Refusal, add_handlers
from melgraph.storage.home import Home
from tests.conftest import PATIENCE_S

MOST_BYTES = 200_000


def gate(computed: int = 1, waiting: int = 0, time_limit_s: float = PATIENCE_S) -> Gate:
    return Gate(computed_at_once=computed, waiting=waiting, time_limit_s=time_limit_s)


def wait_until_free(gate: Gate) -> None:
    """Until all threads have given their places back."""
    done = threading.Event()
    while gate.n_taken:
        done.wait(0.01)


def client_of(gate: Gate, work, tmp_path) -> TestClient:
    """An app with an address that computes, and one that takes a file first."""
    router = APIRouter(route_class=GatedRoute)

    @router.get("/work")
    async def get(request: Request) -> str:
        return await request.state.place.run(work)

    @router.post("/work")
    async def post(request: Request, file: UploadFile) -> int:
        return await request.state.place.run(lambda: len(file.file.read()))

    app = FastAPI()
    app.include_router(router)
    settings = SimpleNamespace(most_upload_bytes=MOST_BYTES)
    app.state.service = SimpleNamespace(gate=gate, settings=settings)
    add_handlers(app, Home(tmp_path, str(tmp_path)))
    return TestClient(app)


class TestPlaces:
    def test_as_many_as_are_computed_and_wait(self):
        crowded = gate(computed=2, waiting=3)
        with ExitStack() as places:
            for _ in range(5):
                places.enter_context(crowded.place())
            with pytest.raises(Refusal) as refused, crowded.place():
                pass
            assert refused.value.status_code == 503
            assert int(refused.value.headers["Retry-After"]) > 0
            assert crowded.n_taken == 5
        assert crowded.n_taken == 0
        with crowded.place():
            assert crowded.n_taken == 1

    def test_a_query_that_would_wait_too_long_is_refused_at_once(self):
        slow = gate(computed=2, waiting=50, time_limit_s=10.0)
        slow._mean_s = 4.0  # of the last computations
        with ExitStack() as places:
            for _ in range(7):
                places.enter_context(slow.place())  # the last one waits for 5 x 4 s of two threads
            with pytest.raises(Refusal) as refused, slow.place():
                pass
            assert refused.value.status_code == 503
        slow._mean_s = 1000.0
        with slow.place(), slow.place():  # these two do not wait
            pass

    def test_at_most_so_many_are_computed_at_once(self):
        narrow, running, most = gate(computed=3, waiting=50), [], []
        lock = threading.Lock()

        def work():
            with lock:
                running.append(1)
                most.append(len(running))
            threading.Event().wait(0.005)
            with lock:
                running.pop()

        async def ask():
            with narrow.place() as place:
                await place.run(work)

        async def all_of_them():
            await asyncio.gather(*(ask() for _ in range(50)))

        asyncio.run(all_of_them())
        assert len(most) == 50
        assert max(most) <= 3
        assert narrow.n_taken == 0


class TestRoute:
    def test_an_answer(self, tmp_path):
        assert client_of(gate(), lambda: "done", tmp_path).get("/work").json() == "done"

    def test_a_query_that_takes_too_long_keeps_its_place_until_it_ends(self, tmp_path):
        end, busy_gate = threading.Event(), gate(time_limit_s=0.2)
        client = client_of(busy_gate, lambda: end.wait(PATIENCE_S), tmp_path)
        late = client.get("/work")
        assert (late.status_code, late.json()["code"]) == (504, "took-too-long")
        refused = client.get("/work")  # its thread is still busy
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        assert int(refused.headers["Retry-After"]) > 0
        end.set()
        wait_until_free(busy_gate)
        assert client_of(busy_gate, lambda: "again", tmp_path).get("/work").json() == "again"

    def test_a_query_that_only_waited_is_told_to_come_back(self, tmp_path):
        end, narrow = threading.Event(), gate(computed=1, waiting=1, time_limit_s=0.2)
        narrow.submit(lambda: end.wait(PATIENCE_S))
        answer = client_of(narrow, lambda: "done", tmp_path).get("/work")
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert int(answer.headers["Retry-After"]) > 0
        end.set()
        wait_until_free(narrow)

    def test_how_long_a_refused_client_has_to_wait(self):
        narrow = gate(computed=1, waiting=9)
        for _ in range(50):
            narrow.submit(lambda: threading.Event().wait(0.05)).result()
        wait_s = int(narrow.busy("no place").headers["Retry-After"])
        assert 1 <= wait_s <= MOST_WAIT_S
        assert narrow._mean_s >= 0.05
        narrow._mean_s = 3.0
        assert narrow.busy("no place").headers["Retry-After"] == "30"
        narrow._mean_s = 1000.0
        assert narrow.busy("no place").headers["Retry-After"] == str(MOST_WAIT_S)

    def test_a_query_that_fails_gives_its_place_back(self, tmp_path):
        def fail():
            raise Refusal(410, "gone", "it is gone", where="here", remedy="none")

        one = gate()
        client = client_of(one, fail, tmp_path)
        for _ in range(3):
            assert client.get("/work").status_code == 410
        wait_until_free(one)

    def test_a_file_within_the_limit(self, tmp_path):
        answer = client_of(gate(), None, tmp_path).post(
            "/work", files={"file": ("a.wav", b"x" * MOST_BYTES)}
        )
        assert answer.json() == MOST_BYTES

    @pytest.mark.parametrize("with_length", [True, False])
    def test_a_file_above_the_limit(self, tmp_path, with_length):
        """The bytes are counted: a client may state no length, or a wrong one."""
        client = client_of(gate(), None, tmp_path)
        request = client.build_request(
            "POST", "/work", files={"file": ("a.wav", b"x" * 2 * MOST_BYTES)}
        )
        body, headers = request.read(), dict(request.headers)
        if not with_length:
            del headers["content-length"]
        pieces = (body[start : start + 10_000] for start in range(0, len(body), 10_000))
        answer = client.post("/work", content=pieces, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")

    @pytest.mark.parametrize(
        "form",
        [
            {"files": [("file", ("a", b"1")), ("file", ("b", b"2"))]},
            {"files": {"file": ("a", b"1")}, "data": {"more": "text"}},
            {"content": b"no form", "headers": {"content-type": "multipart/form-data"}},
        ],
    )
    def test_a_body_that_is_not_one_file(self, tmp_path, form):
        answer = client_of(gate(), None, tmp_path).post("/work", **form)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid-body")

    def test_an_upload_that_is_too_slow(self, tmp_path):
        slow_gate = gate(time_limit_s=0.2)
        app = client_of(slow_gate, None, tmp_path).app
        answer: list[dict] = []

        async def receive():
            await asyncio.sleep(PATIENCE_S)

        async def send(message):
            answer.append(message)

        headers = [(b"content-type", b"multipart/form-data; boundary=x"), (b"host", b"testserver")]
        scope = {"type": "http", "method": "POST", "path": "/work", "headers": headers,
                 "query_string": b"", "http_version": "1.1", "scheme": "http"}  # fmt: skip
        asyncio.run(app(scope, receive, send))
        assert answer[0]["status"] == 408
        assert b"upload-too-slow" in answer[1]["body"]
        assert slow_gate.n_taken == 0
