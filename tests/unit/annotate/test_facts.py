"""What a window's table says of itself, written and read."""

import pytest

from longtake.annotate.facts import WindowFacts
from longtake.errors import SchemaError
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import write_table

FACTS = WindowFacts("pond ü", 2, "overlap", "backward", 3, 4, 9, 4, 8, 20, "model", "source")


def written(tmp_path, **changed):
    told = FACTS.to_metadata() | {f"longtake.{name}": value for name, value in changed.items()}
    path = tmp_path / "window-0002.parquet"
    write_table(path, [], DETECTIONS, {key: value for key, value in told.items() if value is not None})
    return path


def test_facts_come_back_from_the_file_they_were_written_to(tmp_path):
    assert WindowFacts.from_parquet(written(tmp_path)) == FACTS
    assert (list(FACTS.processed), list(FACTS.emitted), FACTS.first_frame) == ([4, 5, 6, 7, 8], [4, 5, 6, 7], 12)


def test_a_joined_table_keeps_what_its_windows_share():
    assert FACTS.shared() == {
        "longtake.video": "pond ü",
        "longtake.continuity": "overlap",
        "longtake.frame_interval": "3",
        "longtake.grid_frames": "20",
        "longtake.model": "model",
        "longtake.source": "source",
    }


@pytest.mark.parametrize(
    ("name", "value"), [("model", None), ("grid_stop", None), ("emit_start", "-1"), ("window", "x")]
)
def test_what_is_missing_or_no_number_is_named_with_the_file(tmp_path, name, value):
    path = written(tmp_path, **{name: value})
    with pytest.raises(SchemaError, match=f"{path.name}: {name} is {value!r}.*rerun the window"):
        WindowFacts.from_parquet(path)
