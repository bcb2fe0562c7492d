"""Train the network that finds discs: `python train_levels.py pool|train|test FOLDER`.

`pool FOLDER` draws straightened pictures of digital spines and keeps what is there.
`train FOLDER` learns from them, some minutes on one core, and writes
`softseg/data/level_network.safetensors`; with `--go-on` it starts from the weights that are there.
Those that ship are 590 steps from nothing, 235 more, and 3,845 at a lower rate with the blur, noise
and coils below, of which the first ones had less. `test
FOLDER` numbers the discs of 300 other pictures and of real images, of which none is learnt from,
and writes how often the answer is right there, as in `book/tables`.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from scipy import ndimage
from torch import nn
from torch.nn import functional

import softseg
from softseg.csa.level_network import (
    BEFORE_UNIT_MM,
    DILATIONS,
    KINDS,
    leaning_mm,
    prepared,
)
from softseg.csa.straighten import BEFORE_MM, BEHIND_MM, STEP_MM
from softseg.files import replacing
from softseg.paths import SHARED
from softseg_study.phantom.straightened import straightened

ROWS, BATCH, RATE = 192, 16, 2e-3
WIDTH_MM = 2.5
"""Half width of what counts as a disc's place."""
STORED = Path(softseg.__file__).parent / "data/level_network.safetensors"
COLUMNS = round((BEFORE_MM + BEHIND_MM) / STEP_MM)


class StoredNetwork(nn.Module):
    """A network whose layers NumPy runs."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights as stored, each normalisation taken into its layer."""
        found = {}
        for name, layer in self.named_children():
            weight, bias = _folded(layer)
            found[f"{name}.weight"] = weight.astype(np.float16)
            found[f"{name}.bias"] = bias.astype(np.float32)
        return found


class LevelNetwork(StoredNetwork):
    """`softseg.csa.level_network.forward` with weights that learn."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layer(3, 16, stride=(1, 2))
        self.second = layer(16, 24, stride=(2, 2))
        self.third = layer(24, 32)
        self.fourth = layer(32, 48, stride=(2, 2))
        self.fifth = layer(48, 48)
        self.across = layer(48, 80, (1, -(-COLUMNS // 8)))
        for number, dilation in enumerate(DILATIONS):
            self.add_module(f"along{number}", layer(80, 80, (3, 1), dilation=dilation))
        self.fine = layer(32, 32, (1, -(-COLUMNS // 4)))
        self.joined = layer(112, 64, (3, 1))
        self.last = nn.Conv2d(64, len(KINDS) + 1, 1)
        nn.init.constant_(self.last.bias, -3.0)  # most places are no disc's

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(B, 3, S, V)` to `(B, len(KINDS) + 1, S / 2)`."""
        for layer in (self.first, self.second, self.third):
            x = functional.relu(layer(x))
        fine = x
        for layer in (self.fourth, self.fifth):
            x = functional.relu(layer(x))
        x = functional.relu(self.across(x))
        for number in range(len(DILATIONS)):
            x = x + functional.relu(getattr(self, f"along{number}")(x))
        fine = functional.relu(self.fine(fine))
        x = torch.cat([x.repeat_interleave(2, dim=2), fine], dim=1)
        return self.last(functional.relu(self.joined(x)))[..., 0]


