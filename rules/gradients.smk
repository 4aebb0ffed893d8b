"""What the video model looks at: exact temporal gradients on clips around the objects, and their motion."""


rule gradients_window:
    input:
        video=lambda wildcards: VIDEOS[wildcards.video].path,
        index=f"{OUT}/probe/{{video}}.index.parquet",
        detections=f"{OUT}/detections/{{video}}.parquet",
        model=CLASSIFIER,
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
        species=lambda wildcards: VIDEOS[wildcards.video].species or None,
        options={
            **asdict(settings.gradients),
            "model": model_spec(settings.gradients.model, BASE),
        },
        seed=settings.seed,
        force_cpu=settings.device.force_cpu,
        code=digest("longtake.gradients.window"),
    message:
        "Gradients of {wildcards.video}, window {wildcards.window}"
    script:
        "../workflow/scripts/gradients_window.py"


# Temporal importance and motion of every readable video.
rule gradients:
    input:
        per_video("gradients/{video}.clips.parquet"),
