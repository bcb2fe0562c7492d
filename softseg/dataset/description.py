"""What a folder of derivatives says of itself."""

from pathlib import Path
from typing import Any

from softseg.files import write_json
from softseg.provenance.records import generated_by, read_json

BIDS_VERSION = "1.9.0"
DESCRIPTION = "dataset_description.json"


def described_by(folder: Path, step: str) -> bool | None:
    """Whether a step of softseg described a folder; None where nothing describes it."""
    file = folder / DESCRIPTION
    if not file.exists():
        return None
    try:
        return read_json(file)["GeneratedBy"][0]["Name"] == f"softseg {step}"
    except (LookupError, TypeError):
        return False


def describe_pipeline(folder: Path, title: str, step: str, **details: Any) -> None:
    """Write the `dataset_description.json` that makes a folder a BIDS derivative."""
    write_json(
        folder / DESCRIPTION,
        {
            "Name": title,
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": generated_by(step, **details),
        },
    )
