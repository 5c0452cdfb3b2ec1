"""Query files: a decoder that crashes or hangs costs its request, and no file is left behind."""

import io
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from melgraph.assets.service.problems import Refusal
from melgraph.assets.service.uploads import Uploads
from melgraph.ml.inference.query_files import QueryFile, QuerySound, write_query_sound
from tests.conftest import PATIENCE_S


def crash_or_hang(file: QueryFile) -> QuerySound:
    """A decoder with faults, importable by the worker processes."""
    content = file.source.read_bytes()
    if content == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if content == b"hang":
        time.sleep(PATIENCE_S)
    return write_query_sound(file)


def files_of(uploads: Uploads) -> list[Path]:
    """The temporary files that exist now."""
    assert uploads._folder is not None
    return [path for path in uploads._folder.rglob("*") if path.is_file()]


def song(seconds: float = 2.0, rate: int = 8000) -> io.BytesIO:
    file = io.BytesIO()
    tone = 0.3 * np.sin(np.arange(round(seconds * rate)) * 0.3)
    soundfile.write(file, tone, rate, format="FLAC")
    file.seek(0)
    return file


LONG = song(20.0).getvalue()


def refusal(uploads: Uploads, content: bytes) -> Refusal:
    with pytest.raises(Refusal) as refused, uploads.decode(io.BytesIO(content)):
        pass
    return refused.value


def test_a_file_exists_as_long_as_it_is_used():
    uploads = Uploads(workers=1, most_s=60.0, time_limit_s=PATIENCE_S)
    with uploads.decode(song()) as upload:
        assert files_of(uploads) == [upload.path]  # the file of the client is gone already
        assert soundfile.info(upload.path).duration == 2.0
        assert upload.caution is None
    assert files_of(uploads) == []
    folder = uploads._folder
    uploads.close()
    assert not folder.exists()


def test_what_is_said_about_a_long_file():
    uploads = Uploads(workers=1, most_s=1.0, time_limit_s=PATIENCE_S)
    with uploads.decode(song(10.0)) as upload:
        assert upload.caution == "only the first 1 s of 10 s were used"
        assert soundfile.info(upload.path).duration == 1.0
    uploads.close()


def test_a_decoder_that_crashes_costs_its_request():
    uploads = Uploads(workers=1, most_s=60.0, time_limit_s=PATIENCE_S, decode=crash_or_hang)
    for _ in range(2):
        refused = refusal(uploads, b"crash")
        assert (refused.status_code, refused.problem.code) == (422, "crashed")
        assert "SIGSEGV" in refused.problem.what
        assert files_of(uploads) == []
        with uploads.decode(song()) as upload:
            assert upload.path.is_file()
    uploads.close()


def test_a_decoder_that_hangs_is_stopped():
    uploads = Uploads(workers=1, most_s=60.0, time_limit_s=1.0, decode=crash_or_hang)
    refused = refusal(uploads, b"hang")
    assert (refused.status_code, refused.problem.code) == (422, "hung")
    assert files_of(uploads) == []
    uploads.close()


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "empty"),
        (b"%PDF-1.4 no sound" * 500, 415, "undecodable"),
        (LONG[: len(LONG) // 2], 422, "truncated"),
        (song(0.2).getvalue(), 422, "too-short"),
    ],
)
def test_files_that_cannot_be_used(content, status, code):
    uploads = Uploads(workers=1, most_s=60.0, time_limit_s=PATIENCE_S)
    refused = refusal(uploads, content)
    assert (refused.status_code, refused.problem.code) == (status, code)
    assert refused.problem.where == "file"
    assert files_of(uploads) == []
    uploads.close()


def test_a_query_that_fails_leaves_no_file():
    uploads = Uploads(workers=1, most_s=60.0, time_limit_s=PATIENCE_S)
    with pytest.raises(ZeroDivisionError), uploads.decode(song()):
        raise ZeroDivisionError
    assert files_of(uploads) == []
    uploads.close()
