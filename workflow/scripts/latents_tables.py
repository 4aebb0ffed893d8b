from longtake.job import job
from longtake.latents.study import put_together

with job(snakemake) as job:
    shards = {name: list(paths) if not isinstance(paths, str) else [paths] for name, paths in job.input.items()}
    job.run(put_together, shards=shards, out=dict(job.output.items()), options=job.params.choices)
