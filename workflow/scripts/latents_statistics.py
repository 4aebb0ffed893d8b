from longtake.job import job
from longtake.latents.results import study_statistics

with job(snakemake) as job:
    job.run(
        study_statistics,
        given=dict(job.input.items()),
        out=dict(job.output.items()),
        options=job.params.options,
        seed=job.params.seed,
        level=job.params.level,
    )
