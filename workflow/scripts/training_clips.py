from longtake.job import job
from longtake.training.jobs import clips_job

with job(snakemake) as it:
    it.run(
        clips_job,
        videos=it.params.videos,
        options=it.params.options,
        seed=it.params.seed,
        store=it.params.store,
        notes=it.params.notes,
        clips=it.output.clips,
        sources=it.output.sources,
    )