def layer(
    few: int,
    many: int,
    kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    dilation: int = 1,
) -> nn.Sequential:
    """A convolution along and across a picture, dilated along it, and its normalisation."""
    tall, wide = kernel
    padding = (dilation * (tall // 2), 1 if wide == 3 else 0)
    convolution = nn.Conv2d(few, many, kernel, stride, padding, (dilation, 1), bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(many))


def _folded(layer: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a layer with its normalisation in them."""
    if isinstance(layer, nn.Conv2d):
        return layer.weight.detach().numpy(), layer.bias.detach().numpy()
    convolution, norm = layer
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = convolution.weight * gain[:, None, None, None]
    bias = norm.bias - norm.running_mean * gain
    return weight.detach().numpy(), bias.detach().numpy()


def pool(folder: Path, count: int) -> None:
    """Draw the pictures that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:05d}.npz"
        if path.exists():
            continue
        found = straightened(np.random.default_rng([1, number]), contrasts=6)
        values = np.stack([one.band.values for one in found])
        bright = np.nanpercentile(values, 99.5, axis=(1, 2), keepdims=True)
        discs = [(k, row, found[0].before_mm[k]) for k, row in found[0].rows.items()]
        discs = np.array(discs, np.float32).reshape(-1, 3)
        values = (values / np.maximum(bright, 1e-6)).astype(np.float16)
        part = path.with_name(f"part-{path.name}")
        np.savez(part, values=values, discs=discs)
        part.rename(path)


def read_pool(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures `(contrasts, S, V)` and discs of each field: number, row, distance before."""
    found = []
    for path in sorted(folder.glob("[0-9]*.npz")):
        with np.load(path) as stored:
            found.append((stored["values"], stored["discs"]))
    return found


def sample(
    rng: np.random.Generator, stored: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """One picture of the pool, spoilt, as the network gets it, and its targets.

    Returns:
        `(3, ROWS, COLUMNS)` and `(2 * len(KINDS), ROWS / 2)`: the heat of each kind, how far before
        the cord a disc's point lies, where that counts, and two rows of zeros.
    """
    pictures, discs = stored[rng.integers(len(stored))]
    values = pictures[rng.integers(len(pictures))].astype(np.float32)
    values, rows, before = _bent(rng, values, discs)
    values = _cropped(rng, _recoloured(rng, values))
    at = np.arange(0.5, ROWS, 2)
    target = np.zeros((len(KINDS) + 2, len(at)), np.float32)
    shown = np.isfinite(values[:, 28:40]).mean(axis=1) > 0.4
    for number, row, away in zip(discs[:, 0].astype(int), rows, before, strict=True):
        if not (0 <= row < ROWS and shown[int(row)]):
            continue
        heat = np.exp(-0.5 * ((at - row) * STEP_MM / WIDTH_MM) ** 2)
        for kind in {1: [1], 2: [2], 3: [0, 3]}.get(number, [0]):
            target[kind] = np.maximum(target[kind], heat)
        near = np.abs(at - row) * STEP_MM < 4
        target[-2, near], target[-1, near] = away / BEFORE_UNIT_MM, 1
    return prepared(values), target


def _bent(
    rng: np.random.Generator, values: np.ndarray, discs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Part of a picture, stretched, moved across and sheared: discs lie obliquely to the cord."""
    tall, wide = rng.uniform(0.86, 1.16), rng.uniform(0.85, 1.15)
    length = len(values) * tall
    start = rng.uniform(min(0, length - ROWS), max(0, length - ROWS))
    moved = rng.normal(0, 1.0)
    slope = rng.normal(0, 0.2) + np.interp(
        np.arange(ROWS), np.linspace(0, ROWS, 5), rng.normal(0, 0.15, 5)
    )
    v = (np.arange(COLUMNS) - BEHIND_MM / STEP_MM - moved) / wide
    row = np.arange(ROWS)[:, None] + slope[:, None] * leaning_mm(v * STEP_MM) / STEP_MM
    row = (row + start) / tall
    column = np.broadcast_to(v + BEHIND_MM / STEP_MM, row.shape)
    inside = np.isfinite(values)
    how = {"order": 1, "mode": "constant", "cval": 0.0}
    kept = ndimage.map_coordinates(inside.astype(np.float32), [row, column], **how)
    bent = ndimage.map_coordinates(np.where(inside, values, 0), [row, column], **how)
    bent = np.where(kept > 0.5, bent / np.maximum(kept, 0.5), np.nan)
    return bent, discs[:, 1] * tall - start, discs[:, 2] * wide + moved


def _recoloured(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Another curve of brightness, blur, noise, and blotches that hide something."""
    inside = np.isfinite(values)
    filled = np.where(inside, np.clip(values, 0, 1.5), 0)
    if rng.random() < 0.3:
        knots = np.linspace(0, 1.5, 6)
        filled = np.interp(filled, knots, rng.uniform(0, 1, 6)).astype(np.float32)
    else:
        filled = filled ** np.exp(rng.normal(0, 0.35))
    if rng.random() < 0.3:
        filled = ndimage.gaussian_filter(filled, rng.uniform(0.3, 2.0, 2))
    if rng.random() < 0.3:
        field = ndimage.gaussian_filter(rng.normal(size=filled.shape), 12)
        filled = filled * np.exp(rng.uniform(0, 1.0) * field / field.std())
    spread = max(float(filled[inside].std()) if inside.any() else 1.0, 1e-3)
    filled = filled + rng.normal(size=filled.shape) * spread * rng.uniform(0, 0.35)
    for _ in range(rng.poisson(0.4)):
        top, left = rng.integers(ROWS), rng.integers(COLUMNS)
        tall, wide = rng.integers(4, 24), rng.integers(4, 20)
        filled[top : top + tall, left : left + wide] = rng.uniform(0, 1)
    return np.where(inside, filled, np.nan).astype(np.float32)


def _cropped(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """The field ends earlier: above, below, in front or behind; beyond it nothing or black."""
    values = values.copy()
    rows, v = np.arange(ROWS)[:, None], np.arange(COLUMNS) - BEHIND_MM / STEP_MM
    beyond = np.zeros(values.shape, bool)
    if rng.random() < 0.4:
        beyond |= rows > ROWS - rng.uniform(0, 90) + rng.normal(0, 0.25) * v
    if rng.random() < 0.4:
        beyond |= rows < rng.uniform(0, 90) + rng.normal(0, 0.25) * v
    if rng.random() < 0.4:
        beyond |= (v > rng.uniform(22, 40)) & (rows > -1)
    if rng.random() < 0.2:
        beyond |= (v < rng.uniform(-20, -8)) & (rows > -1)
    dark = rng.random() < 0.25
    values[beyond & np.isfinite(values)] = 0 if dark else np.nan
    return values


def train(folder: Path, steps: int, *, start: bool = False) -> None:
    """Learn, and store the weights; from those stored if `start`."""
    torch.manual_seed(1)
    rng, stored = np.random.default_rng(2 + start), read_pool(folder)
    network, highest = LevelNetwork(), RATE * (0.75 if start else 1)
    if start:
        pictures = np.stack([sample(rng, stored)[0] for _ in range(3 * BATCH)])
        unfold(network, load_file(STORED), torch.from_numpy(pictures))
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-3)
    mean = 0.0
    for step in range(steps):
        rate = highest * min(1, (step + 1) / 30) * 0.5 * (1 + np.cos(np.pi * step / steps))
        optimiser.param_groups[0]["lr"] = rate
        pictures, targets = zip(*(sample(rng, stored) for _ in range(BATCH)), strict=True)
        loss = _loss(
            network(torch.from_numpy(np.stack(pictures))),
            torch.from_numpy(np.stack(targets)),
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        mean = loss.item() if not step else 0.95 * mean + 0.05 * loss.item()
        if step % 100 == 0:
            print(f"{step}: loss {mean:.4f}", flush=True)
    store(network)


def unfold(network: StoredNetwork, stored: dict[str, np.ndarray], *inputs: torch.Tensor) -> None:
    """Put stored weights into a network, its normalisations undone again on some inputs."""
    hooks = []
    arrays = {name: torch.from_numpy(values.astype(np.float32)) for name, values in stored.items()}
    for name, layer in network.named_children():
        weight, bias = arrays[f"{name}.weight"], arrays[f"{name}.bias"]
        if isinstance(layer, nn.Conv2d):
            layer.weight.data, layer.bias.data = weight, bias
            continue
        layer[0].weight.data = weight

        def undo(norm, inputs, bias=bias):
            mean, spread = inputs[0].mean((0, 2, 3)), inputs[0].std((0, 2, 3))
            norm.weight.data, norm.bias.data = spread.clone(), bias + mean
            norm.running_mean.data, norm.running_var.data = mean.clone(), spread**2

        hooks.append(layer[1].register_forward_pre_hook(undo))
    with torch.no_grad():
        network(*inputs)
    for hook in hooks:
        hook.remove()


def _loss(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    kinds = len(KINDS)
    heat = functional.binary_cross_entropy_with_logits(
        out[:, :kinds], target[:, :kinds], reduction="none"
    )
    weight = torch.tensor([1.0, 1.0, 1.0, 2.0])[:, None]
    away = (out[:, kinds] - target[:, kinds]).abs() * target[:, kinds + 1]
    return (heat * weight).mean() + 0.1 * away.mean()


def store(network: LevelNetwork) -> None:
    """Write the weights into the package."""
    network.eval()
    arrays = {name: np.ascontiguousarray(values) for name, values in network.arrays().items()}
    with replacing(STORED) as temporary:
        save_file(arrays, temporary)


def test(folder: Path) -> None:
    """Write how often numbers are right, on phantoms and, where they lie here, real images."""
    from softseg_study.evaluation.level_numbers import judge_phantoms, judge_real

    folder.mkdir(parents=True, exist_ok=True)
    fields, discs = judge_phantoms()
    fields.to_csv(folder / "levels_phantom.csv", index=False)
    discs.to_csv(folder / "levels_probability.csv", index=False)
    if (SHARED / "real").is_dir():
        judge_real(SHARED).to_csv(folder / "levels_real.csv", index=False)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["pool", "train", "test"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=270, help="Fields of the pool.")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--go-on", action="store_true")
    given = parser.parse_args()
    if given.what == "pool":
        pool(given.folder, given.count)
    elif given.what == "train":
        train(given.folder, given.steps, start=given.go_on)
    else:
        test(given.folder)


if __name__ == "__main__":
    main()
