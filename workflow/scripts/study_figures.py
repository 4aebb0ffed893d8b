from pathlib import Path

from longtake.job import job
from longtake.species.draw import draw_study

with job(snakemake) as it:
    it.run(
        draw_study,
        statistics=Path(it.input.statistics).parent,
        curves=[Path(path) for path in it.input.curves],
        clips=[Path(path) for path in it.input.clips],
        species=it.params.species,
        seed=it.params.seed,
        correlation_out=Path(it.output.correlation),
        comparison_out=Path(it.output.comparison),
        pages=dict(zip(it.params.species, map(Path, it.output.get("pages", [])), strict=True)),
    )
