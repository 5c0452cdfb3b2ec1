"""`melgraph demo`: it processes the sample library, whatever the environment says."""

import os
from types import SimpleNamespace

from melgraph.assets.settings import SAMPLE_LIBRARY
from melgraph.ml import sample_library
from melgraph.pipelines.cli import main
from melgraph.pipelines.commands import run


def test_the_sample_library_wins_over_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MELGRAPH_LIBRARY", str(tmp_path))
    libraries = []

    def write(folder, progress):
        progress(1, 2)
        return SimpleNamespace(n_tracks=2, n_faulty=1)

    monkeypatch.setattr(sample_library, "write_sample_library", write)
    monkeypatch.setattr(
        run, "run", lambda options: libraries.append(os.environ["MELGRAPH_LIBRARY"]) or 0
    )
    assert main(["demo", "--home", "home"]) == 0
    assert libraries == [str(tmp_path / SAMPLE_LIBRARY)]
    output = capsys.readouterr().out
    assert "ignores MELGRAPH_LIBRARY" in output
    assert "2 tracks and, on purpose, 1 damaged files" in output
