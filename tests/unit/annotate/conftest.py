"""Random trackers of the production classes, small enough for a test, and the stock session to compare with."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
import transformers
from transformers import Sam2VideoInferenceSession

SIDE = 64
CONFIG = {
    "image_size": SIDE,
    "vision_config": {
        "model_type": "sam2_vision_model",
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": 8,
            "image_size": [SIDE, SIDE],
            "blocks_per_stage": [1, 1, 2, 1],
            "embed_dim_per_stage": [8, 16, 32, 64],
            "num_attention_heads_per_stage": [1, 1, 2, 2],
            "window_size_per_stage": [4, 4, 4, 2],
            "global_attention_blocks": [3],
        },
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
        "fpn_hidden_size": 128,
    },
    "prompt_encoder_config": {"hidden_size": 128, "image_size": SIDE, "patch_size": 16},
    "mask_decoder_config": {"hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
    "memory_attention_hidden_size": 128,
    "memory_attention_num_layers": 2,
    "memory_attention_feed_forward_hidden_size": 32,
    "memory_attention_rope_feat_sizes": [SIDE // 16] * 2,
    "memory_encoder_hidden_size": 128,
    "memory_encoder_output_channels": 64,
    "mask_downsampler_embed_dim": 128,
    "memory_fuser_embed_dim": 128,
    "memory_fuser_intermediate_dim": 32,
}


EDGETAM = {name: value for name, value in CONFIG.items() if "feed_forward" not in name} | {
    "memory_attention_mlp_hidden_size": 32,
    "memory_attention_rope_k_sizes": [2, 2],
    "perceiver_resampler_num_latents": 4,
    "perceiver_resampler_num_latents_2d": 4,
    "perceiver_resampler_mlp_intermediate_size": 32,
    "perceiver_resampler_num_layers": 1,
}
SAM3 = CONFIG | {
    "vision_config": {
        "model_type": "sam3_vision_model",
        "backbone_config": {
            "model_type": "sam3_vit_model",
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "patch_size": 16,
            "window_size": 2,
            "global_attn_indexes": [1],
            "pretrain_image_size": SIDE,
        },
        "fpn_hidden_size": 128,
    },
}
FAMILIES = {"Sam2Video": CONFIG, "EdgeTamVideo": EDGETAM, "Sam3TrackerVideo": SAM3}


def save_random_model(folder, seed, family="Sam2Video"):
    """Random weights in every parameter, those included that the library leaves at zero until trained."""
    torch.manual_seed(seed)
    config = getattr(transformers, f"{family}Config")(**FAMILIES[family])
    config.image_size = SIDE  # SAM 3's sets the sizes of its parts by this
    model = getattr(transformers, f"{family}Model")(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                continue
            fan_in = parameter[0].numel() if parameter.ndim > 1 and "embed" not in name else 1
            parameter.normal_(std=1.2 / fan_in**0.5 if parameter.ndim > 1 else 0.2)
            # Soft attention to the memory: every token of it, old pointers too, must count in the result.
            if "memory_attention" in name and ("q_proj" in name or "k_proj" in name):
                parameter.mul_(0.1)
        # Scores around the decision, so that objects come into view and leave it.
        model.mask_decoder.pred_obj_score_head.proj_out.weight.mul_(20)
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(10.3)
    model.save_pretrained(folder)
    constants = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3], "size": {"height": SIDE, "width": SIDE}}
    (folder / "preprocessor_config.json").write_text(json.dumps(constants))
    return folder


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory):
    return save_random_model(tmp_path_factory.mktemp("models") / "random-a", seed=1)


@pytest.fixture(scope="session")
def other_model_dir(tmp_path_factory):
    return save_random_model(tmp_path_factory.mktemp("models") / "random-b", seed=2)


@pytest.fixture(scope="session")
def family_dirs(tmp_path_factory):
    """A folder of each family that has this session, by the prefix of its classes."""
    folder = tmp_path_factory.mktemp("families")
    return {family: save_random_model(folder / family, 3, family) for family in FAMILIES}


@pytest.fixture(scope="session")
def tracker(model_dir):
    from longtake.annotate.tracker import load_tracker

    return load_tracker(model_dir)


def stock_logits(tracker, pixels, prompts, ends=None, *, reverse=False):
    """Track with one stock session that holds the whole video and forgets nothing.

    pixels : (T, 3, S, S); prompts : {frame: {object: ModelPrompt}}; ends : {object: last frame}, in the order of time.
    Gives {(frame, object): ((h, w) logits, object-score logit)}.

    The library cannot end an object; where one ends, it is taken out of the stock session's tables, which keep all
    else.
    """
    session = Sam2VideoInferenceSession(video=pixels, video_height=1, video_width=1, dtype=torch.float32)
    found = {}
    frames = range(len(pixels))
    for frame in reversed(frames) if reverse else frames:
        before = frame + 1 if reverse else frame - 1
        drop_ended(session, [name for name, last in (ends or {}).items() if last == before])
        fresh = prompts.get(frame, {})
        for name, given in fresh.items():
            if given.mask is not None:
                session.add_mask_inputs(session.obj_id_to_idx(name), frame, given.mask[None, None])
            else:
                inputs = {"point_coords": given.points[None, None], "point_labels": given.labels[None, None]}
                session.add_point_inputs(session.obj_id_to_idx(name), frame, inputs)
        session.obj_with_new_inputs = list(fresh)
        if session.obj_ids:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=tracker.precision == "bfloat16"):
                output = tracker.model(session, frame_idx=frame, reverse=reverse)
            for place, name in enumerate(output.object_ids):
                found[frame, name] = (output.pred_masks[place, 0].float(), output.object_score_logits[place].item())
    return found


def drop_ended(session, ended):
    while ended_here := [name for name in ended if name in session._obj_id_to_idx]:
        gone = session._obj_id_to_idx.pop(ended_here[0])
        for table in (
            session.point_inputs_per_obj,
            session.mask_inputs_per_obj,
            session.output_dict_per_obj,
            session.frames_tracked_per_obj,
        ):
            for place in range(gone, len(session._obj_idx_to_id) - 1):
                table[place] = table[place + 1]
            del table[len(session._obj_idx_to_id) - 1]
        names = [name for name in session._obj_idx_to_id.values() if name != ended_here[0]]
        session._obj_idx_to_id.clear()
        session._obj_id_to_idx.clear()
        for place, name in enumerate(names):
            session._obj_idx_to_id[place], session._obj_id_to_idx[name] = name, place
        session.obj_ids = names


@pytest.fixture(scope="session")
def stock():
    return stock_logits


@pytest.fixture
def bounded(tmp_path):
    """Track with bounded sessions that are written and read back before every frame in `cuts`."""
    from longtake.annotate.handover import load_state, save_state
    from longtake.annotate.session import BoundedSession, track

    def run(tracker, pixels, prompts, ends=None, cuts=(), *, reverse=False, sessions=None):
        session = BoundedSession(tracker, len(pixels))
        found = {}
        frames = range(len(pixels))
        for frame in reversed(frames) if reverse else frames:
            if frame in cuts:
                path = tmp_path / f"{frame}.safetensors"
                terms = {"identity": {"model": "m"}, "history": "h", "next_frame": frame, "reverse": reverse}
                save_state(path, session, **terms)
                session = load_state(path, tracker, **terms)
            before = frame + 1 if reverse else frame - 1
            session.end({name for name, last in (ends or {}).items() if last == before} & set(session.obj_ids))
            drawn = track(tracker, session, frame, pixels[frame], prompts.get(frame, {}), reverse=reverse)
            found |= {(frame, name): prediction for name, prediction in drawn.items()}
            if sessions is not None:
                sessions[frame] = session
        return found

    return run


@pytest.fixture(scope="session")
def assert_equal():
    """Every frame and object of both, and every logit to the last bit."""

    def check(found, expected):
        assert found.keys() == expected.keys()
        for key, (logits, score_logit) in expected.items():
            assert torch.equal(torch.from_numpy(found[key].logits), logits), key
            assert found[key].score_logit == score_logit, key

    return check


@pytest.fixture(scope="session")
def clicks():
    """Points inside the object and outside it, after the corners of a box if there is one, as a session takes them."""
    from longtake.annotate.session import ModelPrompt

    def make(inside, outside=(), box=None):
        corners = [box[:2], box[2:]] if box else []
        points = torch.tensor([*corners, *inside, *outside], dtype=torch.float32)
        labels = [2, 3][: len(corners)] + [1] * len(inside) + [0] * len(outside)
        return ModelPrompt(points, torch.tensor(labels, dtype=torch.int32))

    return make


@pytest.fixture(scope="session")
def blob():
    """A rectangle of the model's square as a mask."""
    from longtake.annotate.session import ModelPrompt

    def make(x_min, y_min, x_max, y_max):
        mask = torch.zeros(SIDE, SIDE)
        mask[y_min:y_max, x_min:x_max] = 1
        return ModelPrompt(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int32), mask)

    return make


