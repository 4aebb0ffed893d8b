"""The whole run on one page, and what every job used."""


rule report:
    input:
        rules.species.input,
        rules.figures.input,
        rules.export.input,
    output:
        page=f"{OUT}/report.html",
        memory=f"{OUT}/reports/memory.tsv",
    log:
        f"{OUT}/logs/report/report.log",
    benchmark:
        f"{OUT}/benchmarks/report/report.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
    params:
        results=OUT,
        species=SPECIES,
        pages=PAGES,
        settings=asdict(settings),
        command=COMMAND,
        code=digest("longtake.report.page", "longtake.report.memory"),
    message:
        "Write the report"
    script:
        "../workflow/scripts/report.py"
