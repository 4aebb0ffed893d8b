"""Clip classifiers on folds: clips made once, leaks looked for, one job a fold, and all models side by side."""

from longtake.training.room import check_room, clip_bytes


include: "training_inputs.smk"


if workflow.is_main_process and not workflow.dryrun and LABELLED:
    kinds = [(own["frames"], own["size"]) for own in map(settings.training.of, NETWORKS)]
    noted = sum(Path(f"{TRAINING}/work/clips/{row.video}.json").exists() for row in LABELLED)
    of_one = clip_bytes(kinds, settings.training.augmentations, settings.training.compression)
    try:
        check_room(STUDY["store"], len(LABELLED) - noted, of_one)
    except LongtakeError as error:
        raise WorkflowError(f"{type(error).__name__}: {error}") from None


# The original and the augmentations of every video of a shard; pixels go to the store, whose files are never changed.
rule training_clips:
    input:
        videos=lambda wildcards: [path for _, path in videos_of(wildcards)],
    output:
        clips=f"{TRAINING}/shards/{{shard}}/clips.parquet",
        sources=f"{TRAINING}/shards/{{shard}}/sources.parquet",
    log:
        f"{OUT}/logs/training_clips/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/training_clips/{{shard}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(2000),
    params:
        videos=videos_of,
        options=clip_options(),
        seed=settings.seed,
        store=STUDY["store"],
        notes=f"{TRAINING}/work/clips",
        code=digest("longtake.training.clips"),
    message:
        "Make the clips of shard {wildcards.shard}"
    script:
        "../workflow/scripts/training_clips.py"


rule training_features:
    input:
        videos=lambda wildcards: [path for _, path in videos_of(wildcards)],
    output:
        features=f"{TRAINING}/shards/{{shard}}/features.parquet",
    log:
        f"{OUT}/logs/training_features/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/training_features/{{shard}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(2000),
    params:
        videos=videos_of,
        frames=settings.training.frames,
        code=digest("longtake.training.features"),
    message:
        "Measure the features of shard {wildcards.shard}"
    script:
        "../workflow/scripts/training_features.py"


# The only step that looks at all videos before training; a leak fails it.
checkpoint training_folds:
    input:
        clips=of_shards("clips"),
        sources=of_shards("sources"),
    output:
        folds=STUDY["folds"],
        duplicates=f"{TRAINING}/duplicates.parquet",
        clips=STUDY["clips"],
        fits=f"{TRAINING}/fits.tsv",
    log:
        f"{OUT}/logs/training_folds/training_folds.log",
    benchmark:
        f"{OUT}/benchmarks/training_folds/training_folds.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(2000),
    params:
        rows=[vars(row) for row in LABELLED],
        options={name: getattr(settings.training, name) for name in FOLD_OPTIONS},
        seed=settings.seed,
        sheet=settings.training.sheet,
        # No output: Snakemake would delete it before the job that compares it.
        before=f"{TRAINING}/work/fits.before.tsv",
        code=digest("longtake.training.leaks"),
    message:
        "Place every video in a fold, and look for leaks"
    script:
        "../workflow/scripts/training_folds.py"


include: "training_fits.smk"
include: "training_results.smk"
