"""Small networks for the tests of conversion and simulation."""

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Every layer type that has a rule, in one small network; input (N, 4, 6, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Conv2d(4, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.same = nn.Conv2d(8, 8, 3, padding="same", bias=False)
        self.grouped = nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=4)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=2, dilation=2, groups=12)
        self.line = nn.Conv1d(12, 6, 3, padding=1)
        self.volume = nn.Conv3d(1, 2, 3, padding=1)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.plain(x)))
        x = self.depthwise(self.grouped(torch.relu(self.same(x))))
        x = self.line(x.flatten(2)).view(-1, 1, 6, 3, 3)
        return self.head(self.volume(x).mean((-1, -2)).flatten(1))


class Tied(nn.Module):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.again = self.first
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.again(torch.relu(self.first(x))))


class FrozenNorm(nn.Module):
    """Its batch norm stays in eval mode, in the usual way: `train()` does not return the network. Input (N, 4)."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.first(x.flatten(1)))))

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)
        self.norm.eval()


class Stateful(nn.Module):
    """State that is no tensor. Input (N, 64)."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.head = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))

    def get_extra_state(self) -> dict[str, int]:
        return {"calls": 1}

    def set_extra_state(self, state: dict[str, int]) -> None:
        pass


def lazy(num_classes: int = 10) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))


def seeded(build: type[nn.Module], seed: int = 0) -> nn.Module:
    """The network with weights and batch-norm statistics drawn from `seed`, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
    return model.eval()
