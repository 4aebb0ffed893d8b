from longtake.job import job
from longtake.latents.shard import measure_shard

with job(snakemake) as it:
    it.survive(
        measure_shard,
        index=it.input.index,
        kept_in=it.params.kept_in,
        out=dict(it.output.items()),
        options={**it.params.choices, "read_ahead": it.resources["read_ahead"]},
        code=it.params.code,
        device=it.device(it.params.force_cpu),
    )
