"""What became of every window, as it stands: nothing is run for it."""

import hashlib
from itertools import product


def what_exists(wildcards):
    """When the files and records of all windows were written, as one number: the table is made anew as they change."""
    patterns = ["annotate/{}/window-{:04d}.parquet", "annotate/{}/window-{:04d}.backward.parquet"]
    patterns += ["gradients/{}/window-{:04d}.clips.parquet"]
    patterns += [f"logs/{rule}/{{}}.{{:04d}}.json" for rule in ("annotate_window", "gradients_window")]
    found = hashlib.sha256()
    for video, windows in planned().items():
        for pattern, window in product(patterns, windows):
            path = Path(OUT, pattern.format(video, window.window))
            found.update(f"{path} {path.stat().st_mtime_ns if path.exists() else None}\n".encode())
    return found.hexdigest()


def steps_of_windows(wildcards):
    """The steps of a window, and the videos that take them."""
    both = settings.annotate.direction == "both"
    return {
        "annotate": list(planned()),
        **({"backward": list(planned())} if both else {}),
        "gradients": list(analysed()),
    }


rule status:
    input:
        plan=wait_for_plan,
    output:
        table=f"{OUT}/reports/status.tsv",
        text=f"{OUT}/reports/status.txt",
        figure=f"{OUT}/figures/status.png",
    log:
        f"{OUT}/logs/status/status.log",
    benchmark:
        f"{OUT}/benchmarks/status/status.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
    params:
        results=OUT,
        steps=steps_of_windows,
        command=COMMAND,
        seen=what_exists,
        code=digest("longtake.report.status"),
    message:
        "Tell what became of every window"
    script:
        "../workflow/scripts/status.py"
