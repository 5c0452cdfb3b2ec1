import re
from pathlib import Path

import numpy as np

from melgraph import storage
from melgraph.storage.spectrogram_store import SpectrogramWriter

ROOM = Path(storage.__file__).parent
README = (ROOM / "README.md").read_text()


def test_the_snippet_opens_a_store(tmp_path, monkeypatch):
    frequency = np.asarray([20, 100, 1000, 8000], np.float32)
    writer = SpectrogramWriter(tmp_path / "store.zarr", frequency=frequency, attributes={"hop": 1})
    first = np.random.default_rng(0).normal(-40, 9, (1500, 4)).astype(np.float16)
    writer.append("aa" * 16, first)
    writer.append("bb" * 16, np.zeros((20, 4)))
    writer.close()
    (snippet,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(snippet, names)
    np.testing.assert_array_equal(names["first_track"], first, strict=True)
    np.testing.assert_array_equal(names["dataset"]["values"][:1500], first)

    arrays = {name: array for name, array in names["group"].arrays()}
    table = re.findall(r"^\| `(\w+)` \| (\w+) \| `\[([^]]*)\]`", README, flags=re.MULTILINE)
    assert {name: dtype for name, dtype, _ in table} == {n: str(a.dtype) for n, a in arrays.items()}
    sizes = {"frame": 1520, "bin": 4, "track": 2, "track + 1": 3, "16": 16}
    for name, _, shape in table:
        assert arrays[name].shape == tuple(sizes[size] for size in shape.split(", "))


def test_every_module_is_named():
    for path in ROOM.glob("*.py"):
        assert path.name == "__init__.py" or f"`{path.name}`" in README
