from pathlib import Path

from longtake.attribution.ladder import asked, ladder
from longtake.attribution.volume import analyse_volume
from longtake.job import job

with job(snakemake) as job:
    job.survive(
        analyse_volume,
        ladder,
        row=job.params.row,
        options=asked(job.params.options, job.resources),
        out=Path(job.output.results).parent,
        **{f"{name}_out": job.output[name] for name in ("results", "regions", "curves")},
        seed=job.params.seed,
        check=job.params.check,
        device=job.device(job.params.force_cpu),
        requested_mb=job.resources.get("mem_mb"),
    )
