"""Training rate of ResNet-18 and ViT, compared with the matrix-product rate of the same device.

    python benchmarks/gpu.py [SECONDS]

Runs training steps (forward, backward, AdamW) on synthetic crops, in bfloat16 on CUDA and in
float32 on a CPU. torch counts their floating-point operations. The reference is the rate of large
matrix products of the same type, on the same device, in the same run.
"""

import sys
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from melgraph.ml.models import InputShape, build

CUDA = torch.cuda.is_available()
DEVICE, DTYPE = ("cuda", torch.bfloat16) if CUDA else ("cpu", torch.float32)
BATCH, SIZE, MATRIX = (256, 224, 8192) if CUDA else (8, 64, 1024)
CASES = [
    ("resnet18", {"image_size": [SIZE, SIZE]}),
    ("vit", {"image_size": [SIZE, SIZE]}),
    *([("vit", {"image_size": [224, 224], "variant": "vit_base_patch16_224"})] if CUDA else []),
]


def seconds_a_call(call: Callable[[], object], least_s: float) -> float:
    """Mean wall time after a warm-up."""
    for _ in range(3):
        call()
    _wait()
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < least_s:
        call()
        calls += 1
        if calls % 8 == 0 or not CUDA:
            _wait()
    _wait()
    return (time.perf_counter() - began) / calls


def _wait() -> None:
    if CUDA:
        torch.cuda.synchronize()


def matrix_rate(least_s: float) -> float:
    """Floating-point operations a second of a large matrix product."""
    a, b = (torch.randn(MATRIX, MATRIX, device=DEVICE, dtype=DTYPE) for _ in range(2))
    return 2 * MATRIX**3 / seconds_a_call(lambda: a @ b, least_s)


def training_step(name: str, options: dict) -> tuple[Callable[[], None], float]:
    """A training step, and its number of floating-point operations."""
    model = build(name, InputShape(1, SIZE, SIZE), n_classes=10, **options).to(DEVICE).train()
    if CUDA:
        model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), fused=CUDA)
    x = torch.randn(BATCH, 1, SIZE, SIZE, device=DEVICE)
    y = torch.randint(0, 10, (BATCH,), device=DEVICE)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=CUDA):
            loss = torch.nn.functional.cross_entropy(model(x).float(), y)
        loss.backward()
        optimiser.step()

    with FlopCounterMode(display=False) as counter:
        step()
    return step, float(counter.get_total_flops())


def main() -> None:
    least_s = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    name = torch.cuda.get_device_name() if CUDA else f"CPU, {torch.get_num_threads()} threads"
    best = matrix_rate(least_s)
    print(f"{name}, torch {torch.__version__}; {str(DTYPE).removeprefix('torch.')} matrix product "
          f"of {MATRIX}: {best / 1e12:.2f} Tflop/s\n")  # fmt: skip
    print("| model | image | batch | images/s | Tflop/s | share of the matrix product's rate |")
    print("| --- | --- | --- | --- | --- | --- |")
    for architecture, options in CASES:
        step, operations = training_step(architecture, options)
        took = seconds_a_call(step, least_s)
        reached = operations / took
        label = options.get("variant", architecture)
        print(f"| {label} | {SIZE} x {SIZE} | {BATCH} | {BATCH / took:,.0f} | "
              f"{reached / 1e12:.2f} | {reached / best:.0%} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
