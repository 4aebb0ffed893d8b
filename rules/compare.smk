"""Two models on the same clips: this run, and another over the same videos."""

OTHER = settings.statistics.compare_with

if OTHER and not (Path(OTHER) / "gradients").is_dir():
    raise WorkflowError(
        f"statistics.compare_with is {OTHER!r}, which is no folder with gradients. Name the output_dir of a finished run "
        "over the same videos with another gradients.model."
    )
if OTHER and os.path.realpath(OTHER) == os.path.realpath(OUT):
    raise WorkflowError(
        f"statistics.compare_with is {OTHER!r}, which is this run's own output_dir. Name the other run's."
    )


rule model_comparison:
    input:
        ours=per_analysed("gradients/{video}.perturbations.parquet"),
        theirs=lambda wildcards: [f"{OTHER}/gradients/{video}.perturbations.parquet" for video in analysed() if OTHER],
    output:
        table=f"{OUT}/statistics/models.parquet",
        csv=f"{OUT}/statistics/models.csv",
        figure=f"{OUT}/figures/models.png",
    log:
        f"{OUT}/logs/model_comparison/model_comparison.log",
    benchmark:
        f"{OUT}/benchmarks/model_comparison/model_comparison.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1500),
    params:
        ours=lambda wildcards, output: str(Path(output.table).parents[1]),
        theirs=OTHER,
        videos=lambda wildcards: sorted(analysed()),
        species=species_names(),
        seed=settings.seed,
        level=settings.statistics.confidence,
        draws=settings.statistics.permutations,
        code=digest("longtake.species.model_comparison"),
    message:
        "Compare two models"
    script:
        "../workflow/scripts/model_comparison.py"
