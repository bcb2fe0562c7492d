"""nnU-Net v2, the field's reference: our data in its format, its masks back as one more method.

nnU-Net (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z) is trained by its own commands on
the same people; `nnunet_commands` prints them. It is not needed here to write or read its files,
and lives in an environment of its own, since it asks for another version of the network library
than this package does:

    python3.11 -m venv .venv-nnunet
    .venv-nnunet/bin/pip install torch
    .venv-nnunet/bin/pip install nnunetv2
    export PATH=$PWD/.venv-nnunet/bin:$PATH
    export nnUNet_raw=… nnUNet_preprocessed=… nnUNet_results=…

Then `export_nnunet` into `$nnUNet_raw`, the commands, and `import_nnunet`: from there on nnU-Net is
one more method in every table. Without a GPU set `nnUNet_compile=f`.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from softseg.dataset.description import describe_pipeline
from softseg.dataset.index import Dataset
from softseg.dataset.names import strip_extension
from softseg.errors import InputError
from softseg.files import write_json
from softseg.masks import check_grid
from softseg.volume import Volume
from softseg_study.competitors.mask_files import write_mask

HARD_TRUTHS = {
    "soft_bin": ("labels_softseg_bin", "desc-softseg_label-SC_seg"),
    "hard": ("labels", "label-SC_seg"),
}
CASES, SPLITS = "cases.json", "splits_final.json"


def export_nnunet(
    dataset: Dataset,
    raw: Path | str,
    *,
    dataset_id: int,
    training_subjects: Sequence[str],
    validation_subjects: Sequence[str] = (),
    test_subjects: Sequence[str] = (),
    truth: str = "soft_bin",
    name: str = "SpinalCord",
) -> Path:
    """Write people of a data set as an nnU-Net v2 raw data set.

    Training and validation people go to `imagesTr` with `splits_final.json`, whose only fold is
    ours; test people go to `imagesTs`. `cases.json` remembers what each case is.

    Args:
        dataset: Images and truth.
        raw: `nnUNet_raw`.
        dataset_id: Number of the data set for nnU-Net.
        training_subjects: Participants to train on.
        validation_subjects: Participants of the fold's validation.
        test_subjects: Participants to predict.
        truth: `soft_bin`, what the paper gave nnU-Net, or `hard`; it takes binary masks only.
        name: Last part of the folder's name.

    Returns:
        The folder `raw/DatasetNNN_<name>`.

    Raises:
        InputError: If the truth of somebody to train on is missing, or the folder is taken.
    """
    if truth not in HARD_TRUTHS:
        raise InputError(f"truth: nnU-Net takes {', '.join(HARD_TRUTHS)}, found {truth!r}")
    folder = Path(raw) / f"Dataset{dataset_id:03d}_{name}"
    if folder.exists():
        raise InputError(f"{folder}: already there; choose another dataset_id or delete it")
    parts = {"train": training_subjects, "val": validation_subjects, "test": test_subjects}
    cases = {part: _cases(dataset, people) for part, people in parts.items()}
    learned = {**cases["train"], **cases["val"]}
    masks = {case: _truth(dataset, row, truth) for case, row in learned.items()}
    for case, row in learned.items():
        _copy(row.path, folder / "imagesTr" / f"{case}_0000.nii.gz", np.float32)
        _copy(masks[case], folder / "labelsTr" / f"{case}.nii.gz", np.uint8)
    for case, row in cases["test"].items():
        _copy(row.path, folder / "imagesTs" / f"{case}_0000.nii.gz", np.float32)
    write_json(folder / SPLITS, [{part: sorted(cases[part]) for part in ("train", "val")}])
    everything = {**learned, **cases["test"]}
    write_json(folder / CASES, {case: [r.subject, r.contrast] for case, r in everything.items()})
    content = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "cord": 1},
        "numTraining": len(learned),
        "file_ending": ".nii.gz",
        "name": name,
    }
    write_json(folder / "dataset.json", content)
    return folder


def nnunet_commands(
    exported: Path | str,
    predictions: Path | str,
    *,
    configuration: str = "3d_fullres",
    epochs: int | None = None,
    device: str = "cuda",
) -> list[str]:
    """What to type, in order, once nnU-Net is installed and its three folders are set.

    Args:
        exported: What `export_nnunet` returned.
        predictions: Where the masks of `imagesTs` shall go.
        configuration: `2d` or `3d_fullres`.
        epochs: A shorter training, one of nnU-Net's own: 1, 5, 10, 20, 50, 100 or 250.
        device: `cuda`, `cpu` or `mps`.

    Example:
        >>> for line in nnunet_commands("raw/Dataset007_SpinalCord", "out", epochs=5):
        ...     print(line)
        nnUNetv2_plan_and_preprocess -d 7 --verify_dataset_integrity -c 3d_fullres
        cp raw/Dataset007_SpinalCord/splits_final.json $nnUNet_preprocessed/Dataset007_SpinalCord/
        nnUNetv2_train 7 3d_fullres 0 -tr nnUNetTrainer_5epochs -device cuda
        nnUNetv2_predict -d 7 -c 3d_fullres -f 0 -tr nnUNetTrainer_5epochs -device cuda
          -i raw/Dataset007_SpinalCord/imagesTs -o out
    """
    exported = Path(exported)
    number = int(exported.name[len("Dataset") :].split("_")[0])
    trainer = f"nnUNetTrainer_{epochs}epoch{'s' if epochs > 1 else ''}" if epochs else None
    chosen = f" -tr {trainer}" if trainer else ""
    return [
        f"nnUNetv2_plan_and_preprocess -d {number} --verify_dataset_integrity -c {configuration}",
        f"cp {exported / SPLITS} $nnUNet_preprocessed/{exported.name}/",
        f"nnUNetv2_train {number} {configuration} 0{chosen} -device {device}",
        f"nnUNetv2_predict -d {number} -c {configuration} -f 0{chosen} -device {device} "
        f"-i {exported / 'imagesTs'} -o {predictions}",
    ]


def import_nnunet(
    dataset: Dataset,
    exported: Path | str,
    predictions: Path | str,
    *,
    method: str = "nnunet",
) -> pd.DataFrame:
    """Take nnU-Net's masks over as `derivatives/<method>`.

    Args:
        dataset: The data set that was exported.
        exported: What `export_nnunet` returned.
        predictions: Output folder of `nnUNetv2_predict`.
        method: Name of the derivative folder and in every table.

    Returns:
        One row a predicted case: `subject`, `contrast`, `status`, `path`.

    Raises:
        InputError: If nothing was predicted, a case is unknown or a mask does not fit its image.
    """
    predictions = Path(predictions)
    known = json.loads((Path(exported) / CASES).read_text(encoding="utf-8"))
    masks = sorted(predictions.glob("*.nii.gz"))
    if not masks:
        raise InputError(f"{predictions}: no predictions; run nnUNetv2_predict first")
    rows = []
    for path in masks:
        case = strip_extension(path.name)
        if case not in known:
            raise InputError(f"{path}: no case of {exported}; predict that data set's imagesTs")
        subject, contrast = known[case]
        row = next(_rows(dataset, [subject], contrast))
        image = Volume.load(row.path, average="mean")
        mask = Volume.load(path)
        check_grid(mask, image)
        hard = image.like(mask.data.astype(np.float32))
        written, status = write_mask(dataset, method, row, hard, source=path)
        rows.append((subject, contrast, status, written))
    describe_pipeline(
        dataset.root / "derivatives" / method, "Masks of nnU-Net", "import-nnunet", method=method
    )
    return pd.DataFrame(rows, columns=["subject", "contrast", "status", "path"])


def _rows(dataset: Dataset, people: Iterable[str], contrast: str | None = None):
    table = dataset.images[dataset.images["subject"].isin(list(people))]
    if contrast is not None:
        table = table[table["contrast"] == contrast]
    return table.itertuples()


def _cases(dataset: Dataset, people: Sequence[str]) -> dict:
    """Case name → row of the data set's images; a name without spaces, as nnU-Net wants it."""
    return {strip_extension(Path(row.path).name): row for row in _rows(dataset, people)}


def _truth(dataset: Dataset, row, truth: str) -> Path:
    folder, ending = HARD_TRUTHS[truth]
    path = dataset.existing(folder, row.subject, row.contrast, ending)
    if path is None:
        raise InputError(f"{row.path}: no {folder}/…_{ending}; make that truth first")
    return path


def _copy(source: Path | str, target: Path, dtype: type) -> None:
    volume = Volume.load(source, average="mean")
    data = (volume.data > 0.5) if dtype is np.uint8 else volume.data
    volume.like(data).save(target, dtype=dtype)
