"""1,000 clients that ask `melgraph serve` at once: answers, refusals, waiting times and memory.

    python benchmarks/service.py HOME [FILE ...]

HOME has an index of similar tracks. Three rounds, each with `REQUESTS` connections at once:

1. each client asks once;
2. each client asks until it is answered, and waits as long as `Retry-After` says after a refusal;
3. if there are FILEs (audio), `FILES_AT_ONCE` clients send them in turn, until they are answered.

Answers of rounds 1 and 2 are compared with those of the Python call. The clients run on the same
machine, so they take a share of its cores from the server.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

from melgraph.assets.context import Context
from melgraph.assets.recommendations.queries import Query, Recommender
from melgraph.storage.home import open_home

Ask = Callable[[httpx.AsyncClient, Any], Coroutine[Any, Any, None]]
REQUESTS, FILES_AT_ONCE, K = 1000, 50, 10
_PATIENCE_S = 600.0


@dataclass
class Round:
    """What the clients of one round saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)  # until an answer, refusals included
    wrong: int = 0


def main() -> None:
    """Print a row for each round."""
    home, files = open_home(Path(sys.argv[1])), [Path(name) for name in sys.argv[2:]]
    recommender = Recommender.open(Context.open(home))
    ids = recommender.tracks["track_id"].to_list()
    expected = {
        name: [track.track_id for track in recommender.similar(Query(like=(name,), k=K)).tracks]
        for name in ids
    }
    asked = [ids[number % len(ids)] for number in range(REQUESTS)]
    print(f"{len(ids)} tracks, encoder {recommender.encoder.partition}, {os.cpu_count()} cores")
    print("\n| round | clients | right answers | wrong answers | refusals with `Retry-After` "
          "| median | 95 % | 99 % | longest |")  # fmt: skip
    print("| --- " * 9 + "|")
    with _Server(home.root) as server:
        for title, tries in (
            ("each client asks once", 1),
            ("each asks until it is answered", None),
        ):
            result = Round()

            def ask(client, name, result=result, tries=tries):
                return _ask(client, name, expected[name], result, tries)

            _print_row(title, len(asked), asyncio.run(_all(server.address, asked, ask)), result)
        rounds_bytes = server.peak_bytes()
        if files:
            sent = [files[number % len(files)] for number in range(FILES_AT_ONCE)]
            result = Round()

            def send(client, file, result=result):
                return _send(client, file, result)

            title, wrong = "each sends a file until it is answered", "not compared"
            total_s = asyncio.run(_all(server.address, sent, send))
            _print_row(title, len(sent), total_s, result, wrong)
        print(
            f"\npeak memory of the server: {rounds_bytes / 1e6:.0f} MB after the first two rounds"
        )
        if files:
            print(f"{server.peak_bytes() / 1e6:.0f} MB after the files, decoders not included")


async def _all(
    address: str,
    items: list[Any],
    ask: Callable[[httpx.AsyncClient, Any], Coroutine[Any, Any, None]],
) -> float:
    """All requests at once. Returns the seconds until the last answer."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(
        base_url=address, limits=limits, timeout=_PATIENCE_S, trust_env=False
    ) as client:
        began_s = time.perf_counter()
        await asyncio.gather(*(ask(client, item) for item in items))
        return time.perf_counter() - began_s


async def _ask(
    client: httpx.AsyncClient, name: str, expected: list[str], result: Round, tries: int | None
) -> None:
    began_s, n_tries = time.perf_counter(), 0
    while tries is None or n_tries < tries:
        status, headers, body = await _get(client.base_url, f"/similar?track={name}&k={K}")
        result.statuses[status] += 1
        n_tries += 1
        if status == 200:
            result.seconds.append(time.perf_counter() - began_s)
            result.wrong += [track["id"] for track in json.loads(body)["tracks"]] != expected
            return
        await asyncio.sleep(float(headers["retry-after"]))


async def _get(url: httpx.URL, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body. A client library would cost more than the server."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {url.host}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


async def _send(client: httpx.AsyncClient, file: Path, result: Round) -> None:
    began_s, content = time.perf_counter(), file.read_bytes()
    while True:
        answer = await client.post(
            "/similar", params={"k": K}, files={"file": (file.name, content)}
        )
        result.statuses[answer.status_code] += 1
        if answer.status_code != 503:
            result.seconds.append(time.perf_counter() - began_s)
            return
        await asyncio.sleep(float(answer.headers["retry-after"]))


def _print_row(
    title: str, clients: int, total_s: float, result: Round, wrong: str | None = None
) -> None:
    """A row of the table. A quantile needs as many answers as it has parts."""
    seconds = sorted(result.seconds)
    cuts = quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else seconds * 99
    others = {s: n for s, n in result.statuses.items() if s not in (200, 503)}
    n_right = result.statuses[200] - result.wrong
    row = [title, f"{clients:,}", f"{n_right:,}", wrong or result.wrong]
    row += [f"{result.statuses[503]:,}"]
    for cut, least in ((49, 2), (94, 20), (98, 100)):
        row.append(f"{cuts[cut]:.1f} s" if len(seconds) >= least else "-")
    row.append(f"{seconds[-1]:.1f} s" if seconds else "-")
    print(f"| {' | '.join(map(str, row))} |  <!-- {total_s:.1f} s in all; others: {others} -->")


class _Server:
    """`melgraph serve` in a process of its own."""

    def __init__(self, home: Path) -> None:
        command = [sys.executable, "-m", "melgraph.pipelines.cli", "serve", "--home", str(home)]
        self._process = subprocess.Popen(
            [*command, "--port", "0"], stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    def __enter__(self) -> "_Server":
        assert self._process.stdout is not None
        output = ""
        while not (match := re.search(r"http://[\d.]+:\d+", output)):
            line = self._process.stdout.readline()
            if not line:
                raise SystemExit(f"the server did not start:\n{output}")
            output += line
        self.address = match[0]
        httpx.get(f"{self.address}/tracks", params={"limit": 1}, timeout=_PATIENCE_S)  # opens it
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait()

    def peak_bytes(self) -> int:
        """The most memory that the process of the server has used."""
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        match = re.search(r"VmHWM:\s+(\d+) kB", text)
        assert match is not None
        return int(match[1]) * 1024


if __name__ == "__main__":
    main()
