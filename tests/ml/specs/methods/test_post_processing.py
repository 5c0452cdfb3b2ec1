import tomllib

import pytest
from pydantic import TypeAdapter, ValidationError

from melgraph.ml.specs.methods.post_processing import HighPass, Loudness, PostStep

STEPS = TypeAdapter(tuple[PostStep, ...])


def test_the_key_step_chooses_the_class_and_the_order_stays() -> None:
    table = tomllib.loads(
        'post = [{ step = "loudness", target_lufs = -14 }, { step = "high_pass", cutoff_hz = 40 }]'
    )
    assert STEPS.validate_python(table["post"]) == (
        Loudness(target_lufs=-14),
        HighPass(cutoff_hz=40),
    )


@pytest.mark.parametrize(
    "step",
    [
        {"step": "reverb"},
        {"cutoff_hz": 40},
        {"step": "high_pass", "cutoff_hz": 0},
        {"step": "loudness", "target_lufs": 3},
        {"step": "true_peak_limiter", "ceiling_db": 1},
        {"step": "fades", "cutoff_hz": 30},
    ],
)
def test_refused(step: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        STEPS.validate_python([step])
