"""Published weights from a local file or folder into a network; nothing is fetched, and no pickle runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from longtake.errors import ModelError
from longtake.model_config import check_config, read_model_json
from longtake.models.normalisation import Normalisation, read_normalisation
from longtake.models.weights import read_weights, tensors_of, unpickled

_BACKBONE = (
    "hidden_size num_hidden_layers num_attention_heads intermediate_size patch_size hidden_act layer_norm_eps qkv_bias "
    "num_channels"
).split()
# MAE's encoder (vit_mae) is stored with the parameter names of a ViT.
_HEADS = {"slowfast": "blocks.6.proj.", "x3d": "blocks.5.proj."}


def load_backbone(folder: str, documented: Normalisation) -> tuple[dict[str, Any], Normalisation]:
    """Return the settings of a ViT and its normalisation from the config.json of `folder`. Raises ModelError."""
    path = Path(folder) / "config.json"
    config = read_model_json(path)
    check_config(config, path)
    kind = config.get("model_type")
    if kind not in ("vit", "vit_mae"):
        raise ModelError(
            f"{path}: model_type is {kind!r}, not 'vit'. Give the folder of a ViT (transformers' ViTModel)."
        )
    return {key: config[key] for key in _BACKBONE if key in config}, read_normalisation(Path(folder), documented)


def load_published(net: nn.Module, network: str, source: str) -> None:
    """Fill `net` with the weights of `source`; the last layer stays as drawn where the number of classes differs.

    Parameters
    ----------
    network
        ``slowfast`` and ``x3d`` take the file that pytorchvideo publishes (``{"model_state": ...}``), or safetensors of
        the same names; ``vit_*`` take the folder of a ViT.

    Raises
    ------
    ModelError
        Names or shapes are those of another network (the first three of each are named), batch statistics have no place
        because the norm is not ``frozen``, or the file is a pickle that would run code.
    """
    if network not in _HEADS and not network.startswith("vit"):
        raise ModelError(
            f"{source}: there are no published weights of {network}. Leave models.{network}.weights empty."
        )
    path = Path(source)
    found = _vit(read_weights(path)) if network.startswith("vit") else _video(path)
    target: Any = net.vit if network.startswith("vit") else net
    head = _HEADS.get(network, "")
    wanted = target.state_dict()
    other_classes = {
        name
        for name in found
        if head and name.startswith(head) and name in wanted and found[name].shape != wanted[name].shape
    }
    missing = sorted(set(wanted) - set(found))
    unexpected = sorted(set(found) - set(wanted))
    if any("running_mean" in name for name in unexpected):
        raise ModelError(
            f"{source} holds batch statistics, as published weights do. Set training.norm to 'frozen' with it."
        )
    shapes = sorted(
        f"{name} {tuple(found[name].shape)} for {tuple(wanted[name].shape)}"
        for name in set(found) & set(wanted) - other_classes
        if found[name].shape != wanted[name].shape
    )
    if missing or unexpected or shapes:
        raise ModelError(
            f"{source}: these are not the weights of {network}. Missing: {missing[:3]}; unexpected: {unexpected[:3]}; "
            f"of another shape: {shapes[:3]}. Give the file that was published for this network."
        )
    target.load_state_dict({name: wanted[name] if name in other_classes else value for name, value in found.items()})


def _video(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors" or path.is_dir():
        return read_weights(path if path.is_dir() else path.parent)
    found = unpickled(path)
    return tensors_of(found.get("model_state", found) if isinstance(found, dict) else found, path)


def _vit(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's weights of a ViT's folder, without prefix, pooler, classifier or decoder."""
    inner = {name.removeprefix("vit."): value for name, value in weights.items()}
    return {name: value for name, value in inner.items() if not name.startswith(("pooler.", "classifier.", "decoder."))}
