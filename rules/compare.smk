"""Two models on the same clips: this run, and another over the same videos."""


def other_run(pattern):
    """An input function: the files `pattern` of every analysed video, in the run to compare with."""

    def files(wildcards):
        folder = Path(settings.statistics.compare_with)
        if not settings.statistics.compare_with or not (folder / "gradients").is_dir():
            raise WorkflowError(
                f"statistics.compare_with is {settings.statistics.compare_with!r}, which is no folder with gradients. "
                "Name the output_dir of a run over the same videos with another gradients.model."
            )
        return [str(folder / pattern.format(video=video)) for video in analysed()]

    return files


rule model_comparison:
    input:
        ours=per_analysed("gradients/{video}.perturbations.parquet"),
        theirs=other_run("gradients/{video}.perturbations.parquet"),
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
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
    params:
        ours=OUT,
        theirs=settings.statistics.compare_with,
        videos=lambda wildcards: sorted(analysed()),
        species=species_names(),
        seed=settings.seed,
        level=settings.statistics.confidence,
        resamples=settings.statistics.bootstrap_samples,
        code=digest("longtake.report.models"),
    message:
        "Compare two models"
    script:
        "../workflow/scripts/model_comparison.py"
