"""The published weights of VGG: which files there are, and the network that they make.

Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition",
table 1, D and E. Only the convolutions are needed, and the names of torchvision are understood.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from melgraph.ml.errors import UserError
from melgraph.ml.weights.files import published_file, read_weights
from melgraph.ml.weights.licences import TORCHVISION, Licence

_BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # convolutions between poolings
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as torchvision trained them


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights, and how its network expects pictures.

    Attributes:
        file: its name below the folder of weights.
        sha256: all digits, or the first of them.
        url: where it is published; None if it cannot be fetched on its own.
        mean: subtracted from red, green and blue in [0, 1].
        deviation: by which the difference is divided.
        licence: of the weights; None where `ml.weights.licences` knows it by the SHA-256.
    """

    file: str
    sha256: str
    url: str | None = None
    mean: tuple[float, float, float] = _IMAGENET[0]
    deviation: tuple[float, float, float] = _IMAGENET[1]
    licence: Licence | None = None


VGG_FILES: dict[str, tuple[WeightsFile, ...]] = {
    "vgg16": (
        WeightsFile(
            "imagenet/vgg16_features.safetensors",
            "a0bcb492d2b102e379a3972d57c4c66a71e1eaffacf156e327c22a9e29422fe6",
            mean=(0.48501961, 0.45795686, 0.40760392),
            deviation=(1.0, 1.0, 1.0),
        ),
        WeightsFile(
            "imagenet/vgg16-397923af.pth",
            "397923af",
            "https://download.pytorch.org/models/vgg16-397923af.pth",
            licence=TORCHVISION,
        ),
    ),
    "vgg19": (
        WeightsFile(
            "imagenet/vgg19-dcbb9e9d.pth",
            "dcbb9e9d",
            "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
            licence=TORCHVISION,
        ),
    ),
}
"""The files of each network. The first that lies in the folder is used; the last is fetched."""


class Vgg(nn.Module):
    """The convolutions of VGG, as a function from colour pictures to named activations.

    Args:
        network: `vgg16` or `vgg19`.
        mean: of red, green and blue, which the weights expect to be subtracted.
        deviation: by which they expect the difference to be divided.
        widths: channels of the five blocks; the published networks have 64 to 512.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        network: str,
        mean: tuple[float, float, float] = _IMAGENET[0],
        deviation: tuple[float, float, float] = _IMAGENET[1],
        widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    ) -> None:
        super().__init__()
        self.network = network
        modules: list[nn.Module] = []
        self.names = _names(network)
        before = 3
        with torch.random.fork_rng(devices=()):  # the first weights are drawn, and replaced later
            for count, width in zip(_BLOCKS[network], widths, strict=True):
                for _ in range(count):
                    modules += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                    before = width
                modules.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*modules)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)

    def forward(self, picture: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """The activations of some layers, after their ReLU.

        Args:
            picture: `[batch, 3, row, column]`, red, green and blue in [0, 1].
            layers: names like `conv4_2`: the second convolution of the fourth block.

        Returns:
            `[batch, channel, row, column]` by name. Blocks above the last layer are not computed.
        """
        x = (picture - self.mean) / self.deviation
        activations: dict[str, Tensor] = {}
        for index, module in enumerate(self.features):
            x = module(x)
            name = self.names.get(index)
            if name in layers:
                activations[name] = x
            if len(activations) == len(set(layers)):
                break
        return activations


def locate_vgg(network: str, folder: Path) -> tuple[Path, WeightsFile]:
    """The file with the weights of a VGG, and what is known of it. A missing file is fetched.

    Args:
        network: a key of `VGG_FILES`.
        folder: of the weights; a file can also be put there by hand.

    Raises:
        UserError: no file is there and none can be fetched, or its checksum is wrong.
    """
    files = VGG_FILES[network]
    present = (known for known in files if (folder / known.file).is_file())
    known = next(present, files[-1])
    return published_file(known.url, known.file, known.sha256, folder), known


def known_file(network: str, file: str) -> WeightsFile:
    """What is known of a file of `VGG_FILES`, by its name."""
    return next(known for known in VGG_FILES[network] if known.file == file)


def load_vgg(network: str, path: Path, known: WeightsFile) -> Vgg:
    """A VGG with published weights, in evaluation mode on the CPU, in float32.

    Args:
        network: `vgg16` or `vgg19`.
        path: of a state dict with the names of torchvision; other tensors in it are ignored.
        known: what the weights expect of a picture.

    Raises:
        UserError: the file cannot be read, or has the weights of another network.
    """
    state = {
        name: value.float()
        for name, value in read_weights(path).items()
        if re.fullmatch(r"features\.\d+\.(weight|bias)", name)
    }
    model = Vgg(network, known.mean, known.deviation, _widths(network, state, path))
    _check(model, state, path)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def _names(network: str) -> dict[int, str]:
    """The index of each ReLU among torchvision's modules, and the name of its convolution."""
    names, index = {}, 0
    for block, count in enumerate(_BLOCKS[network], start=1):
        for number in range(1, count + 1):
            names[index + 1] = f"conv{block}_{number}"
            index += 2
        index += 1  # the pooling
    return names


def _widths(network: str, state: Mapping[str, Tensor], path: Path) -> tuple[int, ...]:
    """The channels of the blocks, read from the tensors: a test uses narrow ones."""
    first = {name[4]: index - 1 for index, name in reversed(_names(network).items())}
    widths = []
    for block in sorted(first):
        weight = state.get(f"features.{first[block]}.weight")
        if weight is None:
            raise _another(path, network, f"it has no features.{first[block]}.weight")
        widths.append(int(weight.shape[0]))
    return tuple(widths)


def _check(model: Vgg, state: Mapping[str, Tensor], path: Path) -> None:
    expected = model.state_dict()
    wrong = [f"it has no {name}" for name in expected if name not in state]
    wrong += [f"it has an unknown {name}" for name in state if name not in expected]
    wrong += [
        f"{name} is {tuple(state[name].shape)}, not {tuple(value.shape)}"
        for name, value in expected.items()
        if name in state and state[name].shape != value.shape
    ]
    if wrong:
        more = f"; {len(wrong)} in all" if len(wrong) > 3 else ""
        raise _another(path, model.network, "; ".join(wrong[:3]) + more)
    for name, value in state.items():
        if not bool(torch.isfinite(value).all()):
            raise UserError(
                f"{name} of {path.name} holds values that are not finite",
                where=str(path),
                remedy="fetch the file again; if it is the same, these weights cannot be used",
            )


def _another(path: Path, network: str, why: str) -> UserError:
    return UserError(
        f"the weights {path.name} are not those of {network}: {why}",
        where=str(path),
        remedy=f"put the file {VGG_FILES[network][-1].file.rsplit('/', 1)[-1]} of torchvision "
        "into that folder, or name the features of the network that the file holds",
    )
