"""The shipped recreations: the settings of the source, once without and once with an LSTM."""

import tomllib

from melgraph.ml.generative.kinds import build
from melgraph.ml.models.base import InputShape
from melgraph.ml.sample_library.styles import STYLES
from melgraph.ml.specs.base import merge_tables
from melgraph.ml.specs.generative_model import RecreationSpec
from melgraph.ml.specs.loading import SHIPPED


def shipped(name: str) -> RecreationSpec:
    table = tomllib.loads((SHIPPED / "generative_models" / f"{name}.toml").read_text())
    base = table.pop("extends", None)
    described = shipped(base).model_dump() if base else {}
    return RecreationSpec.model_validate(merge_tables(described, table))


def test_the_two_differ_by_the_lstm_and_have_the_settings_of_the_source():
    plain, lstm = shipped("recreation-plain"), shipped("recreation-lstm")
    assert lstm.model_copy(update={"title": plain.title, "network": plain.network}) == plain
    assert (plain.network.lstm, lstm.network.lstm) == (False, True)
    training = plain.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (20, 32, 1e-4)
    assert plain.validation == 0.2
    assert set(plain.genres) <= set(STYLES)


def test_their_networks_can_be_built():
    counts = [
        build(
            spec.kind, InputShape(1, 20, 43), spec.genres, options=spec.network.model_dump()
        ).n_parameters
        for spec in map(shipped, ("recreation-plain", "recreation-lstm"))
    ]
    assert counts == [91760, 224880]
