from longtake.job import job
from longtake.training.jobs import evaluate_job

with job(snakemake) as job:
    job.record(
        **evaluate_job(
            options=job.params.options,
            results=job.params.results,
            folds=job.params.study["folds"],
            seed=job.params.study["seed"],
            out=dict(job.output.items()),
        )
    )
