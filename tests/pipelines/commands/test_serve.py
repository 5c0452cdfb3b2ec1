"""`melgraph serve`: its options, its token, its port, its start and its end."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import pytest

from melgraph.assets.service.state import ServiceSettings
from melgraph.ml.errors import UserError
from melgraph.pipelines.cli import main
from melgraph.pipelines.commands.serve import (
    LEAST_TOKEN,
    TOKEN,
    add_arguments,
    listen,
    read_token,
    settings_of,
)
from melgraph.storage.home import Home
from tests.conftest import PATIENCE_S

SECRET = "correct-horse-battery"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "songs").mkdir()
    return Home(tmp_path / "home", str(tmp_path / "songs")).create()


def settings(*arguments: str):
    parser = ArgumentParser()
    add_arguments(parser)
    return settings_of(parser.parse_args(arguments))


def refuse(capsys, *arguments: str) -> str:
    """The one message of a command that cannot be carried out."""
    assert main(["serve", *arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("melgraph: ")
    assert "where:" in message
    assert "remedy:" in message
    assert "Traceback" not in message
    return message


class TestOptions:
    def test_the_defaults(self):
        chosen = settings()
        assert replace(chosen, hosts=()) == ServiceSettings()
        assert chosen.token is None
        assert chosen.hosts == ("127.0.0.1",)
        assert chosen.most_upload_bytes == 50_000_000
        assert chosen.most_query_s == 300
        assert chosen.computed_at_once >= 1

    def test_the_limits(self):
        chosen = settings(
            "--max-upload-mb", "2.5", "--max-query-seconds", "30", "--time-limit", "5",
            "--concurrent", "3", "--waiting", "0",
        )  # fmt: skip
        assert (chosen.most_upload_bytes, chosen.most_query_s) == (2_500_000, 30)
        assert (chosen.time_limit_s, chosen.computed_at_once, chosen.waiting) == (5, 3, 0)

    @pytest.mark.parametrize(
        ("option", "value"),
        [("--max-upload-mb", "0"), ("--max-query-seconds", "0.5"), ("--time-limit", "nan"),
         ("--time-limit", "inf"), ("--concurrent", "0"), ("--waiting", "-1")],
    )  # fmt: skip
    def test_limits_that_cannot_be(self, option, value):
        with pytest.raises(UserError) as refused:
            settings(option, value)
        assert refused.value.where == option

    def test_names(self, monkeypatch):
        monkeypatch.setenv(TOKEN, SECRET)
        chosen = settings("--host", "0.0.0.0", "--name", "Music.example", "--name", "other.example")
        assert chosen.hosts == ("music.example", "other.example")


class TestToken:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "music.example"])
    def test_other_machines_need_one(self, home, capsys, host):
        message = refuse(capsys, "--home", str(home.root), "--host", host)
        assert "needs a token" in message
        assert "--token-file" in message

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
    def test_this_machine_needs_none(self, host):
        assert settings("--host", host).token is None

    def test_from_a_file(self, tmp_path):
        file = tmp_path / "token.txt"
        file.write_text(f"{SECRET}\n")
        assert settings("--host", "0.0.0.0", "--token-file", str(file)).token == SECRET

    def test_from_the_environment_which_child_processes_do_not_get(self, monkeypatch):
        monkeypatch.setenv(TOKEN, SECRET)
        assert read_token(None) == SECRET
        assert TOKEN not in os.environ

    @pytest.mark.parametrize(
        "content",
        [b"", b"short", b"x" * (LEAST_TOKEN - 1), b"two words are no token", b"\xff" * 40,
         "pässwörter-sind-nicht-ascii".encode(), b"line\nbreak-in-the-middle"],
    )  # fmt: skip
    def test_a_token_that_cannot_be_used(self, tmp_path, content):
        file = tmp_path / "token.txt"
        file.write_bytes(content)
        with pytest.raises(UserError) as refused:
            read_token(str(file))
        if content:
            assert content.decode("latin-1") not in str(refused.value)

    @pytest.mark.parametrize("name", ["gone.txt", "."])
    def test_a_file_that_cannot_be_read(self, tmp_path, name):
        with pytest.raises(UserError, match="cannot be read"):
            read_token(str(tmp_path / name))

    def test_never_on_the_command_line(self, home, capsys):
        message = refuse(capsys, "--home", str(home.root), "--token", SECRET)
        assert "every user of this machine can read" in message
        assert SECRET not in message


class TestStart:
    def test_no_home(self, tmp_path, capsys):
        message = refuse(capsys, "--home", str(tmp_path / "none"))
        assert "there is no melgraph home" in message

    def test_a_port_in_use(self, home, capsys):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            message = refuse(capsys, "--home", str(home.root), "--port", str(port))
        assert f"port {port} is in use" in message

    @pytest.mark.parametrize("port", [-1, 65_536])
    def test_no_port(self, port):
        with pytest.raises(UserError, match="is not a port"):
            listen("127.0.0.1", port)

    def test_an_unknown_host(self):
        with pytest.raises(UserError, match="the host is not known"):
            listen("nowhere.invalid", 0)

    def test_an_address_of_another_machine(self):
        with pytest.raises(UserError, match="cannot listen here"):
            listen("192.0.2.1", 0)

    def test_a_broken_toml_file(self, home, capsys):
        home.specs.mkdir()
        (home.specs / "encoders.toml").write_text("in_service = ")
        assert "encoders.toml" in refuse(capsys, "--home", str(home.root), "--port", "0")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_answers_and_ends_with_one_sentence(home, number):
    process = subprocess.Popen(
        [sys.executable, "-m", "melgraph.pipelines.cli", "serve", "--home", str(home.root),
         "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, TOKEN: SECRET},
        # as on a terminal: a background process of a shell would ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    output = ""
    while "Ctrl-C stops it" not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    port = int(re.search(r"http://127\.0\.0\.1:(\d+)", output)[1])
    statuses = []
    for headers in ({}, {"Authorization": f"Bearer {SECRET}"}):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        connection.request("GET", "/openapi.json", headers=headers)
        statuses.append(connection.getresponse().status)
        connection.close()
    assert statuses == [401, 200]
    process.send_signal(number)
    rest, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert rest.strip() == "the service has stopped"
    assert SECRET not in output + rest
