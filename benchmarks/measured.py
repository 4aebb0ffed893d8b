"""What the benchmarks measured, as text: nothing in a document is claimed that is not in benchmarks/results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latent_tables import latent_tables

RESULTS = Path(__file__).parent / "results"
_HEAD = """# Measured

Every table is made from what `make bench` wrote to `benchmarks/results`; peers that win are in them. Machines here are
small and often shared: compare within a table."""


def _read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def headlines() -> str:
    """Return a line of each benchmark, for README."""
    read, annotate, exact, gradients = (_read(name) for name in ("reader", "annotate", "exact", "gradients"))
    ways, split = read["ways"], gradients["rows"]["split-1"]
    longest = max(run["frames"] for run in annotate["runs"])
    peaks = {run["run"]: run["peak_mb"] for run in annotate["runs"] if run["frames"] == longest}
    differences = ", ".join(f"{run['largest_difference']:g} {run['direction']}" for run in exact["cut_against_uncut"])
    tight, forecast, streaming = _read("tight")["jobs"]["gradients"]["runs"], _read("forecast"), _read("streaming")
    same = [run["run"] for run in tight[1:] if run["finished"] and run["identical"]]
    many = [row["ratio"] for row in streaming["steps"].values() if row["unit"] == "videos"]
    scale = _read("scale")
    most = scale["projects"][-1]
    dry = next(step for step in most["steps"] if step["step"] == "dry run of annotate")
    lines = [
        f"reading every 30th frame of a minute: {ways['longtake']['cpu_s']:.1f} s of CPU; seeking to each takes "
        f"{ways['naive']['cpu_s']:.1f} s, decoding on {ways['sequential']['cpu_s']:.1f} s",
        f"annotating {longest} frames: {peaks['window job']:.0f} MB, and no more for longer videos; the stock session "
        f"takes {peaks['stock session']:.0f} MB and grows. Largest difference of a logit, cut against uncut: "
        f"{differences}",
        f"an exact gradient of 31 frames: {split['rss_of_plain']:.1%} of the memory of plain back-propagation, for "
        f"{split['cpu_of_plain']:.2f} times its CPU time",
        f"the same under a hard limit at {' and '.join(same)} of what the plain run takes "
        f"({tight[0]['peak_mb']:.0f} MB): it finishes, all bytes the same",
        f"memory forecast before a job against its peak: {forecast['within_5_percent']:.0%} of "
        f"{len(forecast['rows'])} jobs within 5 %, the lowest {forecast['worst_low']:+.1%}",
        f"statistics, figures and report over 1,000 videos: {min(many):.2f} to {max(many):.2f} times the memory of 10",
        f"{dry['step']}, {most['videos']:,} videos of {scale['windows']} windows: "
        f"{dry['cpu_s']:.0f} s of CPU and {dry['rss_mb']:.0f} MB in the driver",
    ]
    return "\n".join(f"- {line}" for line in lines) + "\n"


def measurements() -> str:
    """Return docs/measured.md: a table of each benchmark, in the order of the work."""
    reader = _read("reader")
    rows = [
        f"| {reader['labels'][way]} | {run['cpu_s']:.1f} | {run['rss_mb']:.0f} | {run['right']} of {run['frames']} |"
        for way, run in sorted(reader["ways"].items(), key=lambda item: item[1]["cpu_s"])
    ]
    parts = [
        f"**Reading** {reader['what']} ({reader['cores']} cores, {reader['date']}):",
        "\n".join(["| way | CPU s | RSS above start, MB | right frames |", "|---|---|---|---|", *rows]),
        f"For a video ten times as long, longtake's memory is {reader['rss_long_of_short']:.2f} times that.",
    ]
    annotate = _read("annotate")
    rows = [
        f"| {run['run']} | {run['frames']} | {run['peak_mb']:.0f} | {run['cpu_s']:.0f} |" for run in annotate["runs"]
    ]
    parts += [
        f"**Annotating** with {annotate['model']}, {annotate['video']['objects']} objects, every frame "
        f"({annotate['machine']['cores']} cores, {annotate['date']}). The stock session keeps all it ever computed; "
        "the bounded one gives the same logits, bit for bit:",
        "\n".join(["| run | frames | peak RSS, MB | CPU s |", "|---|---|---|---|", *rows]),
        "![Memory of a session and of its process against frames](memory.png)",
        *_exactness(),
        *_objects(),
        *_continuity(),
        *_scale(),
        *_gradients(),
        *_tight(),
        *_streaming(),
        *_forecasts(),
        *_tiers(),
        *_heap(),
        *latent_tables(),
    ]
    return "\n\n".join([_HEAD, *parts]) + "\n"


def _scale() -> list[str]:
    """What many videos cost before anything is computed."""
    found = _read("scale")
    projects = found["projects"]
    measured = [{run["step"]: run for run in project["steps"]} for project in projects]
    rows = []
    for name in dict.fromkeys(name for steps in measured for name in steps):
        runs = [steps.get(name) for steps in measured]
        cells = [f"{run['cpu_s']:.0f} | {run['rss_mb']:.0f}" if run else " | " for run in runs]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    heads = [f"{project['videos']} videos: CPU s | MB" for project in projects]
    words = (
        f"**Many videos** of {found['windows']} windows and {found['prompts']} prompts each, jobs that do nothing "
        f"({found['machine']['cores']} cores, load {found['machine']['load']:g}, {found['date']}): what it costs to "
        "plan and to begin, and [what to do with more](scale.md):"
    )
    return [words, "\n".join([f"| | {' | '.join(heads)} |", f"|---|{'---|---|' * len(projects)}", *rows])]


def _exactness() -> list[str]:
    """What cutting a video changes, and what half precision does."""
    exact = _read("exact")
    runs = "; ".join(
        f"{run['direction']} {run['largest_difference']:g}, {run['masks_that_differ']} of {run['masks']} masks"
        for run in exact["cut_against_uncut"]
    )
    words = (
        f"**Cut against uncut** (`make exact`, {exact['date']}): {exact['video']['name']} in {exact['windows']} window "
        f"jobs against one stock session, {exact['objects']} objects, {exact['prompts']} prompts, largest difference "
        f"of a logit and masks that differ: {runs}."
    )
    if half := exact.get("bfloat16_against_float32"):
        words += (
            f" The uncut session in bfloat16 against float32: {half['largest_difference']:.2g} in logits up to "
            f"{half['largest_logit']:.0f}; {half['pixels_that_differ']:.2%} of the masks' pixels differ."
        )
    return [words]


def _objects() -> list[str]:
    """Frames a second against the number of objects."""
    found = _read("objects")
    ways = list(dict.fromkeys(run["way"] for run in found["runs"]))
    rows = []
    for count in dict.fromkeys(run["objects"] for run in found["runs"]):
        runs = {run["way"]: run for run in found["runs"] if run["objects"] == count}
        cells = [f"{runs[way]['frames_per_s']:.2f} ({runs[way]['of_stock']:.2f})" for way in ways]
        rows.append(f"| {count} | {' | '.join(cells)} |")
    worst = max(run["largest_difference"] for run in found["runs"])
    return [
        f"**Objects in batches** (`annotate.object_batch`), frames a second of CPU time on one thread, and that over "
        f"the stock loop's ({found['date']}); the largest difference of a logit from the stock session is {worst:g}:",
        "\n".join([f"| objects | {' | '.join(ways)} |", f"|---|{'---|' * len(ways)}", *rows]),
    ]


def _continuity() -> Iterator[str]:
    found = _read("continuity")
    windows = f"windows of {found['window_s']} s that share {found['overlap_s']} s"
    yield (
        f"**Identities over windows** by TrackEval: {windows}, every {found['frame_interval']}th frame of held-out "
        f"scenes of {found['duration_s']:.0f} s ({found['scenes']} annotated with {found['model']}; "
        f"{found['planted']} in which the truth stands in for the tracker, to see what stitching itself loses; "
        f"{found['cores']} cores, {found['date']}):"
    )
    scores = ("HOTA", "DetA", "AssA", "IDF1", "mean_iou")
    rows = [
        f"| {mean['tracker']} | {mean['prompts']} | {mean['way']} | {mean['against']} | "
        + " | ".join(f"{mean[name]:.3f}" for name in scores)
        + " |"
        for mean in found["means"]
    ]
    head = "| tracker | prompts | windows | against | HOTA | DetA | AssA | IDF1 | mean IoU |"
    yield "\n".join([head, "|" + "---|" * 9, *rows])


def _gradients() -> list[str]:
    """Ways to the same gradient in the order of their memory; what was not run says why."""
    found = _read("gradients")
    rows, skipped = [], []
    for name, run in sorted(found["rows"].items(), key=lambda item: item[1].get("rss_mb", 0)):
        label = found["labels"][name] + (f" ({run['way']})" if "predicted_mb" in run else "")
        if "skipped" in run:
            skipped.append(f"{label}: {run['skipped']}.")
            continue
        share = f"{100 * run['rss_of_plain']:.1f} % | {run['cpu_of_plain']:.2f}" if "rss_of_plain" in run else " | "
        rows.append(f"| {label} | {run['rss_mb']:.0f} | {share} | {run['max_error']:.0e} | {run['cosine']:.4f} |")
    words = (
        f"**Gradients**: {found['what']} ({found['machine']['cores']} cores, one thread, {found['date']}). Memory and "
        "CPU time of plain back-propagation with frozen parameters are 100 % and 1; error and cosine are against the "
        "same in float64, the error relative to the largest value. Planning, once for a model and shape, is counted in "
        "the memory and not in the time:"
    )
    header = ["| way | RSS above start, MB | of plain | CPU, of plain | error | cosine |", "|---|---|---|---|---|---|"]
    return [words, "\n".join(header + rows), *skipped]


def _forecasts() -> list[str]:
    """How far forecasts of memory were off, by model."""
    found = _read("forecast")
    rows = []
    for model in dict.fromkeys(row["model"] for row in found["rows"]):
        runs = [row for row in found["rows"] if row["model"] == model]
        errors, peaks = [row["error"] for row in runs], [row["measured_mb"] for row in runs]
        close = sum(abs(error) <= 0.05 for error in errors)
        spans = f"{min(peaks):.0f} to {max(peaks):.0f} | {min(errors):+.1%} to {max(errors):+.1%}"
        rows.append(f"| {runs[0]['step']} | {model} | {spans} | {close} of {len(runs)} |")
    head = "| step | model | peak RSS, MB | forecast against it | within 5 % |"
    words = (
        "**Forecast of memory**, made before a job, against its peak; each model in several ways, each job in "
        "a process of its own "
        f"({found['machine']['cores']} cores, {found['date']}). Of {len(found['rows'])} jobs "
        f"{found['within_5_percent']:.0%} are within 5 %; the lowest forecast is {found['worst_low']:+.1%} off, the "
        f"highest {found['worst_high']:+.1%}. Some were at hand when the forecast's few constants were set:"
    )
    return [words, "\n".join([head, "|---|---|---|---|---|", *rows])]


def _streaming() -> list[str]:
    """Memory of the steps that read many files, with few and with many of them."""
    found = _read("streaming")
    rows = []
    for name, row in found["steps"].items():
        few, many = row["units"]
        peaks, above = ("{:.0f}, {:.0f}".format(*row[key]) for key in ("peak_mb", "above_floor_mb"))
        units = f"{few:,} and {many:,} {row['unit']}"
        rows.append(f"| {name} | {units} | {peaks} | {row['ratio']:.2f} | {above} | {row['seconds'][1]:.0f} |")
    words = (
        f"**Many videos, many windows**: {found['what']} ({found['cores']} cores, shared with other work, "
        f"{found['date']}). Above the floor is what a step holds beyond the libraries and one unit:"
    )
    head = "| step | units | peak RSS, MB | ratio | above the floor, MB | seconds for the larger |"
    return [words, "\n".join([head, "|---|---|---|---|---|---|", *rows])]


def _tight() -> Iterator[str]:
    """Jobs under limits that kill, at parts of what they take without."""
    found = _read("tight")
    for job in found["jobs"].values():
        rows = []
        for run in job["runs"]:
            free = run["run"] == "plain, no limit"
            tried = ", ".join(each["rung"] for each in run["attempts"] if each["status"] == "out of memory")
            end = f"{run['rung']} {run['way']}".strip() if run["finished"] else "out of memory"
            same = "" if free or not run["finished"] else ("all bytes the same" if run["identical"] else "not the same")
            limit = "" if free else f"{run['limit']['limit_mb']}"
            peak = run["limit"].get("peak_with_files_mb", round(run["peak_mb"]))
            rows.append(f"| {run['run']} | {limit} | {peak} | {tried} | {end} | {same} |")
        by = job["runs"][-1]["limit"]["by"]
        yield (
            f"**Under a hard limit** ({by}, {found['machine']['cores']} cores, {job['date']}): {job['what']}. The "
            "limits are parts of the plain run's peak, Python and all libraries included; the job finds them by itself:"
        )
        head = "| run | limit, MB | peak as the kernel counts, MB | out of memory | ended | outputs |"
        yield "\n".join([head, "|---|---|---|---|---|---|", *rows])


def _tiers() -> list[str]:
    """What is chosen for GPUs of each size; simulated."""
    found = _read("tiers")
    sizes = list(dict.fromkeys(row["gpu_gb"] for row in found["rows"]))
    rows = []
    for model in dict.fromkeys(row["model"] for row in found["rows"]):
        by_size = {row["gpu_gb"]: row for row in found["rows"] if row["model"] == model}
        cells = [_choice(by_size[size]) for size in sizes]
        rows.append(f"| {model}, {by_size[sizes[0]]['frames']} frames | {' | '.join(cells)} |")
    words = (
        f"**Which way for which GPU**: {found['what']} ({found['date']}; a job is asked for {found['margin']:g} times "
        "its forecast):"
    )
    head = "| | " + " | ".join(f"{size} GB" for size in sizes) + " |"
    return [words, "\n".join([head, f"|---|{'---|' * len(sizes)}", *rows])]


def _choice(row: dict[str, Any]) -> str:
    way = row["way"] + (f", {row['chunk']} at a time" if row["way"] == "split" else "")
    return f"{way}: {row['forecast_gb']:.2f} GB" if row["fits"] else "does not fit"


def _heap() -> list[str]:
    """What giving freed memory back to the system saves."""
    found = _read("heap")
    rows = [
        f"| {way} | {frames[-1]['peak_mb']:.0f} | {frames[-1]['after_mb']:.0f} | {frames[-1]['cpu_s']:.1f} |"
        for way, frames in found["frames"].items()
    ]
    words = (
        f"**Freed memory given back** by a tracker at 1024 px on a CPU ({found['machine']}, {found['date']}); "
        "what a job does when it comes near its limit, and each attempt after one that was too large:"
    )
    return [words, "\n".join(["| when | peak RSS, MB | between frames, MB | CPU s |", "|---|---|---|---|", *rows])]
