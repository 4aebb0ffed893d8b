"""What goes wrong on disks: nothing is lost, the failed unit alone is redone, and the bytes are the same."""

import os
import re
import shlex
import shutil
import subprocess
import time

import pytest

BEFORE, ANNOTATED = ["probe", "plan"], ["annotate", "detections"]
# What is to be done again: the last window of pond-b, and both tables of detections.
PART_OF_ALL = ("annotate/pond-b/window-0001*", "detections/*", "logs/annotate_window/*")


def said_how_to_redo(said, video, number):
    """Whether the end of what a driver said names a window, its log, and a command that asks for it alone."""
    found = re.search(rf"^Failed: annotate_window {video} {number:04d}\n  its log: (.*)\n.*alone: (.*)$", said, re.M)
    log, command = found.groups()
    assert log == f"results/logs/annotate_window/{video}.{number:04d}.log"
    words = shlex.split(command)
    assert words[0].endswith("snakemake")
    return words[-2:] == ["--", f"results/annotate/{video}/window-{number:04d}.parquet"]


def sizes(folder):
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]


def test_a_damaged_state_is_refused_by_name_and_remade(project, finished):
    state = project.out / "annotate/pond-b/window-0000.state.safetensors"
    looked_at = state.stat()
    state.write_bytes(state.read_bytes()[:-100])
    os.utime(state, ns=(looked_at.st_atime_ns, looked_at.st_mtime_ns))
    project.forget("annotate/pond-b/window-0001.parquet", "detections/pond-b.parquet")
    said = project.run("annotate", fails=True)
    assert "annotate_window pond-b 0001 failed" in said
    assert "window-0000.state.safetensors is no whole state file" in said
    assert "delete it and rerun the window that wrote it" in said
    assert said_how_to_redo(said, "pond-b", 1)

    state.unlink()
    jobs = project.jobs("annotate")
    assert (jobs["annotate_window"], jobs["merge_detections"]) == (2, 1), "pond-b alone, from the damage on"
    project.run("annotate")
    assert project.digests() == finished.digests()


def at_start(project, lines):
    """Let the driver run `lines` once it has looked at every video, before its first job; what the file was before."""
    snakefile = project.path / "Snakefile"
    text = snakefile.read_text()
    snakefile.write_text(f"{text}\n\nonstart:\n" + "".join(f"    {line}\n" for line in lines))
    return text


def set_back(path, data):
    """Write a file in place, as old as it was: what ``cp -p`` and ``rsync -t`` leave of a file of that time."""
    looked_at = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(looked_at.st_atime_ns, looked_at.st_mtime_ns))


def test_a_video_that_goes_bad_while_the_run_goes_on_fails_alone(project, finished):
    project.forget(*PART_OF_ALL)
    media = project.path / "media/pond-b.mp4"
    good = media.read_bytes()
    text = at_start(project, [f"os.truncate({str(media)!r}, {len(good) - 1000})"])
    said = project.run("annotate", fails=True)
    assert "the index of another file than media/pond-b.mp4" in said
    assert said_how_to_redo(said, "pond-b", 1)
    assert (project.out / "detections/pond-a.parquet").exists(), "the other video goes on"

    (project.path / "Snakefile").write_text(text)
    assert project.jobs("annotate")["probe_video"] == 1, "the same command would look at it again"
    media.write_bytes(good)
    assert project.jobs("annotate") == {"annotate_window": 1, "merge_detections": 1, "annotate": 1}
    project.run("annotate")
    assert project.digests() == finished.digests()


