"""Files of published weights: located or fetched, checked, and read without executing a pickle."""

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from tqdm import tqdm

from melgraph.ml.errors import UserError
from melgraph.ml.models import default_options

# `resnet18-f37072fd.pth`: by the convention of torch's hub, the first digits of the file's SHA-256.
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})[.]")
_FRAGMENT = re.compile(r"#sha256=([0-9a-fA-F]{8,64})$")
TIMEOUT_S = 20.0  # without a byte from the server
CHUNK_BYTES = 1 << 16


def locate_weights(
    weights: str, architecture: str, options: Mapping[str, Any], folder: Path
) -> Path:
    """The file that `weights` of an experiment names, fetched where it is missing, and checked.

    Args:
        weights: `imagenet`; a path; or a URL. `#sha256=<hex>` at the end of a path or URL is
            checked, and so are the digits of a name like `resnet18-f37072fd.pth`.
        architecture: name in the registry; decides which file `imagenet` is.
        options: of the model.
        folder: of the fetched files; a file can also be put there by hand.

    Raises:
        UserError: there is no such file and it cannot be fetched, or its checksum is wrong.
    """
    if weights == "imagenet":
        return _imagenet(architecture, options, folder)
    fragment = _FRAGMENT.search(weights)
    sha256 = fragment[1].lower() if fragment else None
    place = weights[: fragment.start()] if fragment else weights
    if re.match(r"https?://", place):
        path = folder / place.rsplit("/", 1)[1]
        if not path.is_file():
            _fetch_or_refuse(place, path, sha256)
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
    check_digest(path, sha256)
    return path


def published_file(url: str | None, file: str, sha256: str | None, folder: Path) -> Path:
    """A file of published weights, fetched where it is missing, and checked.

    Args:
        url: where it is published; None if nowhere.
        file: its name below `folder`, or its absolute path.
        sha256: all digits or the first of them; None if unknown.
        folder: of the fetched files; a file can also be put there by hand.

    Raises:
        UserError: it is missing and cannot be fetched, or its checksum is wrong.
    """
    path = folder / Path(file).expanduser()
    if not path.is_file() and url:
        _fetch_or_refuse(url, path, sha256)
    if not path.is_file():
        raise UserError(
            f"the weights {file!r} are missing",
            where=str(path),
            remedy="put the file there, or set its path or URL in the spec of the tagger",
        )
    check_digest(path, sha256)
    return path


def check_digest(path: Path, expected: str | None = None, *, source: str | None = None) -> str:
    """The SHA-256 of a file, compared with what is expected, or with the digits in its name.

    Args:
        path: of the file.
        expected: all digits or the first of them; None for those in the name, if any.
        source: URL that the file was just downloaded from, which an error names in its place.

    Raises:
        UserError: they differ; the message has the name, the size and both digests.
    """
    named = _HASH_IN_NAME.search(path.name)
    expected = expected or (named[1] if named else None)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if expected and not digest.startswith(expected):
        name = (source or path.name).rsplit("/", 1)[-1]
        raise UserError(
            f"{name} is damaged: its {path.stat().st_size:,} bytes have the SHA-256 "
            f"{digest[:16]}..., not {expected}...",
            where=source or str(path),
            remedy="fetch it again, whole: a download that was cut short looks like this",
        )
    return digest


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.safetensors` or of a torch file, by name. No pickle is executed.

    Raises:
        UserError: the file cannot be read, or holds something else than tensors by name.
    """
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load(path.read_bytes())
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or a hostile file makes the reader raise
        unsafe = "weights_only" in str(error) or "Unsupported" in str(error)
        what = "holds more than weights" if unsafe else "cannot be read: cut short, or damaged"
        raise UserError(
            f"{path.name} ({path.stat().st_size:,} bytes) {what} "
            f"({str(error).splitlines()[0][:120]})",
            where=str(path),
            remedy="fetch it again, whole; or save it as plain tensors by name",
        ) from None
    for key in ("state_dict", "model", "model_state"):  # as training programs wrap it
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    is_named = isinstance(content, dict)
    if not is_named or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise UserError(
            f"{path.name} holds no tensors by name, but {type(content).__name__}",
            where=str(path),
            remedy="give the state dict of a model",
        )
    return {name.removeprefix("module."): value for name, value in content.items()}


def _imagenet(architecture: str, options: Mapping[str, Any], folder: Path) -> Path:
    import timm

    variant = str((default_options(architecture) | dict(options)).get("variant", architecture))
    config = timm.get_pretrained_cfg(variant) if timm.is_model(variant) else None
    if config is None or not config.hf_hub_id:
        raise UserError(
            f"there are no ImageNet weights of the architecture {architecture!r}",
            where="model.weights of the experiment",
            remedy="use resnet18, efficientnet or vit; or weights = 'none'",
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

    try:  # by ourselves: the hub's own client retries for half a minute without a network
        _fetch(hf_hub_url(repository, "model.safetensors"), path, None)
    except (OSError, ValueError) as error:  # no network, no such file, a proxy
        other = f", or timm's {published.name} beside it" if published else ""
        raise UserError(
            f"the ImageNet weights {path.name} are not here, and cannot be fetched "
            f"({type(error).__name__})",
            where=str(path),
            remedy=f"put the file model.safetensors of the model hub's {repository} there, under "
            f"that name{other}; or use weights = 'none'",
        ) from None


def _fetch_or_refuse(url: str, path: Path, sha256: str | None) -> None:
    import requests

    try:
        _fetch(url, path, sha256)
    except (OSError, ValueError) as error:
        # The text of a failed connection shows the objects of the HTTP library.
        reason = "no connection" if isinstance(error, requests.ConnectionError) else error
        raise UserError(
            f"the weights {path.name} cannot be fetched ({reason})",
            where=url,
            remedy=f"fetch them by other means, and put them there: {path}",
        ) from None


def _fetch(url: str, path: Path, sha256: str | None) -> None:
    """Download aside, check, and rename: `path` is whole or does not exist.

    pooch itself compares whole digests only, and ours may be the first digits; it does not resume.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        _download(url, aside)
        check_digest(aside, sha256, source=url)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _download(url: str, path: Path) -> None:
    from pooch import HTTPDownloader

    name = url.rsplit("/", 1)[1]
    # pooch sets the total when it knows it; the bar is hidden where stderr is no terminal
    with tqdm(
        total=1, unit="B", unit_scale=True, desc=name, file=sys.__stderr__, disable=None
    ) as bar:
        HTTPDownloader(progressbar=bar, chunk_size=CHUNK_BYTES, timeout=TIMEOUT_S)(
            url, str(path), None
        )
