"""The settings of section `training`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from longtake.errors import nearest
from longtake.settings.section import Once, Section, setting

NETWORKS = ("small_cnn", "vit_gru", "vit_transformer", "slowfast", "x3d")
CLASSICAL = ("logistic_regression", "svm")
MODELS = (*CLASSICAL, *NETWORKS)
Share = Annotated[float, Field(ge=0, le=1)]


class Operation(Section):
    """An augmentation without a range."""

    p: Share = setting(0.0, "How often it is done, 0 to 1.")


class Rotate(Operation):
    """Rotation about the centre."""

    p: Share = setting(0.5, "How often it is done, 0 to 1.")
    degrees: float = setting(15.0, "Most degrees to either side.", ge=0, le=180)


class Affine(Operation):
    """Translation, scale and shear."""

    p: Share = setting(0.5, "How often it is done, 0 to 1.")
    translate: float = setting(0.1, "Most of the picture's side that it is moved by.", ge=0, le=1)
    scale: list[Annotated[float, Field(gt=0)]] = setting(
        [0.9, 1.1], "Least and largest scale.", min_length=2, max_length=2
    )
    shear: float = setting(5.0, "Most degrees of shear.", ge=0, lt=60)


class Flip(Operation):
    """Mirror left and right."""

    p: Share = setting(0.5, "How often it is done, 0 to 1; 0 where left and right are the label.")


class Jitter(Operation):
    """Colour."""

    p: Share = setting(0.5, "How often it is done, 0 to 1.")
    brightness: Share = setting(0.2, "Most change of brightness, as a share of white.")
    contrast: Share = setting(0.2, "Most change of contrast.")
    saturation: Share = setting(0.2, "Most change of saturation.")


class Blur(Operation):
    """Gaussian blur."""

    p: Share = setting(0.1, "How often it is done, 0 to 1.")
    sigma: float = setting(1.0, "Most pixels of standard deviation.", gt=0.3)


class Noise(Operation):
    """Noise of single pixels, in grey levels, before normalisation."""

    p: Share = setting(0.2, "How often it is done, 0 to 1.")
    sigma: float = setting(8.0, "Most grey levels of standard deviation.", ge=0)


class Cutout(Operation):
    """A black square."""

    p: Share = setting(0.2, "How often it is done, 0 to 1.")
    size: Share = setting(0.25, "Most of the picture's side that is covered.")


class Elastic(Operation):
    """A smooth bend of the picture."""

    strength: Share = setting(0.03, "Most of the picture's side by which a place moves.")
    scale: float = setting(0.1, "How smooth it is, as a share of the picture's side.", gt=0)


class Places(Operation):
    """Frames that are lost or shown twice."""

    share: Share = setting(0.2, "Most of a clip's frames.")


class Augment(Section):
    """What is drawn once for each augmented clip, and applied to all of its frames alike."""

    rotate: Rotate = setting(Rotate(), "Rotation about the centre.")
    affine: Affine = setting(Affine(), "Translation, scale and shear.")
    flip: Flip = setting(Flip(), "Mirror left and right.")
    jitter: Jitter = setting(Jitter(), "Brightness, contrast, saturation.")
    blur: Blur = setting(Blur(), "Gaussian blur.")
    noise: Noise = setting(Noise(), "Noise of single pixels, before normalisation.")
    cutout: Cutout = setting(Cutout(), "A black square.")
    elastic: Elastic = setting(Elastic(), "A smooth bend; off unless its p is given.")
    reverse: Operation = setting(Operation(), "Frames in reverse; off unless its p is given.")
    drop: Places = setting(Places(), "Frames that are lost; off unless its p is given.")
    duplicate: Places = setting(Places(), "Frames that are shown twice; off unless its p is given.")


class ModelOptions(Section):
    """What one model has of its own; what is left out is that of the section."""

    weights: str = setting("", "Local file or folder of published weights (docs/training.md); empty for drawn ones.")
    frames: int = setting(0, "Frames in a clip; 0 for training.frames.", ge=0)
    size: int = setting(0, "Side of a clip in pixels; 0 for training.size.", ge=0)
    freeze: bool = setting(False, "Train only the layers behind the backbone.")
    learning_rate: float = setting(0.0, "0 for training.learning_rate.", ge=0)
    weight_decay: float = setting(-1.0, "-1 for training.weight_decay.", ge=-1)
    epochs: int = setting(0, "0 for training.epochs.", ge=0)
    batch: int = setting(0, "0 for training.batch.", ge=0)
    micro_batch: int = setting(0, "0 for training.micro_batch.", ge=0)
    dropout: float = setting(-1.0, "Share of features dropped before the last layer; -1 for 0.3.", ge=-1, lt=1)
    norm: Literal["", "group", "frozen"] = setting("", "Empty for training.norm.")
    precision: Literal["", "float32", "bfloat16"] = setting("", "Empty for training.precision.")


class Options(Section):
    """Training of clip classifiers on folds, with augmentations made once."""

    sheet: str = setting("", "Sheet of labelled videos: video, path, label, group. Empty for no training.")
    frames: int = setting(16, "Frames in a clip, at uniform times over the whole video.", ge=2)
    size: int = setting(112, "Side of a clip in pixels.", ge=16)
    fit: Literal["letterbox", "crop"] = setting(
        "letterbox", "letterbox keeps the whole picture and adds black bars; crop takes the square in its middle."
    )
    sampling: Literal["uniform"] = setting("uniform", "Which frames: the ones shown at i D / k seconds.")
    short: Literal["refuse", "repeat"] = setting(
        "refuse", "A video of fewer frames than a clip: refuse leaves it out, repeat repeats frames (approximate)."
    )
    augmentations: int = setting(1, "Augmented clips made of each video, beside the original.", ge=0)
    augment: Augment = setting(Augment(), "Operations and their ranges.")
    label_changes: Once[str] = setting(
        [], "Operations that would change a label (flip, reverse ...): switched off whatever their p."
    )
    folds: int = setting(5, "Folds of the cross-validation.", ge=2)
    repeats: int = setting(1, "How often the folds are drawn anew.", ge=1)
    inner: float = setting(
        0.2, "Share of a fold's training videos that stops training early and fixes thresholds.", gt=0, lt=0.5001
    )
    duplicates: Literal["fail", "join", "report"] = setting(
        "fail",
        "Near-duplicates in different groups: fail ends the run, join makes one group of them, report lists them.",
    )
    duplicate_distance: float = setting(
        0.12, "Share of bits of a difference hash up to which videos are near-duplicates.", ge=0, lt=0.5
    )
    models: list[str] | dict[str, ModelOptions] = setting(
        ["logistic_regression", "small_cnn"],
        f"Names of {', '.join(MODELS)}; or name: {{weights, frames, size, freeze, learning_rate ...}}.",
    )
    batch: int = setting(16, "Clips of an effective batch, whatever the memory.", ge=1)
    micro_batch: int = setting(0, "Clips in memory at a time, a divisor of batch; 0 for the plan's choice.", ge=0)
    epochs: int = setting(20, "Epochs at most.", ge=1)
    patience: int = setting(5, "Epochs without a lower loss on the inner split that end training.", ge=1)
    learning_rate: float = setting(0.001, "Learning rate of AdamW.", gt=0)
    weight_decay: float = setting(0.05, "Weight decay of AdamW.", ge=0)
    schedule: Literal["cosine", "constant"] = setting("cosine", "How the learning rate falls.")
    class_weights: Literal["balanced", "none"] = setting("balanced", "balanced weighs rare classes up.")
    precision: Literal["float32", "bfloat16"] = setting("float32", "bfloat16 computes in half precision (approximate).")
    norm: Literal["group", "frozen"] = setting(
        "group", "group for drawn weights, frozen (stored batch statistics) for published ones."
    )
    checkpoint_minutes: float = setting(10.0, "Minutes between two states from which a killed fit goes on.", gt=0)
    controls: Once[Literal["permuted", "metadata", "middle", "shuffled"]] = setting(
        ["permuted", "metadata", "middle", "shuffled"],
        "What stands beside the leaderboard: permuted labels and metadata alone (logistic regression), the middle "
        "frame alone and shuffled frames (each network).",
    )
    shard: int = setting(64, "Videos of one job that makes clips.", ge=1)
    compression: Literal["none", "zstd"] = setting("none", "zstd stores clips in about 0.7 of the bytes, read slower.")

    @field_validator("models")
    @classmethod
    def _known(cls, value: Any) -> Any:
        for name in value:
            if name not in MODELS:
                raise ValueError(f"{name!r} is no model.{nearest(str(name), MODELS)} Give any of {', '.join(MODELS)}.")
        if len(set(value)) < len(value):
            raise ValueError("a model stands in it twice. Keep one.")
        return value

    @field_validator("label_changes")
    @classmethod
    def _operations(cls, value: list[str]) -> list[str]:
        known = list(Augment.model_fields)
        for name in value:
            if name not in known:
                raise ValueError(f"{name!r} is no augmentation.{nearest(name, known)} Give any of {', '.join(known)}.")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Options:
        for name in self.names:
            own = self.of(name)
            if own["micro_batch"] and own["batch"] % own["micro_batch"]:
                raise ValueError(
                    f"training.batch is {own['batch']}, but training.micro_batch is {own['micro_batch']} (for {name}). "
                    "Give a divisor of batch, or 0 for the plan's choice."
                )
            if name == "slowfast" and own["frames"] % 4:
                raise ValueError(
                    f"training.frames is {own['frames']}, but slowfast takes a multiple of 4. Give one, or "
                    "models: slowfast: frames."
                )
            if name.startswith("vit") and own["size"] % 16 and not own["weights"]:
                raise ValueError(
                    f"training.size is {own['size']}, but {name} cuts frames into patches of 16 pixels. Give a "
                    f"multiple of 16, or models: {name}: size."
                )
        return self

    @property
    def names(self) -> list[str]:
        """The models in the order in which they were given."""
        return list(self.models)

    @property
    def networks(self) -> list[str]:
        """Those of them that are networks."""
        return [name for name in self.names if name in NETWORKS]

    @property
    def needs_features(self) -> bool:
        """Whether any model or control looks at handcrafted features."""
        return any(name in CLASSICAL for name in self.names) or bool({"permuted", "metadata"} & set(self.controls))

    def of(self, name: str) -> dict[str, Any]:
        """Return what holds for one model: its own settings, and those of the section where it has none."""
        own = self.models.get(name, ModelOptions()) if isinstance(self.models, dict) else ModelOptions()
        shared = {
            key: getattr(own, key) or getattr(self, key)
            for key in ("frames", "size", "learning_rate", "epochs", "batch", "micro_batch", "norm", "precision")
        }
        decay = own.weight_decay if own.weight_decay >= 0 else self.weight_decay
        return {**shared, "weights": own.weights, "freeze": own.freeze, "weight_decay": decay, "dropout": own.dropout}

    def operations(self) -> dict[str, dict[str, Any]]:
        """Return the augmentations as plain values, those that would change a label switched off."""
        found: dict[str, dict[str, Any]] = self.augment.model_dump()
        return {name: value for name, value in found.items() if name not in self.label_changes and value["p"] > 0}
