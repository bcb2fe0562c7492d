"""What a derivative says about where it comes from."""

from pathlib import Path
from typing import Any

import softseg
from softseg.files import write_json

BIDS_VERSION = "1.9.0"


def generated_by(step: str, **details: Any) -> list[dict[str, Any]]:
    """The `GeneratedBy` entry of a sidecar or of a `dataset_description.json`.

    Example:
        >>> generated_by("ground-truth")[0]["Name"]
        'softseg ground-truth'
    """
    entry = {"Name": f"softseg {step}", "Version": softseg.__version__}
    return [entry | ({"Parameters": details} if details else {})]


def describe_pipeline(folder: Path, title: str, step: str, **details: Any) -> None:
    """Write the `dataset_description.json` that makes a folder a BIDS derivative."""
    write_json(
        folder / "dataset_description.json",
        {
            "Name": title,
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": generated_by(step, **details),
        },
    )
