import json

import numpy as np
import pytest
import torch

from longtake.errors import LatentError
from longtake.latents import SaveLatents
from longtake.latents.index import index_videos, stored
from longtake.latents.layout import find_videos
from longtake.latents.readers import read_latent


@pytest.fixture(scope="module")
def pipeline():
    """A tiny pipeline of WAN with random weights, without text encoder and tokenizer."""
    from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanPipeline, WanTransformer3DModel

    torch.manual_seed(0)
    vae = AutoencoderKLWan(base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
                           temperal_downsample=[False, True, True])  # fmt: skip
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16,
        text_dim=32, freq_dim=256, ffn_dim=32, num_layers=1, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    )  # fmt: skip
    made = WanPipeline(tokenizer=None, text_encoder=None, vae=vae, transformer=transformer,
                       scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0))  # fmt: skip
    made.set_progress_bar_config(disable=True)
    return made


def run(pipeline, save, steps=3):
    words = torch.zeros(1, 8, 32)
    return pipeline(
        prompt_embeds=words, negative_prompt_embeds=words, num_inference_steps=steps, height=16, width=16, num_frames=5,
        generator=torch.Generator().manual_seed(7), output_type="latent", callback_on_step_end=save,
    ).frames  # fmt: skip


def test_a_pipeline_writes_a_study_that_is_read_back(tmp_path, pipeline):
    last = run(pipeline, SaveLatents(tmp_path, group="calm", video="seed-7", seed=7, prompt="a pond"))
    (video,) = find_videos(str(tmp_path))
    assert [file.step for file in video.files] == [1, 2, 3]
    (row,) = index_videos([video], axes="auto")
    assert (row["status"], row["seed"], row["prompt"], row["axes"]) == ("ok", 7, "a pond", "BCFHW")
    # What comes after the scheduler's step i has the noise of sigma i + 1.
    assert [held["sigma"] for held in row["held"]] == pytest.approx(pipeline.scheduler.sigmas[1:].tolist())
    assert [held["timestep"] for held in row["held"]][-1] == 0.0
    np.testing.assert_array_equal(read_latent(stored(row)[-1]), last[0].float().numpy())


class CogVideoXPipeline:
    scheduler = None


class LTXPipeline:
    scheduler = None


def test_axes_are_turned_by_pipeline_and_what_cannot_be_saved_is_refused(tmp_path):
    save = SaveLatents(tmp_path, group="g", video="v")
    latents = torch.arange(2.0 * 3 * 4 * 5).reshape(1, 2, 3, 4, 5).bfloat16()
    given = {"latents": latents}
    assert save(CogVideoXPipeline(), 0, 999, given) is given
    written = np.load(tmp_path / "g/v/step_001.npy")
    np.testing.assert_array_equal(written, latents.float().numpy().swapaxes(1, 2))
    assert json.loads((tmp_path / "g/v/step_001_metadata.json").read_text())["axes"] == "BCFHW"
    for owner, tensor, words in (
        (LTXPipeline(), torch.zeros(1, 60, 128), "packed"),
        (CogVideoXPipeline(), torch.zeros(1, 60, 128), "3 dimensions"),
        (CogVideoXPipeline(), torch.zeros(2, 2, 3, 4, 5), "batch of 2"),
        (object(), latents, "not known"),
    ):
        with pytest.raises(LatentError, match=words):
            save(owner, 1, 998, {"latents": tensor})
    with pytest.raises(LatentError, match="callback_on_step_end_tensor_inputs"):
        save(CogVideoXPipeline(), 1, 998, {})
    assert SaveLatents(tmp_path, group="g", video="w", axes="BCFHW")(object(), 0, 9, given) is given
