"""A fit goes on to the same bytes after any stop, stops by its inner split, and keeps its best epoch."""

import pytest
import torch
from tests.unit.training.conftest import clips, config

from longtake.errors import ConfigError, TrainingError
from longtake.models.networks.build import build, state_digest
from longtake.training.loop import Fit, class_weights, train
from longtake.training.recipe import Recipe

CPU = torch.device("cpu")


def recipe(**changes):
    return Recipe(config(**changes.pop("network", {})), **({"batch": 4, "micro_batch": 2, "epochs": 3} | changes))


def fitted(tmp_path, recipe, *, stop_at=(), name="state", train_on=range(14), inner=range(14, 20), **more):
    """Train; where `stop_at` says so, stop after that many steps and begin again in a fresh network."""
    fit = Fit("small_cnn fold 0", clips(train_on), clips(inner), tmp_path / f"{name}.safetensors")
    stops = list(stop_at)
    while True:
        network = build(recipe.network, seed=5)
        steps = []
        try:
            trained = train(
                network,
                fit,
                recipe,
                CPU,
                stopped=lambda steps=steps: "SIGTERM" if stops and steps and steps[-1] == stops[0] else "",
                progress=lambda done, _, steps=steps: steps.append(done),
                **more,
            )
        except SystemExit:
            stops.pop(0)
            continue
        return trained, network


@pytest.mark.parametrize("stop_at", [(1,), (4, 5, 9), (2, 4, 6, 8, 10, 12)])
def test_stopped_and_resumed_gives_the_same_bytes(tmp_path, stop_at):
    plain, network = fitted(tmp_path, recipe())
    again, resumed = fitted(tmp_path, recipe(), stop_at=stop_at, name="stopped")
    assert state_digest(network) == state_digest(resumed)
    assert plain.history == again.history
    assert (plain.inner_logits == again.inner_logits).all()


def test_recomputing_and_a_state_at_every_step_change_no_byte(tmp_path):
    _, network = fitted(tmp_path, recipe())
    _, other = fitted(tmp_path, recipe(), name="other", recompute=True, save_every_s=0.0)
    assert state_digest(network) == state_digest(other)


def test_it_learns_what_can_be_learnt(tmp_path):
    trained, _ = fitted(
        tmp_path, recipe(epochs=14, learning_rate=5e-3, patience=14), train_on=range(32), inner=range(32, 44)
    )
    assert trained.history[-1]["inner_accuracy"] >= 0.9
    assert trained.best_epoch == max(row["epoch"] for row in trained.history if row["best"])


def test_patience_ends_it(tmp_path):
    trained, network = fitted(tmp_path, recipe(epochs=30, patience=2, learning_rate=0.3, schedule="constant"))
    assert len(trained.history) == trained.best_epoch + 3
    assert len(trained.history) < 30
    assert state_digest(network) != state_digest(build(recipe().network, seed=5))


def test_a_state_of_another_recipe_is_set_aside(tmp_path):
    _, network = fitted(tmp_path, recipe(), stop_at=(3,), name="shared")
    (tmp_path / "shared.safetensors").unlink(missing_ok=True)
    fitted(tmp_path, recipe(learning_rate=1e-2), stop_at=(3,), name="shared")
    _, again = fitted(tmp_path, recipe(), name="shared")
    assert state_digest(network) == state_digest(again)
    assert list(tmp_path.glob("shared.other-1.safetensors"))


def test_a_torn_state_is_set_aside(tmp_path):
    (tmp_path / "torn.safetensors").write_bytes(b"not a state")
    _, network = fitted(tmp_path, recipe(), name="torn")
    _, plain = fitted(tmp_path, recipe())
    assert state_digest(network) == state_digest(plain)


def test_a_loss_that_is_not_finite_ends_it_by_name(tmp_path):
    network = build(config(), seed=5)
    with torch.no_grad():
        network.net.proj.bias.fill_(float("nan"))
    fit = Fit("small_cnn fold 0", clips(range(6)), clips(range(6, 8)), tmp_path / "s.safetensors")
    with pytest.raises(TrainingError, match="clip-"):
        train(network, fit, recipe(), CPU)


def test_class_weights_are_balanced():
    assert class_weights([0, 0, 0, 1], 2, "balanced").tolist() == pytest.approx([4 / 6, 2.0])
    assert class_weights([0, 0, 0, 1], 2, "none").tolist() == [1, 1]


def test_a_batch_that_micro_batches_do_not_fill_is_refused():
    with pytest.raises(ConfigError, match="no multiple"):
        recipe(batch=6, micro_batch=4)


def test_freezing_trains_the_last_layers_alone(tmp_path):
    frozen = recipe(network={"network": "vit_gru"}, freeze=True, epochs=1)
    _, network = fitted(tmp_path, frozen)
    start = build(frozen.network, seed=5)
    changed = {
        name for name, value in network.net.state_dict().items() if not torch.equal(value, start.net.state_dict()[name])
    }
    assert changed
    assert all(not name.startswith("vit.") for name in changed)
