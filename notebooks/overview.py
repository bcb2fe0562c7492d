"""The picture of README and title page.

    python notebooks/overview.py runs/book book/_static/overview.png

One phantom of a run: six contrasts, six drawn masks and their areas, one soft area.
"""

import argparse
from pathlib import Path

from softseg.dataset.index import Dataset
from softseg.files import replacing
from softseg_study.evaluation.areas import measure_areas, true_csa
from softseg_study.evaluation.participant import read_participant
from softseg_study.figures.ground_truth import soft_truth_explained
from softseg_study.figures.style import use_style


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--subject", default="sub-001")
    options = parser.parse_args()

    data = Dataset.index(options.run / "data")
    methods = {"hard": "labels", "soft": "labels_softseg"}
    images, masks = read_participant(data, options.subject, methods)
    csa = measure_areas(data, methods, subjects=[options.subject])
    areas = csa[csa["mask"] == "soft"].set_index(["method", "contrast"])["area_mm2"]
    truth = true_csa(data, subjects=[options.subject])
    use_style()
    figure = soft_truth_explained(
        images,
        masks["hard"],
        masks["soft"]["T2w"],
        areas["hard"].to_dict(),
        areas["soft"].to_dict(),
        true_area_mm2=float(truth["area_mm2"].mean()) if len(truth) else None,
    )
    with replacing(options.picture) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})


if __name__ == "__main__":
    main()
