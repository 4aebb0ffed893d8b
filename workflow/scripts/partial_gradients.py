from longtake.annotate.partial import without_outdated
from longtake.job import job
from longtake.store.schemas import CLIPS, CURVES, PERTURBATIONS
from longtake.store.tables import concatenate

with job(snakemake) as it:
    for name, schema in {"curves": CURVES, "clips": CLIPS, "perturbations": PERTURBATIONS}.items():
        paths = [found[0] for found in without_outdated(it.params[name], it.input.holes) if found]
        it.record(**{name: concatenate(paths, it.output[name], schema)})
