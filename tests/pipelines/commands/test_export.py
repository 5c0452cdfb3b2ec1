"""`melgraph export`: copies of a generated sound, signed or not, and what an audit says of them."""

import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import c2pa
import pytest
from mutagen.id3 import ID3

from melgraph.assets.generation.sounds import Sounds
from melgraph.ml.credentials import manifests
from melgraph.ml.credentials.certificates import self_made_credential
from melgraph.ml.generation import copies
from melgraph.pipelines.cli import main
from melgraph.storage import home as home_module
from tests.conftest import HEAVY_MODULES, MadeHome, copy_home

MIME_TYPES = {".flac": "audio/flac", ".wav": "audio/wav", ".mp3": "audio/mpeg"}
FORMATS = ("flac", "wav", "mp3")
DREAMS = "dreams/deep-dream"


@pytest.fixture
def melgraph(home_copy, tmp_path, monkeypatch, capsys):
    """Runs a command on a copy of the made home, in an empty folder: status, output, errors."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    home = home_copy()

    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([*map(str, arguments), "--home", str(home.root)])
        written = capsys.readouterr()
        return status, written.out, written.err

    run.home = home
    return run


def dream_of(home: MadeHome) -> Path:
    """The stored dream."""
    sounds = Sounds(home.store, home.store.need(*DREAMS.split("/")))
    (row,) = sounds.rows
    return sounds.artifact.folder / sounds.new_file(row)


def state_of(path: Path) -> str:
    """What c2pa's own reader says, with its own settings."""
    with path.open("rb") as file:
        return json.loads(c2pa.Reader(MIME_TYPES[path.suffix], file).json())["validation_state"]


def files_here() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_signed_copy_is_verified_by_a_reader_and_by_an_audit(melgraph, file_format):
    stored = dream_of(melgraph.home)
    before = stored.read_bytes()
    copy = Path(f"{stored.stem}.{file_format}")
    status, output, _ = melgraph("export", DREAMS, "--format", file_format, "--sign")
    assert status == 0
    assert f"copy:    {copy}" in output
    assert state_of(copy) == "Valid"
    status, output, _ = melgraph("audit", copy)
    assert status == 0
    assert "signature: holds; signed by melgraph self-made, not verified" in output
    assert "02 Under the Été.wav" in output  # the recording
    assert "network: trained_models/small-cnn/" in output
    assert "trained on" in output
    assert "mark: http://cv.iptc.org/newscodes/digitalsourcetype/composite" in output
    flip(copy)
    assert state_of(copy) == "Invalid"
    status, output, _ = melgraph("audit", copy)
    assert status == 1
    assert f"{copy}: the signature does not hold: the bytes of the file are not" in output
    assert stored.read_bytes() == before
    assert melgraph("audit", stored)[0] == 0


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_copy_without_a_signature_says_what_it_is(melgraph, file_format):
    assert melgraph("export", dream_of(melgraph.home), "--to", f"x.{file_format}")[0] == 0
    status, output, _ = melgraph("audit", f"x.{file_format}")
    assert status == 0
    assert "signature: none" in output
    assert f"copy: {file_format}: " in output
    assert melgraph("export", f"x.{file_format}", "--to", "again.wav")[0] == 0  # of a copy
    assert not (melgraph.home.root / "credentials").exists()


def test_the_stored_sound_is_marked_in_a_form_that_a_machine_reads(melgraph):
    assert melgraph("export", DREAMS, "--to", "x.mp3")[0] == 0
    tags = ID3("x.mp3")
    assert str(tags["TXXX:digital_source_type"]).endswith("/compositeWithTrainedAlgorithmicMedia")
    assert str(tags["TXXX:melgraph_method"]) == "deep_dream"
    assert str(tags["TXXX:melgraph_source"]).endswith("02 Under the Été.wav")