@pytest.fixture(scope="session")
def square():
    """A box in the model's square as the prompt that a session takes."""
    from longtake.annotate.session import ModelPrompt

    corners = torch.tensor([2, 3], dtype=torch.int32)
    return lambda *values: ModelPrompt(torch.tensor(values, dtype=torch.float32).view(2, 2), corners)


@pytest.fixture(scope="session")
def drifting_pixels():
    """Frames that change all the time, so that a wrong memory cannot pass for a right one: (T, 3, S, S) float32."""

    def make(count, seed=0):
        generator = torch.Generator().manual_seed(seed)
        steps = torch.randn(count, 3, SIDE, SIDE, generator=generator)
        return steps.cumsum(0) / torch.arange(1, count + 1).sqrt().view(-1, 1, 1, 1)

    return make


@pytest.fixture(scope="session")
def make_video(tmp_path_factory):
    """Write a drifting pattern as a video of the given size, with its index: (video path, index path, index)."""
    from longtake.media.index import index_video
    from longtake.media.index_file import save_index
    from longtake.media.writer import write_video

    def make(name, count, width=96, height=56, fps=10):
        folder = tmp_path_factory.mktemp(name)
        video, where = folder / f"{name}.mp4", folder / f"{name}.parquet"
        frames = ((number, pattern(number, width, height)) for number in range(count))
        write_video(video, frames, time_base=Fraction(1, fps), width=width, height=height, keyframe_interval=12)
        index = index_video(video)
        save_index(index, where)
        return video, where, index

    return make


def pattern(number, width, height):
    y, x = np.mgrid[:height, :width]
    bright = [127 + 120 * np.sin(x / (5 + c) + number * 0.3) * np.cos(y / (7 - c) - number * 0.2 * c) for c in range(3)]
    return np.stack(bright, axis=-1).astype(np.uint8)


@pytest.fixture(scope="session")
def prompt():
    """A row of the prompts sheet in source pixels: with a box, unless it says otherwise."""
    from longtake.annotate.sheet import Prompt

    def make(name="a", frame=0, box=(8, 8, 40, 40), *, row=2, time_s=None, until_s=None, label="fish", **shape):
        frame = None if time_s is not None else frame
        edges = (None,) * 4 if box is None else map(float, box)
        return Prompt(row, "pond", name, label, frame, time_s, *edges, until_s, **shape)

    return make
