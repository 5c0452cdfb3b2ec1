"""Files of published weights: found or fetched, checked, and read without executing anything."""

import hashlib
import re
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.models import default_options

# `resnet18-f37072fd.pth`: the convention of torch's hub, the first digits of the file's SHA-256.
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})[.]")
_FRAGMENT = re.compile(r"#sha256=([0-9a-fA-F]{8,64})$")
TIMEOUT_S = 20.0


def locate_weights(
    weights: str, architecture: str, options: Mapping[str, Any], folder: Path
) -> Path:
    """The file that `weights` of an experiment names, fetched if need be, its checksum checked.

    Args:
        weights: `imagenet`; a path; or a URL. `#sha256=<hex>` at the end of either is checked, and
            so are the digits of a name like `resnet18-f37072fd.pth`.
        architecture: name in the registry; decides which file `imagenet` is.
        options: of the model.
        folder: where files lie that were fetched, or put there by hand.

    Raises:
        UserError: there is no such file and it cannot be fetched, or it is not what it should be.
    """
    if weights == "imagenet":
        return _imagenet(architecture, options, folder)
    fragment = _FRAGMENT.search(weights)
    place = weights[: fragment.start()] if fragment else weights
    if re.match(r"https?://", place):
        path = folder / place.rsplit("/", 1)[1]
        if not path.is_file():
            _download(place, path)
    else:
        path = Path(place).expanduser()
        path = path if path.is_absolute() or path.is_file() else folder / path
    if not path.is_file():
        raise UserError(
            f"there is no file of weights {place!r}",
            where="model.weights of the experiment",
            remedy=f"give its absolute path, or put it into {folder}; or use none, imagenet, or "
            "the name of another experiment",
        )
    check_digest(path, fragment[1].lower() if fragment else None)
    return path


def published_file(url: str | None, file: str, sha256: str | None, folder: Path) -> Path:
    """A file of published weights, fetched if need be, its checksum checked.

    Args:
        url: where it is published; None for nowhere.
        file: its name below `folder`, or its absolute path.
        sha256: its first digits or all; None for unknown.
        folder: where files lie that were fetched, or put there by hand.

    Raises:
        UserError: it is not there and cannot be fetched, or it is not what it should be.
    """
    path = folder / Path(file).expanduser()
    if not path.is_file() and url:
        _download(url, path)
    if not path.is_file():
        raise UserError(
            f"the weights {file!r} are not there",
            where=str(path),
            remedy="put the file there, or say in the spec of the tagger where it is",
        )
    check_digest(path, sha256)
    return path


def check_digest(path: Path, expected: str | None = None) -> str:
    """The SHA-256 of a file, held against what is expected, or what its name says.

    Raises:
        UserError: it is another; the message has name, size and both.
    """
    named = _HASH_IN_NAME.search(path.name)
    expected = expected or (named[1] if named else None)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected and not found.startswith(expected):
        raise UserError(
            f"{path.name} is damaged: its {path.stat().st_size:,} bytes have the SHA-256 "
            f"{found[:16]}..., not {expected}...",
            where=str(path),
            remedy="fetch it again, whole: a download that was cut short looks like this",
        )
    return found


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.safetensors`, or of a torch file. No pickle is executed.

    Raises:
        UserError: it cannot be read, or holds something else than tensors by name.
    """
    try:
        if path.suffix == ".safetensors":
            found: Any = safetensors.torch.load(path.read_bytes())
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or a hostile file makes the reader raise
        unsafe = "weights_only" in str(error) or "Unsupported" in str(error)
        what = "holds more than weights" if unsafe else "cannot be read: cut short, or damaged"
        raise UserError(
            f"{path.name} ({path.stat().st_size:,} bytes) {what} "
            f"({str(error).splitlines()[0][:120]})",
            where=str(path),
            remedy="fetch it again, whole; or save it as plain tensors by name",
        ) from None
    for key in ("state_dict", "model", "model_state"):  # as trainers wrap it
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise UserError(
            f"{path.name} holds no tensors by name, but {type(found).__name__}",
            where=str(path),
            remedy="give the state dict of a model",
        )
    return {name.removeprefix("module."): value for name, value in found.items()}


def _imagenet(architecture: str, options: Mapping[str, Any], folder: Path) -> Path:
    import timm

    variant = str((default_options(architecture) | dict(options)).get("variant", architecture))
    config = timm.get_pretrained_cfg(variant) if timm.is_model(variant) else None
    if config is None or not config.hf_hub_id:
        raise UserError(
            f"there are no ImageNet weights of the architecture {architecture!r}",
            where="model.weights of the experiment",
            remedy="use resnet18 or vit; or weights = 'none'",
        )
    repository = str(config.hf_hub_id)
    path = folder / f"{variant}.{config.tag}.safetensors"
    published = folder / str(config.url).rsplit("/", 1)[-1]
    if published.suffix == ".pth" and published.is_file():
        check_digest(published)
        return published
    if not path.is_file():
        _from_hub(repository, path, published if published.suffix == ".pth" else None)
    return path


def _from_hub(repository: str, path: Path, published: Path | None) -> None:
    from huggingface_hub import hf_hub_url

    try:  # once: the hub's own client tries for half a minute where there is no network
        _put(path, _fetched(hf_hub_url(repository, "model.safetensors")))
    except (OSError, ValueError) as error:  # no network, no such file, a proxy
        other = f", or timm's {published.name} beside it" if published else ""
        raise UserError(
            f"the ImageNet weights {path.name} are not here, and cannot be fetched "
            f"({type(error).__name__})",
            where=str(path),
            remedy=f"put the file model.safetensors of the model hub's {repository} there, under "
            f"that name{other}; or use weights = 'none'",
        ) from None


def _download(url: str, path: Path) -> None:
    try:
        content = _fetched(url)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the weights cannot be fetched ({error})",
            where=url,
            remedy=f"fetch them by other means, and put them there: {path}",
        ) from None
    _put(path, content)


def _fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        return answer.read()


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".partial")
    aside.write_bytes(content)
    aside.replace(path)
