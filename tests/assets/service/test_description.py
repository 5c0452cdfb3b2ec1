"""The description (OpenAPI) is true: generated requests get the answers that it promises, and a
client that is generated from it alone works.
"""

import importlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
import soundfile
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
)

from melgraph.assets.recommendations.queries import Query, Recommender
from melgraph.assets.service.app import build_app
from melgraph.assets.service.state import ServiceSettings
from melgraph.storage.home import Home
from tests.assets.service.served import serving
from tests.conftest import PATIENCE_S

DESCRIPTION = build_app(Home(Path("no-home"), "no-library")).openapi()  # reads nothing
EXAMPLES = 25  # of each address, for each kind of generated request
MOST_QUERY = 20_000  # characters
FOR_PROGRAMS = {
    "/similar": {"get", "post"},
    "/path": {"get"},
    "/tracks": {"get"},
    "/tags": {"get"},
    "/tags/{track}": {"get"},
    "/audio/{track}": {"get"},
    "/healthz": {"get"},
    "/metrics": {"get"},
}


@pytest.fixture(scope="module")
def ids(made_home) -> list[str]:
    return Recommender.open(made_home.context).tracks.sort("path")["track_id"].to_list()


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    return DESCRIPTION


@pytest.fixture(scope="module")
def address(made_home) -> Iterator[str]:
    options = ServiceSettings(computed_at_once=1, time_limit_s=PATIENCE_S)
    with serving(made_home.home, options) as served:
        yield f"http://127.0.0.1:{served.port}"


@pytest.fixture(scope="module")
def song() -> bytes:
    file = io.BytesIO()
    noise = 0.2 * np.random.default_rng(0).uniform(-1, 1, 22_050)
    soundfile.write(file, noise, 22_050, format="FLAC")
    return file.getvalue()


@schemathesis.openapi.from_dict(DESCRIPTION).parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_generated_requests_get_the_described_answers(case, address, ids, song):
    """Half of the valid requests name real tracks and send real audio.

    A description cannot say which bytes are audio, so other files may be refused.
    """
    if len(str(case.query)) > MOST_QUERY:
        return  # the server refuses such an address before the service sees it
    is_valid = case.meta.generation.mode is schemathesis.GenerationMode.POSITIVE
    is_real = is_valid and len(str(case.query)) % 2 == 0
    if is_real:
        _name_real_tracks(case, ids, song)
    # Bytes in the place of a text are no valid data to schemathesis.
    unclear = [positive_data_acceptance, negative_data_rejection] if is_valid else []
    excluded = unclear if case.method == "POST" else []
    case.call_and_validate(base_url=address, excluded_checks=excluded, timeout=PATIENCE_S)


def _name_real_tracks(case, ids: list[str], song: bytes) -> None:
    for values in (case.query, case.path_parameters):
        for name in set(values or ()) & {"track", "start", "goal", "unlike"}:
            names = values[name]
            values[name] = ids[: len(names)] if isinstance(names, list) else ids[len(name)]
    if case.method == "POST" and isinstance(case.body, dict):
        case.body = {**case.body, "file": song}  # other cases share the body


def test_it_is_valid_openapi(description):
    validate(description)
    assert {path: set(methods) for path, methods in description["paths"].items()} == FOR_PROGRAMS


def test_everything_is_described(description):
    operations = [
        operation for methods in description["paths"].values() for operation in methods.values()
    ]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    for operation in operations:
        assert operation["description"]
        assert operation["tags"]
        for parameter in operation.get("parameters", ()):
            assert parameter["schema"].get("description") or parameter.get("description")
        for status, answer in operation["responses"].items():
            assert answer["description"]
            if status not in ("200", "206", "416"):
                (content,) = answer["content"].values()
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, status


def test_the_document_names_every_code():
    root = Path(__file__).parents[3]
    sources = [path.read_text("utf-8") for path in (root / "assets/service").rglob("*.py")]
    pattern = r'(?:Refusal\(\s*\d+,\s*|\bcode=|\bcode: str = )"([a-z-]+)"'
    codes = {code for source in sources for code in re.findall(pattern, source)}
    codes |= {"invalid-body"}  # the other branch of an expression
    assert {"busy", "unknown-track", "no-token", "internal-error"} <= codes
    document = (root / "docs/service.md").read_text("utf-8")
    rows = re.findall(r"^\| [\d, ]+ \| (.*?) \|", document, re.M)
    assert set(re.findall(r"`([a-z-]+)`", " ".join(rows))) == codes


def test_two_apps_have_one_description(made_home, description):
    assert build_app(made_home.home).openapi() == description


def test_a_client_generated_from_the_description_alone(made_home, description, tmp_path, ids):
    package = "generated_melgraph_client"
    document, config = tmp_path / "openapi.json", tmp_path / "config.json"
    document.write_text(json.dumps(description))
    config.write_text(json.dumps({"post_hooks": []}))
    command = Path(sys.executable).with_name("openapi-python-client")
    ran = subprocess.run(
        [command, "generate", "--path", document, "--meta", "none", "--config", config,
         "--output-path", tmp_path / package, "--fail-on-warning"],
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    sys.path.insert(0, str(tmp_path))
    try:
        answer, refused = _ask_as_a_stranger(package, made_home.home, ids)
    finally:
        sys.path.remove(str(tmp_path))
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]
    expected = Recommender.open(made_home.context).similar(Query(like=(ids[0],), k=3))
    assert [track.id for track in answer.tracks] == [track.track_id for track in expected.tracks]
    assert [track.path for track in answer.tracks] == [track.path for track in expected.tracks]
    assert answer.index == expected.index
    assert (refused.code, bool(refused.remedy)) == ("unknown-track", True)


def _ask_as_a_stranger(package: str, home: Home, ids: list[str]) -> tuple[Any, Any]:
    """Two answers: for a track of the library, and for one that does not exist."""
    client_class = importlib.import_module(package).Client
    similar = importlib.import_module(f"{package}.api.queries.similar_tracks")
    with serving(home) as served:
        client = client_class(base_url=f"http://127.0.0.1:{served.port}", timeout=PATIENCE_S)
        with client as opened:
            return tuple(
                similar.sync(client=opened, track=[name], k=3) for name in (ids[0], "0" * 32)
            )