def test_other_bytes_of_the_same_size_and_time_are_redone_and_nothing_else(project, finished):
    media, other = project.path / "media/pond-b.mp4", project.path / "media/pond-a.mp4"
    data = bytearray(media.read_bytes())
    data[len(data) // 2] ^= 1
    set_back(media, data)
    other.touch()
    said = project.run("annotate")
    assert said.count("Look at ") == 1
    assert {line for line in said.splitlines() if "Annotate pond-a" in line} == set(), "that was only touched"
    assert len(re.findall(r"Annotate pond-b, window 000[01]:", said)) == 2
    before, after = finished.digests(), project.digests()
    changed = {name for name in before if before[name] != after[name]}
    assert {f"annotate/pond-b/window-{number:04d}.parquet" for number in range(2)} <= changed, "they say of which bytes"
    assert all("pond-b" in name for name in changed)
    assert not project.jobs("annotate")


def test_an_older_video_in_the_place_of_another_is_seen(project, finished):
    media = project.path / "media/pond-b.mp4"
    older = project.path / "media/pond-c.mp4"
    older.write_bytes((project.path / "media/pond-a.mp4").read_bytes())
    os.utime(older, (1e9, 1e9))
    older.replace(media)
    jobs = project.jobs("annotate")
    assert (jobs["probe_video"], jobs["windows"]) == (1, 1)
    # The plan of all videos is made although one of them is no video any more.
    set_back(media, b"no video at all")
    said = project.run("plan")
    assert said.count("Look at ") == 1
    rows = (project.out / "plan/videos.tsv").read_text()
    assert re.search(r"^pond-b\tunreadable\tmedia/pond-b.mp4: not a video file", rows, re.M)
    media.write_bytes((finished.path / "media/pond-b.mp4").read_bytes())
    project.run("plan")
    assert (project.out / "plan/windows.tsv").read_text() == (finished.out / "plan/windows.tsv").read_text()
    assert not project.jobs("annotate"), "the same bytes as before, and nothing is redone"


def test_a_video_that_vanishes_stops_the_run_by_name_until_the_sheet_is_right(project, finished):
    project.forget(*PART_OF_ALL)
    media, kept = project.path / "media/pond-b.mp4", project.digests("annotate")
    snakefile = project.path / "Snakefile"
    text = snakefile.read_text()
    # After the driver has looked for every video, and before its first job.
    snakefile.write_text(text + f"\n\nonstart:\n    Path({str(media)!r}).rename({str(media)!r} + '.gone')\n")
    said = project.run("annotate", fails=True)
    assert "media/pond-b.mp4 (missing locally" in said
    assert kept.items() <= project.digests("annotate").items()

    snakefile.write_text(text)
    said = project.run("annotate", fails=True)
    assert "the file or folder 'media/pond-b.mp4' of video 'pond-b' does not exist" in said
    assert "Correct the path, or remove the row" in said
    media.with_name("pond-b.mp4.gone").rename(media)
    assert project.jobs("annotate")["annotate_window"] == 1
    project.run("annotate")
    assert project.digests() == finished.digests()


def test_a_second_driver_is_refused(project, finished, tmp_path):
    project.forget(*PART_OF_ALL)
    said = tmp_path / "first.log"
    first = project.start("annotate", said=said)
    end = time.monotonic() + 600
    while "Execute " not in said.read_text() and time.monotonic() < end:
        time.sleep(0.05)
    refused = project.run("annotate", fails=True)
    assert "Directory cannot be locked" in refused
    assert "--unlock" in refused
    assert first.wait(timeout=900) == 0, "the first goes on"
    assert project.digests() == finished.digests()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_fails_what_does_not_fit_and_loses_nothing(project, finished):
    # A tmpfs counts whole pages: room for what comes before the windows, and for half of what they write.
    pages = {folder: sum(-(-size // 4096) for size in sizes(finished.out / folder)) for folder in BEFORE + ANNOTATED}
    room = 4 * (sum(pages[folder] for folder in BEFORE) + sum(pages[folder] for folder in ANNOTATED) // 2)
    options = ["-t", "tmpfs", "-o", f"size={room}k", "tmpfs"]
    mounted = subprocess.run(["mount", *options, project.out], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr}")
    try:
        for folder in BEFORE:
            shutil.copytree(finished.out / folder, project.out / folder)
        said = project.run("annotate", fails=True)
        assert "No space left on device" in said
        kept = project.digests()
        assert 0 < len(kept) < len(finished.digests())
        subprocess.run(["mount", "-o", "remount,size=100m", project.out], check=True)
        project.run("annotate")
        assert project.digests() == finished.digests()
        assert kept.items() <= project.digests().items()
    finally:
        subprocess.run(["umount", "--lazy", project.out], check=True)
