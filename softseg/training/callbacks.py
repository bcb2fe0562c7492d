"""What happens around the steps: checkpoints, best weights, progress and the clock."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Callback, EarlyStopping
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from softseg.errors import InputError, brief
from softseg.files import replacing
from softseg.network.weights import save_weights
from softseg.training.config import TrainingConfig

LAST, BEST = "last.safetensors", "best.safetensors"


class Checkpoints(Callback):
    """Writes the whole state at the end of a round when enough time has passed."""

    def __init__(self, folder: Path, minutes: float) -> None:
        self.path, self.seconds = folder / LAST, 60.0 * minutes
        self.written = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Save if it is time; the first process decides for all."""
        due = time.monotonic() - self.written >= self.seconds
        if trainer.strategy.broadcast(due):
            trainer.save_checkpoint(self.path)
            self.written = time.monotonic()


class StopDead(Callback):
    """Ends a training whose masks have been empty everywhere for `PATIENCE` steps.

    Where neither overlap nor a squeezed cross-entropy has a gradient, an output that has fallen to
    zero stays there; an hour of further steps and a model that finds nothing are saved.

    Raises:
        InputError: At the end of the round in which so many steps have passed.
    """

    PATIENCE = 500
    SEEN = 0.1

    def __init__(self) -> None:
        self.empty = 0

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Look at the highest value of every step of the round."""
        alive = [bool(value > self.SEEN) for value in module.highest]
        module.highest.clear()
        self.empty = 0 if any(alive) else self.empty + len(alive)
        if self.empty >= self.PATIENCE:
            raise InputError(
                f"training: at step {trainer.global_step} no mask has had a value above "
                f"{self.SEEN} for {self.empty} steps, the network has died; lower learning_rate or "
                "negative_share, raise cord_share, or take another loss"
            )


class BestWeights(Callback):
    """Keeps the weights of the validation with the highest soft Dice."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / BEST

    def on_validation_end(self, trainer: lightning.Trainer, module: Any) -> None:
        name = "validation_soft_dice"
        scores = [row[name] for row in module.rows if name in row]
        if trainer.is_global_zero and scores[-1] > max(scores[:-1], default=-1.0):
            save_weights(self.path, module.kept_network, module.network_config)


class Clock(Callback):
    """Measures steps a second and the share of the time spent waiting for data.

    At the end it hands the times to `write`, once, in the process that has them.
    """

    def __init__(self, write: Callable[[dict[str, float]], None]) -> None:
        self.write = write
        self.steps, self.waiting, self.in_steps = 0, 0.0, 0.0
        self.started = self.mark = time.perf_counter()

    def _lap(self) -> float:
        before, self.mark = self.mark, time.perf_counter()
        return self.mark - before

    def on_train_epoch_start(self, *_: Any) -> None:
        """Data of a round are first asked for here."""
        self._lap()

    def on_train_batch_start(self, *_: Any) -> None:
        """The batch is here."""
        self.waiting += self._lap()

    def on_train_batch_end(self, *_: Any) -> None:
        """The step is done."""
        self.in_steps += self._lap()
        self.steps += 1

    def summary(self) -> dict[str, float]:
        """`seconds`, `steps`, `steps_per_second`, `loading_share` of this process."""
        total = self.waiting + self.in_steps
        return {
            "seconds": time.perf_counter() - self.started,
            "steps": self.steps,
            "steps_per_second": self.steps / total if total else 0.0,
            "loading_share": self.waiting / total if total else 0.0,
        }

    def on_train_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Write, then let the other processes go."""
        if trainer.is_global_zero:
            self.write(self.summary())
        trainer.strategy.barrier("written")


class Lines(Callback):
    """Prints ten lines on standard output, the same ones in every run: no times in them."""

    def __init__(self, steps: int) -> None:
        self.every = max(1, steps // 10)
        self.steps = steps

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        step = trainer.global_step
        if trainer.is_global_zero and (step % self.every == 0 or step == self.steps):
            print(f"step {step} of {self.steps}: loss {float(module.losses[-1][1]):.4f}")

    def on_validation_end(self, trainer: lightning.Trainer, module: Any) -> None:
        if trainer.is_global_zero:
            print(describe(module.rows[-1]))


class Bar(Callback):
    """One progress bar over all steps, for a terminal."""

    def __init__(self, steps: int) -> None:
        columns = (*Progress.get_default_columns(), MofNCompleteColumn())
        self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self.task = self.progress.add_task("training", total=steps)

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            self.progress.start()

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        shown = f"training, loss {float(module.losses[-1][1]):.4f}"
        self.progress.update(self.task, completed=trainer.global_step, description=shown)

    def on_validation_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Scores stay above the bar."""
        if trainer.is_global_zero:
            self.progress.console.print(describe(module.rows[-1]))

    def on_train_end(self, *_: Any) -> None:
        """Leave the terminal as it was."""
        self.progress.stop()

    on_exception = on_train_end


