from longtake.job import job
from longtake.training.jobs import evaluate_job

with job(snakemake) as it:
    it.record(
        **evaluate_job(
            options=it.params.options,
            results=it.params.results,
            folds=it.params.study["folds"],
            seed=it.params.study["seed"],
            out=dict(it.output.items()),
        )
    )
