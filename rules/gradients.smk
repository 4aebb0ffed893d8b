"""What the video model looks at: exact temporal gradients on clips around the objects, and their motion."""


rule annotations:
    input:
        plan=wait_for_plan,
        annotations=settings.gradients.annotations or [],
        video=ancient(video_of),
        index=ancient(f"{OUT}/probe/{{video}}.index.parquet"),
    output:
        table=f"{OUT}/annotations/{{video}}.parquet",
    log:
        f"{OUT}/logs/annotations/{{video}}.log",
    benchmark:
        f"{OUT}/benchmarks/annotations/{{video}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(2000),
    params:
        source=source_of,
        code=digest("longtake.gradients.annotations"),
    message:
        "Take the masks of {wildcards.video} from {input.annotations}"
    script:
        "../workflow/scripts/annotations.py"


rule gradients_window:
    input:
        video=ancient(video_of),
        index=ancient(f"{OUT}/probe/{{video}}.index.parquet"),
        detections=f"{OUT}/{OBJECTS}/{{video}}.parquet",
        model=CLASSIFIER,
        plan=wait_for_plan,
    output:
        curves=f"{OUT}/gradients/{{video}}/window-{{window}}.curves.parquet",
        clips=f"{OUT}/gradients/{{video}}/window-{{window}}.clips.parquet",
        maps=f"{OUT}/gradients/{{video}}/window-{{window}}.maps.safetensors",
        perturbations=f"{OUT}/gradients/{{video}}/window-{{window}}.perturbations.parquet",
    log:
        f"{OUT}/logs/gradients_window/{{video}}.{{window}}.log",
    benchmark:
        f"{OUT}/benchmarks/gradients_window/{{video}}.{{window}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        **asked(
            "gradients_window",
            chunk=settings.gradients.chunk_size,
            gradient_mb=round(1024 * settings.gradients.memory_gb),
        ),
    params:
        source=source_of,
        window=window_of,
        about=about,
        options={
            **settings.gradients.model_dump(),
            # A job is the same, from however many videos its own was sampled.
            "max_videos": 0,
            # What never changes a number is a resource: changed, it reruns nothing.
            "chunk_size": 0,
            "memory_gb": 0,
            "model": model_spec(settings.gradients.model, BASE),
        },
        force_cpu=settings.device.force_cpu,
        code=digest("longtake.gradients.window"),
    message:
        "Gradients of {wildcards.video}, window {wildcards.window}: {resources.mem_mb} MB, {resources.runtime} min; "
        "{resources.plan}"
    script:
        "../workflow/scripts/gradients_window.py"


# Temporal importance and motion of every video that is analysed.
rule gradients:
    input:
        REQUESTS,
        per_analysed("gradients/{video}.clips.parquet"),


takes_part(
    "gradients",
    active=bool(VIDEOS),
    typical=not VIDEOS,
    facts=lambda: {
        "videos": list(sampled()) if VIDEOS else [],
        "objects": objects_at_once(),
        "frames": frames_in_window(),
        "frame_interval": settings.frame_interval,
        "continuity": settings.annotate.continuity,
        "options": {**settings.gradients.model_dump(), "model": model_spec(settings.gradients.model, BASE)},
    },
    shapes=[shapes(sampled)],
    model=CLASSIFIER,
    needs=[f"{OUT}/plan/windows.tsv"],
    targets=[per_analysed("gradients/{video}.clips.parquet")],
)
