"""The small SAM 2 of the demo: the library's own video classes at a hundredth of the usual size.

The folder that `save_tracker` writes is what a real SAM 2 folder is: ``Sam2VideoModel.from_pretrained``
loads it, and the annotate job treats it like any other.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import Sam2VideoConfig, Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoAttention

from longtake.store.atomic import atomic_path

IMAGE_SIZE = 256
"""Side of the finished tracker's input in pixels."""
FIRST_SIZE = 192
"""Side of the input while the tracker is young: a step costs half as much."""
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
MEMORIES = 3
"""Memories that the finished tracker reads: the prompt's and those of the two last frames."""
_HIDDEN = 128
_STAGES = [32, 64, 128, 192]
_WINDOWS = {192: [8, 8, 12, 6], 256: [8, 8, 16, 8]}
_UNSET = {
    "memory_temporal_positional_encoding",
    "no_memory_embedding",
    "no_object_pointer",
    "occlusion_spatial_embedding_parameter",
    "pos_embed",
    "pos_embed_window",
}
_STARTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "memory_fuser.layers.0.scale": lambda value: value.fill_(0.3),
    "memory_fuser.layers.1.scale": lambda value: value.fill_(0.3),
    "cross_attn_image.q_proj.bias": lambda value: value.fill_(2.0),
    "cross_attn_image.k_proj.bias": lambda value: value.fill_(2.0),
    "cross_attn_image.q_proj.weight": lambda value: value.mul_(0.3),
    "cross_attn_image.k_proj.weight": lambda value: value.mul_(0.3),
    "memory_attention.layers.0.self_attn.o_proj.weight": lambda value: value.mul_(0.3),
    "memory_attention.layers.1.self_attn.o_proj.weight": lambda value: value.mul_(0.3),
    "memory_attention.layers.0.linear2.weight": lambda value: value.mul_(0.3),
    "memory_attention.layers.1.linear2.weight": lambda value: value.mul_(0.3),
    "mask_downsampler.final_conv.weight": lambda value: value.mul_(4.0),
    "memory_encoder.feature_projection.weight": lambda value: value.mul_(0.5),
}


def tracker_config(size: int = IMAGE_SIZE, memories: int = MEMORIES) -> Sam2VideoConfig:
    """The configuration: `size` x `size` input (192 or 256), a four-stage Hiera, 128 channels, `memories` memories.

    Of an animal's prompts the latest one is read. One mask per prompt and per tracked frame (no multimask
    output), so that training and inference take the same path. The library fixes the memory's width at 64.
    """
    grid = size // 16
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": _STAGES[0],
        "image_size": [size, size],
        "window_positional_embedding_background_size": [6, 6],
        "blocks_per_stage": [1, 1, 3, 1],
        "embed_dim_per_stage": _STAGES,
        "num_attention_heads_per_stage": [1, 2, 4, 6],
        "window_size_per_stage": _WINDOWS[size],
        "global_attention_blocks": [],
    }
    return Sam2VideoConfig(
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": backbone,
            "backbone_channel_list": _STAGES[::-1],
            "backbone_feature_sizes": [[4 * grid, 4 * grid], [2 * grid, 2 * grid], [grid, grid]],
            "fpn_hidden_size": _HIDDEN,
        },
        prompt_encoder_config={"hidden_size": _HIDDEN, "image_size": size, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": _HIDDEN,
            "mlp_dim": 2 * _HIDDEN,
            "num_attention_heads": 4,
            "attention_downsample_rate": 1,
            "num_multimask_outputs": 1,
            "iou_head_hidden_dim": _HIDDEN,
            "dynamic_multimask_via_stability": False,
        },
        image_size=size,
        num_maskmem=memories,
        max_cond_frame_num=1,
        multimask_output_in_sam=False,
        multimask_output_for_tracking=False,
        memory_attention_hidden_size=_HIDDEN,
        memory_attention_num_layers=2,
        memory_attention_feed_forward_hidden_size=2 * _HIDDEN,
        memory_attention_dropout=0.0,
        memory_attention_rope_dropout=0.0,
        memory_attention_rope_feat_sizes=[grid, grid],
        memory_encoder_hidden_size=_HIDDEN,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=_HIDDEN,
        memory_fuser_embed_dim=_HIDDEN,
        memory_fuser_intermediate_dim=2 * _HIDDEN,
    )


@torch.no_grad()
def new_tracker(seed: int, size: int = IMAGE_SIZE, memories: int = MEMORIES) -> Sam2VideoModel:
    """A tracker with seeded random weights, those that the library leaves at zero included.

    Three things beyond the usual variances make a short training enough. Box corners are encoded with the
    same frequencies as image positions; queries and keys of the mask decoder start equal, so that a corner
    attends to its place; and memories start out dominated by their mask and read at the same place (equal
    biases of rotated queries and keys favour small distances).
    """
    generator = torch.Generator().manual_seed(seed)
    model = Sam2VideoModel(tracker_config(size, memories))
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            inputs = len(module.weight) if isinstance(module, nn.ConvTranspose2d) else module.weight[0].numel()
            module.weight.normal_(0, float(inputs) ** -0.5, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0, 0.5, generator=generator)
    for name, parameter in model.named_parameters():
        last = name.rpartition(".")[2]
        if last in _UNSET:
            parameter.normal_(0, 0.1, generator=generator)
        for part, start in _STARTS.items():
            if part in name:
                start(parameter)
    frequencies = model.shared_image_embedding.positional_embedding
    frequencies.normal_(0, 1, generator=generator)
    model.prompt_encoder.shared_embedding.positional_embedding.copy_(frequencies)
    for module in model.mask_decoder.modules():
        if isinstance(module, Sam2VideoAttention):
            module.k_proj.weight.copy_(module.q_proj.weight)
    return model


def grown(model: Sam2VideoModel, size: int, memories: int) -> Sam2VideoModel:
    """The same weights in a tracker with `size` x `size` input that reads `memories` memories, no more than before.

    No weight depends on the input's size; of the temporal encodings those of the latest frames and the prompt's, the
    last, stay.
    """
    weights = model.state_dict()
    name = "memory_temporal_positional_encoding"
    weights[name] = torch.cat([weights[name][: memories - 1], weights[name][-1:]])
    larger = Sam2VideoModel(tracker_config(size, memories))
    larger.load_state_dict(weights)
    return larger


def input_side(model: Sam2VideoModel) -> int:
    """Side of the model's square input in pixels."""
    size = model.config.image_size
    return size if isinstance(size, int) else int(size[0])


def save_tracker(model: Sam2VideoModel, folder: Path) -> None:
    """Write `config.json`, `preprocessor_config.json` and half-precision `model.safetensors` into `folder`.

    The configuration says float32, so that is what ``from_pretrained`` gives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().to(torch.float16).contiguous() for name, value in model.state_dict().items()}
    with atomic_path(folder / "model.safetensors") as path:
        save_file(weights, path, metadata={"format": "pt"})
    config = json.loads(model.config.to_json_string())
    config |= {"architectures": ["Sam2VideoModel"], "dtype": "float32"}
    _write_json(folder / "config.json", config)
    size = input_side(model)
    side = {"height": size, "width": size}
    _write_json(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "Sam2ImageProcessorFast",
            "processor_class": "Sam2VideoProcessor",
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "do_convert_rgb": True,
            "resample": 2,
            "rescale_factor": 1 / 255,
            "image_mean": list(IMAGE_MEAN),
            "image_std": list(IMAGE_STD),
            "size": side,
            "mask_size": {"height": size // 4, "width": size // 4},
        },
    )


def _write_json(path: Path, value: dict) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
