import pytest
import torch
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from longtake.demo.tracker import IMAGE_SIZE, new_tracker, save_tracker
from longtake.demo.unroll import encode, unroll


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return new_tracker(0).eval()


def stock_logits(model, pixels, boxes, indices):
    """The library's own session, streaming, object by object."""
    session = Sam2VideoInferenceSession(
        video=None, video_height=IMAGE_SIZE, video_width=IMAGE_SIZE, dtype=torch.float32
    )
    outputs = []
    for t, index in enumerate(indices):
        if t == 0:
            for number, box in enumerate(boxes):
                inputs = {
                    "point_coords": box.reshape(1, 1, 2, 2),
                    "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32),
                }
                session.add_point_inputs(session.obj_id_to_idx(number), index, inputs)
            session.obj_with_new_inputs = list(range(len(boxes)))
        outputs.append(model(inference_session=session, frame=pixels[t], frame_idx=index))
    return outputs


@pytest.mark.parametrize("indices", [[0, 1, 2, 3, 4, 5, 6, 7], [3, 40, 41, 42]])
def test_training_forward_equals_the_stock_session(model, indices):
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(len(indices), 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)
    boxes = torch.tensor([[20.0, 30.0, 90.0, 80.0], [60.0, 100.0, 150.0, 160.0]])
    expected = stock_logits(model, pixels, boxes, indices)
    with torch.no_grad():
        levels = encode(model, pixels)
        features = [[level[t : t + 1].expand(2, -1, -1, -1) for level in levels] for t in range(len(indices))]
        steps = unroll(model, features, boxes, indices)
    for step, stock in zip(steps, expected, strict=True):
        torch.testing.assert_close(step.score, stock.object_score_logits.flatten(), atol=2e-3, rtol=2e-3)
        is_seen = step.score > 0
        torch.testing.assert_close(step.logits[is_seen], stock.pred_masks[is_seen], atol=1e-2, rtol=1e-2)
        assert (stock.pred_masks[~is_seen] == -1024).all()


def test_every_weight_that_tracking_uses_gets_a_gradient(model):
    pixels = torch.randn(4, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(2))
    levels = encode(model, pixels)
    features = [[level[t : t + 1] for level in levels] for t in range(4)]
    steps = unroll(model, features, torch.tensor([[20.0, 30.0, 90.0, 80.0]]), [0, 1, 2, 3])
    loss = sum(step.logits.square().mean() + step.score.mean() + step.iou.mean() for step in steps)
    loss.backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    model.zero_grad()
    unused = ("mask_embed", "mask_downsample.", "no_memory_positional", "hypernetworks_mlps.1", "object_pointer")
    kinds = {name for name in without if not any(part in name for part in unused)}
    assert kinds <= {"prompt_encoder.point_embed.weight", "no_object_pointer", "occlusion_spatial_embedding_parameter"}


def test_saved_in_half_precision_and_loaded_as_float32(model, tmp_path):
    save_tracker(model, tmp_path / "tracker")
    loaded = Sam2VideoModel.from_pretrained(tmp_path / "tracker")
    assert (tmp_path / "tracker" / "model.safetensors").stat().st_size < 9_000_000
    for name, value in loaded.state_dict().items():
        assert value.dtype == torch.float32, name
        torch.testing.assert_close(value, model.state_dict()[name].half().float())
    assert loaded.prompt_encoder.shared_embedding.positional_embedding.equal(
        loaded.shared_image_embedding.positional_embedding
    )
