"""Maps of volumes: memory and time beside the full graph, captum, MONAI and pytorch-grad-cam; and their equality.

Every measurement is a process of its own. Memory is its peak above what it held with the model and the volume loaded,
time is of its CPU, on one thread. ``python benchmarks/volumes.py`` writes benchmarks/results/volumes.json;
`--equality` alone compares the ways with the full graph in float64. pytorch-grad-cam is measured where `--peers` names
a folder that it was installed into (``pip install --no-deps --target FOLDER grad-cam ttach``).
"""

import argparse
import ctypes
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import volume_models  # noqa: E402
from torch import nn  # noqa: E402

MB = 1 << 20
SIZE = (256, 128, 128)
LARGE = (256, 224, 224)
SMALL = (128, 64, 64)
TARGET = 1
# Name -> the network, its target layer, the size, and the budget of our way as a part of the plain graph's tensors.
CASES = {
    "resnet batch": (lambda: volume_models.ResNet("batch", 16, 2, 4), "layers", SIZE, 0.3),
    "resnet batch, large": (lambda: volume_models.ResNet("batch", 16, 2, 4), "layers", LARGE, 0.05),
    "densenet instance": (lambda: volume_models.DenseNet("instance", 12, 3), "block2", SIZE, 0.15),
    "efficientnet batch": (lambda: volume_models.EfficientNet("batch", 16), "blocks", SIZE, 0.35),
    "vit": (lambda: volume_models.ViT(96, 6, 8), "spatial", SMALL, 0.4),
    "resnet batch, small": (lambda: volume_models.ResNet("batch", 16, 1, 3), "layers", SMALL, 0.4),
}
CAM_TOOLS = ("naive", "longtake", "monai", "pgc")
RUNS = [
    *(("resnet batch", method, tool) for method in ("gradcam", "gradcam++") for tool in CAM_TOOLS),
    ("resnet batch", "gradcam", "captum"),
    *(("resnet batch", "saliency", tool) for tool in ("naive", "captum", "longtake")),
    *(("densenet instance", method, tool) for method in ("gradcam", "saliency") for tool in ("naive", "longtake")),
    *(("efficientnet batch", "saliency", tool) for tool in ("naive", "longtake")),
    *(("vit", "saliency", tool) for tool in ("naive", "longtake")),
    *(("resnet batch, large", "gradcam", tool) for tool in ("naive", "longtake")),
    ("resnet batch, small", "saliency", "naive"),
    *(("resnet batch, small", f"smoothgrad {n}", "longtake") for n in (5, 6, 50)),
    ("resnet batch, small", "smoothgrad 6", "captum"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=3)
    parser.add_argument("--equality", action="store_true")
    parser.add_argument("--peers", default="")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/volumes.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.one:
        print(json.dumps(measured(*given.one)))
        return
    found = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__}
    found |= {"date": time.strftime("%Y-%m-%d"), "equality": equality()}
    if not given.equality:
        found["runs"] = runs(given.peers)
        found["goals"] = goals(found["runs"])
        for goal in found["goals"]:
            print(goal)
    given.out.write_text(json.dumps(found, indent=1) + "\n")


