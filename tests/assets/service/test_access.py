"""Who may ask: the Host header, the token, the Origin header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from melgraph.assets.service.access import LOOPBACK_NAMES, AccessChecks, host_of, is_loopback

TOKEN = "correct-horse-battery"


def client_of(token: str | None = None, *names: str) -> TestClient:
    def answer(request):
        return PlainTextResponse("the library")

    methods = ["GET", "POST", "PUT", "DELETE"]
    routes = [Route("/", answer, methods=methods), Route("/healthz", answer)]
    app = AccessChecks(Starlette(routes=routes), {*LOOPBACK_NAMES, *names}, token)
    return TestClient(app, base_url="http://127.0.0.1:3003")


class TestHost:
    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "127.0.0.1:3003", "localhost:1", "[::1]", "[::1]:3003", "LOCALHOST"]
    )
    def test_loopback(self, host):
        assert client_of().get("/", headers={"host": host}).status_code == 200

    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example", "", "127.0.0.1@evil.example", "[", ":1"]
    )
    def test_other_names(self, host):
        answer = client_of().get("/", headers={"host": host, "accept": "application/json"})
        assert answer.status_code == 400
        assert answer.text != "the library"

    def test_a_name_of_the_settings(self):
        client = client_of(None, "music.example")
        assert client.get("/", headers={"host": "music.example:80"}).status_code == 200

    def test_the_address_at_which_the_request_arrived(self):
        """A wildcard host such as 0.0.0.0 is called by any address of the machine."""

        async def at(app, scope, receive, send):
            await app({**scope, "server": ("192.0.2.7", 3003)}, receive, send)

        client = client_of()
        inner = client.app
        client.app = lambda scope, receive, send: at(inner, scope, receive, send)
        client._transport.app = client.app
        assert client.get("/", headers={"host": "192.0.2.7:3003"}).status_code == 200
        assert client.get("/", headers={"host": "192.0.2.8:3003"}).status_code == 400

    @given(st.text(max_size=40))
    def test_any_text_has_a_host_or_none(self, text):
        assert isinstance(host_of(text), str)


class TestToken:
    @pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
    def test_the_right_one(self, scheme):
        headers = {"authorization": f"{scheme} {TOKEN}"}
        assert client_of(TOKEN).get("/", headers=headers).status_code == 200

    @pytest.mark.parametrize(
        "value",
        [None, "", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN,
         "Bearer \xff"],
    )  # fmt: skip
    def test_a_wrong_one(self, value):
        headers = {} if value is None else {"authorization": value.encode("latin-1")}
        answer = client_of(TOKEN).get("/", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert TOKEN not in answer.text

    def test_a_supervisor_needs_none(self):
        assert client_of(TOKEN).get("/healthz").status_code == 200

    def test_the_host_is_checked_besides(self):
        headers = {"authorization": f"Bearer {TOKEN}", "host": "evil.example"}
        assert client_of(TOKEN).get("/", headers=headers).status_code == 400


class TestOrigin:
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"origin": "http://127.0.0.1:3003"},
            {"origin": "http://127.0.0.1:3003", "sec-fetch-site": "same-origin"},
        ],
    )
    def test_programs_and_own_pages(self, headers):
        assert client_of().post("/", headers=headers).status_code == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "https://evil.example"},
            {"origin": "http://127.0.0.1:8000"},
            {"origin": "null"},
            {"origin": "http://["},
            {"sec-fetch-site": "cross-site"},
            {"origin": "http://127.0.0.1:3003", "sec-fetch-site": "same-site"},
        ],
    )
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_pages_of_another_origin(self, headers, method):
        answer = client_of().request(method, "/", headers=headers | {"accept": "application/json"})
        assert answer.status_code == 403

    def test_reading_needs_no_origin(self):
        assert client_of().get("/", headers={"origin": "https://evil.example"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("music.example", False)],
)  # fmt: skip
def test_which_addresses_only_this_machine_reaches(host, is_local):
    assert is_loopback(host) is is_local
