"""What differs between groups of latents: statistics and figures."""

LATENT_INFERRED = ["groups", "group_steps", "tests", "separability"]
LATENT_FIGURES = ["curves", "effects", "slopes", "spectra", "channels", "corridors", "map", "separability"]


rule latents_statistics:
    input:
        videos=f"{LATENT_STUDY}/videos.parquet",
        metrics=f"{LATENT_STUDY}/metrics.parquet",
        trajectories=f"{LATENT_STUDY}/trajectories.parquet",
        step_videos=[f"{LATENT_STUDY}/steps/{number:04d}.videos.parquet" for number in LATENT_STEP_JOBS],
        step_groups=[f"{LATENT_STUDY}/steps/{number:04d}.groups.parquet" for number in LATENT_STEP_JOBS],
    output:
        **{name: f"{LATENT_STUDY}/{name}.parquet" for name in LATENT_INFERRED},
        **{f"{name}_csv": f"{LATENT_STUDY}/{name}.csv" for name in LATENT_INFERRED},
        results=f"{OUT}/reports/structure_aware_analysis_results.json",
    log:
        f"{OUT}/logs/latents_statistics.log",
    benchmark:
        f"{OUT}/benchmarks/latents_statistics.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1500),
    params:
        options={**LATENT_OPTIONS, "read_ahead": 0, "latents_per_job": 1, "memory_gb": 0},
        seed=settings.seed,
        level=settings.statistics.confidence,
        code=digest("longtake.latents.results"),
    message:
        "Compare the groups of latents"
    script:
        "../workflow/scripts/latents_statistics.py"


rule latents_figures:
    input:
        **{
            name: f"{LATENT_STUDY}/{name}.parquet"
            for name in ["videos", "metrics", "channels", "spectra", *LATENT_INFERRED]
        },
        steps=rules.latents_statistics.input.step_videos,
    output:
        expand(f"{OUT}/figures/latents/{{name}}.{{kind}}", name=LATENT_FIGURES, kind=["png", "pdf"]),
    log:
        f"{OUT}/logs/latents_figures.log",
    benchmark:
        f"{OUT}/benchmarks/latents_figures.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(2000),
    params:
        choices=LATENT_CHOICES,
        baseline=LATENT_BASELINE,
        code=digest("longtake.latents.figures"),
    message:
        "Draw the study of latents"
    script:
        "../workflow/scripts/latents_figures.py"


localrules:
    latents,


# Structure of latents: tables, statistics and figures.
rule latents:
    input:
        rules.latents_statistics.output if LATENTS else [],
        rules.latents_figures.output if LATENTS else [],
