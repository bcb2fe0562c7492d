"""Does a network's area follow what is known to have changed? On your own images, without masks.

    python notebooks/metamorphic.py IMAGE… [--weights NAME_OR_FOLDER] [--output TABLE.csv]

Each image is segmented as it is and after changes whose effect on the area is known: a header that
makes voxels larger (the area must follow with the square; the response is how much of that it does,
1 is right), blur, noise, other voxels, a rotation, mirror images, a crop and others that must
change nothing.
"""

import argparse
import sys
from pathlib import Path

from softseg.errors import InputError
from softseg.files import replacing
from softseg.volume import Volume
from softseg_study.phantom.metamorphic import CHANGES, score_changes

SHOWN = ["before_mm2", "after_mm2", "deviation_percent", "response"]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="NIfTI files")
    parser.add_argument("--weights", default="axial", help="name of shipped weights, or a folder")
    parser.add_argument("--output", type=Path, help="CSV with a row for each image and change")
    parser.add_argument("--only", nargs="+", choices=CHANGES, metavar="CHANGE", default=[*CHANGES],
                        help="of: " + ", ".join(CHANGES).replace("%", "%%"))  # fmt: skip
    options = parser.parse_args()
    try:
        images = {str(path): Volume.load(path, average="mean") for path in options.images}
        changes = {name: CHANGES[name] for name in options.only}
        table = score_changes(images, options.weights, changes=changes)
    except InputError as error:
        print(f"softseg: {error}", file=sys.stderr)
        return 2
    if options.output:
        with replacing(options.output) as temporary:
            table.to_csv(temporary, index=False)
    means = table.groupby("change", sort=False)[SHOWN].median()
    print(f"Median of {len(images)} image{'s' * (len(images) > 1)}")
    print(means.rename_axis(None).to_string(float_format="{:.2f}".format, na_rep=""))
    lost = table.loc[~table["found"], ["image", "change"]]
    if len(lost):
        print(f"No cord found:\n{lost.to_string(index=False, header=False)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
