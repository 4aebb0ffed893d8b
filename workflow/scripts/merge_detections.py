from longtake.annotate.merge import merge_windows
from longtake.job import job

with job(snakemake) as it:
    it.record(**merge_windows(it.input.windows, it.output.detections))
