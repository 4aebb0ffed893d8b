"""The study of volumes: tables and findings over all volumes."""


rule attribution_summary:
    input:
        expand(f"{OUT}/attribution/{{volume}}/results.parquet", volume=ATTRIBUTED),
    output:
        results=f"{OUT}/attribution/results.csv",
        regions=f"{OUT}/attribution/regions.csv",
        findings=f"{OUT}/reports/attribution_results.json",
    log:
        f"{OUT}/logs/attribution_summary/attribution_summary.log",
    benchmark:
        f"{OUT}/benchmarks/attribution_summary/attribution_summary.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(2000),
    params:
        percentile=settings.attribution.colour_percentile,
        seed=settings.seed,
        level=settings.statistics.confidence,
        code=digest("longtake.attribution.summary"),
    message:
        "Tables and findings over all volumes"
    script:
        "../workflow/scripts/attribution_summary.py"
