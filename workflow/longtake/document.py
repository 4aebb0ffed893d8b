"""Documents that are made from their sources, so that they cannot disagree.

config/config.yaml and config/README.md come from the schemas, the measurements in README.md from what the
benchmarks wrote. ``python -m longtake.document`` writes them; tests hold the files equal to `documents`.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from longtake.config import SCHEMA, load_schema

ROOT = SCHEMA.parents[1]


def documents() -> dict[Path, str]:
    """Return every generated document: its path and its whole text."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    measured = f"<!-- measured: make readme -->\n\n{measurements()}\n<!-- end -->"
    return {
        ROOT / "config/config.yaml": config_yaml(),
        ROOT / "config/README.md": config_readme(),
        ROOT / "README.md": re.sub(r"<!-- measured.*?<!-- end -->", lambda _: measured, readme, flags=re.DOTALL),
    }


def measurements() -> str:
    """Return README's tables of measurements, from benchmarks/results."""
    reader = json.loads((ROOT / "benchmarks/results/reader.json").read_text(encoding="utf-8"))
    rows = [
        f"| {reader['labels'][way]} | {run['cpu_s']:.1f} | {run['rss_mb']:.0f} | {run['right']} of {run['frames']} |"
        for way, run in sorted(reader["ways"].items(), key=lambda item: item[1]["cpu_s"])
    ]
    parts = [
        f"**Reading** {reader['what']} ({reader['cores']} cores, {reader['date']}):",
        "\n".join(["| way | CPU s | RSS above start, MB | right frames |", "|---|---|---|---|", *rows]),
        f"For a video ten times as long, longtake's memory is {reader['rss_long_of_short']:.2f} times that.",
    ]
    annotate = json.loads((ROOT / "benchmarks/results/annotate.json").read_text(encoding="utf-8"))
    rows = [
        f"| {run['run']} | {run['frames']} | {run['peak_mb']:.0f} | {run['cpu_s']:.0f} |" for run in annotate["runs"]
    ]
    parts += [
        f"**Annotating** with {annotate['model']}, {annotate['video']['objects']} objects, every frame "
        f"({annotate['machine']['cores']} cores, {annotate['date']}). The stock session keeps all it ever computed; "
        "the bounded one gives the same logits, bit for bit:",
        "\n".join(["| run | frames | peak RSS, MB | CPU s |", "|---|---|---|---|", *rows]),
        "![Memory of a session and of its process against frames](docs/memory.png)",
        *_exactness(),
        *_objects(),
        *_continuity(),
        *_scale(),
        *_gradients(),
        *_tight(),
        *_streaming(),
        *_forecasts(),
    ]
    return "\n\n".join(parts) + "\n"


def _scale() -> list[str]:
    """What many videos cost before anything is computed."""
    found = json.loads((ROOT / "benchmarks/results/scale.json").read_text(encoding="utf-8"))
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
        "plan and to begin, and [what to do with more](docs/scale.md):"
    )
    return [words, "\n".join([f"| | {' | '.join(heads)} |", f"|---|{'---|---|' * len(projects)}", *rows])]


def _exactness() -> list[str]:
    """What cutting a video changes, and what half precision does."""
    exact = json.loads((ROOT / "benchmarks/results/exact.json").read_text(encoding="utf-8"))
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
    found = json.loads((ROOT / "benchmarks/results/objects.json").read_text(encoding="utf-8"))
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
    found = json.loads((ROOT / "benchmarks/results/continuity.json").read_text(encoding="utf-8"))
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
    found = json.loads((ROOT / "benchmarks/results/gradients.json").read_text(encoding="utf-8"))
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
    found = json.loads((ROOT / "benchmarks/results/forecast.json").read_text(encoding="utf-8"))
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
        f"highest {found['worst_high']:+.1%}:"
    )
    return [words, "\n".join([head, "|---|---|---|---|---|", *rows])]


def _streaming() -> list[str]:
    """Memory of the steps that read many files, with few and with many of them."""
    found = json.loads((ROOT / "benchmarks/results/streaming.json").read_text(encoding="utf-8"))
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
    found = json.loads((ROOT / "benchmarks/results/tight.json").read_text(encoding="utf-8"))
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


def config_yaml() -> str:
    """Return config.yaml: every setting with its default, its description as a comment above."""
    head = "Every setting, with its default. config/README.md shows them as a table; unknown keys are errors."
    return "\n".join([f"# {head}", *_yaml(load_schema()["properties"], "")]) + "\n"


def config_readme() -> str:
    """Return config/README.md: tables of all settings and of the sheets' columns."""
    parts = [
        "# Configuration",
        "Made by `make readme` from [config.schema.yaml](config.schema.yaml), [videos.schema.yaml]"
        "(videos.schema.yaml) and [prompts.schema.yaml](prompts.schema.yaml). Set values in "
        "[config.yaml](config.yaml), in a file of your own given with `--configfile`, or on the command line: "
        "`--config window_duration=60`. "
        "An unknown key, a wrong type or a contradiction stops the run before any job, and the message names the "
        "value, the file and what to do.",
        "## Settings",
        "\n".join(["| setting | default | allowed | meaning |", "|---|---|---|---|", *_settings(load_schema(), "")]),
    ]
    for name in ("videos", "prompts"):
        schema = load_schema(SCHEMA.parent / f"{name}.schema.yaml")
        rows = [
            f"| `{column}` | {_allowed(part)} | {needed} | {part['description']} |"
            for column, part in schema["properties"].items()
            for needed in ["yes" if column in schema["required"] else ""]
        ]
        header = ["| column | type | needed | meaning |", "|---|---|---|---|"]
        parts += [f"## {schema['title']}", "Tab separated, one header line.", "\n".join(header + rows)]
    return "\n\n".join(parts) + "\n"


def _yaml(properties: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, part in properties.items():
        yield ""
        for line in textwrap.wrap(part["description"], 116 - len(indent)):
            yield f"{indent}# {line}"
        if "properties" in part:
            yield f"{indent}{name}:"
            yield from _yaml(part["properties"], indent + "  ")
        else:
            yield f"{indent}{name}: {_plain(part['default'])}"


def _settings(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, part in schema["properties"].items():
        if "properties" in part:
            yield from _settings(part, f"{prefix}{name}.")
        else:
            default = _plain(part["default"])
            yield f"| `{prefix}{name}` | `{default}` | {_allowed(part)} | {part['description']} |"


def _allowed(part: Mapping[str, Any]) -> str:
    if "anyOf" in part:
        return " or ".join(_allowed(option) for option in part["anyOf"])
    if part.get("type") == "object":
        return f"a mapping to {_allowed(part['additionalProperties'])}"
    if "items" in part:
        return f"a list of {_allowed(part['items'])}"
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    words = {"minimum": "at least", "exclusiveMinimum": "over", "maximum": "at most", "exclusiveMaximum": "under"}
    bounds = [f"{word} {part[key]}" for key, word in words.items() if key in part]
    return ", ".join([part["type"], *bounds])


def _plain(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
