"""Time and memory of a segmentation in large fields."""

import subprocess
import sys

import numpy as np
import pytest

from softseg.network.weights import available_weights

CODE = """
import resource, sys
import numpy as np
from softseg.segmentation.engine import Model, segment
from softseg.volume import Volume
shape, spacing = eval(sys.argv[1])
noise = np.random.default_rng(0).random(shape, np.float32)
model = Model.load("axial", device="cpu")
segment(Volume(noise[:40, :40, :4], np.diag([1, 1, 1, 1.0])), weights=model)
usage = lambda: resource.getrusage(resource.RUSAGE_SELF)
before = usage()
segment(Volume(noise, np.diag([*spacing, 1.0])), weights=model)
after = usage()
grown = (after.ru_maxrss - before.ru_maxrss) * 1024 / noise.nbytes
print(grown, after.ru_utime - before.ru_utime)
"""


@pytest.mark.skipif("axial" not in available_weights(), reason="no weights ship")
def test_a_large_field_takes_little_more_memory_than_its_image_and_seconds():
    """A third of the field from neck to knee that took 14 GB, some 300 times its image."""
    settings = repr(((224, 174, 120), (2.23, 2.23, 3.0)))
    words = [sys.executable, "-c", CODE, settings]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    grown, seconds = map(float, done.stdout.split())
    image_mib = np.prod((224, 174, 120)) * 4 / 2**20
    assert grown * image_mib < 400
    assert seconds < 40
