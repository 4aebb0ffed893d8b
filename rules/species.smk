"""Statistics whose unit is the video: per object, per video and species, per species."""

STATISTICS_OF_VIDEO = ["objects", "visits", "prompts", "species", "curves", "series"]
BORDERS = {
    "appearance": settings.statistics.appearance_above,
    "motion": settings.statistics.motion_below,
    "no_relation": settings.statistics.no_relation_below,
}
STATISTICS = ["videos", "objects", "species", "verdicts", "relations", "comparisons", "curves"]


rule video_statistics:
    input:
        plan=wait_for_plan,
        detections=f"{OUT}/detections/{{video}}.parquet",
        clips=if_analysed("gradients/{video}.clips.parquet"),
        curves=if_analysed("gradients/{video}.curves.parquet"),
        perturbations=if_analysed("gradients/{video}.perturbations.parquet"),
    output:
        expand(
            f"{OUT}/statistics/videos/{{{{video}}}}/{{table}}.{{kind}}",
            table=STATISTICS_OF_VIDEO,
            kind=["parquet", "csv"],
        ),
    log:
        f"{OUT}/logs/video_statistics/{{video}}.log",
    benchmark:
        f"{OUT}/benchmarks/video_statistics/{{video}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1500),
    params:
        windows=all_windows_of,
        duration_s=duration_of,
        frame_interval=settings.frame_interval,
        surveyed=lambda wildcards: VIDEOS[wildcards.video].looked_for,
        visit_gap=settings.statistics.visit_gap,
        speed_step_s=settings.statistics.speed_step,
        borders=BORDERS,
        code=digest("longtake.species.video"),
    message:
        "Statistics of {wildcards.video}"
    script:
        "../workflow/scripts/video_statistics.py"


rule species_statistics:
    input:
        per_video("statistics/videos/{video}/species.parquet"),
    output:
        expand(
            f"{OUT}/statistics/{{table}}.{{kind}}",
            table=STATISTICS,
            kind=["parquet", "csv"],
        ),
        results=f"{OUT}/reports/temporal_analysis_results.json",
    log:
        f"{OUT}/logs/species_statistics/species_statistics.log",
    benchmark:
        f"{OUT}/benchmarks/species_statistics/species_statistics.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1500),
    params:
        seed=settings.seed,
        level=settings.statistics.confidence,
        draws=settings.statistics.permutations,
        borders=BORDERS,
        code=digest("longtake.species.study"),
    message:
        "Statistics per species"
    script:
        "../workflow/scripts/species_statistics.py"


# Tables per object, video and species; of two models, where another run is named.
rule species:
    input:
        f"{OUT}/statistics/species.parquet",
        [f"{OUT}/statistics/models.parquet"] if settings.statistics.compare_with else [],


takes_part(
    "species",
    active=bool(VIDEOS),
    facts=lambda: {"species": SPECIES, "pages": PAGES},
    targets=[rules.species.input],
)
