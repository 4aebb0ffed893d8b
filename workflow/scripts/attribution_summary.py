from pathlib import Path

from longtake.attribution.summary import summarise
from longtake.job import job

with job(snakemake) as job:
    facts = summarise(
        [Path(path).parent for path in job.input],
        **{f"{name}_out": job.output[name] for name in ("results", "regions", "findings")},
        percentile=job.params.percentile,
        seed=job.params.seed,
        level=job.params.level,
    )
    job.record(**facts)
