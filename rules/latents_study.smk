"""The study of latents as a whole: its tables, and what lies between videos at each step."""

# So many products of two latents that a job makes: N squared times its steps.
MOST_PRODUCTS = 5_000_000
STUDY = f"{OUT}/latents"
STEPS = step_numbers(LATENTS)
STEPS_PER_JOB = max(1, MOST_PRODUCTS // max(1, len(LATENTS)) ** 2)
STEP_JOBS = {n: STEPS[at : at + STEPS_PER_JOB] for n, at in enumerate(range(0, len(STEPS), STEPS_PER_JOB))}
BASELINE = settings.latents.baseline or min((each.group for each in LATENTS), default="")


rule latents_tables:
    input:
        **{part: [f"{STUDY}/shards/{name}/{part}.parquet" for name in SHARDS] for part in ["videos", *MEASURED]},
    output:
        **{part: f"{STUDY}/{part}.parquet" for part in ["videos", *MEASURED]},
        csv=f"{STUDY}/videos.csv",
        ways=f"{STUDY}/trajectories.csv",
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
        choices=CHOICES,
        code=digest("longtake.latents.study"),
    message:
        "Put the tables of {input.videos} together"
    script:
        "../workflow/scripts/latents_tables.py"


for number, steps in STEP_JOBS.items():

    rule:
        name:
            f"latents_steps_{number}"
        input:
            index=[f"{STUDY}/index/{name}.parquet" for name in SHARDS],
            videos=f"{STUDY}/videos.parquet",
        output:
            grams=[f"{STUDY}/grams/step-{step:03d}.npy" for step in steps],
            videos=f"{STUDY}/steps/{number:04d}.videos.parquet",
            groups=f"{STUDY}/steps/{number:04d}.groups.parquet",
        log:
            f"{OUT}/logs/latents_steps_{number}.log",
        benchmark:
            f"{OUT}/benchmarks/latents_steps_{number}.tsv"
        conda:
            "../envs/longtake.yaml"
        threads: 1
        resources:
            mem_mb=per_try(1500 + 40 * len(LATENTS) ** 2 // 2**20),
        params:
            study={
                "steps": steps,
                "baseline": BASELINE,
                "pair_by_seed": settings.latents.pair_by_seed,
                "scratch": f"{STUDY}/work/steps-{number}",
            },
            code=digest("longtake.latents.study"),
        message:
            f"Compare the latents of steps {steps[0]} to {steps[-1]}"
        script:
            "../workflow/scripts/latents_steps.py"
