import torch
from trainers.lessons import Stage, make_lesson
from trainers.reading import covered_cells, readings, recognition_loss
from trainers.tracker import IMAGE_SIZE, new_tracker
from trainers.train_tracker import forward, lesson_features

STAGE = Stage("test", 1, 1, 3, (2, 3), (0, 0), (3, 5), (1.0, 2.0), side=IMAGE_SIZE)


def test_shares_are_the_attention_that_the_layer_computes():
    model = new_tracker(0).eval()
    seen = {}
    layer = model.memory_attention.layers[-1].cross_attn_image
    layer.register_forward_hook(lambda module, args, output: seen.update(output=output[0]))
    layer.register_forward_pre_hook(lambda module, args, inputs: seen.update(inputs), with_kwargs=True)
    with torch.no_grad(), readings(model) as found:
        lesson = make_lesson(0, 0, STAGE)
        forward(model, lesson, lesson_features(model, lesson))
    assert len(found.shares) == 2
    torch.testing.assert_close(found.shares[0].sum(-1), torch.ones(found.shares[0].shape[:2]))
    # Two memories by now: the prompt's and the first tracked frame's.
    assert found.shares[1].shape[-1] == 2 * found.shares[0].shape[-1]
    # Without pointers, the shares times the values are the layer's output.
    n = seen["key"].shape[2] - seen["num_k_exclude_rope"]
    inputs = {"query": seen["query"], "position_embeddings": seen["position_embeddings"], "num_k_exclude_rope": 0}
    key, value = seen["key"][:, :, :n], seen["value"][:, :, :n]
    with torch.no_grad():
        output, _ = layer(key=key, value=value, **inputs)
        expected = layer.o_proj(found.shares[1] @ layer.v_proj(value)[:, 0])
    torch.testing.assert_close(output[:, 0], expected, atol=1e-4, rtol=1e-4)


def test_recognition_is_cheapest_where_the_own_cells_are_read():
    model = new_tracker(0)
    lesson = make_lesson(0, 0, STAGE)
    with torch.no_grad(), readings(model) as found:
        forward(model, lesson, lesson_features(model, lesson))
    before = float(recognition_loss(model, found, lesson, covered_cells(model, lesson)))
    cells = model.backbone_feature_sizes[-1][0]
    targets = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(lesson.targets).float() / 255, cells)
    own = (targets > 0.5).flatten(2).float()
    for t, shares in enumerate(found.shares, start=1):
        keys = torch.cat([own[:, k] for k in range(t)], dim=1)
        ideal = torch.where(own[:, t, :, None] > 0, keys[:, None], 1 - keys[:, None])
        shares.copy_(ideal / ideal.sum(-1, keepdim=True).clamp(min=1))
    assert float(recognition_loss(model, found, lesson, covered_cells(model, lesson))) < 0.1 * before


def test_an_animal_that_no_memory_shows_has_nothing_to_be_recognised_by():
    model = new_tracker(0)
    lesson = make_lesson(0, 0, STAGE)
    with torch.no_grad(), readings(model) as found:
        forward(model, lesson, lesson_features(model, lesson))
    covered = covered_cells(model, lesson)
    unseen = {index: cells & (index == 2) for index, cells in covered.items()}
    assert float(recognition_loss(model, found, lesson, unseen)) == 0
    assert float(recognition_loss(model, found, lesson, covered)) > 0
