from pathlib import Path

from longtake.job import job
from longtake.species.study import species_statistics
from longtake.verdicts import Borders

with job(snakemake) as job:
    species_statistics(
        videos=[Path(path).parent for path in job.input],
        out=Path(job.output[0]).parent,
        results=Path(job.output.results),
        seed=job.params.seed,
        level=job.params.level,
        draws=job.params.draws,
        borders=Borders(**job.params.borders),
    )
