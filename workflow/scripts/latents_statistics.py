from longtake.job import job
from longtake.latents.results import study_statistics

with job(snakemake) as it:
    it.run(
        study_statistics,
        given=dict(it.input.items()),
        out=dict(it.output.items()),
        options=it.params.options,
        seed=it.params.seed,
        level=it.params.level,
    )
