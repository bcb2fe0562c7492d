"""The card of the weights that ship, as the Hugging Face Hub shows it.

`python notebooks/hub_card.py` writes `hub/README.md` from `softseg/weights/axial.json`; numbers
come from that card alone.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "book" / "_ext"))
from model_card import phantom, real, sources  # noqa: E402

TEXT = """
# softseg {name}

A small two-dimensional network that finds the spinal cord in MR images of any contrast, orientation
and voxel size, and gives each voxel the fraction of it that is cord. For research, not for
diagnosis.

```sh
pip install softseg
softseg segment T2w.nii.gz -o softseg.nii.gz
softseg csa softseg.nii.gz -o csa.csv --per-slice
```

These weights come with the package; `--weights FILE` takes a copy from here. `{name}.onnx` is what
runs, and `{name}.safetensors` what a training goes on from. The network has {parameters:,}
parameters.

## What it has seen

{sources}

## Real images of participants it had not seen

Each by a network trained without that participant. Manual masks depend on who drew them.

{real}

## Digital participants, whose true area is known

{phantom}

## Known failures

{failures}

## More

Code, book and how it was trained: https://github.com/your-lab/softseg. Please cite
doi:10.1016/j.media.2025.103473, whose method it re-creates.
"""


def hub_card(card: dict[str, Any]) -> str:
    """Front matter that the Hub reads, and text."""
    front = {
        "license": "mit",
        "library_name": "softseg",
        "pipeline_tag": "image-segmentation",
        "tags": ["medical", "MRI", "spinal-cord", "soft-segmentation", "onnx"],
    }
    told = {part.__name__: _table(*part(card)) for part in (sources, real, phantom)}
    failures = "\n".join(f"- {each}" for each in card["known_failures"])
    text = TEXT.format(name=card["name"], parameters=card["parameters"], failures=failures, **told)
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n{text}"


def _table(head: list, rows: list) -> str:
    columns = head[0] if head else ("Measure", "Value")
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def write() -> None:
    """The card of the weights that lie in the package now."""
    shipped = json.loads((ROOT / "softseg/weights/axial.json").read_text("utf-8"))
    (ROOT / "hub/README.md").write_text(hub_card(shipped), encoding="utf-8")


if __name__ == "__main__":
    write()
