"""What became of every window, as it stands: nothing is run for it."""


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
        mem_mb=per_try(1000),
    params:
        results=lambda wildcards, output: str(Path(output.table).parents[1]),
        steps=steps_of_windows,
        command=COMMAND,
        settings={"frame_interval": settings.frame_interval, "continuity": settings.annotate.continuity},
        seen=what_exists,
        code=digest("longtake.report.status"),
    message:
        "Tell what became of every window"
    script:
        "../workflow/scripts/status.py"
