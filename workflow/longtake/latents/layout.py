"""Which videos a study has, and which files each: a walk over ``<folder>/<group>/<video>/step_NNN.*``, or a sheet.

Read by the Snakefile in every job, so with the standard library alone. No file is opened here. What is wrong with one
video is kept as its `trouble`, so that it takes no other with it; what is wrong with the study is raised.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from longtake.errors import ConfigError, nearest
from longtake.settings.sheet import column, id_column, path_column, read_sheet, refuse_twice

KINDS = ("npy", "npy.gz", "pt", "pt.gz", "safetensors", "latent", "zarr")
LAYOUT = """\
    <folder>/<group>/<video>/step_000.npy             one latent of each denoising step, [1, C, F, H, W]
    <folder>/<group>/<video>/step_000_metadata.json   {"prompt", "seed", "step", "timestep", "sigma"}
as .npy, .npy.gz, .pt, .pt.gz, .safetensors, .latent or .zarr. The same seed in two groups is a matched pair."""
_STEP = re.compile(r"step_(\d+)\.(npy|npy\.gz|pt|pt\.gz|safetensors|latent|zarr)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class VideoRow:
    """A row of the sheet of latents."""

    row: int
    video: str = id_column("Name of the video, unique in its group: letters, digits, dot, dash and underscore.")
    group: str = id_column("Group of prompts, named as a video is.")
    path: str = path_column("Folder that holds step_000.npy and so on.")
    seed: int | None = column("Seed of the video, a whole number; empty where it is not known.", minimum=-(2**63))


@dataclass(frozen=True)
class StepFile:
    """One latent's file: the number of its step, its name within the video's folder, and the kind of file."""

    step: int
    name: str
    kind: str


@dataclass(frozen=True)
class VideoFiles:
    """A video of the study with its files in order of step, and why it cannot be measured, or an empty `trouble`.

    `metadata` says how many files of metadata it has, and when the last of them was written.
    """

    group: str
    name: str
    folder: str
    files: tuple[StepFile, ...] = ()
    seed: int | None = None
    trouble: str = ""
    metadata: str = ""
    notices: tuple[str, ...] = field(default=())

    @property
    def video(self) -> str:
        """``<group>/<video>``, as tables have it."""
        return f"{self.group}/{self.name}"

    @property
    def paths(self) -> list[str]:
        """The files that exist, as a rule names them as its input."""
        return [f"{self.folder}/{file.name}" for file in self.files]


def find_videos(
    folder: str,
    sheet: str = "",
    *,
    base: str | os.PathLike[str] = ".",
    steps: str | Collection[int] = "all",
    keep_missing: bool = False,
) -> list[VideoFiles]:
    """The videos of a study, sorted by group and name.

    Parameters
    ----------
    folder, sheet
        One of both: the study's folder, or a TSV of video, group, path and seed.
    base
        What relative paths start from.
    steps
        ``all``, or the numbers of the steps that are looked at.
    keep_missing
        Whether a video whose steps have a gap is measured all the same.

    Raises
    ------
    ConfigError
        The folder does not exist, is a file, or holds no latent; the layout is shown.
    SheetError
        The sheet cannot be used.
    """
    if sheet:
        found = list(_of_sheet(Path(base) / sheet, Path(base)))
    elif folder:
        found = list(_of_folder(os.path.join(base, folder)))  # noqa: PTH118
    else:
        raise ConfigError(f"Neither latents.folder nor latents.sheet is set. Latents are expected as\n{LAYOUT}")
    wanted = None if isinstance(steps, str) else frozenset(steps)
    if wanted is not None:
        found = [replace(video, files=tuple(file for file in video.files if file.step in wanted)) for video in found]
    common = _common_steps(found)
    videos = [_checked(video, common, keep_missing) for video in sorted(found, key=lambda v: (v.group, v.name))]
    if not any(video.files for video in videos):
        raise ConfigError(f"No latent was found in {sheet or folder}. Latents are expected as\n{LAYOUT}")
    return _told_apart(videos)


def shards(videos: Sequence[VideoFiles], latents_per_job: int) -> list[list[VideoFiles]]:
    """Cut a study into jobs of whole videos, each of at most `latents_per_job` latents, or one video."""
    parts: list[list[VideoFiles]] = []
    held = latents_per_job + 1
    for video in videos:
        cost = max(1, len(video.files))
        if held + cost > latents_per_job:
            parts.append([])
            held = 0
        parts[-1].append(video)
        held += cost
    return parts


def check_groups(groups: Collection[str], baseline: str, order: Sequence[str]) -> None:
    """Refuse a baseline or an order that names no group of the study: `ConfigError` with the nearest."""
    named = [("baseline", baseline)] if baseline else []
    for setting, name in [*named, *(("order", each) for each in order)]:
        if name not in groups:
            raise ConfigError(
                f"latents.{setting} names {name!r}, which is no group of the study.{nearest(name, groups)} "
                f"There are: {', '.join(sorted(groups)[:20])}."
            )


def too_many(videos: int, most: int) -> str:
    """What is said of a study with more videos than are compared with each other."""
    return (
        f"{videos} videos are more than latents.most_compared ({most}): corridors, distances between videos and maps "
        "are left out, and all else is measured. Raise it if you can wait: a step takes 6 min for 3,000 videos, and "
        "the time goes with the square."
    )


def step_numbers(videos: Sequence[VideoFiles]) -> list[int]:
    """Every step that a video without trouble has."""
    return sorted({file.step for video in videos if not video.trouble for file in video.files})


def _of_folder(folder: str) -> Iterator[VideoFiles]:
    try:
        groups = sorted((entry for entry in os.scandir(folder) if _is_folder(entry)), key=lambda entry: entry.name)
    except FileNotFoundError:
        raise ConfigError(f"latents.folder {folder} does not exist. Latents are expected as\n{LAYOUT}") from None
    except NotADirectoryError:
        raise ConfigError(f"latents.folder {folder} is a file. Latents are expected as\n{LAYOUT}") from None
    for group in groups:
        try:
            with os.scandir(group.path) as entries:
                names = [entry.name for entry in entries if _is_folder(entry)]
        except OSError as error:
            yield VideoFiles(group.name, "", group.path, trouble=f"{group.path} cannot be read: {error.strerror}.")
            continue
        for name in names:
            yield _files_of(VideoFiles(group.name, name, f"{group.path}/{name}"))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    # A link into a loop is no folder to the system, but it is a video that someone expects to find.
    try:
        return not entry.name.startswith(".") and (entry.is_dir() or (entry.is_symlink() and not os.path.exists(entry)))  # noqa: PTH110
    except OSError:
        return True


def _files_of(video: VideoFiles) -> VideoFiles:
    """Add the files of the video's folder, by step."""
    try:
        with os.scandir(video.folder) as entries:
            held = list(entries)
        told = [entry.stat().st_mtime_ns for entry in held if entry.name.endswith("_metadata.json")]
        lost = [entry.name for entry in held if _STEP.fullmatch(entry.name) and not _holds_a_latent(entry)]
    except OSError as error:
        why = f"{video.folder} cannot be read: {error.strerror}. Make it a folder that holds step_000.npy and so on."
        return replace(video, trouble=why)
    matches = ((entry.name, _STEP.fullmatch(entry.name)) for entry in held)
    files = [StepFile(int(match[1]), name, match[2]) for name, match in matches if match and name not in lost]
    if lost:
        video = replace(video, trouble=f"{video.folder}/{lost[0]} is no file that can be read. Copy it there again.")
    video = replace(video, metadata=f"{len(told)} {max(told, default=0)}")
    return replace(video, files=tuple(sorted(files, key=lambda file: (file.step, file.name))))


