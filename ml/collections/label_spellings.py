"""One class for labels that differ only by Unicode composition, letter case or blanks.

Folders that were named on different systems, and cells that were typed by hand, often differ in
these ways only. Labels that differ more (`hip hop`, `hip-hop`) stay different classes, and a
warning names them.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from melgraph.ml.collections.base import Annotations, Finding, Row, examples
from melgraph.ml.recordings.spelling import spelling_key


def join_label_spellings(annotations: Annotations) -> Annotations:
    """The annotations with one spelling for each label, and a warning for each joined label.

    The spelling that is used is composed and has single blanks. Of several, it is the one that most
    tracks have; of equally frequent ones the first in the order of Unicode (`Rock` before `rock`).
    """
    spellings: dict[str, set[str]] = {}
    counts: dict[str, Counter[str]] = {}
    for label in (label for row in annotations.rows if row for label in _all_labels(row)):
        spellings.setdefault(_key(label), set()).add(label)
        counts.setdefault(_key(label), Counter())[_compose(label)] += 1
    used = {key: min(of_key, key=lambda label: (-of_key[label], label))
            for key, of_key in counts.items()}  # fmt: skip

    def rename(row: Row) -> Row:
        one, more = (tuple(dict.fromkeys(used[_key(label)] for label in of_row))
                     for of_row in (row.labels, row.unused_labels))  # fmt: skip
        unchanged = (one, more) == (row.labels, row.unused_labels)
        return row if unchanged else replace(row, labels=one, unused_labels=more)

    joined = [
        f"{used[key]!r} ({', '.join(sorted(map(_show, of_key)))})"
        for key, of_key in sorted(spellings.items())
        if len(of_key) > 1
    ]
    findings = list(annotations.findings)
    if joined:
        what = f"{len(joined)} label(s) are spelled in several ways, and are one class each: "
        findings.append(Finding("warning", what + examples(joined)))
    if alike := _alike(used.values()):
        what = f"{len(alike)} set(s) of labels look alike, but are different classes: "
        findings.append(Finding("warning", what + examples(alike)))
    rows = tuple(row and rename(row) for row in annotations.rows)
    return replace(annotations, rows=rows, findings=tuple(findings))


def _all_labels(row: Row) -> tuple[str, ...]:
    return row.labels + row.unused_labels


def _compose(label: str) -> str:
    return " ".join(unicodedata.normalize("NFC", label).split())


def _key(label: str) -> str:
    """Equal for labels that are joined."""
    return unicodedata.normalize("NFC", _compose(label).casefold())


def _show(label: str) -> str:
    """A label in quotes. What cannot be seen is escaped."""
    hidden = label != unicodedata.normalize("NFC", label) or _compose(label) != label.strip(" ")
    return ascii(label) if hidden else repr(label)


def _alike(labels: Iterable[str]) -> list[str]:
    """Labels that differ only by accents and punctuation."""
    by_key: dict[str, list[str]] = {}
    for label in sorted(labels):
        by_key.setdefault(spelling_key(label), []).append(label)
    return [" and ".join(map(repr, group)) for group in by_key.values() if len(group) > 1]
