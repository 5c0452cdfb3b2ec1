"""`melgraph reproduce`, on the artifacts of a real run."""

import shutil
from dataclasses import replace

from melgraph.pipelines.cli import main
from tests.conftest import MadeHome
from tests.pipelines.commands.chains import chain_of, dream_of, flip


def test_reproduce(made_home, capsys, monkeypatch):
    artifact, sound = dream_of(made_home)
    assert main(["reproduce", str(sound)]) == 0
    assert (
        f"all {len(artifact.record.files)} file(s) have the recorded bytes"
        in capsys.readouterr().out
    )

    from melgraph.assets.generation import dreams

    write = dreams.write_dreams

    def write_other_bytes(store, work):
        write(store, work)
        flip(work.folder / sound.name)

    monkeypatch.setattr(dreams, "write_dreams", write_other_bytes)
    assert main(["reproduce", str(sound)]) == 1
    output = capsys.readouterr().out
    assert f"1 of {len(artifact.record.files)} file(s) differ:\n  {sound.name}\n" in output
    assert "recorded on: " in output
    assert audit_problems(made_home) == []  # the artifact itself is unchanged


def test_an_artifact_without_one_of_its_inputs_cannot_be_reproduced(home_copy, capsys):
    home = home_copy()
    shutil.rmtree(home.home.artifacts / "trained_models")
    assert main(["reproduce", str(dream_of(home)[1])]) == 2
    assert "remedy: materialize trained_models for small-cnn" in capsys.readouterr().err


def test_older_code_is_named_as_the_reason(home_copy, capsys, monkeypatch):
    from melgraph.assets import stages

    home = home_copy()
    _, sound = dream_of(home)
    newer = replace(stages.DREAMS, number=stages.DREAMS.number + 1)
    monkeypatch.setitem(stages.STAGES, stages.DREAMS.name, newer)
    monkeypatch.setattr("melgraph.assets.remaking.remake", lambda *_: [sound.name])
    assert main(["reproduce", str(sound)]) == 1
    output = capsys.readouterr().out
    assert f"made by stage {newer.number - 1} of dreams, and this is stage {newer.number}" in output
    assert "last bits" not in output


def audit_problems(home: MadeHome) -> list[str]:
    return [problem for link in chain_of(home) for problem in home.store.verify(link)]
