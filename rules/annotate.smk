"""Follow the objects of a video, window by window; in a chain each window starts from the state the last one left."""


rule annotate_window:
    input:
        video=ancient(video_of),
        index=ancient(f"{OUT}/probe/{{video}}.index.parquet"),
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
    params:
        source=source_of,
        window=window_of,
        prompts=prompts_of,
        model=model_folder,
        options=tracking_of,
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
        video=ancient(video_of),
        index=ancient(f"{OUT}/probe/{{video}}.index.parquet"),
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


takes_part(
    "annotate",
    active=bool(VIDEOS),
    typical=not VIDEOS,
    facts=lambda: {
        "rules": list(PASSES),
        "objects": objects_at_once(),
        "prompted": prompted_frames(),
        "frame_interval": settings.frame_interval,
        "continuity": settings.annotate.continuity,
        "model": os.path.dirname(TRACKER[0]),
        "options": {**TRACKING, "direction": settings.annotate.direction},
    },
    shapes=[shapes(cut)],
    model=TRACKER,
    needs=[f"{OUT}/plan/windows.tsv"],
    targets=[per_video("detections/{video}.parquet")],
)
