from longtake.job import job
from longtake.latents.shard import measure_shard

with job(snakemake) as job:
    job.survive(
        measure_shard,
        index=job.input.index,
        kept_in=job.params.kept_in,
        out=dict(job.output.items()),
        options={**job.params.choices, "read_ahead": job.resources["read_ahead"]},
        code=job.params.code,
        device=job.device(job.params.force_cpu),
        memory_mb=job.resources["memory_mb"],
    )
