"""The settings of section `annotate`."""

from __future__ import annotations

from typing import Any, Literal

from longtake.settings.section import Section, setting


class Options(Section):
    """Following objects through a video with SAM 2."""

    model: str = setting(
        "workflow/models/sam2-pond",
        "Folder of a transformers video model of type sam2_video, edgetam_video or sam3_tracker_video "
        "(config.json, model.safetensors, preprocessor or processor config), for example sam2.1-hiera-large. "
        "The default is a tiny one for the demo's scenes only.",
        min_length=1,
    )
    precision: Literal["float32", "bfloat16"] = setting(
        "float32",
        "Arithmetic of the tracker. bfloat16 means autocast with float32 weights, as SAM 2 was published; it "
        "is meant for GPUs.",
    )
    continuity: Literal["chain", "overlap"] = setting(
        "chain",
        "How windows hold together. chain hands the tracker's state from window to window through a file, so "
        "masks equal those of one uncut run, and windows of a video run one after the other. overlap makes "
        "windows independent jobs that may all run at once, and joins their objects by the frames that "
        "neighbours share.",
    )
    direction: Literal["forward", "both"] = setting(
        "forward",
        "Where objects are tracked. forward is from an object's first prompt on; both adds a pass back in "
        "time, so that what is before the first prompt is tracked too, and between two prompts the nearer one "
        "decides. Costs twice the compute.",
    )
    dense_seeding: Literal["auto", "never", "always"] = setting(
        "auto",
        "Whether the first frame of each window is searched for objects that nobody prompted. auto does so for "
        "videos without a prompt; with continuity overlap for all, where it carries prompted objects on into "
        "the next window and what no prompt names is dropped. always keeps those too.",
    )
    seed_predicted_iou: float = setting(
        0.8,
        "The least IoU that the model predicts for a mask by which it finds an object that nobody prompted. "
        "Small models are less sure of themselves and need less.",
        ge=0,
        le=1,
    )
    seed_stability: float = setting(
        0.95,
        "How stable such a mask must be, as the IoU of it cut at logits of 1 and of -1. Masks of few pixels need less.",
        ge=0,
        le=1,
    )
    overlap_iou: float = setting(
        0.5,
        "With continuity overlap, the least mean IoU of two masks over the shared frames by which two windows' "
        "objects are one.",
        gt=0,
        le=1,
    )
    lost_below: float = setting(
        0.5,
        "A prompt counts as lost where the mask drawn on its frame has a smaller IoU with the prompt's box or mask.",
        ge=0,
        le=1,
    )
    max_conditioning_frames: int = setting(
        32,
        "How many of its prompted frames an object is tracked with at most, the nearest in time. The model's "
        "own number counts where it is smaller; where it is larger or absent and an object has more, the "
        "window has the status approximate and names the object.",
        ge=1,
    )
    object_batch: int = setting(
        1,
        "How many objects the model takes at a time. 1 is the library's own loop; more give the same numbers "
        "on a CPU, where eight are about 1.3 times as fast, and differ by rounding on a GPU. Where memory is "
        "short the plan gives a job fewer, which on a GPU rounds differently, too, and reruns nothing.",
        ge=1,
    )

    def contradiction(self, settings: Any) -> str:
        """Say that independent windows which share no frame cannot be joined."""
        if self.continuity == "overlap" and settings.window_overlap == 0:
            return (
                "annotate.continuity is 'overlap', but window_overlap is 0 s: windows that share no frame cannot be "
                "joined. Give an overlap, for example a tenth of window_duration, or set annotate.continuity to "
                "'chain'."
            )
        return ""
