from pathlib import Path

from longtake.job import job
from longtake.species.model_comparison import compare_and_draw

with job(snakemake) as it:
    facts = compare_and_draw(
        run_a=Path(it.params.ours),
        run_b=Path(it.params.theirs),
        videos=it.params.videos,
        species=it.params.species,
        table_out=Path(it.output.table),
        figure_out=Path(it.output.figure),
        seed=it.params.seed,
        level=it.params.level,
        draws=it.params.draws,
    )
    it.record(**facts)
