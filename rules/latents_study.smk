"""The study of latents as a whole: its tables, and what lies between videos at each step."""

from snakemake.logging import logger

from longtake.latents.bounds import SQUARES
from longtake.latents.layout import too_many

# So many products of two latents that a job makes: N squared times its steps.
LATENT_MOST_PRODUCTS = 5_000_000
LATENT_STUDY = f"{OUT}/latents"
LATENT_STEPS = step_numbers(LATENTS)
LATENT_STEPS_PER_JOB = max(1, LATENT_MOST_PRODUCTS // max(1, len(LATENTS)) ** 2)
LATENT_STEP_JOBS = {
    n: LATENT_STEPS[at : at + LATENT_STEPS_PER_JOB]
    for n, at in enumerate(range(0, len(LATENT_STEPS), LATENT_STEPS_PER_JOB))
}
if len(LATENTS) > settings.latents.most_compared and workflow.is_main_process:
    logger.warning(too_many(len(LATENTS), settings.latents.most_compared))
LATENT_BASELINE = settings.latents.baseline or min((each.group for each in LATENTS), default="")


rule latents_tables:
    input:
        **{
            part: [f"{LATENT_STUDY}/shards/{name}/{part}.parquet" for name in LATENT_SHARDS]
            for part in ["videos", *LATENT_MEASURED]
        },
    output:
        **{part: f"{LATENT_STUDY}/{part}.parquet" for part in ["videos", *LATENT_MEASURED]},
        csv=f"{LATENT_STUDY}/videos.csv",
        ways=f"{LATENT_STUDY}/trajectories.csv",
    log:
        f"{OUT}/logs/latents_tables.log",
    benchmark:
        f"{OUT}/benchmarks/latents_tables.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1500),
    params:
        choices=LATENT_CHOICES,
        code=digest("longtake.latents.study"),
    message:
        "Put the tables of all jobs together"
    script:
        "../workflow/scripts/latents_tables.py"


for number, steps in LATENT_STEP_JOBS.items():

    rule:
        name:
            f"latents_steps_{number}"
        input:
            index=[f"{LATENT_STUDY}/index/{name}.parquet" for name in LATENT_SHARDS],
            videos=f"{LATENT_STUDY}/videos.parquet",
        output:
            grams=[f"{LATENT_STUDY}/grams/step-{step:03d}.npy" for step in steps],
            videos=f"{LATENT_STUDY}/steps/{number:04d}.videos.parquet",
            groups=f"{LATENT_STUDY}/steps/{number:04d}.groups.parquet",
        log:
            f"{OUT}/logs/latents_steps_{number}.log",
        benchmark:
            f"{OUT}/benchmarks/latents_steps_{number}.tsv"
        conda:
            "../envs/longtake.yaml"
        threads: 1
        resources:
            mem_mb=per_try(1500 + 8 * SQUARES * min(len(LATENTS), settings.latents.most_compared) ** 2 // 2**20),
            plan=f"memory_mb={LATENT_MEMORY_MB}",
        params:
            study={
                "steps": steps,
                "baseline": LATENT_BASELINE,
                "pair_by_seed": settings.latents.pair_by_seed,
                "most": settings.latents.most_compared,
                "scratch": f"{LATENT_STUDY}/work/steps-{number}",
            },
            code=digest("longtake.latents.study"),
        message:
            f"Compare the latents of steps {steps[0]} to {steps[-1]}"
        script:
            "../workflow/scripts/latents_steps.py"
