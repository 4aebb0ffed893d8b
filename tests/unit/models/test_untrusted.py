"""Model folders from anyone: nothing is fetched, nothing without bound is built or read, and what is amiss is said."""

import json
import random
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import longtake
from longtake.errors import ConfigError, ModelError
from longtake.model_config import check_config, read_model_json
from longtake.model_folder import model_files
from longtake.models import load_model
from longtake.models.weights import read_weights

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n"
ASKING = [
    {"backbone": "microsoft/resnet-50"},
    {"backbone": "resnet50", "use_timm_backbone": True},
    {"use_pretrained_backbone": True},
    {"use_timm_backbone": True},
    {"backbone_kwargs": {"out_indices": [1]}},
    {"model_args": {"checkpoint_path": "x.pt"}},
    {"architecture": "hf-hub:someone/something"},
    {"quantization_config": {"load_in_4bit": True}},
]


@pytest.fixture
def no_sockets(monkeypatch):
    """Whoever opens a connection or looks up a name fails, and is noted even where that is swallowed."""
    tried = []

    def refuse(*given, **_):
        tried.append(given)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert not tried


def test_the_libraries_are_offline_before_they_are_imported():
    code = (
        "import longtake; from huggingface_hub import constants, is_offline_mode; "
        "print(constants.HF_HUB_OFFLINE, is_offline_mode())"
    )
    environment = {"PYTHONPATH": str(Path(longtake.__file__).parents[1]), "PATH": "", "HOME": "/nowhere"}
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "True True\n"


@pytest.mark.parametrize("asked", ASKING, ids=lambda asked: "-".join(asked))
@pytest.mark.parametrize("where", ["top", "inside"])
def test_what_would_be_fetched_is_refused(own_folder, change, no_sockets, asked, where):
    folder = own_folder("mask2former")
    config = json.loads((folder / "config.json").read_text())
    change(
        folder / "config.json", **(asked if where == "top" else {"backbone_config": config["backbone_config"] | asked})
    )
    with pytest.raises(ModelError, match=rf"config\.json sets .*{next(iter(asked))}.*nothing is fetched"):
        load_model(folder)


@pytest.mark.parametrize("kernel", ["kernels-community/flash-attn", "flash_attention_2", "nonsense"])
def test_an_attention_that_would_be_fetched_is_left_out(own_folder, change, no_sockets, kernel):
    folder = own_folder("mask2former")
    backbone = json.loads((folder / "config.json").read_text())["backbone_config"]
    asked = {"_attn_implementation": kernel, "attn_implementation": kernel}
    change(folder / "config.json", **asked, backbone_config=backbone | asked)
    load_model(folder)


@pytest.mark.parametrize("given", [{"model_type": "nonsense"}, {}, {"model_type": ["swin"]}, "swin", 5, [1], None])
def test_a_backbone_that_is_none(own_folder, change, no_sockets, given):
    folder = own_folder("mask2former")
    change(folder / "config.json", backbone_config=given)
    with pytest.raises(ModelError, match="mask2former"):
        load_model(folder)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("videomae", {"hidden_size": 10**9}),
        ("videomae", {"hidden_size": 2**14, "num_attention_heads": 1}),
        ("videomae", {"intermediate_size": 2**18}),
        ("videomae", {"num_hidden_layers": 10**9}),
        ("videomae", {"image_size": 10**6, "patch_size": 1}),
        ("videomae", {"num_frames": 10**7}),
        ("videomae", {"id2label": {str(n): str(n) for n in range(10**5)}}),
        ("mask2former", {"num_queries": 10**400}),
        ("mask2former", {"encoder_layers": 10**6}),
        ("vivit", {"tubelet_size": [0, 0, 0]}),
        ("vivit", {"num_attention_heads": 0}),
    ],
)
def test_a_model_larger_than_its_weights_is_not_built(own_folder, change, kind, changes):
    """Within seconds, and within the memory of this process."""
    import resource

    folder = own_folder(kind)
    load_model(folder)
    change(folder / "config.json", **changes)
    before = resource.getrusage(resource.RUSAGE_SELF)
    with pytest.raises(ModelError, match=kind):
        load_model(folder)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_maxrss - before.ru_maxrss < 200_000


