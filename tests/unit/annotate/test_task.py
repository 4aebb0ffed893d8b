"""What a window's record says of how much there was to do."""

from itertools import pairwise

import pytest

from longtake.annotate.window import annotate_window
from longtake.media.windows import Window


@pytest.fixture(scope="module")
def records(make_video, prompt, model_dir, tmp_path_factory):
    """The records of a chain of windows: an empty one, one in which objects come, and one in which one is left."""
    path, index_path, _ = make_video("pond", 60, 96, 56)
    prompts = [
        prompt("a", 20, (8, 8, 40, 40), row=2),
        prompt("b", 22, (30, 4, 90, 50), row=3, until_s=3.0),
        prompt("a", 26, (20, 8, 60, 40), row=4),
        prompt("a", 45, (20, 8, 60, 40), row=5),
    ]
    folder, found, state = tmp_path_factory.mktemp("windows"), [], None
    for number, (start, stop) in enumerate(pairwise((0, 20, 40, 60))):
        found.append(
            annotate_window(
                video_path=path,
                index_path=index_path,
                window=Window("pond", number, start, stop, start, stop, start / 10, stop / 10),
                prompts=prompts,
                model_dir=model_dir,
                scale=1.0,
                frame_interval=1,
                state_in=state,
                detections_out=folder / f"{number}.parquet",
                state_out=folder / f"{number}.safetensors",
            )
        )
        state = folder / f"{number}.safetensors"
    return found


def test_a_record_tells_the_most_objects_at_a_time_and_the_most_prompted_frames_of_one(records):
    assert [record["tracked_frames"] for record in records] == [0, 20, 20]
    assert [record["objects_at_once"] for record in records] == [0, 2, 1]
    assert [record["prompted_at_once"] for record in records] == [0, 2, 3], "those behind a window count, too"
