from pathlib import Path

from longtake.job import job
from longtake.species.draw import draw_study

with job(snakemake) as job:
    job.run(
        draw_study,
        statistics=Path(job.input.statistics).parent,
        curves=[Path(path) for path in job.input.curves],
        clips=[Path(path) for path in job.input.clips],
        species=job.params.species,
        seed=job.params.seed,
        correlation_out=Path(job.output.correlation),
        comparison_out=Path(job.output.comparison),
        pages=dict(zip(job.params.species, map(Path, job.output.get("pages", [])), strict=True)),
    )
