"""What became of every unit of every analysis, as it stands: nothing is run for it."""

from longtake.unit import seen


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
        studies=studies,
        command=COMMAND,
        # As one number: the table is made anew as the units' files and records change.
        seen=lambda wildcards: seen(Path(OUT), studies(wildcards)),
        code=digest("longtake.report.status", *MODULES),
    message:
        "Tell what became of every unit"
    script:
        "../workflow/scripts/status.py"
