from longtake.job import job
from longtake.latents.index import write_index

with job(snakemake) as it:
    it.run(write_index, **it.params.study, videos=it.params.videos, scratch=it.params.scratch, out=it.output.index)
