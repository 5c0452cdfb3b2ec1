"""Licences of published weights, known by the SHA-256 of their files.

What is made with a model inherits the terms of the weights that the model was made from. Records
name these terms; they are no legal advice.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Licence:
    """The licence of weights, and that of the data that they were trained on.

    Attributes:
        weights: licence of the weights, and who holds the copyright.
        data: terms of the recordings or pictures that they were trained on.
        commercial_use: `allowed`, `forbidden` or `unclear`, by the terms of weights and data.
    """

    weights: str = "not stated"
    data: str = "not stated"
    commercial_use: str = "unclear"


_JAMENDO = Licence(
    "MIT, (c) 2020 Minz Won",
    "MTG-Jamendo: recordings under Creative Commons licences, many of them non-commercial; "
    "metadata CC BY-NC-SA 4.0",
    "forbidden",
)
_EFFICIENT_AT = Licence(
    "MIT, (c) 2022 Florian Schmid",
    "AudioSet: labels CC BY 4.0; the recordings are YouTube videos under terms of their own",
)
_IMAGENET = "ImageNet: for non-commercial research and education"
KNOWN: dict[str, Licence] = {
    "66280f4859376377c47f64313c7ac889a3201fdb06a01bf6e94ac6e619081bb5": _JAMENDO,  # musicnn
    "7bce08a66dbc70d096b0a330f44b4cacd9aa25519b83489fbb98f2164a194e2b": _JAMENDO,  # fcn
    "0a558989c0793f488cb677d188464c91f47c007f7c70473230e55537ca598215": _JAMENDO,  # crnn
    "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c": _EFFICIENT_AT,  # mn04
    "34b2672ae181b72261b2bf7df280b5e482631777fa64bc7b39015ad081c3af2c": _EFFICIENT_AT,  # a copy
    "a0bcb492d2b102e379a3972d57c4c66a71e1eaffacf156e327c22a9e29422fe6": Licence(
        "CC BY 4.0, Karen Simonyan and Andrew Zisserman (VGG-16)", _IMAGENET, "forbidden"
    ),
    "c0ba56cd3310cbc6a37282697076bd257a1ad684b95dabc3cf7f3780b3afbbf4": Licence(
        "Apache-2.0 (EfficientNet-Lite 0)", _IMAGENET, "forbidden"
    ),
    "79edfef9fcdfcb8ae9f421d12ce2acd0a53fb641f3dac0f4a82b15456c56bd6b": Licence(
        "BSD-2-Clause, (c) Yahoo (a ResNet-50 of half width)",
        f"{_IMAGENET}; then a set of pictures that was not published",
        "forbidden",
    ),
}
IMAGENET = Licence("Apache-2.0 (timm)", _IMAGENET, "forbidden")
TORCHVISION = Licence("BSD-3-Clause (torchvision)", _IMAGENET, "forbidden")


def licence_entry(of: str, sha256: str, stated: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The licence of a file of weights, as a record names it.

    Args:
        of: what people call the weights: the name of a tagger, or what an experiment names.
        sha256: of the file.
        stated: the licence that the user's TOML states, if any; it precedes what is known here.
    """
    known = KNOWN.get(sha256, IMAGENET if of == "imagenet" else Licence())
    return {"of": of, "sha256": sha256, **asdict(known), **dict(stated or {})}


def licence_sentence(entry: Mapping[str, str]) -> str:
    """The licence of weights in one line, for people."""
    commercial = f"commercial use is {entry['commercial_use']}"
    return f"{entry['of']}: weights {entry['weights']}; data: {entry['data']}; {commercial}"
