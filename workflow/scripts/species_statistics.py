from pathlib import Path

from longtake.job import job
from longtake.species.study import species_statistics
from longtake.verdicts import Borders

with job(snakemake) as it:
    species_statistics(
        videos=[Path(path).parent for path in it.input],
        out=Path(it.output[0]).parent,
        results=Path(it.output.results),
        seed=it.params.seed,
        level=it.params.level,
        draws=it.params.draws,
        borders=Borders(**it.params.borders),
    )
