from longtake.job import job
from longtake.store.schemas import CLIPS, CURVES, PERTURBATIONS
from longtake.store.tables import concatenate

with job(snakemake) as job:
    job.record(curves=concatenate(job.input.curves, job.output.curves, CURVES))
    job.record(clips=concatenate(job.input.clips, job.output.clips, CLIPS))
    job.record(perturbations=concatenate(job.input.perturbations, job.output.perturbations, PERTURBATIONS))
