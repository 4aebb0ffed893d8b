from longtake.job import job
from longtake.latents.study import compare_steps

with job(snakemake) as job:
    job.run(
        compare_steps,
        indices=list(job.input.index),
        videos=job.input.videos,
        grams=list(job.output.grams),
        out={"videos": job.output.videos, "groups": job.output.groups},
        memory_mb=job.resources["memory_mb"],
        **job.params.study,
    )
