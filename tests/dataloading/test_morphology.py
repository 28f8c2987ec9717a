"""Morphology with balls through distances."""

import pytest
import torch
from batchgeneratorsv2.transforms.nnunet import random_binary_operator as by_convolution
from skimage.morphology import ball, disk

from autodiffseg.dataloading import morphology

PAIRS = {
    morphology.dilate: by_convolution.binary_dilation_torch,
    morphology.erode: by_convolution.binary_erosion_torch,
    morphology.opened: by_convolution.binary_opening_torch,
    morphology.closed: by_convolution.binary_closing_torch,
}


@pytest.mark.parametrize("operator", PAIRS)
@pytest.mark.parametrize("shape", [(13, 18, 11), (1, 2, 9), (2, 14, 14), (15, 22)])
@pytest.mark.parametrize("radius", [1, 2, 5, 8, morphology.LARGEST])
def test_it_finds_the_voxels_that_a_convolution_with_the_ball_does(operator, shape, radius):
    rng = torch.Generator().manual_seed(radius)
    element = torch.from_numpy((disk if len(shape) == 2 else ball)(radius, dtype=bool))
    for share in (0, 0.003, 0.05, 0.5, 0.98, 1):
        mask = torch.rand(shape, generator=rng) < share
        before = mask.clone()
        assert torch.equal(operator(mask, radius), PAIRS[operator](mask, element))
        assert torch.equal(mask, before)


def test_a_radius_whose_square_leaves_the_byte_is_refused():
    with pytest.raises(ValueError, match="radius 12"):
        morphology.dilate(torch.ones((3, 3), dtype=torch.bool), morphology.LARGEST + 1)
