"""A YouTube-VIS file and its folder of pictures, through to clips of the animal."""

import json

import numpy as np
import pytest
from PIL import Image

from longtake import masks
from longtake.errors import SheetError
from longtake.gradients.annotations import write_annotations
from longtake.gradients.clips import choose_clips, read_tracks
from longtake.gradients.gather import gather_clips
from longtake.media.index import index_video
from longtake.media.index_file import load_index, save_index
from longtake.media.windows import Window

N, HEIGHT, WIDTH = 14, 48, 64


def square(frame):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:30, 4 + 2 * frame : 24 + 2 * frame] = True
    return mask


@pytest.fixture
def study(tmp_path):
    """One video of 14 pictures, named by every fifth frame; a fish on all but frame 3, and one with boxes alone."""
    folder = tmp_path / "0065b171f9"
    folder.mkdir()
    texture = np.random.default_rng(2).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for frame in range(N):
        pixels = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        pixels[square(frame)] = texture[:20, :20].reshape(-1, 3)
        Image.fromarray(pixels).save(folder / f"{5 * frame:05d}.png")
    save_index(index_video(folder), tmp_path / "index")
    lengths = [{"size": [HEIGHT, WIDTH], "counts": masks.encode(square(f))} if f != 3 else None for f in range(N)]
    boxes = [[4 + 2 * f, 10, 20, 20] if f != 3 else None for f in range(N)]
    common = {"video_id": 1, "category_id": 7}
    document = {
        "videos": [
            {"id": 1, "height": HEIGHT, "width": WIDTH, "length": N,
             "file_names": [f"0065b171f9/{5 * frame:05d}.png" for frame in range(N)]}
        ],
        "categories": [{"id": 7, "name": "fish"}],
        "annotations": [
            {"id": 1, **common, "bboxes": boxes, "segmentations": lengths},
            {"id": 2, **common, "bboxes": [[1, 2, 3, 4]] + [None] * (N - 1), "segmentations": [None] * N},
        ],
    }  # fmt: skip
    (tmp_path / "instances.json").write_text(json.dumps(document))
    return tmp_path


def take(study, video="0065b171f9", folder="0065b171f9"):
    return write_annotations(
        annotations=study / "instances.json", video=video, video_path=study / folder, index_path=study / "index",
        out=study / "detections",
    )  # fmt: skip


def test_masks_become_detections_of_every_picture(study):
    assert take(study) == {"objects": 2, "rows": 2 * N}
    window = Window("0065b171f9", 0, 0, N, 0, N, 0.0, (N - 1) / 6)
    processed, tracks = read_tracks(study / "detections", window)
    assert processed.tolist() == list(range(N))
    fish, other = tracks
    assert (fish.object, fish.label, fish.size) == ("track-1", "fish", (HEIGHT, WIDTH))
    assert fish.frames.tolist() == [frame for frame in range(N) if frame != 3]
    assert fish.boxes[4].tolist() == [14, 10, 34, 30]
    assert np.array_equal(masks.decode(fish.masks[5], HEIGHT, WIDTH), square(5))
    assert (other.frames.tolist(), other.boxes.tolist(), other.masks) == ([0], [[1, 2, 4, 6]], {})


def test_clips_of_the_pictures_and_the_motion_of_the_mask(study):
    take(study)
    window = Window("0065b171f9", 0, 0, N, 0, N, 0.0, (N - 1) / 6)
    processed, tracks = read_tracks(study / "detections", window)
    options = {"n_frames": 9, "stride": 1, "clips_per_window": 1, "aspect": 1.0, "margin": 0.1}
    (clip,) = choose_clips(processed, tracks[0], window, **options)
    # Never over the picture in which it is not annotated.
    assert clip.frames == tuple(range(4, 13))
    index = load_index(study / "index", study / "0065b171f9")
    by_name = {track.object: track for track in tracks}
    (entry,) = gather_clips(index, [clip], by_name, input_size=lambda height, width: (32, 32), flow_width=64)
    assert entry.time_s == pytest.approx([frame / 6 for frame in range(4, 13)])
    assert np.mean(entry.motion_object[1:]) == pytest.approx(2, rel=0.35)


def test_a_byte_order_mark_is_no_part_of_the_file(study):
    path = study / "instances.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert take(study) == {"objects": 2, "rows": 2 * N}


def test_masks_of_another_size_than_the_pictures_are_refused(study):
    """Of more pixels than the pictures have, which nothing may read beyond."""
    path = study / "instances.json"
    whole = json.loads(path.read_text())
    whole["videos"][0] |= {"height": 2 * HEIGHT, "width": WIDTH}
    twice = {"size": [2 * HEIGHT, WIDTH], "counts": masks.encode(np.ones((2 * HEIGHT, WIDTH), bool))}
    whole["annotations"][0]["segmentations"] = [twice] * N
    path.write_text(json.dumps(whole))
    with pytest.raises(SheetError, match=r"track-1 on picture 0 .* 6144 pixels.*size of the pictures, 64 x 48"):
        take(study)


def test_another_video_and_other_pictures_are_refused(study):
    with pytest.raises(SheetError, match="no object of a video called 'pond'"):
        take(study, video="pond")
    (study / "0065b171f9" / "00005.png").unlink()
    save_index(index_video(study / "0065b171f9"), study / "index")
    with pytest.raises(SheetError, match=r"lists 14 pictures .* not the 13 pictures of"):
        take(study)
