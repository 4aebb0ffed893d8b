"""Annotated video, and the same masks for other tools; one video at a time."""


rule overlay:
    input:
        video=lambda wildcards: VIDEOS[wildcards.video].path,
        index=f"{OUT}/probe/{{video}}.index.parquet",
        detections=f"{OUT}/detections/{{video}}.parquet",
    output:
        video=f"{OUT}/export/{{video}}.mp4",
    log:
        f"{OUT}/logs/overlay/{{video}}.log",
    benchmark:
        f"{OUT}/benchmarks/overlay/{{video}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
    params:
        windows=lambda wildcards: [asdict(window) for window in planned()[wildcards.video]],
        frame_interval=settings.frame_interval,
        species=species_names(),
        width=settings.export.overlay_width,
        code=digest("longtake.export.overlay"),
    message:
        "Draw the annotations of {wildcards.video} into its frames"
    script:
        "../workflow/scripts/overlay.py"


rule coco:
    input:
        video=lambda wildcards: VIDEOS[wildcards.video].path,
        index=f"{OUT}/probe/{{video}}.index.parquet",
        detections=f"{OUT}/detections/{{video}}.parquet",
    output:
        json=f"{OUT}/export/{{video}}.coco.json",
    log:
        f"{OUT}/logs/coco/{{video}}.log",
    benchmark:
        f"{OUT}/benchmarks/coco/{{video}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
    params:
        windows=lambda wildcards: [asdict(window) for window in planned()[wildcards.video]],
        frame_interval=settings.frame_interval,
        species=species_names(),
        code=digest("longtake.export.coco"),
    message:
        "Write {wildcards.video} as COCO"
    script:
        "../workflow/scripts/coco.py"


# Annotated videos and COCO files.
rule export:
    input:
        per_video("export/{video}.mp4"),
        per_video("export/{video}.coco.json"),
