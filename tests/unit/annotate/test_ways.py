"""Ways to run a window that need less memory: which there are, that they are exact, and what those say that are not."""

from dataclasses import replace

import pytest
import torch

from longtake.annotate.session import FEATURES, POINTER, TRACKED, BoundedSession, track
from longtake.annotate.tracker import load_tracker
from longtake.annotate.ways import error_of_bfloat16, ladder
from longtake.annotate.window import annotate_window
from longtake.bounded.live import LiveBytes
from longtake.errors import ModelError
from longtake.media.windows import Window
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_table

FRAMES, MANY = 3, 16


@pytest.fixture
def crowd(square):
    return {f"{number:02d}": square(2 + number, 3, 30 + number, 40) for number in range(MANY)}


def names(**arguments):
    return [rung.name for rung in ladder({"prompts": (), **arguments}) if rung.exact]


def test_the_ladder_takes_objects_one_by_one_before_it_leaves_the_gpu(prompt):
    pairs = ["one object at a time", "one object at a time, its memory too"]
    leave = ["memories in the host's memory", "on the CPU"]
    assert names(device="cpu") == ["as asked", pairs[1]]
    assert names(device="cuda", object_batch=8) == ["as asked", *pairs, *leave]
    assert names(device="cuda", object_batch=8, prompts=[prompt("a", 0, (1, 1, 9, 9))]) == ["as asked", *leave]
    last = ladder({"prompts": (), "device": "cuda", "object_batch": 8})[-3]
    assert last.changes == {"object_batch": 1, "memory_batch": 1, "device": "cpu"}


def test_half_precision_comes_last_and_only_where_it_is_not_asked_for():
    rungs = ladder({"prompts": (), "device": "cuda"})
    assert [rung.name for rung in rungs if not rung.exact] == ["in bfloat16", "in bfloat16 on the CPU"]
    assert rungs[-1] not in [rung for rung in rungs if rung.exact]
    assert all(rung.exact for rung in ladder({"prompts": (), "device": "cuda", "precision": "bfloat16"}))


def test_memories_made_one_by_one_are_those_made_together(model_dir, stock, drifting_pixels, crowd):
    pixels = drifting_pixels(FRAMES)
    peaks, found = {}, {}
    for size in (None, 5, 1):
        tracker = load_tracker(model_dir, memory_batch=size)
        session = BoundedSession(tracker, FRAMES)
        with LiveBytes() as live:
            for at in range(FRAMES):
                for name, each in track(tracker, session, at, pixels[at], crowd if at == 0 else {}).items():
                    found[size, at, name] = each
        peaks[size] = live.peak
    expected = stock(tracker, pixels, {0: crowd})
    largest = max(logits.abs().max().item() for logits, _ in expected.values())
    for (at, name), (logits, score) in expected.items():
        for size in peaks:
            # Rounding enters the memories, which are kept in half precision, and stays there.
            each = found[size, at, name]
            torch.testing.assert_close(torch.from_numpy(each.logits), logits, rtol=0, atol=1e-4 * largest)
            assert each.score_logit == pytest.approx(score, abs=1e-4 * largest)
    assert peaks[1] < peaks[5] < peaks[None]
    assert peaks[1] < 0.7 * peaks[None]


def test_only_the_memories_of_frames_leave_the_device(tracker, drifting_pixels, square):
    pixels = drifting_pixels(3)
    session = BoundedSession(tracker, 3)
    session.state_device = torch.device("meta")  # stands for any other place: a frame's step would bring them back
    track(tracker, session, 0, pixels[0], {"a": square(4, 4, 30, 30)})
    output = session.output_dict_per_obj[0]
    kept = next(iter(output["cond_frame_outputs"].values()))
    assert kept[FEATURES].device.type == "meta"
    assert kept[POINTER].device.type == "cpu"
    assert output[TRACKED] == {}
    assert replace(tracker, state_on_host=True).state_device == torch.device("cpu")


def test_a_batch_of_no_memories_is_refused(model_dir):
    with pytest.raises(ModelError, match="memory_batch is 0"):
        load_tracker(model_dir, memory_batch=0)


@pytest.fixture
def window_job(make_video, prompt, model_dir, tmp_path):
    path, index_path, _ = make_video("pond", 20, 96, 56)

    def run(number, **more):
        start = 10 * number
        return annotate_window(
            video_path=path,
            index_path=index_path,
            window=Window("pond", number, start, start + 10, start, start + 10, 0.0, 1.0),
            prompts=[prompt("a", 0, (8, 8, 40, 40))],
            model_dir=model_dir,
            scale=1.0,
            frame_interval=2,
            state_in=tmp_path / f"{number - 1}.state" if number else None,
            detections_out=tmp_path / f"{number}.parquet",
            state_out=tmp_path / f"{number}.state",
            **more,
        )

    return run


def test_what_is_not_exact_says_so_and_so_does_what_goes_on_from_it(window_job, tmp_path):
    def statuses(number):
        return {row["status"] for row in read_table(tmp_path / f"{number}.parquet", DETECTIONS).to_pylist()}

    first = window_job(0, approximate="in bfloat16; off by 0.1 %")
    assert (first["status"], first["reason"]) == ("approximate", "in bfloat16; off by 0.1 %")
    assert first["precision"] == "bfloat16"
    assert statuses(0) == {"approximate"}
    second = window_job(1)
    assert (second["status"], second["precision"]) == ("approximate", "float32")
    assert second["reason"] == "it goes on from window 0 (in bfloat16; off by 0.1 %)"
    assert statuses(1) == {"approximate"}
    window_job(0)
    assert window_job(1)["status"] == "ok"
    assert statuses(1) == {"ok"}


def test_the_error_of_half_precision_is_measured_on_the_first_prompt_of_the_window(make_video, prompt, model_dir):
    path, index_path, _ = make_video("pond", 20, 96, 56)
    given = {"video_path": path, "index_path": index_path, "model_dir": model_dir, "device": "cpu"}
    given |= {"scale": 0.5, "frame_interval": 2, "window": Window("pond", 1, 10, 20, 10, 20, 0.0, 1.0)}
    asked = [prompt("b", 0, (8, 8, 40, 40), row=2), prompt("a", 12, (8, 8, 40, 40), row=3)]
    words = error_of_bfloat16(prompts=asked, **given)
    assert words.startswith("on 2 frames from 12, object 'a' alone, masks have an IoU of at least ")
    iou, off = float(words.split(" of at least ")[1].split()[0]), float(words.split(" differ by ")[1])
    assert 0.5 < iou <= 1
    assert 0 < off < 10
    assert "from 0, object 'b'" in error_of_bfloat16(prompts=asked[:1], **given)
    assert "from 10, what is in the middle alone" in error_of_bfloat16(prompts=[], **given)
