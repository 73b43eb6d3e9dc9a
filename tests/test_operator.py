"""Operators: the gradients that they give without an output are those of autograd."""

import pytest
import torch

from analog_samson import rng
from analog_samson.crossbar.operator import convolution, matrix_product

CASES = {
    "vectors": (matrix_product(), (5, 6), 6, 4),
    "vectors in two groups": (matrix_product(2), (5, 6), 3, 4),
    "no vectors": (matrix_product(), (0, 6), 6, 4),
    "1-d, same, odd padding": (convolution([4], [1], "same", [1], 1), (3, 2, 9), 8, 4),
    "2-d, stride, groups": (convolution([3, 3], [2, 2], [1, 1], [1, 1], 2), (2, 4, 8, 7), 18, 6),
    "2-d, dilation, valid": (convolution([3, 2], [1, 1], "valid", [2, 1], 1), (2, 3, 8, 7), 18, 5),
    "2-d, same, one odd side": (convolution([2, 3], [1, 1], "same", [1, 1], 1), (2, 3, 6, 5), 18, 4),
    "3-d": (convolution([2, 2, 2], [1, 2, 1], [1, 0, 1], [1, 1, 1], 1), (1, 2, 4, 4, 4), 16, 3),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_gradients_are_those_of_autograd(case):
    operator, shape, rows, columns = case
    with rng.stream(0, "operator"):
        x, weight = torch.randn(shape, requires_grad=True), torch.randn(columns, rows, requires_grad=True)
        y = operator.multiply(x, weight, None, operator.groups)
        upstream = torch.randn_like(y)
    wanted = torch.autograd.grad(y, [x, weight], upstream)
    found = operator.gradients(x.detach(), weight.detach(), upstream, operator.groups)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
