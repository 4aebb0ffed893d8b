"""A fold that training wrote is a model like any other: does my detector use motion?"""

import pytest
from tests.unit.gradients.test_window import analyse

from longtake.models.networks.build import NetworkConfig, build, save_network

VIT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "patch_size": 16}


@pytest.mark.parametrize("network", ["small_cnn", "vit_gru"])
def test_the_motion_analysis_takes_the_folder_of_a_trained_fold(pond, tmp_path, network):
    backbone = VIT if network == "vit_gru" else {}
    fold = tmp_path / "fold-0"
    save_network(build(NetworkConfig(network, ("eel", "cod"), 9, 32, backbone=backbone), 1), fold)
    summary, curves, clips, _, _ = analyse(pond, tmp_path / "out", fold)
    assert summary["ok"] == len(clips) > 0
    assert {row["target_name"] for row in clips} <= {"eel", "cod"}
    assert all(row["magnitude"] > 0 for row in curves)
