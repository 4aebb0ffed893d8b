from longtake.job import job
from longtake.training.jobs import clips_job

with job(snakemake) as job:
    job.run(
        clips_job,
        videos=job.params.videos,
        options=job.params.options,
        seed=job.params.seed,
        store=job.params.store,
        notes=job.params.notes,
        clips=job.output.clips,
        sources=job.output.sources,
    )
