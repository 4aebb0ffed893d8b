"""Figures of each video, and of all videos together."""

SPECIES = species_names()
PAGES = {name: f"{OUT}/figures/species/{file}.png" for name, file in fingerprint.file_names(SPECIES).items()}


rule video_figures:
    input:
        plan=wait_for_plan,
        detections=f"{OUT}/detections/{{video}}.parquet",
        curves=if_analysed("gradients/{video}.curves.parquet"),
        statistics=expand(
            f"{OUT}/statistics/videos/{{{{video}}}}/{{table}}.parquet",
            table=["visits", "prompts"],
        ),
    output:
        timeline=f"{OUT}/figures/{{video}}/timeline.png",
        heatmap=f"{OUT}/figures/{{video}}/heatmap.png",
    log:
        f"{OUT}/logs/video_figures/{{video}}.log",
    benchmark:
        f"{OUT}/benchmarks/video_figures/{{video}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1500),
    params:
        windows=all_windows_of,
        species=SPECIES,
        code=digest("longtake.species.draw"),
    message:
        "Draw {wildcards.video}"
    script:
        "../workflow/scripts/video_figures.py"


rule video_stills:
    input:
        plan=wait_for_plan,
        video=ancient(video_of),
        index=ancient(f"{OUT}/probe/{{video}}.index.parquet"),
        detections=f"{OUT}/detections/{{video}}.parquet",
        statistics=expand(
            f"{OUT}/statistics/videos/{{{{video}}}}/{{table}}.parquet",
            table=["visits", "prompts"],
        ),
    output:
        stills=f"{OUT}/figures/{{video}}/stills.png",
        overview=f"{OUT}/figures/{{video}}/overview.png",
    log:
        f"{OUT}/logs/video_stills/{{video}}.log",
    benchmark:
        f"{OUT}/benchmarks/video_stills/{{video}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1500),
    params:
        source=source_of,
        windows=all_windows_of,
        species=SPECIES,
        code=digest("longtake.species.stills"),
    message:
        "Draw annotated frames of {wildcards.video}"
    script:
        "../workflow/scripts/video_stills.py"


rule study_figures:
    input:
        statistics=f"{OUT}/statistics/species.parquet",
        curves=per_analysed("gradients/{video}.curves.parquet"),
        clips=per_analysed("gradients/{video}.clips.parquet"),
    output:
        correlation=f"{OUT}/figures/correlation.png",
        comparison=f"{OUT}/figures/species.png",
        pages=list(PAGES.values()),
    log:
        f"{OUT}/logs/study_figures/study_figures.log",
    benchmark:
        f"{OUT}/benchmarks/study_figures/study_figures.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(2000),
    params:
        species=SPECIES,
        seed=settings.seed,
        code=digest("longtake.species.draw"),
    message:
        "Draw the species and the correlation of importance and motion"
    script:
        "../workflow/scripts/study_figures.py"


# Timelines, heatmaps, correlation and species pages.
rule figures:
    input:
        per_video("figures/{video}/timeline.png"),
        per_video("figures/{video}/stills.png"),
        per_analysed("figures/{video}/heat.mp4"),
        f"{OUT}/figures/correlation.png",


wanted("species", rules.figures.input)
