from longtake.job import job
from longtake.training.baseline import features_of_shard

with job(snakemake) as job:
    job.run(features_of_shard, videos=job.params.videos, frames=job.params.frames, out=job.output.features)
