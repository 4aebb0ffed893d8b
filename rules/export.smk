"""Annotated video, and the same masks for other tools; one video at a time."""


rule overlay:
    input:
        video=ancient(video_of),
        index=ancient(f"{OUT}/probe/{{video}}.index.parquet"),
        detections=f"{OUT}/detections/{{video}}.parquet",
        plan=wait_for_plan,
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
        mem_mb=per_try(1500),
    params:
        source=source_of,
        windows=all_windows_of,
        frame_interval=settings.frame_interval,
        species=species_names(),
        width=settings.export.overlay_width,
        code=digest("longtake.export.overlay"),
    message:
        "Draw the annotations of {wildcards.video} into its frames"
    script:
        "../workflow/scripts/overlay.py"


# What `export.formats` names, and how each file ends.
FORMATS = {
    "coco": "coco.json",
    "ytvis": "ytvis.json",
    "mot": "mot.txt",
    "mots": "mots.txt",
    "cvat": "cvat.xml",
    "jsonl": "objects.jsonl",
    "stationary": "stationary.tsv",
}


rule convert:
    input:
        video=ancient(video_of),
        index=ancient(f"{OUT}/probe/{{video}}.index.parquet"),
        detections=f"{OUT}/detections/{{video}}.parquet",
        plan=wait_for_plan,
    output:
        file=f"{OUT}/export/{{video}}.{{ending}}",
    log:
        f"{OUT}/logs/convert/{{video}}.{{ending}}.log",
    benchmark:
        f"{OUT}/benchmarks/convert/{{video}}.{{ending}}.tsv"
    wildcard_constraints:
        ending="|".join(FORMATS.values()).replace(".", "[.]"),
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1000),
    params:
        source=source_of,
        format=lambda wildcards: next(name for name, ending in FORMATS.items() if ending == wildcards.ending),
        windows=all_windows_of,
        frame_interval=settings.frame_interval,
        species=species_names(),
        code=digest("longtake.export.formats"),
    message:
        "Write {wildcards.video} as {params.format}"
    script:
        "../workflow/scripts/convert.py"


# Annotated videos, and the detections in every format that is asked for.
rule export:
    input:
        per_video("export/{video}.mp4"),
        [per_video(f"export/{{video}}.{FORMATS[name]}") for name in settings.export.formats],


wanted("annotate", rules.export.input)
