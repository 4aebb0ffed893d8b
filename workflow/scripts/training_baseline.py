from longtake.job import job
from longtake.training.jobs import baseline_job

with job(snakemake) as it:
    it.record(
        **baseline_job(
            options=it.params.options,
            model=it.wildcards["model"],
            unit=int(it.wildcards["fold"]),
            folds=it.params.study["folds"],
            features=it.input.features,
            folder=it.params.folder,
            seed=it.params.study["seed"],
        )
    )
