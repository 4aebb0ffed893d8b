import os
import pickle
import zipfile

import pytest
import torch

from longtake.errors import ModelError
from longtake.models import load_model
from longtake.models.weights import read_weights


class Trap:
    """A pickle of it runs a command when it is loaded the usual way."""

    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return os.system, (f"touch {self.victim}",)


@pytest.fixture
def victim(tmp_path):
    return tmp_path / "it-ran"


def test_the_trap_is_a_real_one(victim):
    pickle.loads(pickle.dumps(Trap(victim)))
    assert victim.exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_is_refused_before_it_does(tmp_path, victim, legacy):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"weight": torch.ones(2), "extra": Trap(victim)}, path, _use_new_zipfile_serialization=not legacy)
    assert zipfile.is_zipfile(path) != legacy
    with pytest.raises(ModelError, match="Nothing of it was run"):
        read_weights(tmp_path)
    assert not victim.exists()


def test_a_bare_pickle_and_its_like(tmp_path, victim):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(pickle.dumps(Trap(victim), protocol=2))
    with pytest.raises(ModelError, match=r"pytorch_model\.bin"):
        read_weights(tmp_path)
    assert not victim.exists()
    for content in (b"", b"no weights at all", b"PK\x03\x04 and then nothing"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"pytorch_model\.bin"):
            read_weights(tmp_path)


def test_only_a_table_of_tensors_is_one(tmp_path):
    for content in ([torch.ones(1)], {"state_dict": {"weight": torch.ones(1)}}, torch.ones(3)):
        torch.save(content, tmp_path / "pytorch_model.bin")
        with pytest.raises(ModelError, match="no table of tensors by name"):
            read_weights(tmp_path)


def test_a_model_from_a_plain_pickle_is_the_same(own_folder, folders):
    folder = own_folder("timesformer")
    torch.save(read_weights(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    frames = torch.rand(5, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(load_model(folder).scores(frames), load_model(folders("timesformer")).scores(frames))


def test_weights_in_parts(own_folder, folders):
    from transformers import TimesformerForVideoClassification

    folder = own_folder("timesformer")
    model = TimesformerForVideoClassification.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    whole, parts = read_weights(folders("timesformer")), read_weights(folder)
    assert set(parts) == set(whole)
    assert all(torch.equal(parts[name], whole[name]) for name in whole)
    sorted(folder.glob("model-*.safetensors"))[0].unlink()
    with pytest.raises(ModelError, match=r"lists 'model-00001-of-.*no file in that folder"):
        load_model(folder)


@pytest.mark.parametrize("name", ["../elsewhere.safetensors", "/etc/hostname", 3])
def test_an_index_that_leads_out_of_the_folder(tmp_path, change, name):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text("{}")
    change(index, weight_map={"weight": name})
    (tmp_path.parent / "elsewhere.safetensors").touch()
    with pytest.raises(ModelError, match="index"):
        read_weights(tmp_path)


def test_safetensors_come_first_and_damage_is_told(own_folder):
    folder = own_folder("timesformer")
    (folder / "pytorch_model.bin").write_bytes(b"not looked at")
    load_model(folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        load_model(folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match=r"no model\.safetensors and no pytorch_model\.bin \(it holds config\.json"):
        load_model(folder)
