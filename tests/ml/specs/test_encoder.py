"""Specifications of encoders: fusions and their parts, and what is in service."""

from pathlib import Path

import pytest

from melgraph.ml.errors import UserError
from melgraph.ml.specs import load_specs
from melgraph.ml.specs.encoder import FUSION

FUSED = 'title = "x"\nkind = "fusion"\n'


def write(root: Path, **encoders: str) -> Path:
    (root / "encoders").mkdir(parents=True, exist_ok=True)
    for name, text in encoders.items():
        (root / "encoders" / f"{name}.toml").write_text(text)
    return root


def problems_of(root: Path) -> list[str]:
    """The problems, without the folder."""
    with pytest.raises(UserError) as caught:
        load_specs(root)
    lines = caught.value.what.splitlines()[1:]
    return [line.removeprefix(f"  - {root}/encoders/") for line in lines]


def test_the_shares_of_parts_sum_to_1(tmp_path):
    parts = 'parts = ["audio-features", "mel-statistics", "musicnn-jamendo"]\n'
    root = write(
        tmp_path,
        equal=FUSED + parts,
        double=FUSED + parts + "weights = [2, 2, 2]\n",
        unequal=FUSED + parts + "weights = [2, 1, 1]\n",
    )
    encoders = load_specs(root).encoders
    assert encoders["equal"].shares == pytest.approx((1 / 3,) * 3)
    assert encoders["double"].shares == encoders["equal"].shares
    assert encoders["unequal"].shares == (0.5, 0.25, 0.25)
    assert encoders["musicnn-jamendo"].shares == ()


def test_the_keys_of_fusions_change_no_version_of_other_encoders():
    encoder = load_specs().encoders["musicnn-jamendo"]
    assert {"parts", "weights"}.isdisjoint(encoder.dump_for_version())


def test_all_problems_of_fusions_are_reported_at_once(tmp_path):
    features = 'parts = ["audio-features", "mel-statistics"]\n'
    root = write(
        tmp_path,
        good=FUSED + features,
        lonely=FUSED + 'parts = ["audio-features"]\nweights = [1, 2]\n',
        misspelt=FUSED + 'parts = ["audio-feature", "mel-statistics", "mel-statistics"]\n',
        nested=FUSED + 'parts = ["nested", "good", "mel-statistics"]\n',
        negative=FUSED + features + "weights = [1, -1]\n",
        zero=FUSED + features + "weights = [0, 1]\n",
        nothing=FUSED,
        number=FUSED + "parts = 3\n",
        tagger=FUSED + features + 'tagger = "musicnn-jamendo"\n',
        layered=FUSED + features + 'layer = "conv1"\n',
        plain='title = "x"\nkind = "mel_statistics"\n' + features + "weights = [1, 1]\n",
        broken="title = ",
        joins_a_broken_one=FUSED + 'parts = ["broken", "mel-statistics"]\n',
    )
    problems = problems_of(root)
    shipped = [name for name, spec in load_specs().encoders.items() if spec.kind != FUSION]
    choices = ", ".join(sorted([*shipped, "plain"]))
    expected = {
        "lonely.toml: parts: a fusion joins at least two encoders (got ['audio-features'])",
        "lonely.toml: weights: 2 weight(s) for 1 part(s)",
        "misspelt.toml: parts: named twice: mel-statistics",
        f"misspelt.toml: parts: 'audio-feature' is not one of the encoders: {choices}",
        f"nested.toml: parts: 'nested' is this fusion itself; choose from: {choices}",
        "nested.toml: parts: 'good' is a fusion too; name its parts instead: audio-features, "
        "mel-statistics",
        "negative.toml: weights.1: Input should be greater than 0 (got -1)",
        "zero.toml: weights.0: Input should be greater than 0 (got 0)",
        "nothing.toml: parts: a fusion must name the encoders that it joins",
        "number.toml: parts: Input should be a valid tuple (got 3)",
        "tagger.toml: tagger: a fusion names taggers by their encoders, in parts",
        "plain.toml: parts: only an encoder of the kind 'fusion' has parts",
        "plain.toml: weights: only an encoder of the kind 'fusion' has weights",
    }
    assert expected <= set(problems)
    rest = [problem.partition(":")[0] for problem in problems if problem not in expected]
    assert sorted(rest) == ["broken.toml", "layered.toml"]


def test_the_parts_of_a_fusion_in_service_are_in_service(tmp_path):
    root = write(tmp_path, mine=FUSED + 'parts = ["audio-features", "musicnn-jamendo"]\n')
    by_default = load_specs(root).in_service
    assert {"mine", "audio-features", "musicnn-jamendo"} <= set(by_default)
    assert "musicnn-jamendo" not in load_specs().in_service
    (root / "encoders.toml").write_text('in_service = ["mine", "mel-statistics"]\n')
    assert load_specs(root).in_service == [
        "audio-features",
        "mel-statistics",
        "mine",
        "musicnn-jamendo",
    ]
