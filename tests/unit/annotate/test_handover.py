"""The hand-over file: same bytes for the same state, and refused by name when it is not what it should be."""

import json
import struct

import pytest

from longtake.annotate.handover import load_state, save_state
from longtake.annotate.session import BoundedSession, track
from longtake.errors import StateError

IDENTITY = {"model": "aaa", "video": "vvv", "frame_interval": "30"}


@pytest.fixture(scope="module")
def session(tracker, drifting_pixels, square):
    pixels = drifting_pixels(9)
    session = BoundedSession(tracker, 40)
    boxes = {"fish 1": square(4, 4, 30, 30), "ål": square(20, 20, 60, 50)}
    for frame in range(9):
        track(tracker, session, frame, pixels[frame], boxes if frame == 0 else {})
    return session


@pytest.fixture
def state(session, tmp_path):
    path = tmp_path / "state.safetensors"
    assert save_state(path, session, identity=IDENTITY, history="h", next_frame=9) == path.stat().st_size
    return path


def test_round_trip_gives_the_same_bytes(state, session, tracker, tmp_path):
    again = tmp_path / "again.safetensors"
    loaded = load_state(state, tracker, identity=IDENTITY, history="h", next_frame=9)
    save_state(again, loaded, identity=IDENTITY, history="h", next_frame=9)
    assert again.read_bytes() == state.read_bytes()
    assert loaded.obj_ids == ["fish 1", "ål"]
    assert loaded.num_frames == 40
    assert loaded.live_bytes() == session.live_bytes()


def test_an_empty_session_round_trips(tracker, tmp_path):
    path = tmp_path / "empty.safetensors"
    save_state(path, BoundedSession(tracker, 7), identity=IDENTITY, history="h", next_frame=3)
    assert load_state(path, tracker, identity=IDENTITY, history="h", next_frame=3).obj_ids == []


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.999])
def test_truncated(state, tracker, share):
    contents = state.read_bytes()
    state.write_bytes(contents[: int(len(contents) * share)])
    with pytest.raises(StateError, match=r"state\.safetensors is no whole state file.*rerun the window that wrote it"):
        load_state(state, tracker, identity=IDENTITY, history="h", next_frame=9)


def test_a_flipped_bit_in_the_tensors(state, tracker):
    contents = bytearray(state.read_bytes())
    contents[-100] ^= 1
    state.write_bytes(contents)
    with pytest.raises(StateError, match="checksum does not match"):
        load_state(state, tracker, identity=IDENTITY, history="h", next_frame=9)


def test_an_edited_header(state, tracker):
    edit_header(state, lambda header: header["objects"][0].update(object="another"))
    with pytest.raises(StateError, match="checksum does not match"):
        load_state(state, tracker, identity=IDENTITY, history="h", next_frame=9)


def test_another_version(state, tracker):
    edit_header(state, lambda header: header.update(version=99))
    with pytest.raises(StateError, match=r"version 99, expected 'longtake.tracker-state' version 2"):
        load_state(state, tracker, identity=IDENTITY, history="h", next_frame=9)


@pytest.mark.parametrize("name", list(IDENTITY))
def test_of_another_run(state, tracker, name):
    with pytest.raises(StateError, match=f"another {name}"):
        load_state(state, tracker, identity=IDENTITY | {name: "other"}, history="h", next_frame=9)


def test_an_identity_that_one_side_lacks(state, tracker):
    with pytest.raises(StateError, match="another precision"):
        load_state(state, tracker, identity=IDENTITY | {"precision": "float32"}, history="h", next_frame=9)


def test_of_another_place_in_the_video(state, tracker):
    with pytest.raises(StateError, match="continues with grid frame 9, but this window begins with 10"):
        load_state(state, tracker, identity=IDENTITY, history="h", next_frame=10)


def test_of_the_other_direction(state, session, tracker, tmp_path):
    """Also where the session has not seen a frame, and the other way round."""
    with pytest.raises(StateError, match=r"of a pass that goes forward, but this window is tracked backward"):
        load_state(state, tracker, identity=IDENTITY, history="h", next_frame=9, reverse=True)
    empty = tmp_path / "empty.safetensors"
    save_state(empty, BoundedSession(tracker, 7), identity=IDENTITY, history="h", next_frame=3, reverse=True)
    with pytest.raises(StateError, match=r"of a pass that goes backward, but this window is tracked forward"):
        load_state(empty, tracker, identity=IDENTITY, history="h", next_frame=3)
    with pytest.raises(StateError, match="this session tracks forward"):
        save_state(empty, session, identity=IDENTITY, history="h", next_frame=9, reverse=True)


def test_of_another_place_backward(tracker, tmp_path):
    path = tmp_path / "backward.safetensors"
    save_state(path, BoundedSession(tracker, 7), identity=IDENTITY, history="h", next_frame=3, reverse=True)
    with pytest.raises(StateError, match="give the state of the window right after it"):
        load_state(path, tracker, identity=IDENTITY, history="h", next_frame=2, reverse=True)
    with pytest.raises(StateError, match=r"other prompts after grid frame 3 .* from the last window whose prompts"):
        load_state(path, tracker, identity=IDENTITY, history="other", next_frame=3, reverse=True)


def test_of_other_prompts(state, tracker):
    with pytest.raises(StateError, match="with other prompts before grid frame 9"):
        load_state(state, tracker, identity=IDENTITY, history="other", next_frame=9)


def test_missing(tmp_path, tracker):
    with pytest.raises(StateError, match="does not exist"):
        load_state(tmp_path / "none.safetensors", tracker, identity=IDENTITY, history="h", next_frame=9)


def test_a_foreign_safetensors_file(model_dir, tracker):
    with pytest.raises(StateError, match="no whole state file"):
        load_state(model_dir / "model.safetensors", tracker, identity=IDENTITY, history="h", next_frame=9)


def edit_header(path, edit):
    contents = path.read_bytes()
    length = struct.unpack("<Q", contents[:8])[0]
    outer = json.loads(contents[8 : 8 + length])
    header = json.loads(outer["__metadata__"]["longtake"])
    edit(header)
    outer["__metadata__"]["longtake"] = json.dumps(header)
    text = json.dumps(outer).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + contents[8 + length :])
