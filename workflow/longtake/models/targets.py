"""Which one number of a model's answer is differentiated.

A classifier answers with one score per class. A model of instances (video instance segmentation) answers with the class
logits of every query, most of which stand for nothing: the sum of all of them explains none of them. There the target
is one query, the one that is most probably an instance of the class in question.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from longtake.errors import AnswerError, ConfigError, ModelError, nearest


@dataclass(frozen=True)
class Target:
    """One entry of a model's scores.

    Attributes
    ----------
    class_index : place of the class in `class_names`
    instance : query of a model of instances; None for a classifier
    """

    class_index: int
    instance: int | None = None


class FixedTarget:
    """Scores -> the one number to be differentiated; what it is gets chosen at the first call and stays.

    An exact gradient evaluates the model more than once. Were the choice made anew, rounding could make it differ.

    Parameters
    ----------
    wanted : class index; None takes the predicted class
    class_names : of the model, to check its answer against

    Raises
    ------
    ModelError : when called with scores of a shape that does not belong to these classes, or not finite.
    """

    def __init__(self, wanted: int | None, class_names: Sequence[str]) -> None:
        self.wanted = wanted
        self.class_names = class_names
        self.target: Target | None = None

    def __call__(self, scores: Tensor) -> Tensor:
        if self.target is None:
            check_answer(scores, self.class_names)
            self.target = choose_target(scores.detach(), self.wanted)
        return target_score(scores, self.target)

    @property
    def chosen(self) -> Target:
        """The choice; raises ValueError before the first call."""
        if self.target is None:
            raise ValueError("no scores have been seen yet")
        return self.target


def choose_target(scores: Tensor, wanted: int | None) -> Target:
    """The predicted class (`wanted` None) or the class `wanted`; of instances, the one most probably of that class.

    Parameters
    ----------
    scores : (classes,), or (instances, classes + 1) logits with "no instance" last. Logits of one instance say nothing
        beside those of another, so instances are compared by their probabilities, softmax with "no instance" included
    """
    if scores.ndim == 1:
        return Target(int(scores.argmax()) if wanted is None else wanted)
    probabilities = scores.softmax(-1)[:, :-1]
    if wanted is None:
        instance, class_index = divmod(int(probabilities.argmax()), probabilities.shape[1])
        return Target(class_index, instance)
    return Target(wanted, int(probabilities[:, wanted].argmax()))


def predicted_class(scores: Tensor) -> int:
    """The class with the highest score; of instances, the class of the most probable one."""
    return choose_target(scores, None).class_index


def target_score(scores: Tensor, target: Target) -> Tensor:
    """The target's score, a number with its graph; of instances, the logit of the class."""
    return scores[target.class_index] if target.instance is None else scores[target.instance, target.class_index]


def class_scores(scores: Tensor, target: Target) -> Tensor:
    """Scores (classes,) of the answer; of instances, the logits of the target's."""
    return scores if target.instance is None else scores[target.instance, :-1]


def check_answer(scores: Tensor, class_names: Sequence[str]) -> None:
    """Raise ModelError unless `scores` are (classes,) or (instances, classes + 1), and finite."""
    n_classes, shape = len(class_names), tuple(scores.shape)
    if shape != (n_classes,) and not (len(shape) == 2 and shape[1] == n_classes + 1):
        batched = " Take the batch axis off." if shape == (1, n_classes) else ""
        raise ModelError(
            f"the model's scores have the shape {shape}, but it names {n_classes} classes: one clip must give "
            f"({n_classes},), or of instances (instances, {n_classes + 1}) with 'no instance' last.{batched}"
        )
    if not bool(scores.isfinite().all()):
        raise AnswerError("the model's scores are not finite: look at its weights, normalisation and precision.")


def class_of(name: str | None, class_names: Sequence[str], labels: Mapping[str, str | int]) -> int | None:
    """The class that a species or label stands for: by `labels` if it is there, else by its own name; or None."""
    if name is None:
        return None
    meant = labels.get(name, name)
    if isinstance(meant, int):
        return meant
    return list(class_names).index(meant) if meant in class_names else None


def check_labels(labels: Mapping[str, str | int], class_names: Sequence[str]) -> None:
    """Raise ConfigError if an entry of the setting gradients.labels names a class that the model does not have."""
    for label, meant in labels.items():
        known = 0 <= meant < len(class_names) if isinstance(meant, int) else meant in class_names
        if not known:
            hint = "" if isinstance(meant, int) else nearest(meant, class_names)
            raise ConfigError(
                f"gradients.labels: {label!r} stands for {meant!r}, but the model has the classes 0 to "
                f"{len(class_names) - 1}: {listed(class_names)}.{hint}"
            )


def listed(class_names: Sequence[str], most: int = 12) -> str:
    """Class names for a message, shortened if there are many."""
    rest = len(class_names) - most
    return ", ".join(class_names[:most]) + (f" and {rest} more" if rest > 0 else "")
