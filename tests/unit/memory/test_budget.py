"""What a machine offers, read from its device files."""

from longtake.memory.budget import local_gpus


def test_gpus_are_counted_by_their_device_files(tmp_path):
    assert local_gpus(tmp_path) == 0
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia0-modeset"):
        (tmp_path / name).touch()
    assert local_gpus(tmp_path) == 2