def test_settings_nested_deeper_than_any(tmp_path):
    path = tmp_path / "config.json"
    for depth in (50, 900, 100_000):
        path.write_text('{"a":' * depth + "1" + "}" * depth)
        with pytest.raises(ModelError, match=r"config\.json is (nested more than 32 deep|not JSON)"):
            read_model_json(path)
        with pytest.raises(ModelError, match=r"config\.json"):
            load_model(tmp_path)
    path.write_text(" " * (2**24 + 1))
    with pytest.raises(ModelError, match="16777217 bytes"):
        read_model_json(path)


def test_any_value_in_a_configuration_gives_a_model_or_a_word(own_folder, change, no_sockets):
    """Each of 150 has one value of a configuration or processor replaced."""
    draw = random.Random(3)
    values = [None, -1, 0, 2.5, 10**9, "x", "", [], [1], {}, {"a": 1}, True, [[]], "10", float("1e300")]
    loaded = 0
    for kind in ("videomae", "vivit", "mask2former"):
        folder = own_folder(kind)
        files = {name: json.loads((folder / name).read_text()) for name in ("config.json", "preprocessor_config.json")}
        for _ in range(50):
            name = draw.choice(list(files))
            path = folder / name
            path.write_text(json.dumps(files[name] | {draw.choice(list(files[name])): draw.choice(values)}))
            try:
                load_model(folder)
                loaded += 1
            except ModelError:
                pass
            path.write_text(json.dumps(files[name]))
    assert 10 < loaded < 140


# --- weights


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "config.json"])
def test_a_pointer_of_git_lfs_is_called_one(own_folder, name):
    folder = own_folder("videomae")
    if name == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
    (folder / name).write_text(POINTER)
    with pytest.raises(ModelError, match=rf"{name} is a pointer of git-lfs.*git lfs pull"):
        load_model(folder)
    with pytest.raises(ConfigError, match=rf"{name} is a pointer of git-lfs"):
        model_files(str(folder), Path("/"), "gradients.model")


@pytest.mark.parametrize("header", [90_000_000, 2**63, 2**24 + 1, 1000])
def test_a_header_longer_than_any(tmp_path, header):
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(header.to_bytes(8, "little") + b"{")
        file.truncate(100_000_000 if header != 1000 else 500)
    with pytest.raises(ModelError, match=rf"says that its header has {header} bytes"):
        read_weights(tmp_path)


def test_an_archive_that_is_packed(tmp_path):
    plain, packed = tmp_path / "plain.bin", tmp_path / "pytorch_model.bin"
    torch.save({"weight": torch.zeros(10_000_000)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for part in source.infolist():
            target.writestr(part.filename, source.read(part))
    assert packed.stat().st_size * 500 < plain.stat().st_size
    with pytest.raises(ModelError, match=r"pytorch_model\.bin is packed"):
        read_weights(tmp_path)
    plain.rename(packed)
    assert read_weights(tmp_path)["weight"].numel() == 10_000_000


@pytest.mark.parametrize("legacy", [False, True])
def test_a_tensor_larger_than_what_the_file_holds_of_it(tmp_path, legacy):
    """One number with the shape of 40 GB."""
    path = tmp_path / "pytorch_model.bin"
    huge = {"weight": torch.zeros(1).expand(10**5, 10**5)}
    torch.save(huge, path, _use_new_zipfile_serialization=not legacy)
    assert path.stat().st_size < 10_000
    with pytest.raises(ModelError, match=r"'weight' has the shape \(100000, 100000\)"):
        read_weights(tmp_path)


def test_published_settings_pass():
    """Of the published folders: a Mask2Former with its backbone described, and an EdgeTAM with timm's."""
    described = {
        "backbone": None,
        "use_timm_backbone": False,
        "backbone_kwargs": None,
        "use_pretrained_backbone": False,
    }
    check_config({**described, "backbone_config": {"model_type": "swin", "depths": [2, 2, 18, 2]}}, Path("config.json"))
    edge = {
        "backbone_config": {
            "model_type": "timm_wrapper",
            "architecture": "timm/repvit_m1.dist_in1k",
            "model_args": None,
        }
    }
    check_config({"vision_config": edge, "image_size": 1024}, Path("config.json"))
    load_file(Path(longtake.__file__).parents[1] / "models/clip31-pond/model.safetensors")
