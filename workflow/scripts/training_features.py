from longtake.job import job
from longtake.training.baseline import features_of_shard

with job(snakemake) as it:
    it.run(features_of_shard, videos=it.params.videos, frames=it.params.frames, out=it.output.features)
