"""Licences that an artifact inherits from the weights that it follows from.

An artifact that was made from published weights names their licences in its record. Whatever is
made from this artifact names them too: a model, an evaluation, a sound.
"""

from collections.abc import Iterable

from melgraph.storage.records import Record

LICENCES = "licences"  # key of the facts of a record
Licences = list[dict[str, str]]
"""One mapping per file of weights: `of` and `sha256` say which, the rest says the terms."""


def recorded_licences(record: Record) -> Licences:
    """The licences that a record names; empty if it follows from no weights."""
    licences: Licences = list(record.facts.get(LICENCES, []))
    return licences


def merge_licences(*several: Iterable[dict[str, str]]) -> Licences:
    """The licences of all lists, each once, sorted by what they are of."""
    by_file = {(entry["of"], entry["sha256"]): entry for each in several for entry in each}
    return [by_file[key] for key in sorted(by_file)]
