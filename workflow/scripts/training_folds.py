from longtake.job import job
from longtake.training.leaks import make_folds

with job(snakemake) as job:
    job.record(
        **make_folds(
            job.params.rows,
            job.input.clips,
            job.input.sources,
            out=dict(job.output.items()),
            **job.params.options,
            seed=job.params.seed,
            sheet=job.params.sheet,
            before=job.params.before,
        )
    )
