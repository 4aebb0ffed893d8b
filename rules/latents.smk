"""Structure of the latents of video-diffusion models: an index, measurements in jobs of whole videos, the study."""

from longtake.latents.layout import check_groups, find_videos, shards, step_numbers

if settings.latents.folder or settings.latents.sheet:
    try:
        LATENTS = find_videos(
            settings.latents.folder,
            settings.latents.sheet,
            base=BASE,
            steps=settings.latents.steps,
            keep_missing=settings.latents.missing_steps == "keep",
        )
        check_groups({each.group for each in LATENTS}, settings.latents.baseline, settings.latents.order)
    except LongtakeError as error:
        raise WorkflowError(f"{type(error).__name__}: {error}") from None
else:
    LATENTS = []
SHARDS = {f"{n:04d}": part for n, part in enumerate(shards(LATENTS, settings.latents.latents_per_job))}
MEASURED = ["metrics", "channels", "spectra", "trajectories", "trajectory_steps"]
LATENT_OPTIONS = settings.latents.model_dump()
# What changes no number, or no number of a single latent.
APART = dict.fromkeys(["baseline", "order", "contrasts", "pair_by_seed", "separability", "permutations"])
APART |= dict.fromkeys(
    ["folder", "sheet", "latents_per_job", "read_ahead", "memory_gb", "axes", "steps", "missing_steps"]
)
CHOICES = {name: value for name, value in LATENT_OPTIONS.items() if name not in APART}


wildcard_constraints:
    shard=r"\d\d\d\d+",


rule latents_index:
    input:
        lambda wildcards: [path for video in SHARDS[wildcards.shard] for path in video.paths],
    output:
        index=f"{OUT}/latents/index/{{shard}}.parquet",
    log:
        f"{OUT}/logs/latents_index/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/latents_index/{{shard}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1000),
    params:
        study={
            **{name: LATENT_OPTIONS[name] for name in ["folder", "sheet", "axes", "steps", "missing_steps"]},
            "base": str(BASE),
        },
        videos=lambda wildcards: [each.video for each in SHARDS[wildcards.shard]],
        metadata=lambda wildcards: [f"{each.metadata} {each.trouble}" for each in SHARDS[wildcards.shard]],
        scratch=f"{OUT}/latents/work",
        code=digest("longtake.latents.index"),
    message:
        "Index the latents of job {wildcards.shard}"
    script:
        "../workflow/scripts/latents_index.py"


rule latents_shard:
    input:
        index=f"{OUT}/latents/index/{{shard}}.parquet",
        plan=wait_for_plan,
    output:
        **{part: f"{OUT}/latents/shards/{{shard}}/{part}.parquet" for part in MEASURED},
        videos=f"{OUT}/latents/shards/{{shard}}/videos.parquet",
    log:
        f"{OUT}/logs/latents_shard/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/latents_shard/{{shard}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        **asked("latents_shard", read_ahead=settings.latents.read_ahead),
    params:
        choices=CHOICES,
        # What was measured of a video stays there, so that a job which is done again need not measure it.
        kept_in=f"{OUT}/latents/work",
        force_cpu=settings.device.force_cpu,
        code=digest("longtake.latents.shard"),
    message:
        "Measure the latents of job {wildcards.shard}: {resources.mem_mb} MB, {resources.runtime} min"
    script:
        "../workflow/scripts/latents_shard.py"


include: "latents_study.smk"
include: "latents_results.smk"


takes_part(
    "latents",
    active=bool(LATENTS),
    facts=lambda: {
        "shards": {name: sum(len(video.files) for video in part) for name, part in SHARDS.items()},
        "options": LATENT_OPTIONS,
    },
    shapes=[lambda wildcards: [f"{OUT}/latents/index/{name}.parquet" for name in SHARDS]],
    targets=[rules.latents.input],
)
