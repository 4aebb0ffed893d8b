from pathlib import Path

from longtake.job import job
from longtake.media.segment import write_window
from longtake.media.windows import Window

with job(snakemake) as job:
    facts = write_window(
        source=Path(job.input.video),
        index_path=Path(job.input.index),
        window=Window(**job.params.window),
        out=Path(job.output.video),
    )
    job.record(**facts)
