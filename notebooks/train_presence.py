"""Train the networks that see where a cord ends: `python train_presence.py pool|train FOLDER`.

`pool FOLDER` draws fields of digital spines with the tip of the cord, below it and above it, and
pictures without a cord, segments them with the weights that ship, and keeps what lies along each
mask. `train FOLDER` learns from them, twice a quarter of an hour on one core, and writes
`softseg/data/along_cord.safetensors`; what every ninth number of the pool shows is not learnt from.
With `--go-on` it goes on from what is stored, and stores the mean of the weights before and after
(Wortsman et al. 2022, doi:10.1109/CVPR52688.2022.00780): those after saw more of what is no cord,
and less of a cord in necks that lean. The rules of `softseg.segmentation.along_cord` were chosen on
it, on real images and on all but the last two of `softseg_study.phantom.test_sets`, which come from
another scanner. What ships learnt from fields 0 to 322 and 900 to 1154, and from 680 pictures of
earlier, narrower pools (2,106 in all, 1,114 with the tip or below it, 381 above it, 611 without a
cord), and went on with 1,881 of fields 2000 to 2259, 3000 on, 3400 on and 4000 to 4259, of which
those before 3000 know no flow and those before 4000 are less bent and seldom echo-planar.
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
from softseg.files import replacing
from softseg.segmentation.along_cord import DILATIONS, SIDE_MM, STEP_MM, Pictures, channels
from softseg.segmentation.engine import Model
from softseg.segmentation.slice_features import FEATURES
from softseg_study.evaluation.cord_ends import along_mask, elsewhere, fields
from train_levels import StoredNetwork, layer, unfold

SEED, HELD_OUT, SEEDS = 8, 9, (1, 2)
ROWS, BATCH, RATE, GOING_ON = 192, 16, 2e-3, 1e-3
EMPTY = 3
"""Pictures without a cord for each field."""
STORED = Path(softseg.__file__).parent / "data/along_cord.safetensors"
COLUMNS = round(2 * SIDE_MM / STEP_MM)
SHARES = {"conus": 0.33, "cauda": 0.18, "empty": 0.2, "beside": 0.06, "neck": 0.14, "chest": 0.09}
"""How often fields of each kind are learnt from."""
CORD_MM2, NO_CORD_MM2 = 4.0, 0.5
"""Sections between are neither."""
NEAR_MM, NEAR = 12.0, 3.0
"""About the tip a row counts for more: how far about, and how much more at it."""
LEAN_DEG = 45.0
"""How far a cord may lean against its slices."""
SHORTEST_MM = 10.0
"""Of a field, where a part of a picture is learnt from: slabs are as short as that."""


class AlongCord(StoredNetwork):
    """`softseg.segmentation.along_cord.forward` with weights that learn."""

    def __init__(self) -> None:
        super().__init__()
        for side in ("sagittal", "coronal"):
            self.add_module(f"{side}1", layer(4, 16, stride=(1, 2)))
            self.add_module(f"{side}2", layer(16, 24, stride=(2, 2)))
            self.add_module(f"{side}3", layer(24, 32, stride=(2, 2)))
            self.add_module(f"{side}4", layer(32, 40, (1, -(-COLUMNS // 8))))
        self.table1 = layer(len(FEATURES) + 1, 24, (3, 1), stride=(2, 1))
        self.table2 = layer(24, 24, (3, 1), stride=(2, 1))
        self.joined = layer(104, 64, (1, 1))
        for number, dilation in enumerate(DILATIONS):
            self.add_module(f"along{number}", layer(64, 64, (3, 1), dilation=dilation))
        self.last = nn.Conv2d(64, 1, 1)

    def forward(self, sides: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        """`(B, 2, 4, S, V)` and `(B, F + 1, S)` to `(B, S / 4)`."""
        parts = []
        for number, side in enumerate(("sagittal", "coronal")):
            x = sides[:, number]
            for depth in range(1, 5):
                x = functional.relu(getattr(self, f"{side}{depth}")(x))
            parts.append(x)
        x = functional.relu(self.table1(table[..., None]))
        parts.append(functional.relu(self.table2(x)))
        x = functional.relu(self.joined(torch.cat(parts, dim=1)))
        x = functional.dropout(x, 0.1, self.training)
        for number in range(len(DILATIONS)):
            x = x + functional.relu(getattr(self, f"along{number}")(x))
        return self.last(x)[:, 0, :, 0]


def pool(folder: Path, first: int, count: int) -> None:
    """Draw what is not there yet: two contrasts a field, and two pictures without a cord."""
    folder.mkdir(parents=True, exist_ok=True)
    model = Model.load("axial")
    for number in range(first, count):
        if any(folder.glob(f"*-{number:05d}-*.npz")):
            continue
        drawn = list(fields(np.random.default_rng([SEED, 1, number])))
        rng = np.random.default_rng([SEED, 3, number])
        drawn += [(elsewhere(rng), None) for _ in range(EMPTY)]
        for index, (case, centres_mm) in enumerate(drawn):
            found = along_mask(case, model, centres_mm)
            if found:
                path = folder / f"{case.name}-{number:05d}-{index}.npz"
                part = path.with_name(f"_part-{path.name}")
                np.savez(part, **found)
                part.rename(path)


def read_pool(folder: Path) -> list[dict[str, np.ndarray]]:
    """What is learnt from, with a `label` a row and whether it `counts`."""
    paths = sorted(folder.glob("[a-z]*-[0-9]*-[0-9].npz"))
    numbers = [int(path.name.split("-")[1]) for path in paths]
    return [_labelled(p) for p, n in zip(paths, numbers, strict=True) if n % HELD_OUT < 8]


def _labelled(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        one: dict = {name: stored[name] for name in stored.files}
    one["kind"] = path.name.split("-")[0]
    rows = np.arange(one["image"].shape[1])
    slices = np.interp(rows, one["rows"], np.arange(len(one["rows"])))
    slices = np.round(slices).astype(int)
    cord, shared, mask = (one[name][slices] for name in ("cord", "shared", "mask"))
    there, counts = cord > CORD_MM2, np.isfinite(one["features"][0])
    counts &= there | (cord <= NO_CORD_MM2)
    counts &= ~(there & (shared < 0.3 * mask))  # the mask lies elsewhere
    if there.any():  # the brainstem above a cord is no fault
        counts &= there | (rows < np.flatnonzero(there)[-1])
    weight = np.ones(len(rows))
    if there.any() and not there[0]:
        weight += NEAR * np.exp(-np.abs(rows - np.flatnonzero(there)[0]) * STEP_MM / NEAR_MM)
    return one | {"label": there.astype(np.float32), "counts": (weight * counts).astype(np.float32)}


def sample(
    rng: np.random.Generator, one: dict[str, np.ndarray], layers: dict[str, np.ndarray]
) -> tuple[np.ndarray, ...]:
    """A part of a pair of pictures, spoilt, as the network gets it, and what it should say.

    Returns:
        `(2, 4, ROWS, COLUMNS)`, `(F + 1, ROWS)`, and `(ROWS / 4,)` label and weight.
    """
    rows, after, share = _rows(rng, one)
    pair = np.stack([one["image"], one["soft"]]).astype(np.float32)
    if rng.random() < 0.35:
        side = int(rng.random() < 0.2)  # most cords lean to the front or back
        pair[:, side] = _tilted(pair[:, side], rng.uniform(-LEAN_DEG, LEAN_DEG))
    image, soft = pair[:, :, rows] * (1 - share) + pair[:, :, after] * share
    near = np.where(share[:, 0] < 0.5, rows, after)
    table, label, counts = one["features"][:, near], one["label"][near], one["counts"][near]
    if rng.random() < 0.5:
        image[1], soft[1] = image[1, :, ::-1].copy(), soft[1, :, ::-1].copy()
    image = _recoloured(rng, image)
    if rng.random() < 0.2:
        aside = np.abs(np.arange(COLUMNS) - (COLUMNS - 1) / 2) * STEP_MM
        image[..., aside > rng.uniform(10, SIDE_MM)] = np.nan
    table = table + rng.normal(0, 0.1, table.shape) * layers["scale"][:, None]
    if rng.random() < 0.15:
        table = np.where(np.isfinite(table), layers["centre"][:, None], np.nan)
    sides, given = channels(Pictures(image, soft, table, near), layers)
    more = ROWS - sides.shape[2]
    sides = np.pad(sides, ((0, 0), (0, 0), (0, more), (0, 0))).astype(np.float32)
    label, counts = (np.pad(x, (0, ROWS - len(x))).reshape(-1, 4) for x in (label, counts))
    label = (label * counts).sum(axis=1) / np.maximum(counts.sum(axis=1), 1)
    return sides, np.pad(given, ((0, 0), (0, more))), label, counts.mean(axis=1)


def _rows(
    rng: np.random.Generator, one: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows before and after each new one, and the share of the second: a part, stretched.

    A field may end anywhere, often near the cord's tip, so that its end teaches nothing.
    """
    total, known = len(one["label"]), np.flatnonzero(one["counts"])
    low, high = 0, total
    if rng.random() < 0.6 and known.size:
        labels = one["label"][known]
        centre = rng.choice(known)
        if labels.any() and not labels.all() and rng.random() < 0.5:
            centre = known[labels.argmax()] + rng.normal(0, 25)
        length = np.exp(rng.uniform(np.log(SHORTEST_MM / STEP_MM), np.log(ROWS)))
        low = int(np.clip(centre - length * rng.random(), 0, total - 2))
        high = int(min(total, low + length))
    elif total > ROWS:
        low = int(rng.integers(0, total - ROWS + 1))
        high = low + ROWS
    stretch = rng.uniform(0.87, 1.15) if rng.random() < 0.6 else 1.0
    at = low + np.arange(int(np.clip((high - low) * stretch, 4, ROWS))) / stretch
    rows = np.clip(at.astype(int), low, high - 1)
    after = np.minimum(rows + 1, high - 1)
    return rows, after, np.clip(at - rows, 0, 1)[:, None].astype(np.float32)


