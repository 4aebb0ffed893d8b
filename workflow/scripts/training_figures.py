from longtake.job import job
from longtake.training.figures import training_figures

with job(snakemake) as job:
    job.record(**training_figures(job.params.results, job.params.store, job.output[0]))