def test_two_signed_copies_leave_the_stored_sound_as_it_is(melgraph):
    stored = dream_of(melgraph.home)
    before = stored.read_bytes()
    for name in ("one.wav", "two.wav"):
        assert melgraph("export", DREAMS, "--to", name, "--sign")[0] == 0
    assert stored.read_bytes() == before
    assert Path("one.wav").read_bytes() != Path("two.wav").read_bytes()
    certificates = melgraph.home.root / "credentials" / "certificates.pem"
    trust = {"trust": {"trust_anchors": certificates.read_text()}}
    for name in ("one.wav", "two.wav"):
        context, data = c2pa.Context.from_dict(trust), BytesIO(Path(name).read_bytes())
        reader = c2pa.Reader("audio/wav", data, context=context)
        assert reader.get_validation_state() == "Trusted"  # both by the key of this home


def test_a_user_signs_with_a_certificate_of_their_own(melgraph):
    own = self_made_credential()
    Path("chain.pem").write_bytes(own.chain)
    Path("key.pem").write_bytes(own.key)
    Path("other.pem").write_bytes(self_made_credential().key)
    sign = ("export", DREAMS, "--to", "x.wav", "--sign", "--certificate", "chain.pem")
    status, _, errors = melgraph(*sign, "--key", "other.pem")
    assert status == 2
    assert "the key does not fit the certificate" in errors
    assert not Path("x.wav").exists()
    assert melgraph(*sign, "--key", "key.pem")[0] == 0
    assert state_of(Path("x.wav")) == "Valid"
    assert not (melgraph.home.root / "credentials").exists()


def test_mistakes_have_one_message_and_write_nothing(melgraph):
    Path("there.wav").write_text("mine")
    inside = dream_of(melgraph.home).parent / "x.wav"
    for arguments, message in (
        (("--to", "there.wav"), "overwrites nothing"),
        (("--to", "there.ogg"), "ends in 'ogg', which is not flac or wav or mp3"),
        (("--to", "x.wav", "--format", "mp3"), "ends in 'wav', which is not mp3"),
        (("--to", "gone/x.wav"), "the folder of the copy does not exist"),
        (("--to", inside), "cannot be written into a home"),
        (("--number", "2"), "there is no sound 2"),
        (("--key", "key.pem"), "--key has no effect without --sign"),
        (("--sign", "--key", "key.pem"), "--key is given without --certificate"),
    ):
        status, output, errors = melgraph("export", DREAMS, *arguments)
        assert (status, output) == (2, "")
        assert message in errors
        assert errors.count("remedy:") == 1
    assert melgraph("export", "trained_models/small-cnn")[0] == 2
    assert files_here() == ["there.wav"]
    assert Path("there.wav").read_text() == "mine"


def test_a_damaged_stored_sound_is_not_exported(melgraph):
    flip(dream_of(melgraph.home))
    status, _, errors = melgraph("export", DREAMS, "--sign")
    assert status == 2
    assert "differs from its recorded SHA-256" in errors
    assert files_here() == []


@pytest.mark.parametrize("moment", ["encode", "sign", "write", "rename"])
def test_an_interrupt_leaves_nothing(melgraph, monkeypatch, moment):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    place = {
        "encode": (copies, "encode_copy"),
        "sign": (manifests, "sign"),
        "write": (home_module.os, "fsync"),
        "rename": (Path, "replace"),
    }[moment]
    assert melgraph("export", DREAMS, "--sign", "--to", "first.wav")[0] == 0  # makes the key
    monkeypatch.setattr(*place, interrupt)
    status, _, _ = melgraph("export", DREAMS, "--sign", "--to", "second.wav")
    assert status == 130
    assert files_here() == ["first.wav"]


def test_an_export_starts_at_once(made_home, tmp_path):
    """It imports neither Dagster nor torch. Counted in imports: seconds depend on the machine."""
    arguments = ["export", DREAMS, "--sign", "--to", str(tmp_path / "x.mp3")]
    program = (
        "import sys; from melgraph.pipelines.cli import main; "
        f"status = main({arguments!r}); "
        f"print(status, sorted(set({HEAVY_MODULES!r}) & set(sys.modules)))"
    )
    home = copy_home(made_home, tmp_path)
    environment = {**os.environ, "MELGRAPH_HOME": str(home.root)}
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert ran.stdout.splitlines()[-1] == "0 ['numpy']", ran.stderr
