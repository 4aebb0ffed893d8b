from longtake.job import job
from longtake.latents.study import put_together

with job(snakemake) as it:
    shards = {name: list(paths) if not isinstance(paths, str) else [paths] for name, paths in it.input.items()}
    it.run(put_together, shards=shards, out=dict(it.output.items()), options=it.params.choices)
