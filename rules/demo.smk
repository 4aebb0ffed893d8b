"""The demo's synthetic scenes, rendered to real video with known truth."""

if settings.demo:

    rule demo_video:
        output:
            video=f"{OUT}/media/{{video}}.mp4",
            truth=f"{OUT}/media/{{video}}.truth.parquet",
        log:
            f"{OUT}/logs/demo_video/{{video}}.log",
        benchmark:
            f"{OUT}/benchmarks/demo_video/{{video}}.tsv"
        wildcard_constraints:
            video=r"pond-.*",
        conda:
            "../envs/longtake.yaml"
        threads: 1
        resources:
            mem_mb=per_try(1000),
        params:
            code=digest("longtake.demo.render"),
        message:
            "Render {wildcards.video}"
        script:
            "../workflow/scripts/demo_video.py"

    # The labelled videos of training.
    rule demo_swimmer:
        output:
            f"{OUT}/media/{{video}}.mp4",
        log:
            f"{OUT}/logs/demo_swimmer/{{video}}.log",
        benchmark:
            f"{OUT}/benchmarks/demo_swimmer/{{video}}.tsv"
        wildcard_constraints:
            video=r"jelly-\d+-\d+",
        conda:
            "../envs/longtake.yaml"
        threads: 1
        resources:
            mem_mb=per_try(1000),
        params:
            code=digest("longtake.demo.swimmers"),
        message:
            "Render {wildcards.video}"
        script:
            "../workflow/scripts/demo_swimmer.py"