def runs(peers: str) -> list[dict]:
    """Each run in a process of its own; those of one case write their maps into one folder, to be compared."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case, method, tool in RUNS:
            environment = {**os.environ, "VOLUMES_MAPS": folder, "PYTHONPATH": peers}
            command = [sys.executable, __file__, "--one", case, method, tool]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            row = {"case": case, "method": method, "tool": tool}
            if done.returncode:
                row["skipped"] = why(done)
            else:
                row |= json.loads(done.stdout.splitlines()[-1])
            rows.append(row)
            print(row, flush=True)
    return rows


def why(done: subprocess.CompletedProcess) -> str:
    """Why a tool was not measured, in the words of its last line."""
    said = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:200]
    return f"{said}; it wants torchvision, which has no CPU build for this torch" if "torchvision" in said else said


def measured(case: str, method: str, tool: str) -> dict:
    """Peak MB above the start, CPU seconds, and the difference from the naive map of the same method."""
    make, layer, size, share = CASES[case]
    torch.manual_seed(0)
    model = make().eval()
    volume = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(1))
    work = prepared(tool, model, volume, layer=layer, method=method, share=share)
    row = {}
    if tool == "longtake":
        row["way"], row["plan_s"] = work.way, work.plan_s
    base = reset_peak()
    began = time.process_time()
    values = work()
    row |= {"cpu_s": time.process_time() - began, "peak_mb": (peak() - base) / MB}
    place = Path(os.environ["VOLUMES_MAPS"]) / f"{case} {method}.npy"
    if tool == "naive":
        np.save(place, values)
    elif place.exists() and np.load(place).shape == values.shape:
        one, other = values.astype(np.float64), np.load(place).astype(np.float64)
        row["l2"] = float(np.linalg.norm(one - other) / np.linalg.norm(other))
        row["bitwise"] = bool(np.array_equal(values, np.load(place)))
    return row


def reset_peak() -> int:
    # What planning freed must not be taken for memory that the work did not need.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def peak() -> int:
    return status("VmHWM")


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def prepared(tool: str, model: nn.Module, volume: torch.Tensor, *, layer: str, method: str, share: float):
    """What is measured, with all that is loaded or planned once beforehand."""
    return {"naive": naive, "longtake": ours, "captum": captum, "monai": monai, "pgc": pgc}[tool](
        model, volume, layer, method, share
    )


def cam_map(method: str, activations: torch.Tensor, gradients: torch.Tensor, size) -> np.ndarray:
    from longtake.attribution.cams import cam, enlarged

    return enlarged(cam(method, activations, gradients).values, size).numpy()


def naive(model, volume, layer, method, _share):
    """The graph of the whole, as people write it with hooks."""
    size = tuple(volume.shape[2:])

    def work():
        if method == "saliency":
            leaf = volume.clone().requires_grad_()
            model(leaf)[0, TARGET].backward()
            return leaf.grad[0, 0].abs().numpy()
        kept = {}

        def hook(_module, _given, output):
            output.retain_grad()
            kept["at"] = output

        handle = model.get_submodule(layer).register_forward_hook(hook)
        model(volume.clone().requires_grad_())[0, TARGET].backward()
        handle.remove()
        return cam_map(method, kept["at"].detach()[0], kept["at"].grad[0], size)

    return work


def ours(model, volume, layer, method, share):
    from longtake.attribution.exact import Exact
    from longtake.attribution.noise import drawn_moments, noisy, smoothgrad
    from longtake.attribution.target import Target
    from longtake.models.volumes import BareVolumeModel

    wrapped, target = BareVolumeModel(model, ("a", "b", "c")), Target(TARGET)
    at = layer if "cam" in method else None
    began = time.process_time()
    plain = Exact(wrapped, 1 << 60).way(volume, target, None).predicted_bytes or 0
    exact = Exact(wrapped, int(share * plain))
    way = exact.way(volume, target, at)
    size = tuple(volume.shape[2:])

    def work():
        if method == "saliency":
            return exact.gradient(volume, target, measure=False).gradient[0, 0].abs().numpy()
        if at:
            found = exact.gradient(volume, target, layer=at, measure=False)
            return cam_map(method, found.at[0], found.gradient[0], size)
        draws = int(method.split()[1])
        with tempfile.TemporaryDirectory() as folder:

            def gradient(draw):
                copy = noisy(volume, 0.5, seed=1, volume="v", draw=draw)
                return exact.gradient(copy, target, measure=False).gradient

            shape = tuple(volume.shape[1:])
            return smoothgrad(drawn_moments(gradient, shape=shape, draws=draws, folder=Path(folder), key="k"))

    work.way, work.plan_s = way.name, time.process_time() - began
    return work


def captum(model, volume, layer, method, _share):
    from captum.attr import LayerAttribution, LayerGradCam, NoiseTunnel, Saliency

    def work():
        if method == "gradcam":
            found = LayerGradCam(model, model.get_submodule(layer)).attribute(volume, TARGET, relu_attributions=True)
            size = tuple(volume.shape[2:])
            return LayerAttribution.interpolate(found, size, "trilinear")[0, 0].detach().numpy()
        if method == "saliency":
            return Saliency(model).attribute(volume.clone().requires_grad_(), TARGET)[0, 0].numpy()
        tunnel = NoiseTunnel(Saliency(model))
        leaf = volume.clone().requires_grad_()
        return tunnel.attribute(leaf, nt_samples=int(method.split()[1]), stdevs=0.5, target=TARGET, abs=False)[
            0, 0
        ].numpy()

    return work


def monai(model, volume, layer, method, _share):
    from monai.visualize import GradCAM, GradCAMpp

    kind = {"gradcam": GradCAM, "gradcam++": GradCAMpp}[method]
    found = kind(nn_module=model, target_layers=layer)
    return lambda: found(x=volume, class_idx=TARGET)[0, 0].detach().numpy()


def pgc(model, volume, layer, method, _share):
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    kind = {"gradcam": GradCAM, "gradcam++": GradCAMPlusPlus}[method]
    found = kind(model=model, target_layers=[model.get_submodule(layer)])
    return lambda: found(input_tensor=volume, targets=[ClassifierOutputTarget(TARGET)])[0]


def goals(rows: list[dict]) -> list[dict]:
    """Each goal as a ratio, the limit, and whether it was met."""
    every = {(row["case"], row["method"], row["tool"]): row for row in rows}
    by_key = {key: row for key, row in every.items() if "skipped" not in row}
    found = []

    def goal(words: str, of: tuple, to: tuple, what: str, limit: float, *, times: float = 1.0) -> None:
        if of in by_key and to in by_key:
            ratio = by_key[of][what] / (by_key[to][what] * times)
            found.append({"goal": words, "ratio": round(ratio, 3), "limit": limit, "met": ratio <= limit})
        elif of in every and to in by_key:
            found.append({"goal": words, "limit": limit, "met": False, "reason": every[of]["skipped"]})

    for method in ("gradcam", "gradcam++"):
        mine = ("resnet batch", method, "longtake")
        goal(f"{method}: peak to naive", mine, ("resnet batch", method, "naive"), "peak_mb", 0.35)
        goal(f"{method}: CPU to naive", mine, ("resnet batch", method, "naive"), "cpu_s", 0.6)
        goal(f"{method}: peak to captum", mine, ("resnet batch", method, "captum"), "peak_mb", 0.45)
    mine = ("resnet batch", "saliency", "longtake")
    goal("saliency: peak to captum", mine, ("resnet batch", "saliency", "captum"), "peak_mb", 0.45)
    goal("saliency: CPU to captum", mine, ("resnet batch", "saliency", "captum"), "cpu_s", 1.5)
    mine = ("densenet instance", "saliency", "longtake")
    goal("instance norm, saliency: peak to naive", mine, ("densenet instance", "saliency", "naive"), "peak_mb", 0.3)
    goal("instance norm, saliency: CPU to naive", mine, ("densenet instance", "saliency", "naive"), "cpu_s", 4)
    for case in ("efficientnet batch", "vit"):
        mine, whole = (case, "saliency", "longtake"), (case, "saliency", "naive")
        goal(f"{case}, saliency: peak to naive", mine, whole, "peak_mb", 0.45)
        if mine in by_key:
            found.append({"goal": f"{case}, saliency: bitwise", "met": by_key[mine].get("bitwise", False)})
    small = "resnet batch, small"
    goal(
        "50 draws: peak to 5",
        (small, "smoothgrad 50", "longtake"),
        (small, "smoothgrad 5", "longtake"),
        "peak_mb",
        1.05,
    )
    mine = (small, "smoothgrad 6", "longtake")
    goal("smoothgrad 6: peak to captum's default", mine, (small, "smoothgrad 6", "captum"), "peak_mb", 0.2)
    goal("smoothgrad 6: CPU to 6 gradients", mine, (small, "saliency", "naive"), "cpu_s", 1.6, times=6)
    large = "resnet batch, large"
    goal(
        "256x224x224, gradcam: peak to naive",
        (large, "gradcam", "longtake"),
        (large, "gradcam", "naive"),
        "peak_mb",
        0.1,
    )
    return found


def equality() -> list[dict]:
    """Architecture x method x way: largest difference from the full graph in float64, as a part of the largest."""
    rows = []
    for name in volume_models.MODELS:
        layer = volume_models.LAYERS[name.split()[0]][0]
        for at in (None, layer):
            for row in equal_ways(name, at):
                rows.append({"model": name, "gradient": f"at {at or 'the input'}", **row})
                print(rows[-1], flush=True)
    return rows


def equal_ways(name: str, at: str | None):
    """Rows of one architecture and place: the way, how far its gradient is off, and how far each map of it is."""
    from longtake.attribution.exact import Exact
    from longtake.attribution.target import Target
    from longtake.bounded.planning import plan
    from longtake.bounded.slabproof import slab_front
    from longtake.errors import BudgetError
    from longtake.models.volumes import BareVolumeModel

    module, size = volume_models.seeded(name), (37, 24, 21)
    if name == "vit":  # as large as it must be for its blocks to weigh more than the weights of one
        module, size = volume_models.ViT(64, 3, 4).eval(), (40, 32, 24)
    model = BareVolumeModel(module.double(), ("a", "b", "c"))
    given = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(1)).double()
    activations, whole = full_graph(model.module, given, at)
    maps = maps_of(at, activations, whole)
    plain = Exact(model)
    tried = {"graph from the layer on" if at else "graph of the whole": plain}
    peak_bytes = plain.gradient(given, Target(TARGET), layer=at).measured_bytes
    if slab_front(model, given) is not None:
        tried |= {f"slabs of {tile}": Exact(model, tile=tile) for tile in (4, 16)}
    for part in (0.9, 0.7, 0.5):
        try:
            way = plan(model, given, Target(TARGET), wrt=at, budget=int(part * peak_bytes))
        except BudgetError:
            continue
        tried[way.name] = Exact(model, ways={(tuple(given.shape), at): way})
    for words, exact in tried.items():
        got = exact.gradient(given, Target(TARGET), layer=at)
        made = maps_of(at, got.at, got.gradient)
        off = {method: part_off(one, maps[method]) if one is not None else None for method, one in made.items()}
        yield {"way": words, "difference": part_off(got.gradient, whole), "maps": off}


def full_graph(module: nn.Module, given: torch.Tensor, at: str | None):
    """Activations and gradients by one graph from the input to the score, as PyTorch itself makes it."""
    kept = {}
    handle = module.get_submodule(at).register_forward_hook(lambda _m, _g, made: kept.update(at=made)) if at else None
    leaf = given.clone().requires_grad_()
    score = module(leaf)[0, TARGET]
    if handle:
        handle.remove()
    place = kept.get("at", leaf)
    (found,) = torch.autograd.grad(score, place)
    return place.detach(), found


def maps_of(at: str | None, activations: torch.Tensor, gradients: torch.Tensor) -> dict[str, torch.Tensor | None]:
    """The map of each method; None of a map that is refused, as its weights are rounding before an instance norm."""
    from longtake.attribution.cams import VANISHED, cam
    from longtake.attribution.options import CAMS

    if at is None:
        return {"saliency": gradients[0].abs().sum(0)}
    made = {method: cam(method, activations[0], gradients[0]) for method in CAMS}
    void = {method for method, each in made.items() if (each.weight_ratio or 1) < VANISHED}
    return {method: None if method in void else each.values for method, each in made.items()}


def part_off(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-300))


if __name__ == "__main__":
    main()
