from longtake.job import job
from longtake.latents.figures import draw_study

with job(snakemake) as job:
    job.run(
        draw_study,
        given=dict(job.input.items()),
        out=list(job.output),
        options=job.params.choices,
        baseline=job.params.baseline,
    )