def describe(row: dict[str, float]) -> str:
    """A validation in one line."""
    return (
        f"step {row['step']}: soft Dice {row['validation_soft_dice']:.3f}, "
        f"CSA error {row['validation_csa_error_mm2']:.2f} mm2 on whole volumes"
    )


def all_callbacks(
    config: TrainingConfig,
    checkpoints: Path,
    write: Callable[[dict[str, float]], None],
    *,
    validated: bool,
) -> list[Callback]:
    """Everything that a training of `config` has beside its steps."""
    shown = config.progress
    if shown == "auto":
        shown = "bar" if sys.stderr.isatty() else "lines"
    found: list[Callback] = [StopDead(), Checkpoints(checkpoints, config.checkpoint_minutes)]
    found += [
        kind(config.steps) for name, kind in {"bar": Bar, "lines": Lines}.items() if name == shown
    ]
    if validated:
        found.append(BestWeights(checkpoints))
        if config.patience:
            found.append(
                EarlyStopping("validation_soft_dice", mode="max", patience=config.patience)
            )
    # What writes the results comes last.
    return [*found, Clock(write)]


class PlainCheckpoints(CheckpointIO):
    """Write and read a training's whole state; a file is whole or absent.

    Tensors are safetensors, everything else is JSON: Lightning's own checkpoints are pickles, which
    can run code when they are opened.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Path | str, storage_options: Any = None
    ) -> None:
        """Write `checkpoint` to `path`."""
        tensors: dict[str, torch.Tensor] = {}
        plain = encode(checkpoint, tensors)
        with replacing(path) as temporary:
            try:
                save_file(tensors, temporary, {"state": json.dumps(plain)})
            except SafetensorError as error:  # its word for a full disk, among others
                raise OSError(brief(error)) from error

    def load_checkpoint(
        self, path: Path | str, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read what `save_checkpoint` wrote, tensors on the processor.

        Raises:
            InputError: If the file is damaged.
        """
        try:
            with safe_open(path, framework="pt") as file:
                plain = json.loads((file.metadata() or {})["state"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise InputError(f"{path}: not a checkpoint of a training ({error})") from error
        return decode(plain, tensors)

    def remove_checkpoint(self, path: Path | str) -> None:
        Path(path).unlink(missing_ok=True)


def encode(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """JSON-able form of nested state; its tensors are put in `tensors` under running numbers.

    Lists stay, every other container is marked by a one-key object, so that tuples and keys that
    are no strings come back as they were.

    Raises:
        TypeError: If something is neither a number, a text, a tensor nor a container of such.

    Example:
        >>> state, tensors = {"step": 3, 0: (torch.ones(2), None)}, {}
        >>> plain = json.loads(json.dumps(encode(state, tensors)))
        >>> decode(plain, tensors)
        {'step': 3, 0: (tensor([1., 1.]), None)}
    """
    if isinstance(value, torch.Tensor):
        key = str(len(tensors))
        tensors[key] = value.detach().cpu().contiguous().clone()
        return {"tensor": key}
    if isinstance(value, dict):
        return {"map": [[encode(k, tensors), encode(v, tensors)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [encode(item, tensors) for item in value]}
    if isinstance(value, list):
        return [encode(item, tensors) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a checkpoint holds no {type(value).__name__}: {value!r}")


def decode(plain: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Inverse of `encode`."""
    if isinstance(plain, list):
        return [decode(item, tensors) for item in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, content),) = plain.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "tuple":
        return tuple(decode(item, tensors) for item in content)
    return {decode(key, tensors): decode(item, tensors) for key, item in content}
