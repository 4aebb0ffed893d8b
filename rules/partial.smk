"""Looking before all is done: what exists is joined as it lies there, and no window is run for it."""


# What exists reaches the rules as values: as inputs, Snakemake would first make what is missing or outdated.
rule partial_detections:
    input:
        plan=wait_for_plan,
        video=ancient(video_of),
        index=ancient(f"{OUT}/probe/{{video}}.index.parquet"),
    output:
        detections=f"{OUT}/partial/detections/{{video}}.parquet",
        holes=f"{OUT}/partial/detections/{{video}}.holes.tsv",
    log:
        f"{OUT}/logs/partial_detections/{{video}}.log",
    benchmark:
        f"{OUT}/benchmarks/partial_detections/{{video}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1000),
    params:
        source=source_of,
        windows=all_windows_of,
        passes=lambda wildcards: [existing(wildcards, pattern) for pattern in PASSES.values()],
        prompts=prompts_of,
        overlap_iou=settings.annotate.overlap_iou,
        dense_seeding=settings.annotate.dense_seeding,
        frame_interval=settings.frame_interval,
        continuity=settings.annotate.continuity,
        code=digest("longtake.annotate.partial"),
    message:
        "Join what exists of {wildcards.video}"
    script:
        "../workflow/scripts/partial_detections.py"


rule partial_gradients:
    input:
        plan=wait_for_plan,
        holes=f"{OUT}/partial/detections/{{video}}.holes.tsv",
    output:
        curves=f"{OUT}/partial/gradients/{{video}}.curves.parquet",
        clips=f"{OUT}/partial/gradients/{{video}}.clips.parquet",
        perturbations=f"{OUT}/partial/gradients/{{video}}.perturbations.parquet",
    log:
        f"{OUT}/logs/partial_gradients/{{video}}.log",
    benchmark:
        f"{OUT}/benchmarks/partial_gradients/{{video}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1000),
    params:
        curves=partial(existing, pattern="gradients/{video}/window-{window}.curves.parquet"),
        clips=partial(existing, pattern="gradients/{video}/window-{window}.clips.parquet"),
        perturbations=partial(existing, pattern="gradients/{video}/window-{window}.perturbations.parquet"),
        code=digest("longtake.annotate.partial"),
    message:
        "Join what exists of the gradients of {wildcards.video}"
    script:
        "../workflow/scripts/partial_gradients.py"


use rule video_statistics as partial_video_statistics with:
    input:
        plan=wait_for_plan,
        detections=f"{OUT}/partial/detections/{{video}}.parquet",
        clips=[f"{OUT}/partial/gradients/{{video}}.clips.parquet"],
        curves=[f"{OUT}/partial/gradients/{{video}}.curves.parquet"],
        perturbations=[f"{OUT}/partial/gradients/{{video}}.perturbations.parquet"],
    output:
        expand(
            f"{OUT}/partial/statistics/videos/{{{{video}}}}/{{table}}.{{kind}}",
            table=STATISTICS_OF_VIDEO,
            kind=["parquet", "csv"],
        ),
    log:
        f"{OUT}/logs/partial_video_statistics/{{video}}.log",
    benchmark:
        f"{OUT}/benchmarks/partial_video_statistics/{{video}}.tsv"


use rule species_statistics as partial_species_statistics with:
    input:
        per_video("partial/statistics/videos/{video}/species.parquet"),
    output:
        expand(
            f"{OUT}/partial/statistics/{{table}}.{{kind}}",
            table=STATISTICS,
            kind=["parquet", "csv"],
        ),
        results=f"{OUT}/partial/reports/temporal_analysis_results.json",
    log:
        f"{OUT}/logs/partial_species_statistics/species_statistics.log",
    benchmark:
        f"{OUT}/benchmarks/partial_species_statistics/species_statistics.tsv"


# What a run that is not done would say: the tables of all videos with holes marked, statistics, and the status table.
rule partial:
    input:
        f"{OUT}/partial/statistics/species.parquet",
        f"{OUT}/reports/status.tsv",
