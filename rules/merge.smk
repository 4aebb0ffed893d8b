"""The windows of a video, put together: every frame once."""


rule merge_detections:
    input:
        video=ancient(video_of),
        index=ancient(f"{OUT}/probe/{{video}}.index.parquet"),
        windows=in_windows("annotate/{video}/window-{window}.parquet"),
        backward=backward_windows_of,
    output:
        detections=f"{OUT}/detections/{{video}}.parquet",
        agreement=f"{OUT}/detections/{{video}}.agreement.parquet",
        prompts=f"{OUT}/detections/{{video}}.prompts.parquet",
    log:
        f"{OUT}/logs/merge_detections/{{video}}.log",
    benchmark:
        f"{OUT}/benchmarks/merge_detections/{{video}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1000),
    params:
        source=source_of,
        prompts=prompts_of,
        options={
            "frame_interval": settings.frame_interval,
            "overlap_iou": settings.annotate.overlap_iou,
            "dense_seeding": settings.annotate.dense_seeding,
            "lost_below": settings.annotate.lost_below,
        },
        code=digest("longtake.annotate.merge"),
    message:
        "Merge the detections of {wildcards.video}"
    script:
        "../workflow/scripts/merge_detections.py"


rule merge_gradients:
    input:
        curves=in_windows("gradients/{video}/window-{window}.curves.parquet"),
        clips=in_windows("gradients/{video}/window-{window}.clips.parquet"),
        perturbations=in_windows("gradients/{video}/window-{window}.perturbations.parquet"),
    output:
        curves=f"{OUT}/gradients/{{video}}.curves.parquet",
        clips=f"{OUT}/gradients/{{video}}.clips.parquet",
        perturbations=f"{OUT}/gradients/{{video}}.perturbations.parquet",
    log:
        f"{OUT}/logs/merge_gradients/{{video}}.log",
    benchmark:
        f"{OUT}/benchmarks/merge_gradients/{{video}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1000),
    params:
        code=digest("longtake.store.tables", "longtake.store.schemas"),
    message:
        "Merge the gradients of {wildcards.video}"
    script:
        "../workflow/scripts/merge_gradients.py"
