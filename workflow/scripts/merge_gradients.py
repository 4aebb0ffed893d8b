from longtake.job import job
from longtake.store.schemas import CLIPS, CURVES, PERTURBATIONS
from longtake.store.tables import concatenate

with job(snakemake) as it:
    it.record(curves=concatenate(it.input.curves, it.output.curves, CURVES))
    it.record(clips=concatenate(it.input.clips, it.output.clips, CLIPS))
    it.record(perturbations=concatenate(it.input.perturbations, it.output.perturbations, PERTURBATIONS))
