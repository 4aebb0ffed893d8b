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
LATENT_SHARDS = {f"{n:04d}": part for n, part in enumerate(shards(LATENTS, settings.latents.latents_per_job))}
LATENT_MEASURED = ["metrics", "channels", "spectra", "trajectories", "trajectory_steps"]
LATENT_MEMORY_MB = round(1024 * settings.latents.memory_gb)
LATENT_OPTIONS = settings.latents.model_dump()
# What changes no number, or no number of a single latent.
LATENT_APART = dict.fromkeys(["baseline", "order", "contrasts", "pair_by_seed", "separability", "permutations"])
LATENT_APART |= dict.fromkeys(
    "folder sheet latents_per_job read_ahead memory_gb most_compared axes steps missing_steps".split()
)
LATENT_CHOICES = {name: value for name, value in LATENT_OPTIONS.items() if name not in LATENT_APART}


wildcard_constraints:
    latent_job=r"\d\d\d\d+",


rule latents_index:
    input:
        lambda wildcards: [path for video in LATENT_SHARDS[wildcards.latent_job] for path in video.paths],
    output:
        index=f"{OUT}/latents/index/{{latent_job}}.parquet",
    log:
        f"{OUT}/logs/latents_index/{{latent_job}}.log",
    benchmark:
        f"{OUT}/benchmarks/latents_index/{{latent_job}}.tsv"
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
        videos=lambda wildcards: [each.video for each in LATENT_SHARDS[wildcards.latent_job]],
        metadata=lambda wildcards: [f"{each.metadata} {each.trouble}" for each in LATENT_SHARDS[wildcards.latent_job]],
        scratch=f"{OUT}/latents/work",
        code=digest("longtake.latents.index"),
    message:
        "Index the latents of job {wildcards.latent_job}"
    script:
        "../workflow/scripts/latents_index.py"


rule latents_shard:
    input:
        index=f"{OUT}/latents/index/{{latent_job}}.parquet",
        plan=wait_for_plan,
    output:
        **{part: f"{OUT}/latents/shards/{{latent_job}}/{part}.parquet" for part in LATENT_MEASURED},
        videos=f"{OUT}/latents/shards/{{latent_job}}/videos.parquet",
    log:
        f"{OUT}/logs/latents_shard/{{latent_job}}.log",
    benchmark:
        f"{OUT}/benchmarks/latents_shard/{{latent_job}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        **asked("latents_shard", read_ahead=settings.latents.read_ahead, memory_mb=LATENT_MEMORY_MB),
    params:
        choices=LATENT_CHOICES,
        # What was measured of a video stays there, so that a job which is done again need not measure it.
        kept_in=f"{OUT}/latents/work",
        force_cpu=settings.device.force_cpu,
        code=digest("longtake.latents.shard"),
    message:
        "Measure the latents of job {wildcards.latent_job}: {resources.mem_mb} MB, {resources.runtime} min"
    script:
        "../workflow/scripts/latents_shard.py"


include: "latents_study.smk"
include: "latents_results.smk"


takes_part(
    "latents",
    active=bool(LATENTS),
    facts=lambda: {
        "shards": {name: sum(len(video.files) for video in part) for name, part in LATENT_SHARDS.items()},
        "options": LATENT_OPTIONS,
    },
    shapes=[lambda wildcards: [f"{OUT}/latents/index/{name}.parquet" for name in LATENT_SHARDS]],
    targets=[rules.latents.input],
)
