"""What the rules of attribution ask of the sheet and the settings."""

from longtake.attribution.analysis import VOLUME
from longtake.attribution.sheet import leaks, read_volumes, selected
from longtake.streams import pick

try:
    VOLUMES, ATTRIBUTED, EXPLAINED = {}, {}, []
    if settings.attribution.volumes:
        sheet = read_volumes(locate(settings.attribution.volumes, BASE), rendered=anywhere)
        VOLUMES = {each.volume: each for each in sheet}
        drawn_volumes = selected(sheet, settings.attribution.split, settings.attribution.max_samples, settings.seed)
        ATTRIBUTED = {each.volume: each for each in drawn_volumes}
        EXPLAINED = model_files(settings.attribution.model, BASE, "attribution.model")
        EXPLAINED += [settings.attribution.checkpoint] if settings.attribution.checkpoint else []
        for subject in leaks(sheet) if workflow.is_main_process else []:
            print(f"Warning: subject {subject!r} is in train and in another split: accuracy will look too good.")
except LongtakeError as error:
    raise WorkflowError(f"{type(error).__name__}: {error}") from None


wildcard_constraints:
    volume=r"[A-Za-z0-9][A-Za-z0-9._-]*",


# Who is tested with drawn weights and repeats; one more volume changes one at most.
CHECKED = set(pick(settings.seed, "volumes", "checked", ATTRIBUTED, settings.attribution.max_checked or -1))
CHECKED = CHECKED if settings.attribution.max_checked else set()
# What says which volumes, how they are shown, or how much memory a job takes: none of it changes a map.
NOT_A_MAPS = (
    "volumes split max_samples max_checked tile memory_gb overlay_slices overlay_alpha colour_percentile formats"
)
EXPLAINING = {
    name: value for name, value in settings.attribution.model_dump().items() if name not in NOT_A_MAPS.split()
}
EXPLAINING["model"] = model_spec(settings.attribution.model, BASE) if settings.attribution.model else ""
PROBES = [f"{OUT}/probe/volumes/{volume}.json" for volume in ATTRIBUTED]


def volume_row(wildcards):
    """The volume's row, but for where in the sheet it stands."""
    return {**asdict(VOLUMES[wildcards.volume]), "row": 0}


def volume_files(*names):
    """An input function: the files that the volume's row names."""
    return lambda wildcards: [path for name in names if (path := getattr(VOLUMES[wildcards.volume], name))]
