"""`melgraph tag`: predicted tags as text and as CSV, and what it refuses."""

import csv
import re

import numpy as np
import soundfile


def test_tags_of_files(made_home, tmp_path):
    song = next(path for path in made_home.library.rglob("*.flac") if path.name[0] != ".")
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"not audio")
    text = made_home.melgraph("tag", str(song), str(broken), "--tagger", "tiny", "--top", "1")
    assert text.returncode == 1  # one of them could not be tagged
    assert re.search(r"genre +(blues|rock) [01]\.\d\d\n", text.stdout)
    assert re.search(r"instrument +piano [01]\.\d\d\n", text.stdout)
    assert re.search(r"broken\.mp3\n  not tagged: [a-z-]+: ", text.stdout)
    table = made_home.melgraph("tag", str(song), "--tagger", "tiny", "--csv")
    assert table.returncode == 0
    rows = list(csv.DictReader(table.stdout.splitlines()))
    assert [row["path"] for row in rows] == [str(song)]
    assert 0 <= float(rows[0]["genre---rock"]) <= 1
    assert rows[0]["problem"] == ""


def test_names_on_an_ascii_terminal_and_in_csv(made_home, tmp_path, monkeypatch):
    broken = tmp_path / "Blå\x1b[31m\n.mp3"
    broken.write_bytes(b"not audio")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    text = made_home.melgraph("tag", str(broken), "--tagger", "tiny")
    assert text.stderr == ""
    assert rf"{tmp_path}/Bl\xe5\x1b[31m\n.mp3" in text.stdout.splitlines()
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    table = made_home.melgraph("tag", str(broken), "--tagger", "tiny", "--csv")
    (row,) = csv.DictReader(table.stdout.splitlines(keepends=True))
    assert row["path"] == str(broken)


def test_a_short_file_is_tagged_with_a_caution_and_a_very_short_one_is_refused(made_home, tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 48000)
    soundfile.write(tmp_path / "short.wav", noise[:32000], 16000)
    soundfile.write(tmp_path / "tiny.wav", noise[:9600], 16000)
    files = [str(tmp_path / name) for name in ("short.wav", "tiny.wav")]
    text = made_home.melgraph("tag", *files, "--tagger", "tiny", "--top", "1")
    assert text.returncode == 1
    caution = "the clip has 2.00 s and the model takes 3.00 s: 33% of what it was given is"
    assert f"short.wav\n  caution: {caution} a repetition\n  genre" in text.stdout
    assert "tiny.wav\n  not tagged: too-short: 0.60 s, and at least 1.00 s" in text.stdout
    table = made_home.melgraph("tag", *files, "--tagger", "tiny", "--csv")
    short, tiny = csv.DictReader(table.stdout.splitlines())
    assert short["caution"].startswith(caution)
    assert (short["problem"], tiny["caution"], tiny["genre---rock"]) == ("", "", "")
    assert tiny["problem"].startswith("too-short: ")


def test_an_unknown_tagger(made_home):
    ran = made_home.melgraph("tag", "x.wav", "--tagger", "big")
    assert ran.returncode == 2
    assert "unknown tagger 'big'" in ran.stderr
    assert "musicnn-jamendo" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_no_tags_at_all(refuse):
    assert "--top" in refuse("tag", "x.wav", "--top", "0")
