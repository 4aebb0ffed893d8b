from longtake.job import job
from longtake.latents.index import write_index

with job(snakemake) as job:
    job.run(write_index, **job.params.study, videos=job.params.videos, scratch=job.params.scratch, out=job.output.index)
