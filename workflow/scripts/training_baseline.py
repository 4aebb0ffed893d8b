from longtake.job import job
from longtake.training.jobs import baseline_job

with job(snakemake) as job:
    job.record(
        **baseline_job(
            options=job.params.options,
            model=job.wildcards["model"],
            unit=int(job.wildcards["fold"]),
            folds=job.params.study["folds"],
            features=job.input.features,
            folder=job.params.folder,
            seed=job.params.study["seed"],
        )
    )
