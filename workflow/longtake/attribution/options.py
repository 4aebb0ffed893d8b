"""The settings of section `attribution`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator, model_validator

from longtake.settings.section import Once, Section, setting

CAMS = ("gradcam", "gradcam++", "layercam", "hirescam")
NOISE = ("smoothgrad", "vargrad")
METHODS = (*CAMS, "saliency", *NOISE, "integrated_gradients")
"""All that there are, in the order in which tables name them."""
BASELINES = ("zero", "mean", "min", "blur")

Method = Literal[
    "gradcam",
    "gradcam++",
    "layercam",
    "hirescam",
    "saliency",
    "smoothgrad",
    "vargrad",
    "integrated_gradients",
    "all",
]


class Options(Section):
    """Where a classifier of volumes looks."""

    volumes: str = setting(
        "", "Sheet of volumes, one row each, such as config/volumes.tsv. Empty: there are none, and nothing is done."
    )
    model: str = setting(
        "",
        "The classifier: a folder with config.json and weights, or module:factory of your own code (docs/volumes.md).",
    )
    checkpoint: str = setting(
        "", "File of the weights (safetensors, or a state_dict saved by PyTorch) that module:factory is called with."
    )
    axes: str = setting("", "Axes of the files, a capital letter each, such as HWB; C for channels. Required.")
    model_axes: str = setting(
        "",
        "The same letters in the order in which the model wants them, such as BHW. Required.",
    )
    variable: str = setting(
        "", "Name of the array in files that hold several (.mat, .npz); column variable of the sheet comes before."
    )
    divide_by: float = setting(1, "What voxels are divided by before the model sees them, such as 255.", gt=0)
    layer: str | list[str] = setting(
        "",
        "Submodule whose output Grad-CAM and its kin explain; a list for several. Empty takes the last one with "
        "spatial extent, and says which.",
    )
    methods: Once[Method] = setting(
        ["gradcam", "gradcam++"],
        "Methods, any of gradcam, gradcam++, layercam, hirescam, saliency, smoothgrad, vargrad, integrated_gradients; "
        "or all.",
        min_length=1,
    )
    target: str | int | list[str | int] = setting(
        "predicted",
        "Class that is explained: predicted, true (the sheet's label), a class by name or index, or a list.",
    )
    contrast: str | int = setting("", "Class whose score is taken off the target's, by name or index; empty: none.")
    split: Literal["test", "train", "val", "all"] = setting("test", "Volumes of which split are analysed.")
    max_samples: int = setting(0, "Volumes at most, drawn by seed; 0 takes all.", ge=0)
    n_samples: int = setting(50, "Noisy copies of a volume for SmoothGrad and VarGrad.", ge=1)
    noise_level: float = setting(0.15, "Standard deviation of the noise, as a part of the volume's range.", gt=0)
    ig_steps: int = setting(32, "Points of Gauss-Legendre on the path of Integrated Gradients.", ge=1, le=512)
    baseline: str | float = setting("zero", "Where that path begins: zero, mean, min, blur, or a number.")
    completeness: float = setting(
        0.05,
        "How far the sum of Integrated Gradients may be off the difference of scores, as a part of it, before the map "
        "counts as approximate.",
        gt=0,
    )
    faithfulness: bool = setting(
        True,
        "Whether maps are tested: deletion, insertion, drawn weights, masks, repeats. It takes longer than maps do.",
    )
    steps: int = setting(20, "Steps of deletion and insertion.", ge=2, le=1000)
    fill: Literal["blur", "mean", "noisy-linear"] = setting(
        "blur", "What deleted voxels are filled with; noisy-linear solves for the mean of their neighbours (ROAD)."
    )
    max_checked: int = setting(20, "Volumes whose maps are tested with drawn weights and by repeating, at most.", ge=0)
    tile: int = setting(0, "Slices in a slab; 0 chooses. Changes how a job is run, never a number.", ge=0)
    memory_gb: float = setting(
        0, "GiB that a gradient may take; 0 goes by what is free. Changes how a job is run, never a number.", ge=0
    )
    region_names: dict[str, str] = setting({}, "Names of the labels in the volumes of regions, such as {1: retina}.")
    overlay_slices: int = setting(6, "Slices of each volume that are shown with their map.", ge=1, le=64)
    overlay_alpha: float = setting(0.4, "Opacity of the map over the slice.", ge=0, le=1)
    colour_percentile: float = setting(
        99.5, "Percentile of a method's values over the study at which colours end: one scale for all.", gt=50, le=100
    )
    formats: Once[Literal["nifti", "tiff", "zarr"]] = setting(
        [], "Formats in which maps of the volume's size are exported, beside .npy: nifti, tiff, zarr."
    )

    @field_validator("region_names", mode="before")
    @classmethod
    def _names_by_text(cls, value: Any) -> Any:
        return {str(key): name for key, name in value.items()} if isinstance(value, dict) else value

    @field_validator("baseline")
    @classmethod
    def _known_baseline(cls, value: str | float) -> str | float:
        if isinstance(value, str) and value not in BASELINES:
            raise ValueError(f"it is no baseline. Give one of {', '.join(BASELINES)}, or a number.")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Options:
        if not self.volumes:
            return self
        for name in ("model", "axes", "model_axes"):
            if not getattr(self, name):
                described = type(self).model_fields[name].description
                raise ValueError(f"attribution.{name} is empty, but attribution.volumes names volumes. {described}")
        # Errors of the declared axes name both settings.
        from longtake.errors import ConfigError
        from longtake.volumes.axes import declared

        try:
            declared(self.axes, self.model_axes)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if "vargrad" in self.asked and self.n_samples < 2:
            raise ValueError(
                f"attribution.n_samples is {self.n_samples}, but a variance (vargrad) needs 2 at least. Give more."
            )
        return self

    @property
    def asked(self) -> tuple[str, ...]:
        """The methods, in the order of tables."""
        return tuple(name for name in METHODS if name in self.methods or "all" in self.methods)

    @property
    def passes(self) -> int:
        """Gradients that a volume's maps take, at most: what its time goes with."""
        cams = len(self.layers) if set(self.asked) & set(CAMS) else 0
        noise = self.n_samples if set(self.asked) & set(NOISE) else 0
        path = self.ig_steps if "integrated_gradients" in self.asked else 0
        tests = 4 * self.steps * len(self.asked) // 3 if self.faithfulness else 0
        return len(self.targets) * (cams + noise + path + ("saliency" in self.asked) + tests)

    @property
    def layers(self) -> tuple[str, ...]:
        """The target layers; an empty name stands for the one that is found."""
        return (self.layer,) if isinstance(self.layer, str) else tuple(self.layer) or ("",)

    @property
    def targets(self) -> tuple[str | int, ...]:
        """The classes that are explained."""
        return tuple(self.target) if isinstance(self.target, list) else (self.target,)