def _holds_a_latent(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a folder where the kind is one of folders; a loop of links is neither."""
    try:
        return entry.is_dir() if entry.name.endswith(".zarr") else entry.is_file()
    except OSError:
        return False


def _of_sheet(sheet: Path, base: Path) -> Iterator[VideoFiles]:
    rows = list(read_sheet(sheet, VideoRow))
    refuse_twice(sheet, "video", ((row.row, f"{row.group}/{row.video}") for row in rows))
    for row in rows:
        yield _files_of(VideoFiles(row.group, row.video, str(base / row.path), seed=row.seed))


def _common_steps(videos: Sequence[VideoFiles]) -> list[int]:
    """The steps that more than half of the videos have."""
    counts = Counter(step for video in videos for step in {file.step for file in video.files})
    return sorted(step for step, count in counts.items() if 2 * count > len(videos))


def _checked(video: VideoFiles, common: Sequence[int], keep_missing: bool) -> VideoFiles:
    """Say what is wrong with the names and the steps of a video."""
    gap, late = _missing([file.step for file in video.files], common), ""
    if gap and keep_missing:
        video = replace(video, notices=(f"{_some(gap)} missing between others",))
    elif gap:
        remedy = "Save what is missing, or set latents.missing_steps to keep."
        late = f"{video.folder}: {_some(gap)} missing between others. {remedy}"
    trouble = video.trouble or _bad_name(video) or _twice(video)
    if not trouble and not video.files:
        trouble = f"{video.folder} holds no step that is asked for. Latents are expected as\n{LAYOUT}"
    return replace(video, trouble=trouble or late)


def _bad_name(video: VideoFiles) -> str:
    for part in (video.group, video.name):
        if not _NAME.fullmatch(part):
            return f"{part!r} is no name for a group or a video: use letters, digits, dot, dash and underscore."
    return ""


def _twice(video: VideoFiles) -> str:
    for step, count in Counter(file.step for file in video.files).items():
        if count > 1:
            names = ", ".join(file.name for file in video.files if file.step == step)
            return f"{video.folder} holds step {step} {count} times ({names}). Remove all but one."
    return ""


def _missing(numbers: Sequence[int], common: Sequence[int]) -> list[int]:
    """Steps that are left out between others: most videos have them, or the rest lies on a grid, as 0, 5, 15 do."""
    grid = min((b - a for a, b in pairwise(numbers) if b > a), default=1)
    missing = {step for a, b in pairwise(numbers) for step in range(a + grid, b, grid)}
    missing.update(step for step in common if numbers and numbers[0] < step < numbers[-1])
    return sorted(missing - set(numbers))


def _some(missing: Sequence[int]) -> str:
    shown = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
    return f"step{'s' if len(missing) > 1 else ''} {shown} {'are' if len(missing) > 1 else 'is'}"


def _told_apart(videos: list[VideoFiles]) -> list[VideoFiles]:
    """Refuse videos whose names differ in case only: one would overwrite the other on some file systems."""
    folded = Counter(video.video.casefold() for video in videos)
    why = "another video has the same name but for capital letters. Rename one of them."
    return [
        replace(video, trouble=f"{video.video}: {why}") if folded[video.video.casefold()] > 1 else video
        for video in videos
    ]
