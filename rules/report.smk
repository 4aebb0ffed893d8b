"""The whole run on one page, and what every job used."""

from contextlib import suppress

from snakemake.exceptions import IncompleteCheckpointException


rule report:
    input:
        of_all("targets"),
    output:
        page=f"{OUT}/report.html",
        jobs=f"{OUT}/reports/memory.tsv",
        stages=f"{OUT}/reports/memory_stages.tsv",
        figure=f"{OUT}/figures/memory.png",
    log:
        f"{OUT}/logs/report/report.log",
    benchmark:
        f"{OUT}/benchmarks/report/report.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1500),
    params:
        results=lambda wildcards, output: str(Path(output.page).parent),
        studies=studies,
        settings=settings.model_dump(),
        command=COMMAND,
        code=digest("longtake.report.page", "longtake.report.memory", *MODULES),
    message:
        "Write the report"
    script:
        "../workflow/scripts/report.py"


INCOMPLETE = Path(f"{OUT}/report-incomplete.html")


# A run that fails never reaches the report, and is the one that needs it: what failed, why, and how to redo just that.
onerror:
    from longtake.report.failures import failures, started
    from longtake.report.page import write_report

    command = started(sys.argv, COMMAND)
    print(failures(workflow.scheduler.failed, command), file=sys.stderr)
    # What the rules say of each analysis, as far as it is known: what waits for a plan that failed is left out.
    known = {}
    for name, part in taking_part().items():
        with suppress(IncompleteCheckpointException):
            known[name] = part.facts()
    if Path(OUT).is_dir():
        write_report(
            results=Path(OUT),
            out=INCOMPLETE,
            studies=known,
            settings=settings.model_dump(),
            command=command,
            title="longtake report of an incomplete run",
        )
        print(f"What failed and why: {INCOMPLETE}. To go on with all that is left: {command}", file=sys.stderr)


onsuccess:
    INCOMPLETE.unlink(missing_ok=True)
