"""What a folder of derivatives says of itself."""

from pathlib import Path
from typing import Any

from softseg.files import write_json
from softseg.provenance.records import generated_by

BIDS_VERSION = "1.9.0"


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
