"""1,000 requests at once against a real server: each gets a right answer or is told to come back.

The server is a process of its own, as `melgraph serve` starts it, so that its memory can be read.
"""

import asyncio
import re
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from melgraph.assets.recommendations.queries import Query, Recommender
from tests.conftest import PATIENCE_S

REQUESTS = 1000
K = 5


@dataclass(frozen=True)
class Served:
    address: str
    pid: int

    def peak_bytes(self) -> int:
        """The most memory that the process of the server has used."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024


@pytest.fixture(scope="module")
def served(made_home) -> Iterator[Served]:
    process = subprocess.Popen(
        [sys.executable, "-m", "melgraph.pipelines.cli", "serve", "--home", str(made_home.root),
         "--port", "0", "--concurrent", "2", "--waiting", "30"],
        stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    output = ""
    while "Ctrl-C" not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    yield Served(re.search(r"http://[\d.]+:\d+", output)[0], process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


@pytest.fixture(scope="module", autouse=True)
def _many_connections() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * REQUESTS:
        pytest.skip(f"the system allows only {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * REQUESTS), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def ask_all(served: Served, ids: list[str]) -> list[httpx.Response]:
    """One request for each id, all of them at once."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(
        base_url=served.address, limits=limits, timeout=PATIENCE_S, trust_env=False
    ) as client:
        questions = (client.get("/similar", params={"track": name, "k": K}) for name in ids)
        return await asyncio.gather(*questions)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="memory is read from /proc")
def test_a_thousand_requests_at_once(made_home, served):
    recommender = Recommender.open(made_home.context)
    ids = recommender.tracks["track_id"].to_list()
    expected = {
        name: [track.track_id for track in recommender.similar(Query(like=(name,), k=K)).tracks]
        for name in ids
    }
    asked = [ids[number % len(ids)] for number in range(REQUESTS)]
    first = asyncio.run(ask_all(served, asked))
    peak = served.peak_bytes()
    second = asyncio.run(ask_all(served, asked))
    for answers in (first, second):
        statuses = Counter(answer.status_code for answer in answers)
        assert set(statuses) <= {200, 503}
        assert sum(statuses.values()) == REQUESTS
        assert statuses[200] > 0
        for name, answer in zip(asked, answers, strict=True):
            if answer.status_code == 200:
                assert [track["id"] for track in answer.json()["tracks"]] == expected[name]
            else:
                assert answer.json()["code"] == "busy"
                assert int(answer.headers["retry-after"]) > 0
    # A second thousand needs no more memory than the first, give or take a few megabytes.
    assert served.peak_bytes() - peak < 50e6
    metrics = httpx.get(f"{served.address}/metrics", trust_env=False).text
    counted = re.findall(
        r'requests_total\{method="GET",route="/similar",status="\d+"\} (\S+)', metrics
    )
    assert sum(map(float, counted)) == 2 * REQUESTS
    assert "melgraph_requests_in_progress 1.0" in metrics


def test_clients_that_come_back_get_their_answers(made_home, served):
    """Nobody is refused for ever: refused requests are sent again until all are answered."""
    ids = Recommender.open(made_home.context).tracks["track_id"].to_list()
    left = [ids[number % len(ids)] for number in range(200)]
    for _ in range(1000):
        answers = asyncio.run(ask_all(served, left))
        left = [
            name for name, answer in zip(left, answers, strict=True) if answer.status_code == 503
        ]
        if not left:
            break
    assert left == []
