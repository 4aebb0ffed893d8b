"""Prompts of every kind through window jobs on a file: rows as one stock session gives them, and times by the index."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from longtake import masks
from longtake.annotate.geometry import model_frame
from longtake.annotate.prompts import place_prompts
from longtake.annotate.session import ModelPrompt
from longtake.annotate.window import annotate_window
from longtake.media.index import index_video
from longtake.media.reader import read_frames
from longtake.media.windows import Window
from longtake.media.writer import write_video
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_table

WIDTH, HEIGHT, FRAMES = 96, 56, 16


def given_by_hand(points=(), labels=(), mask=None):
    """Points in the model's square of 64 x 64."""
    return ModelPrompt(torch.tensor(points).float().view(-1, 2), torch.tensor(labels, dtype=torch.int32), mask)


def test_rows_equal_one_stock_session_for_every_kind_of_prompt(make_video, prompt, model_dir, tracker, stock, tmp_path):
    path, index_path, index = make_video("pond", FRAMES, WIDTH, HEIGHT)
    drawn = np.zeros((HEIGHT, WIDTH), dtype=bool)
    drawn[14:42, 24:60] = True
    Image.fromarray(drawn).save(tmp_path / "it.png")
    square = torch.zeros(64, 64)
    square[16:48, 16:40] = 1  # every pixel of the square is either full or empty
    prompts = [
        prompt("points", 0, None, points=((48.0, 28.0),), row=2),
        prompt("both", 2, (24, 14, 48, 42), points=((30.0, 21.0),), negative_points=((90.0, 7.0),), row=3),
        prompt("mask", 3, None, mask=masks.encode(drawn), row=4),
        prompt("picture", 6, None, mask=str(tmp_path / "it.png"), row=5),
        prompt("points", 9, None, mask=masks.encode(drawn), row=6),
    ]
    state = None
    rows = []
    for number, (start, stop) in enumerate(pairwise([0, 5, FRAMES])):
        annotate_window(
            video_path=path, index_path=index_path, prompts=prompts, model_dir=model_dir, scale=1.0, frame_interval=1,
            window=Window("pond", number, start, stop, start, stop, start / 10, stop / 10), state_in=state,
            detections_out=tmp_path / "it.parquet", state_out=tmp_path / f"{number}.safetensors",
        )  # fmt: skip
        state = tmp_path / f"{number}.safetensors"
        rows += read_table(tmp_path / "it.parquet", DETECTIONS).to_pylist()
    by_hand = {
        0: {"points": given_by_hand([[32, 32]], [1])},
        2: {"both": given_by_hand([[16, 16], [32, 48], [20, 24], [60, 8]], [2, 3, 1, 0])},
        3: {"mask": given_by_hand(mask=square)},
        6: {"picture": given_by_hand(mask=square)},
        9: {"points": given_by_hand(mask=square)},
    }
    size = (WIDTH, HEIGHT)
    frames = read_frames(index, list(range(FRAMES)), size=size)
    pixels = torch.stack([model_frame(frame.pixels, tracker.preprocessing) for frame in frames])
    expected = stock(tracker, pixels, by_hand)
    assert {(row["frame"], row["object"]) for row in rows} == expected.keys()
    for row in rows:
        logits, score_logit = expected[row["frame"], row["object"]]
        whole = functional.interpolate(logits[None, None], (HEIGHT, WIDTH), mode="bilinear")[0, 0].numpy()
        # The library is given positions that were scaled by hand, and rounds them otherwise.
        assert row["score"] == pytest.approx(1 / (1 + np.exp(-score_logit)), rel=1e-4)
        found = masks.decode(row["mask"], HEIGHT, WIDTH) if row["visible"] else np.zeros((HEIGHT, WIDTH), bool)
        decided = np.abs(whole) > 1e-4
        assert np.array_equal(found[decided], (whole > 0)[decided] & (score_logit > 0)), (row["frame"], row["object"])


def test_a_time_finds_its_frame_where_frames_last_differently(prompt, tmp_path):
    """Frames shown from 0, 0.1, 0.2, 1.0, 1.1 and 3.0 s on: a time between two means the frame that is shown then."""
    picture = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    ticks = (0, 1, 2, 10, 11, 30)
    write_video(
        tmp_path / "it.mp4", ((tick, picture) for tick in ticks), time_base=Fraction(1, 10), width=WIDTH, height=HEIGHT
    )
    index = index_video(tmp_path / "it.mp4")
    assert [round(10 * index.time_s(frame)) for frame in range(index.n_frames)] == list(ticks)
    asked = {0.0: 0, 0.15: 1, 0.2: 2, 0.99: 2, 1.0: 3, 2.9: 4, 3.0: 5}
    placed = [place_prompts([prompt(time_s=time_s, until_s=None)], index, 1)[0] for time_s in asked]
    assert [each.frame for each in placed] == list(asked.values())
