from pathlib import Path

from longtake.export.overlay import write_overlay
from longtake.job import job

with job(snakemake) as job:
    job.run(
        write_overlay,
        video_path=Path(job.input.video),
        index_path=Path(job.input.index),
        detections=Path(job.input.detections),
        windows=job.windows,
        frame_interval=job.params.frame_interval,
        species=job.params.species,
        width=job.params.width,
        out=Path(job.output.video),
    )
