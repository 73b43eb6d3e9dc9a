"""The handwritten digits that scikit-learn carries: 1797 grey images of 8 x 8, no download."""

import numpy as np
import torch

from analog_samson.data.image_set import ImageSet, image_set, stratified

TEST_IMAGES = 500
_SPLIT_SEED = 0  # part of the dataset's definition: results name "digits" and mean this split


def load_digits_set(split: str) -> ImageSet:
    """1297 images for training or 500 for testing, each class in the same proportion, always the same ones."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)  # 17 grey levels, 0..16
    whole = image_set(pixels, digits.target, name="digits", where="digits", num_classes=10)
    test = stratified(whole.labels, TEST_IMAGES / len(whole), _SPLIT_SEED)
    chosen = torch.ones(len(whole), dtype=torch.bool)
    chosen[test] = False
    index = test if split == "test" else chosen.nonzero().flatten()
    return ImageSet(images=whole.images[index], labels=whole.labels[index], num_classes=10, name="digits")