def _tilted(pair: np.ndarray, degrees: float) -> np.ndarray:
    """`(2, S, V)` as slices show what they do not cut at right angles but leaning so much more."""
    away = np.arange(COLUMNS) - (COLUMNS - 1) / 2
    rows = np.arange(pair.shape[1])[:, None] + np.sin(np.deg2rad(degrees)) * away
    columns = (COLUMNS - 1) / 2 + np.cos(np.deg2rad(degrees)) * away
    places = np.stack([rows, np.broadcast_to(columns, rows.shape)])
    return np.stack([ndimage.map_coordinates(x, places, order=1, mode="nearest") for x in pair])


def _recoloured(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Another curve of brightness, blur, a drift along the cord, and noise."""
    inside = np.isfinite(image)
    filled = np.where(inside, image, 0)
    kind = rng.random()
    if kind < 0.3:
        curve = np.cumsum(rng.uniform(0, 2, 12)) * rng.choice([-1, 1])
        filled = np.interp(filled, np.linspace(-5, 10, 12), curve)
    elif kind < 0.4:
        filled = -filled
    if rng.random() < 0.25:
        filled = ndimage.gaussian_filter(filled, (0, *rng.uniform(0.3, 1.5, 2)))
    if rng.random() < 0.3:
        drift = ndimage.gaussian_filter1d(rng.normal(size=image.shape[1]), 15)
        filled = filled + (rng.uniform(0, 1) * drift / max(drift.std(), 1e-6))[:, None]
    spread = float(filled[inside].std()) if inside.any() else 1.0
    filled = filled + rng.normal(0, 0.25 * rng.random() * max(spread, 1e-3), image.shape)
    return np.where(inside, filled, np.nan).astype(np.float32)


def train(folder: Path, steps: int, *, go_on: bool) -> None:
    """Learn from each seed, or go on from what is stored, and store the weights or their mean."""
    stored = read_pool(folder)
    table = np.concatenate([one["features"] for one in stored], axis=1)
    standard = {
        "centre": np.nanmean(table, axis=1).astype(np.float32),
        "scale": np.maximum(np.nanstd(table, axis=1), 1e-3).astype(np.float32),
    }
    before, arrays = load_file(STORED) if go_on else {}, {}
    for seed in SEEDS:
        start = {name[2:]: x for name, x in before.items() if name.startswith(f"{seed}/")}
        standard = {name: start.get(name, values) for name, values in standard.items()}
        layers = trained(stored, standard, steps, seed, start).arrays() | standard
        for name, x in start.items():
            layers[name] = ((x.astype(np.float32) + layers[name]) / 2).astype(x.dtype)
        arrays |= {f"{seed}/{name}": np.ascontiguousarray(x) for name, x in layers.items()}
    with replacing(STORED) as temporary:
        save_file(arrays, temporary)


def trained(
    stored: list[dict[str, np.ndarray]],
    standard: dict[str, np.ndarray],
    steps: int,
    seed: int,
    start: dict[str, np.ndarray],
) -> AlongCord:
    """A network that has learnt from pictures, whose features have this centre and scale.

    One that starts from weights goes on at a lower rate.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng([12 if start else 11, seed])
    kinds = [one["kind"] for one in stored]
    odds = np.array([SHARES[kind] / kinds.count(kind) for kind in kinds])
    odds /= odds.sum()
    network, mean, highest = AlongCord(), 0.0, GOING_ON if start else RATE
    if start:
        chosen = rng.choice(len(stored), 3 * BATCH, p=odds)
        given = zip(*(sample(rng, stored[k], standard)[:2] for k in chosen), strict=True)
        unfold(network, start, *(torch.from_numpy(np.stack(x)).float() for x in given))
    optimiser = torch.optim.AdamW(network.parameters(), highest, weight_decay=1e-2)
    for step in range(steps):
        rate = highest * min(1, (step + 1) / 30) * 0.5 * (1 + np.cos(np.pi * step / steps))
        optimiser.param_groups[0]["lr"] = rate
        chosen = rng.choice(len(stored), BATCH, p=odds)
        batch = zip(*(sample(rng, stored[k], standard) for k in chosen), strict=True)
        sides, given, label, counts = (torch.from_numpy(np.stack(x)).float() for x in batch)
        loss = functional.binary_cross_entropy_with_logits(
            network(sides, given), label, reduction="none"
        )
        loss = ((loss * counts).sum(1) / counts.sum(1).clamp(min=1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        mean = loss.item() if not step else 0.97 * mean + 0.03 * loss.item()
        if step % 100 == 0:
            print(f"{seed}, {step}: loss {mean:.4f}", flush=True)
    return network.eval()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["pool", "train"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=0, help="Number of a field to begin with.")
    parser.add_argument("--count", type=int, default=600, help="Fields.")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--go-on", action="store_true", help="From what is stored.")
    given = parser.parse_args()
    if given.what == "pool":
        pool(given.folder, given.first, given.count)
    else:
        train(given.folder, given.steps, go_on=given.go_on)


if __name__ == "__main__":
    main()
