"""Every way to ask for a GPU that profiles/README.md shows, as the scheduler understands it."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# What the request becomes, and where it runs, by what the example sets.
EXPECTED = {
    "gpu_model": {"TresPerJob": "gres:gpu:a100:1", "NodeList": "large"},
    "constraint": {"TresPerJob": "gres:gpu:1", "Features": "gpu_mem_40gb", "NodeList": "large"},
    "gres": {"TresPerNode": "gres:gpu:a100:1", "NodeList": "large"},
    "slurm_partition": {"TresPerJob": "gres:gpu:1", "Partition": "gpu"},
}


def examples():
    """What each block of the section sets for annotate_window, by the word that tells it from the others."""
    section = (ROOT / "profiles/README.md").read_text().split("## Kinds of GPU")[1].split("\n## ")[0]
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", section, re.S)]
    resources = [block["set-resources"]["annotate_window"] for block in blocks]
    return {next(word for word in EXPECTED if word in each): each for each in resources}


@pytest.fixture(scope="module")
def asked(fresh, on, cluster, tmp_path_factory):
    """One stub job an example, through a profile that is profiles/slurm but for its set-resources."""
    project = on(fresh.copy(tmp_path_factory.mktemp("requests") / "checkout"))
    profile = project.path / "profiles/slurm/config.yaml"
    settings = yaml.safe_load(profile.read_text())
    settings["set-resources"] = {f"by_{word}": resources for word, resources in examples().items()}
    profile.write_text(yaml.safe_dump(settings))
    rules = [
        f'rule by_{word}:\n    output: "{word}.txt"\n'
        '    resources: gpu=0\n    shell: "echo ${{CUDA_VISIBLE_DEVICES:-none}} > {output}"\n'
        for word in examples()
    ]
    (project.path / "Snakefile").write_text("\n".join(rules))
    project.run(*(f"{word}.txt" for word in examples()))
    return project, cluster.jobs()


def test_every_way_is_shown():
    assert examples().keys() == EXPECTED.keys()


@pytest.mark.parametrize("word", EXPECTED)
def test_a_request_reaches_the_scheduler_and_its_step_gets_the_gpu(asked, word):
    project, jobs = asked
    job = jobs[f"rule_by_{word}"]
    assert {name: job[name] for name in EXPECTED[word]} == EXPECTED[word]
    assert (project.path / f"{word}.txt").read_text() == "0\n"
