"""Files of GPU classes: what they give, and what a bad one is told."""

import pytest

from longtake.errors import ConfigError
from longtake.planning.classes import RESERVE, GpuClass, read_classes


def written(folder, text):
    path = folder / "cluster.yaml"
    path.write_text(text)
    return path


def test_classes_come_smallest_first_with_what_each_asks(tmp_path):
    path = written(
        tmp_path,
        """classes:
  - {name: big, memory_gb: 80, gres: "gpu:h100:1", partition: gpu}
  - {name: small, memory_gb: 15.5, gpu_model: 4090, partition: gpu}
  - {name: middle, memory_gb: 40, constraint: "gpu_mem_40gb|gpu_mem_48gb", partition: gpu}
""",
    )
    small, middle, big = read_classes(path)
    assert [each.name for each in (small, middle, big)] == ["small", "middle", "big"]
    nothing = {"gpu": None, "gpu_model": None, "gres": None, "constraint": None, "slurm_partition": "gpu"}
    assert small.resources() == nothing | {"gpu": 1, "gpu_model": "4090"}
    assert middle.resources() == nothing | {"gpu": 1, "constraint": "gpu_mem_40gb|gpu_mem_48gb"}
    assert big.resources() == nothing | {"gres": "gpu:h100:1"}
    assert small.usable_mb == int(15.5 * 1024 * (1 - RESERVE))
    assert GpuClass("any", None).usable_mb is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["None", "list `classes`"]),
        ("classes: [", ["is no YAML"]),
        ("classes: !!python/object/apply:os.system [ls]", ["is no YAML"]),
        ("kinds: []", ["'kinds'", "one list, `classes`"]),
        ("clases: []", ["'clases'", "Did you mean 'classes'?"]),
        ("classes: []", ["[]", "device.force_cpu"]),
        ("classes: {a: 1}", ["no list of GPU classes"]),
        ("classes: [a100]", ["class 1", "'a100'", "no class"]),
        ("classes: [{memory_gb: 40}]", ["class 1", "no name"]),
        ("classes: [{name: a, memory: 40}]", ["'memory'", "Did you mean 'memory_gb'?"]),
        ("classes: [{name: a}]", ["class 1 (a)", "memory_gb", "None"]),
        ("classes: [{name: a, memory_gb: 40 GB}]", ["memory_gb", "'40 GB'", "without a unit"]),
        ("classes: [{name: a, memory_gb: -1}]", ["memory_gb", "-1"]),
        ("classes: [{name: a, memory_gb: .nan}]", ["memory_gb", "nan"]),
        ("classes: [{name: a, memory_gb: true}]", ["memory_gb", "True"]),
        ("classes: [{name: a, memory_gb: 8, gpu: 2}]", ["gpu is 2", "one GPU"]),
        ("classes: [{name: a, memory_gb: 8, gpu: 0}]", ["no GPU is asked for"]),
        ("classes: [{name: a, memory_gb: 8, gres: 'gpu a100'}]", ["gres", "'gpu a100'", "gpu:a100:1"]),
        ("classes: [{name: a, memory_gb: 8, gres: 'gpu:a-100:1'}]", ["gres", "'gpu:a-100:1'"]),
        ("classes: [{name: a, memory_gb: 8, gres: 'gpu:a100:4'}]", ["'gpu:a100:4'", "one GPU", "gpu:a100:1"]),
        ("classes: [{name: a, memory_gb: 8, gres: 'gpu:2'}]", ["'gpu:2'", "one GPU", "gres: gpu:1"]),
        ("classes: [{name: a, memory_gb: 8, gpu_model: a-100}]", ["gpu_model", "'a-100'", "constraint or partition"]),
        ("classes: [{name: a, memory_gb: 8, gres: 'gpu:1', gpu_model: a}]", ["twice"]),
        ("classes: [{name: a, memory_gb: 8, constraint: ' x'}]", ["constraint", "' x'"]),
        ("classes: [{name: \"'a'\", memory_gb: 8}]", ["name", "no plain word"]),
        ("classes: [{name: a, memory_gb: 8}, {name: a, memory_gb: 9}]", ["2 classes are called 'a'"]),
        (
            "classes: [{name: a, memory_gb: 8}, {name: b, memory_gb: 9, partition: gpu}]",
            ["class 'a' names no partition", "sinfo"],
        ),
    ],
)
def test_a_bad_file_is_told_with_value_file_and_remedy(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_classes(path)
    for word in [*words, "cluster.yaml"]:
        assert word in str(caught.value)


def test_a_missing_file_is_told_with_the_setting(tmp_path):
    with pytest.raises(ConfigError, match=r"cluster is .*nowhere\.yaml.*config/clusters"):
        read_classes(tmp_path / "nowhere.yaml")
