import pytest
import torch
from trainers.tracker import IMAGE_SIZE, grown, new_tracker, save_tracker
from trainers.unroll import Asked, boxes_around, encode, unroll
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return new_tracker(0).eval()


@pytest.fixture(params=[0.0, 2.0], ids=["nothing seen", "everything seen"])
def biased(model, request):
    """Untrained, it sees no object; a bias on the score makes it see one everywhere."""
    bias = model.mask_decoder.pred_obj_score_head.proj_out.bias
    before = bias.detach().clone()
    torch.nn.init.constant_(bias, request.param)
    yield model
    bias.data.copy_(before)


BOXES = torch.tensor([[20.0, 30.0, 90.0, 80.0], [60.0, 100.0, 150.0, 160.0]])


def half_planes():
    masks = torch.zeros(2, 1, IMAGE_SIZE, IMAGE_SIZE)
    masks[0, :, :, : IMAGE_SIZE // 2] = 1
    masks[1, :, IMAGE_SIZE // 2 :] = 1
    return masks


def frames_of(model, count, seed=1, objects=2):
    pixels = torch.randn(count, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(seed))
    levels = encode(model, pixels)
    return pixels, [[level[t : t + 1].expand(objects, -1, -1, -1) for level in levels] for t in range(count)]


def stock_logits(model, pixels, asked, indices):
    """The library's own session, streaming, object by object."""
    session = Sam2VideoInferenceSession(
        video=None, video_height=IMAGE_SIZE, video_width=IMAGE_SIZE, dtype=torch.float32
    )
    outputs = []
    for t, index in enumerate(indices):
        if t == 0:
            for number in range(len(asked.points)):
                known = session.obj_id_to_idx(number)
                if asked.masks is None:
                    points = {
                        "point_coords": asked.points[None, number, None],
                        "point_labels": asked.labels[None, None],
                    }
                    session.add_point_inputs(known, index, points)
                else:
                    session.add_mask_inputs(known, index, asked.masks[number : number + 1])
            session.obj_with_new_inputs = list(range(len(asked.points)))
        outputs.append(model(inference_session=session, frame=pixels[t], frame_idx=index))
    return outputs, session.output_dict_per_obj


ASKED = {
    "boxes": boxes_around(BOXES),
    "points": Asked(BOXES.reshape(2, 2, 2), torch.tensor([1, 0], dtype=torch.int32)),
    "masks": Asked(BOXES.reshape(2, 2, 2), torch.tensor([2, 3], dtype=torch.int32), half_planes()),
}


@pytest.mark.parametrize(
    ("asked", "indices"),
    [("boxes", [0, 1, 2, 3, 4, 5]), ("boxes", [3, 40, 41, 42]), ("points", [0, 1, 2]), ("masks", [0, 1, 2])],
)
def test_training_forward_equals_the_stock_session(biased, asked, indices, monkeypatch):
    # The known differences, see `unroll`: the token that a given mask's pointer is read off, and corners of masks.
    stock = biased._single_frame_forward
    monkeypatch.setattr(biased, "_single_frame_forward", lambda **inputs: stock(**{"multimask_output": False} | inputs))
    with torch.no_grad():
        pixels, features = frames_of(biased, len(indices))
        expected, kept = stock_logits(biased, pixels, ASKED[asked], indices)
        steps, memories = unroll(biased, features, ASKED[asked], indices)
    for step, stock in zip(steps, expected, strict=True):
        torch.testing.assert_close(step.score, stock.object_score_logits.flatten(), atol=2e-3, rtol=2e-3)
        is_seen = step.score > 0
        torch.testing.assert_close(step.logits[is_seen], stock.pred_masks[is_seen], atol=1e-2, rtol=1e-2)
        assert (stock.pred_masks[~is_seen] == -1024).all()
    for number, outputs in kept.items():
        for index, output in {**outputs["cond_frame_outputs"], **outputs["non_cond_frame_outputs"]}.items():
            torch.testing.assert_close(
                memories[index].pointer[number], output["object_pointer"].flatten(), atol=1e-3, rtol=1e-3
            )


def test_lessons_that_carry_memories_equal_one_unroll(model):
    with torch.no_grad():
        _, features = frames_of(model, 6)
        whole, _ = unroll(model, features, ASKED["boxes"], range(6))
        _, memories = unroll(model, features[:4], ASKED["boxes"], range(4))
        carried = {index: memories[index].detached() for index in (1, 2, 3)}
        later, memories = unroll(model, [features[0], *features[4:]], ASKED["boxes"], [0, 4, 5], carried=carried)
    assert set(memories) == set(range(6))
    for step, expected in zip(later[1:], whole[4:], strict=True):
        torch.testing.assert_close(step.logits, expected.logits)
        torch.testing.assert_close(step.score, expected.score)


def test_a_grown_tracker_keeps_its_weights_and_the_encodings_of_the_latest_frames_and_the_prompt():
    young = new_tracker(0, 192, 5)
    old = grown(young, IMAGE_SIZE, 3)
    name = "memory_temporal_positional_encoding"
    for key, value in old.state_dict().items():
        assert key == name or value.equal(young.state_dict()[key]), key
    assert old.state_dict()[name].equal(young.state_dict()[name][[0, 1, 4]])
    assert (old.config.image_size, old.num_maskmem) == (IMAGE_SIZE, 3)
    assert old.backbone_feature_sizes[-1] == [IMAGE_SIZE // 16] * 2


def test_every_weight_that_tracking_uses_gets_a_gradient(model):
    _, features = frames_of(model, 4, seed=2, objects=1)
    steps, _ = unroll(model, features, boxes_around(BOXES[:1]), [0, 1, 2, 3])
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
