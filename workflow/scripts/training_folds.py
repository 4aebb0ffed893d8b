from longtake.job import job
from longtake.training.leaks import make_folds

with job(snakemake) as it:
    it.record(
        **make_folds(
            it.params.rows,
            it.input.clips,
            it.input.sources,
            out=dict(it.output.items()),
            **it.params.options,
            seed=it.params.seed,
            sheet=it.params.sheet,
        )
    )
