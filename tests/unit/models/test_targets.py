import pytest
import torch

from longtake.errors import ConfigError, ModelError
from longtake.models.targets import FixedTarget, Target, check_labels, class_of, class_scores, listed, predicted_class

CLASSES = ("cod", "eel")
# Two classes and "no instance". By raw logits query 0 is the best eel; but it says "nothing" louder still.
QUERIES = torch.tensor([[0.0, 9.0, 20.0], [3.0, 1.0, 0.0], [1.0, 2.0, 0.0], [2.0, 2.2, -5.0]])


def test_of_a_classifier():
    scores = torch.tensor([1.0, 3.0])
    predicted = FixedTarget(None, CLASSES)
    assert predicted(scores) == 3
    assert predicted.chosen == Target(1)
    assert FixedTarget(0, CLASSES)(scores) == 1
    assert torch.equal(class_scores(scores, Target(1)), scores)


def test_of_instances_the_most_probable_one_is_meant():
    # softmax by hand: query 1 is cod with e3 / (e3 + e1 + e0) = 0.84, query 3 is eel with 0.55.
    best = FixedTarget(None, CLASSES)
    assert best(QUERIES) == 3
    assert best.chosen == Target(0, 1)
    eel = FixedTarget(1, CLASSES)
    assert eel(QUERIES) == 2
    assert eel.chosen == Target(1, 2)  # 0.665: query 0 has 0.00002, query 3 has 0.55
    assert predicted_class(QUERIES) == 0
    assert class_scores(QUERIES, eel.chosen).tolist() == [1, 2]


def test_the_choice_of_the_first_call_stays():
    score = FixedTarget(None, CLASSES)
    with pytest.raises(ValueError, match="no scores"):
        score.chosen  # noqa: B018
    score(QUERIES)
    assert score(QUERIES.flip(0)) == 1
    assert score.chosen == Target(0, 1)


def test_the_gradient_is_of_that_number_alone():
    scores = QUERIES.clone().requires_grad_()
    FixedTarget(1, CLASSES)(scores).backward()
    expected = torch.zeros(4, 3)
    expected[2, 1] = 1
    assert torch.equal(scores.grad, expected)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (torch.zeros(1, 2), r"shape \(1, 2\).*Take the batch axis off"),
        (torch.zeros(3), r"shape \(3,\), but it names 2 classes"),
        (torch.zeros(4, 5, 3), r"shape \(4, 5, 3\)"),
        (torch.zeros(4, 2), r"\(instances, 3\) with 'no instance' last"),
        (torch.tensor([0.0, float("nan")]), "not finite"),
    ],
)
def test_an_answer_of_another_shape(scores, words):
    with pytest.raises(ModelError, match=words):
        FixedTarget(0, CLASSES)(scores)


def test_species_have_other_names_in_the_model():
    labels = {"Gadus morhua": "cod", "Anguilla": 1, "eel": "cod"}
    assert class_of("cod", CLASSES, labels) == 0
    assert class_of("Gadus morhua", CLASSES, labels) == 0
    assert class_of("Anguilla", CLASSES, labels) == 1
    assert class_of("eel", CLASSES, labels) == 0
    assert class_of("eel", CLASSES, {}) == 1
    assert class_of("ray", CLASSES, labels) is None
    assert class_of(None, CLASSES, labels) is None
    check_labels(labels, CLASSES)
    with pytest.raises(ConfigError, match=r"'x' stands for 'cood'.*0 to 1: cod, eel\. Did you mean 'cod'"):
        check_labels({"x": "cood"}, CLASSES)
    with pytest.raises(ConfigError, match="'x' stands for 2"):
        check_labels({"x": 2}, CLASSES)


def test_many_names_are_cut_short():
    assert listed([str(n) for n in range(400)], 2) == "0, 1 and 398 more"
    assert listed(CLASSES) == "cod, eel"
