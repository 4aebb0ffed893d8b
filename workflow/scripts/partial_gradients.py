from longtake.annotate.partial import without_outdated
from longtake.job import job
from longtake.store.schemas import CLIPS, CURVES, PERTURBATIONS
from longtake.store.tables import concatenate

with job(snakemake) as job:
    for name, schema in {"curves": CURVES, "clips": CLIPS, "perturbations": PERTURBATIONS}.items():
        paths = [found[0] for found in without_outdated(job.params[name], job.input.holes) if found]
        job.record(**{name: concatenate(paths, job.output[name], schema)})
