"""Follow the objects of a video, window by window; in a chain each window starts from the state the last one left."""

TRACKING = {
    "scale": settings.video_scale_factor,
    "frame_interval": settings.frame_interval,
    "continuity": settings.annotate.continuity,
    "dense_seeding": settings.annotate.dense_seeding,
    "seed_predicted_iou": settings.annotate.seed_predicted_iou,
    "seed_stability": settings.annotate.seed_stability,
    "precision": settings.annotate.precision,
    "max_conditioning_frames": settings.annotate.max_conditioning_frames,
    "object_batch": settings.annotate.object_batch,
}


rule annotate_window:
    input:
        video=lambda wildcards: VIDEOS[wildcards.video].path,
        index=f"{OUT}/probe/{{video}}.index.parquet",
        state=state_before,
        model=TRACKER,
    output:
        detections=f"{OUT}/annotate/{{video}}/window-{{window}}.parquet",
        state=[STATE] if CHAIN else [],
    log:
        f"{OUT}/logs/annotate_window/{{video}}.{{window}}.log",
    benchmark:
        f"{OUT}/benchmarks/annotate_window/{{video}}.{{window}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        **asked("annotate_window", chunk=settings.annotate.object_batch),
        approximate=int(settings.memory.allow_approximate),
    params:
        window=window_of,
        prompts=prompts_of,
        model=lambda wildcards, input: str(Path(input.model[0]).parent),
        options=lambda wildcards: {**TRACKING, "species": VIDEOS[wildcards.video].species},
        direction="forward",
        force_cpu=settings.device.force_cpu,
        code=digest("longtake.annotate.window"),
    message:
        "Annotate {wildcards.video}, window {wildcards.window}: {resources.mem_mb} MB, {resources.runtime} min; "
        "{resources.plan}"
    script:
        "../workflow/scripts/annotate_window.py"


# The same from the last frame to the first, where annotate.direction is both; the state goes the other way, too.
use rule annotate_window as annotate_window_backward with:
    input:
        video=lambda wildcards: VIDEOS[wildcards.video].path,
        index=f"{OUT}/probe/{{video}}.index.parquet",
        state=state_after,
        model=TRACKER,
    output:
        detections=f"{OUT}/annotate/{{video}}/window-{{window}}.backward.parquet",
        state=[BACKWARD_STATE] if CHAIN else [],
    log:
        f"{OUT}/logs/annotate_window_backward/{{video}}.{{window}}.log",
    benchmark:
        f"{OUT}/benchmarks/annotate_window_backward/{{video}}.{{window}}.tsv"
    resources:
        **asked("annotate_window_backward", chunk=settings.annotate.object_batch),
    params:
        direction="backward",
    message:
        "Annotate {wildcards.video} backward, window {wildcards.window}: {resources.mem_mb} MB, {resources.runtime} min; "
        "{resources.plan}"


# Masks, boxes and ids of every readable video.
rule annotate:
    input:
        REQUESTS,
        per_video("detections/{video}.parquet"),
