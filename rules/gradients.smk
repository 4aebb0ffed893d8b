"""What the video model looks at: exact temporal gradients on clips around the objects, and their motion."""

from longtake.streams import pick


def labels_of(video):
    """The species that a video may show, as its sheets name them; objects that are found have the video's own."""
    own = VIDEOS[video].species or "unlabelled"
    prompted = {prompt.label or own for prompt in PROMPTS[video]}
    found = settings.annotate.dense_seeding == "always" or settings.annotate.continuity == "overlap"
    return prompted | {own} if found or not prompted or settings.gradients.clips == "even" else prompted


def analysed():
    """Each video whose gradients are taken, and the species in it that were drawn; waits for the plan."""
    naming = {}
    for video in planned():
        for label in labels_of(video):
            naming.setdefault(label, []).append(video)
    drawn = {}
    for label, videos in naming.items():
        for video in pick(settings.seed, label, "videos of a species", videos, settings.gradients.max_videos):
            drawn.setdefault(video, []).append(label)
    return {video: sorted(labels) for video, labels in drawn.items()}


def about(wildcards):
    """The species of a job's video, which species are asked about (all, or those that were drawn), and the seed."""
    limited = settings.gradients.max_videos > 0
    labels = analysed().get(wildcards.video, []) if limited else None
    return {"species": VIDEOS[wildcards.video].species or None, "labels": labels, "seed": settings.seed}


def if_analysed(pattern):
    """An input function: the file `pattern` of a job's video, none if no species was drawn from it."""
    return lambda wildcards: [f"{OUT}/{pattern}".format(video=wildcards.video)] if wildcards.video in analysed() else []


def per_analysed(pattern):
    """An input function: the files `pattern` of every video whose gradients are taken."""
    return lambda wildcards: [f"{OUT}/{pattern}".format(video=video) for video in analysed()]


# Where the objects are: by the tracker, or by people.
OBJECTS = "annotations" if settings.gradients.annotations else "detections"


rule annotations:
    input:
        annotations=settings.gradients.annotations or [],
        video=lambda wildcards: VIDEOS[wildcards.video].path,
        index=f"{OUT}/probe/{{video}}.index.parquet",
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
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
    params:
        code=digest("longtake.gradients.annotations"),
    message:
        "Take the masks of {wildcards.video} from {input.annotations}"
    script:
        "../workflow/scripts/annotations.py"


rule gradients_window:
    input:
        video=lambda wildcards: VIDEOS[wildcards.video].path,
        index=f"{OUT}/probe/{{video}}.index.parquet",
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
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
        gpu=LOCAL_GPUS,
    params:
        window=window_of,
        about=about,
        options={
            **asdict(settings.gradients),
            # A job is the same, from however many videos its own was drawn.
            "max_videos": 0,
            "model": model_spec(settings.gradients.model, BASE),
        },
        force_cpu=settings.device.force_cpu,
        code=digest("longtake.gradients.window"),
    message:
        "Gradients of {wildcards.video}, window {wildcards.window}"
    script:
        "../workflow/scripts/gradients_window.py"


# Temporal importance and motion of every video that is analysed.
rule gradients:
    input:
        per_analysed("gradients/{video}.clips.parquet"),
