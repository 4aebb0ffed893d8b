"""Networks as a user writes them, a volume with its mask and regions, and the job of a volume on them."""

import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from longtake.attribution.volume import analyse_volume

TABLES = ("results", "regions", "curves")
SIZE = (12, 16, 18)  # height, width, B-scans: the file's order
NETWORKS = '''
import torch
from torch import nn


class Net(nn.Module):
    """The mean of the bright voxels speaks for class 1."""

    class_names = ("dark", "bright")

    def __init__(self, norm=None):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv3d(1, 4, 3, 2, 1), norm or nn.Identity(), nn.ReLU(inplace=True))
        self.second = nn.Sequential(nn.Conv3d(4, 4, 3, 1, 1), nn.ReLU(inplace=True))
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.second(self.first(x)).mean((2, 3, 4)))


def plain(device):
    return Net().to(device).eval()


def with_checkpoint(device, checkpoint):
    net = Net()
    net.load_state_dict(torch.load(checkpoint, weights_only=True))
    return net.to(device).eval()


def instance(device):
    return Net(nn.InstanceNorm3d(4)).eval()


def training(device):
    return Net().train()


def two_inputs(device):
    class Two(nn.Module):
        def forward(self, x, mask):
            return x

    return Two().eval()


def segmenter(device):
    return nn.Conv3d(1, 2, 1).eval()


def tokens(device):
    class Tokens(nn.Module):
        def forward(self, x):
            return x.flatten(2).transpose(1, 2)[:, :5, :1]

    return Tokens().eval()


def pair(device):
    class Pair(nn.Module):
        def forward(self, x):
            return x.mean((2, 3, 4)), x

    return Pair().eval()


def drawing(device):
    class Drawing(Net):
        def forward(self, x):
            return super().forward(x + torch.rand_like(x))

    return Drawing().eval()


def strided(device):
    return nn.Sequential(nn.Conv3d(1, 2, 25, 25), nn.Flatten(), nn.Linear(2, 2)).eval()


def nothing(device):
    return 7


def zero(device):
    net = Net()
    nn.init.zeros_(net.out.weight)
    return net.eval()


def wrong_arguments():
    return Net().eval()


class OfTwo(Net):
    """What a target layer may be that is none."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        return self.out(self.part(self.second(self.first(x))).mean((2, 3, 4)))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Conv3d(4, 4, 1)

    def forward(self, x):
        return self.inner(self.inner(x))


class ThroughPair(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Pairing()

    def forward(self, x):
        return self.inner(x)[0]


class Pairing(nn.Module):
    def forward(self, x):
        return x, x


class ThroughTokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x):
        return self.inner(x.flatten(2)).view_as(x)


def calling_twice(device):
    return OfTwo(Twice()).eval()


def with_pair(device):
    return OfTwo(ThroughPair()).eval()


def with_tokens(device):
    return OfTwo(ThroughTokens()).eval()
'''


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "nets_of_tests.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nets_of_tests", raising=False)
    volume = np.random.default_rng(0).random(SIZE).astype(np.float32)
    volume[3:6, 4:8, 6:10] += 2
    np.save(tmp_path / "v.npy", volume)
    mask = np.zeros(SIZE, np.uint8)
    mask[3:6, 4:8, 6:10] = 1
    np.save(tmp_path / "mask.npy", mask)
    regions = np.zeros(SIZE, np.uint8)
    regions[6:] = 2
    np.save(tmp_path / "regions.npy", regions)
    return tmp_path


@pytest.fixture
def run():
    """`run(place, row=..., **options)` does the job of a volume: its facts, and rows by table."""
    return explained


def explained(place, *, row=None, seed=3, out="out", progress=None, check=False, job=None, **options):
    given = {"row": 2, "volume": "v", "path": str(place / "v.npy"), "label": "bright", **(row or {})}
    full = {
        "volumes": "x",
        "model": "nets_of_tests:plain",
        "axes": "HWB",
        "model_axes": "BHW",
        "faithfulness": False,
        "n_samples": 3,
        "ig_steps": 4,
        "steps": 4,
        **options,
    }
    tables = {f"{name}_out": place / out / f"{name}.parquet" for name in TABLES}
    facts = analyse_volume(
        row=given, options=full, out=place / out, seed=seed, check=check, progress=progress, **tables, **(job or {})
    )
    rows = {
        name: pq.read_table(place / out / f"{name}.parquet").to_pylist() for name in ("results", "regions", "curves")
    }
    return facts, rows
