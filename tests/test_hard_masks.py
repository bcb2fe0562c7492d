"""Hard masks and the places that headers name, of the mask and of its image."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from softseg.errors import InputError
from softseg.ground_truth.hard_masks import load_mask
from softseg.nifti_header import HeaderWarning
from softseg.volume import Volume


def tube_mask(shape):
    data = np.zeros(shape)
    data[3:6, 3:6] = 1
    return Volume(data, np.diag([-1.0, 1.0, 4.0, 1.0]))


def test_a_mask_is_compared_with_both_places_of_its_image(tmp_path):
    mask = tube_mask((9, 9, 5))
    qform = mask.affine.copy()
    qform[1, 3] += 8
    image = nib.Nifti1Image(np.zeros((9, 9, 5), np.float32), mask.affine)
    image.set_sform(mask.affine, 1)
    image.set_qform(qform, 1)
    nib.save(image, tmp_path / "image.nii")
    mask.save(tmp_path / "mask.nii")
    with pytest.warns(HeaderWarning, match=r"image.nii: its qform and sform .* 8\.0 mm apart"):
        load_mask(tmp_path / "mask.nii", tmp_path / "image.nii")
    replace(mask, affine=qform).save(tmp_path / "there.nii")
    with (
        pytest.warns(HeaderWarning),
        pytest.raises(InputError, match=r"it where the qform does, 8\.00 mm away"),
    ):
        load_mask(tmp_path / "there.nii", tmp_path / "image.nii")


def test_a_mask_in_millimetres_belongs_to_an_image_in_metres(tmp_path):
    mask = tube_mask((9, 9, 5))
    small = mask.affine.copy()
    small[:3] *= 1e-3
    image = nib.Nifti1Image(np.zeros((9, 9, 5), np.float32), small)
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "image.nii")
    with pytest.warns(HeaderWarning, match="in metres"):
        volume = load_mask(mask.save(tmp_path / "mask.nii"), tmp_path / "image.nii")
    np.testing.assert_allclose(volume.affine, mask.affine)
