from longtake.job import job
from longtake.training.figures import training_figures

with job(snakemake) as it:
    it.record(**training_figures(it.params.results, it.params.store, it.output[0]))
