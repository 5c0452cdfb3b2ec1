"""The shipped specifications of compositions."""

import tomllib
from importlib.resources import files

import pytest
from pydantic import TypeAdapter

from melgraph.ml.generative.kinds import build
from melgraph.ml.models.base import InputShape
from melgraph.ml.specs.generative_model import CompositionSpec, GenerativeModelSpec


def table_of(name):
    path = files("melgraph.ml.specs") / "generative_models" / f"{name}.toml"
    table = tomllib.loads(path.read_text())
    base = table.pop("extends", None)
    return table if base is None else {**table_of(base), **table}


@pytest.mark.parametrize(
    ("name", "millions"), [("composition", (1, 5)), ("composition-gpu", (10, 60))]
)
def test_a_shipped_specification_has_a_network_of_the_stated_size(name, millions):
    spec = TypeAdapter(GenerativeModelSpec).validate_python(table_of(name))
    assert isinstance(spec, CompositionSpec)
    assert spec.genres == ()
    shape = InputShape(1, 128, spec.frames)
    options = spec.network.model_dump(mode="json")
    network = build(spec.kind, shape, ("rock", "jazz"), options=options)
    assert network.options == options
    assert millions[0] * 1e6 <= network.n_parameters <= millions[1] * 1e6
