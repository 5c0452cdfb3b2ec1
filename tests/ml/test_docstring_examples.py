"""The examples in docstrings print what they say."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import melgraph.ml

ML = Path(melgraph.ml.__file__).parent
WITH_EXAMPLES = [
    ".".join(("melgraph.ml", *path.relative_to(ML).with_suffix("").parts))
    for path in sorted(ML.rglob("*.py"))
    if "\n    >>> " in path.read_text(encoding="utf-8")
]


def test_there_are_examples():
    assert "melgraph.ml.evaluation.classification" in WITH_EXAMPLES


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_print_what_they_say(name):
    result = doctest.testmod(import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
