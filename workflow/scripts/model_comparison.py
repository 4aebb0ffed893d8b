from pathlib import Path

from longtake.job import job
from longtake.species.model_comparison import compare_and_draw

with job(snakemake) as job:
    facts = compare_and_draw(
        run_a=Path(job.params.ours),
        run_b=Path(job.params.theirs),
        videos=job.params.videos,
        species=job.params.species,
        table_out=Path(job.output.table),
        figure_out=Path(job.output.figure),
        seed=job.params.seed,
        level=job.params.level,
        draws=job.params.draws,
    )
    job.record(**facts)
