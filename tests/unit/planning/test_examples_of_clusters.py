"""The examples in config/clusters, read, and what is special about kinds of which jobs get a share."""

from pathlib import Path

import pytest

from longtake.errors import ConfigError
from longtake.planning.classes import read_classes
from longtake.planning.request import resources

EXAMPLES = sorted((Path(__file__).parents[3] / "config/clusters").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_read_and_every_line_of_a_class_is_explained_once(path):
    classes = read_classes(path)
    assert len(classes) >= 2
    assert list(classes) == sorted(classes, key=lambda each: each.memory_gb)
    lines = path.read_text().split("\nclasses:\n")[1].splitlines()
    keys = [line.strip(" -").split(":")[0] for line in lines if line.strip() and "#" not in line]
    for key in set(keys):
        first = next(number for number, line in enumerate(lines) if line.strip(" -").startswith(f"{key}:"))
        above = [line.strip() for line in lines[:first] if line.strip()][-1]
        assert above.startswith("#") or key == "gpu", f"{key} is explained where it first stands"


def test_a_count_of_memory_needs_a_gpu_beside_it_and_a_shard_is_of_one(tmp_path):
    by_share = read_classes(EXAMPLES[0].with_name("by-share.yaml"))
    assert [(each.gres, each.gpu, each.shared) for each in by_share] == [("vram:8G", 1, True), ("shard:4", 0, True)]
    assert not any(each.shared for each in read_classes(EXAMPLES[0].with_name("by-gres.yaml")))
    for gres in ("gpu:a100:1", "shard:4"):
        twice = tmp_path / "twice.yaml"
        twice.write_text(f"classes: [{{name: a, memory_gb: 8, gres: '{gres}', gpu: 1}}]")
        with pytest.raises(ConfigError, match="asks for a GPU twice"):
            read_classes(twice)


def test_a_job_is_held_to_its_share():
    shares = read_classes(EXAMPLES[0].with_name("by-share.yaml"))
    assert resources(None, shares[:1], 1)["gpu_limit_mb"] == shares[0].usable_mb == 7536
    assert resources(None, shares[:1], 1, gpu_limit_mb=2048)["gpu_limit_mb"] == 2048
    whole = read_classes(EXAMPLES[0].with_name("by-model.yaml"))
    assert resources(None, whole, 1)["gpu_limit_mb"] is None
