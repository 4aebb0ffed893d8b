"""The mechanisms by themselves, in cases that can be worked out by hand."""

import pytest
import torch
from torch import nn

from longtake.bounded.checkpoint import Block, checkpointed
from longtake.bounded.choose import choices, relaxed
from longtake.bounded.guard import fingerprint, frozen, has_values
from longtake.bounded.independence import independent, make_of, possible_cuts, rows_round_alike, seems_independent
from longtake.bounded.live import LiveBytes
from longtake.bounded.pieces import Cut, even_bounds
from longtake.bounded.planning import proved_cuts, simulate, splits, usage
from longtake.bounded.profile import Usage
from longtake.bounded.run import Way
from longtake.bounded.spill import spilled
from longtake.bounded.split import frames_alone
from longtake.errors import ExactnessError


def test_live_bytes_count_storages_once_and_until_they_are_freed():
    before = torch.zeros(1000)
    with LiveBytes() as live:
        first = torch.zeros(100, dtype=torch.float64)
        views = first.view(10, 10), first[5:], before[3:]
        assert live.now == 800
        second = first + 1
        assert live.now == 1600
        del first
        assert live.now == 1600
        del views
        assert live.now == 800
        second += 1
        assert (live.now, live.peak) == (800, 1600)


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
def test_counting_changes_no_bit_in_inference_mode_either(mode):
    picture = torch.randn(1, 32, 7, 7, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        plain = nn.functional.interpolate(picture, size=(64, 64), mode=mode)
        with LiveBytes() as live:
            counted = nn.functional.interpolate(picture, size=(64, 64), mode=mode)
    assert torch.equal(plain, counted)
    assert live.peak >= counted.nbytes


def test_usage_of_two_layers_by_hand():
    """tanh saves its output, 4 x 10 float64; a square its input."""

    class Square(nn.Module):
        def forward(self, x):
            return x * x

    model = nn.Sequential(nn.Sequential(nn.Tanh(), Square(), nn.Tanh()), nn.Tanh()).eval()
    usages = usage(model, torch.zeros(4, 10, dtype=torch.float64))
    # The square's input is the first tanh's output, which is saved already.
    assert {name: use.saved for name, use in usages.items()} == {
        "": 3 * 320, "0": 2 * 320, "0.0": 320, "0.1": 0, "0.2": 320, "1": 320
    }  # fmt: skip
    assert usages["0.1"].working == usages["0.1"].inputs == 320
    assert usages["0"].inputs == 0  # the frames, which the caller holds


WAYS = Way(), Way(chunk_size=1)


def layer(saved, inputs, working=None, **rest):
    return Usage(calls=1, saved=saved, working=working or saved, inputs=inputs, **rest)


def test_choice_by_hand():
    usages = {
        "": layer(1000, 0),
        "a": layer(600, 50),
        "a.x": layer(300, 50),
        "a.y": layer(300, 200),
        "b": layer(300, 20, whole=False),
        "b.x": layer(300, 100),
    }
    found = choices(usages)
    # b itself cannot be checkpointed; 100 bytes are saved outside of any submodule.
    assert found[0].blocks == (Block("a.x"), Block("a.y"), Block("b.x"))
    assert (found[0].stay, found[0].insides) == (50 + 200 + 100 + 100, 300)
    cut = Cut(0, 8, (True,))
    asked = choices(usages, cuts=lambda name, pieces: cut if name == "a" and pieces <= 8 else None)
    assert asked[0].blocks == (Block("a", 2, cut), Block("b.x"))
    assert (asked[0].stay, asked[0].insides) == (50 + 100 + 100, 300)
    assert asked[1].blocks == (Block("a", 3, cut),)
    # What with respect to is differentiated must stay outside.
    assert choices(usages, without="a.y")[0].blocks == (Block("a.x"), Block("b.x"))
    # 250 bytes of room are enough to keep a.x, or a.y and 100 over; the smallest goes first.
    assert relaxed(found[0].blocks, usages, 120) == (Block("a.x"), Block("b.x"))


def call(*shapes):
    return (tuple(torch.empty(shape, device="meta", requires_grad=True) for shape in shapes), {})


class Pools(nn.Module):
    def forward(self, x):
        return x - x.mean(1, keepdim=True)


class Counts(nn.Module):
    def forward(self, x):
        return x + torch.arange(x.shape[1]).to(x)[:, None]


class Second(nn.Module):
    """Forward looks at each token by itself, backward as well; `other` goes to all."""

    def forward(self, x, other):
        return x * other


def test_independence_is_proved_or_not():
    def proved(module, arguments, length=2):
        return [
            cut.dimension
            for cut in possible_cuts(arguments)
            if seems_independent(module, arguments, cut) and independent(module, arguments, cut, length)
        ]

    assert proved(nn.Linear(6, 7), call((5, 9, 6))) == [0, 1]
    assert proved(Pools(), call((5, 9, 6))) == [0]
    assert proved(Counts(), call((5, 9, 6))) == [0]
    assert proved(nn.Conv1d(6, 6, 3, padding=1), call((5, 6, 9))) == [0]
    assert proved(nn.LSTM(6, 4, batch_first=True), call((5, 9, 6))) == []  # its state has the batch elsewhere
    # Without running statistics batch normalisation mixes the batch in eval mode too.
    assert proved(nn.BatchNorm1d(9, track_running_stats=False).eval(), call((5, 9, 6))) == []
    assert proved(nn.BatchNorm1d(9).eval(), call((5, 9, 6))) == [0]
    assert proved(Second(), call((5, 9, 6), (5, 9, 6))) == [0, 1]
    # A factor for all goes whole into each piece, and its gradient is a sum over pieces: in another order.
    assert proved(Second(), call((5, 9, 6), (6,))) == ([] if rows_round_alike("cpu") else [0, 1])
    assert possible_cuts(((torch.zeros(5, 9, dtype=torch.int64),), {})) == []


def test_pieces_are_even():
    assert even_bounds(31, 4) == [(0, 7), (7, 15), (15, 23), (23, 31)]
    assert even_bounds(2, 3) == [(0, 1), (1, 2)]


def test_a_forward_set_by_others_is_put_back_also_after_an_error(clips, few):
    mine = clips.layers[0].forward
    clips.layers[0].forward = mine
    with pytest.raises(KeyError), checkpointed(clips, [Block("layers.0"), Block("layers.1")]):
        assert clips.layers[0].forward is not mine
        raise KeyError
    assert vars(clips.layers[0])["forward"] is mine
    assert "forward" not in vars(clips.layers[1])


def test_a_module_that_saves_more_the_second_time_is_refused(clips, few, second):
    class Wavers(nn.Module):
        calls = 0

        def forward(self, tokens):
            self.calls += 1
            return tokens.tanh() if self.calls == 1 else tokens.tanh().tanh()

    clips.layers.append(Wavers().eval())
    leaf = few.clone().requires_grad_()
    with frozen(clips), pytest.raises(ExactnessError), checkpointed(clips, [Block("layers.3")]):
        torch.autograd.grad(second(clips(leaf)), leaf)


def test_fingerprints_tell_bits_apart():
    tensor = torch.randn(7, 33)
    same = fingerprint(tensor)
    assert torch.equal(fingerprint(tensor.t().contiguous().t()), same)
    changed = tensor.clone()
    changed[3, 5] = torch.nextafter(changed[3, 5], torch.tensor(9.0))
    assert not torch.equal(fingerprint(changed), same)
    assert not torch.equal(fingerprint(tensor.flip(0)), same)
    for rows in (2, 37, 5000):
        tokens = torch.randn(rows, 32)
        for order in (torch.randperm(rows), torch.arange(rows).flip(0), torch.arange(rows).roll(1)):
            assert torch.equal(fingerprint(tokens[order]), fingerprint(tokens)) == bool((order.diff() == 1).all())
    for odd in (tensor.half()[:, 1:], tensor.bfloat16().view(-1)[1:], tensor > 0, torch.tensor(1.0), tensor[:0]):
        assert torch.equal(fingerprint(odd), fingerprint(odd.clone()))


def test_spilled_tensors_come_back_and_files_go(tmp_path):
    base = torch.randn(50, 64, dtype=torch.float64, requires_grad=True)
    weight = nn.Linear(64, 64).double()

    def value(leaf):
        wide = weight(leaf).sin()
        parts = wide.split([10, 40])
        return (parts[0].t() ** 2).sum() + (parts[1] * wide[:40].exp()).sum()

    (truth,) = torch.autograd.grad(value(base), base)
    with spilled(weight, base, folder=tmp_path) as counts:
        found = value(base)
        files = list(tmp_path.glob("*/*.bin"))
        # Linear's output (for sin), sin's output once for all its views, and exp's output.
        assert sorted(path.stat().st_size for path in files) == [20480, 25600, 25600]
        assert (counts.files, counts.nbytes) == (3, 71680)
        (gradient,) = torch.autograd.grad(found, base)
        del found
        assert not list(tmp_path.glob("*/*.bin"))
    assert torch.equal(gradient, truth)
    assert not list(tmp_path.iterdir())


def test_spilled_files_go_after_an_error(tmp_path):
    base = torch.randn(50, 64, dtype=torch.float64, requires_grad=True)
    with pytest.raises(KeyError), spilled(nn.Identity(), base, folder=tmp_path) as counts:
        kept = (base * 2).exp()
        assert counts.files == len(list(tmp_path.glob("*/*.bin"))) == 1
        raise KeyError(kept)
    assert not list(tmp_path.iterdir())


def test_a_tensor_changed_in_place_after_it_was_spilled_is_another_file(tmp_path):
    base = torch.randn(50, 64, dtype=torch.float64, requires_grad=True)
    with spilled(nn.Identity(), base, folder=tmp_path) as counts:
        first = base * 2
        value = (first * first.detach()).sum()
        first.mul_(3)
        value = value + (first * first.detach()).sum()
        assert counts.files == 2
        (gradient,) = torch.autograd.grad(value, base)
    # d/dx of 2x * [2x] and of 6x * [6x], where [] is held fixed.
    assert torch.allclose(gradient, 2 * 2 * base + 6 * 6 * base)


class Spectral(nn.Module):
    """Multiplies spectra with conjugates, transposed and not: views whose conjugate and negative bits are set."""

    def forward(self, z):
        spectrum = torch.fft.fft(z)
        crossed = spectrum * torch.fft.fft(z.roll(1, -1)).conj()
        conjugate = crossed.conj()
        return conjugate.imag * conjugate.real + (spectrum @ crossed.mH).abs()


def test_conjugate_and_negated_tensors_come_back_as_they_were(tmp_path):
    base = torch.randn(64, 64, dtype=torch.float64, requires_grad=True)
    (truth,) = torch.autograd.grad(Spectral()(base).sum(), base)
    with spilled(nn.Identity(), base, folder=tmp_path) as counts:
        (gradient,) = torch.autograd.grad(Spectral()(base).sum(), base)
    assert counts.files >= 4
    assert torch.equal(gradient, truth)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_gates_of_a_recurrent_layer_come_back(kind, tmp_path):
    """They are parts of one storage, changed in place one after the other without their version telling."""
    layer = kind(32, 32, batch_first=True).double().eval().requires_grad_(False)
    base = torch.randn(64, 3, 32, dtype=torch.float64, requires_grad=True)
    (truth,) = torch.autograd.grad(layer(base)[0].sum(), base)
    with spilled(layer, base, folder=tmp_path) as counts:
        (gradient,) = torch.autograd.grad(layer(base)[0].sum(), base)
    assert counts.files > 3
    assert torch.equal(gradient, truth)


def test_a_view_of_nothing_and_a_sparse_tensor_come_back(tmp_path):
    base = torch.randn(64, 64, dtype=torch.float64, requires_grad=True)
    chosen = torch.eye(64, dtype=torch.float64).to_sparse()

    def value(leaf):
        wide = leaf * 2
        return torch.sparse.mm(chosen, wide.exp()).sum() + (wide[:0].t() ** 2).sum()

    (truth,) = torch.autograd.grad(value(base), base)
    with spilled(nn.Identity(), base, folder=tmp_path):
        (gradient,) = torch.autograd.grad(value(base), base)
    assert torch.equal(gradient, truth)


def test_chunks_of_one_frame_take_a_few_percent(vision_transformer, second):
    """31 frames of 224 px, simulated, which costs no memory."""
    with frozen(vision_transformer.module):
        plain, split = (simulate(vision_transformer, torch.empty(31, 3, 224, 224), second, way).peak for way in WAYS)
    assert split <= 0.06 * plain


def test_cut_and_spilled_a_segmentation_model_takes_a_few_percent(segmenter, class_score):
    frames = torch.empty(1, 31, 3, 224, 224)
    with frozen(segmenter):
        usages = usage(segmenter, frames)
        cuts = proved_cuts(segmenter, usages)
        choice = next(choice for choice in choices(usages, cuts=cuts) if choice.insides < 0.02 * usages[""].saved)
        peaks = [
            simulate(segmenter, frames, class_score, way).peak for way in (Way(), Way(blocks=choice.blocks, spill=True))
        ]
    assert peaks[1] <= 0.08 * peaks[0]


OTHERS = {
    "the mean of the chunk": lambda x: x.mean(0, keepdim=True),
    "two frames back": lambda x: nn.functional.pad(x, (0, 0, 2, 0))[: len(x)],
    "five frames on": lambda x: nn.functional.pad(x, (0, 0, 0, 5))[-len(x) :],
    "a small term by place": lambda x: 2e-4 * torch.arange(len(x))[:, None],
    "a term by number": lambda x: torch.full_like(x, 1 / len(x)),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_an_encoder_that_sees_more_than_a_frame_is_found_out(clips, few, other, kind):
    """Grey frames hide nothing, as others are drawn."""
    clips.to(kind)
    grey = torch.full_like(few, 0.5, dtype=kind)
    assert frames_alone(clips.features, grey)
    assert not frames_alone(lambda x: clips.features(x) + OTHERS[other](clips.features(x)), grey)


def test_frames_alone_by_count(clips, few):
    assert frames_alone(lambda x: 1 / 0, few[:1])
    assert not frames_alone(lambda x: clips.features(x).mean(0, keepdim=True), few)
    sizes = []
    assert frames_alone(lambda x: sizes.append(len(x)) or clips.features(x), few, most=5)
    assert sizes == [5, 1, 2, 1, 1, 1]


def test_a_backward_pass_that_mixes_frames_is_found_out(clips, few):
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, mixes):
            ctx.mixes = mixes
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad / grad.norm() if ctx.mixes else 2 * grad, None

    assert frames_alone(lambda x: Own.apply(clips.features(x), False), few)
    assert not frames_alone(lambda x: Own.apply(clips.features(x), True), few)


def test_a_trial_keeps_to_the_memory_that_is_granted(split_clips, few):
    tried, encode = [], split_clips.encode

    def counted(frames):
        tried.append(len(frames) if has_values(frames) else 0)
        return encode(frames)

    split_clips.encode = counted
    for limit, most in ((None, 8), (100_000, 4), (1, 2)):
        tried.clear()
        assert splits(split_clips, few, limit=limit)
        assert max(tried) == most


def test_a_proof_does_not_serve_a_module_whose_hooks_are_others():
    """Hooks may mix gradients where the outputs of the same layers are independent."""
    plain, hooked = (nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(2))
    arguments = (torch.zeros(1, 20, 4),), {}
    assert make_of(plain, arguments) == make_of(hooked, arguments)

    def mix(_module, _args, out):
        if out.requires_grad:
            out.register_hook(lambda grad: grad - grad.mean(1, keepdim=True))

    hooked[0].register_forward_hook(mix)
    assert make_of(plain, arguments) != make_of(hooked, arguments)
