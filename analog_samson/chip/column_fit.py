"""A factor and an offset for each column of a weight, by least squares that trust few samples little.

Outputs of one sample, such as the positions of a sequence, are alike, so that their number says little of how well a
fit is known. The samples are therefore dealt into groups, and a jackknife over these gives the variance of each
estimate. Estimates are then shrunk towards no correction by the empirical Bayes rule: for estimates of the columns
b with variances v, the variance of the true values is t = mean(b^2 - v), at least 0, and b becomes b t / (t + v). With
many samples v is small and least squares remain (Efron & Morris 1973, 10.1080/01621459.1973.10481350).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from analog_samson.chip.scaling import Affine

GROUPS = 8


@dataclass
class ColumnFit:
    """Sums over pairs of analog outputs a and digital outputs d, (GROUPS, 5, columns): of 1, a, d, a^2 and a d."""

    sums: Tensor

    @staticmethod
    def of(columns: int, device: torch.device) -> "ColumnFit":
        """No pairs yet."""
        return ColumnFit(torch.zeros(GROUPS, 5, columns, dtype=torch.float64, device=device))

    def add(self, analog: Tensor, digital: Tensor, samples: Tensor, columns: tuple[int, int] | None = None) -> None:
        """Add pairs.

        Args:
            analog: Outputs of the tiles, (n, columns).
            digital: Outputs of the digital weights, (n, columns).
            samples: The number of the sample that each pair belongs to, (n,).
            columns: The range of columns that these are; all by default.
        """
        own = self.sums if columns is None else self.sums[:, :, slice(*columns)]
        groups = (samples % GROUPS == torch.arange(GROUPS, device=samples.device)[:, None]).double()
        own[:, 0] += groups.sum(1)[:, None]
        a, d = analog.double(), digital.double()
        for place, values in enumerate((a, d, a.square(), a * d), start=1):
            own[:, place] += groups @ values

    def affine(self) -> Affine:
        """The shrunk factor and offset of each column; a column whose outputs never vary keeps its factor."""
        total = self.sums.sum(0)
        gain, error = least_squares(total)
        gains, errors = least_squares(total - self.sums)
        used = self.sums[:, 0] > 0
        count = used.sum(0)

        def variance(left_out: Tensor, whole: Tensor) -> Tensor:
            spread = torch.where(used, (left_out - whole).square(), 0.0).sum(0) * (count - 1) / count.clamp_min(1)
            return torch.where(count > 1, spread, torch.inf)

        gain = 1 + shrunk(gain - 1, variance(gains, gain))
        error = shrunk(error, variance(errors, error))
        mean = total[1] / total[0].clamp_min(1)
        return Affine(gain.float(), (error + mean - gain * mean).float())


def least_squares(sums: Tensor) -> tuple[Tensor, Tensor]:
    """The factor of each column and the mean of d - a, each (..., columns).

    >>> a, d = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 3.0, 5.0])
    >>> sums = torch.stack([torch.tensor(3.0), a.sum(), d.sum(), (a * a).sum(), (a * d).sum()])[:, None]
    >>> [part.item() for part in least_squares(sums)]
    [2.0, 2.0]
    """
    count, analog, digital, squares, products = sums.unbind(-2)
    number = count.clamp_min(1)
    spread = squares - analog.square() / number
    varies = spread > 1e-12 * squares
    gain = torch.where(varies, (products - analog * digital / number) / torch.where(varies, spread, 1.0), 1.0)
    return gain, (digital - analog) / number


def shrunk(estimates: Tensor, variances: Tensor) -> Tensor:
    """Estimates of the columns of one weight (columns,), drawn towards 0 by what is known of their spread."""
    known = variances.isfinite()
    true = torch.where(known, estimates.square() - variances, 0.0).sum() / known.sum().clamp_min(1)
    true = true.clamp_min(0.0)
    return torch.where(true + variances > 0, estimates * true / (true + variances), 0.0)
