from pathlib import Path

from longtake.job import job
from longtake.species.draw import draw_video

with job(snakemake) as job:
    facts = draw_video(
        video=job.wildcards["video"],
        windows=job.windows,
        detections=Path(job.input.detections),
        curves=next(map(Path, job.input["curves"]), None),
        statistics=Path(job.input.statistics[0]).parent,
        species=job.params.species,
        timeline_out=Path(job.output.timeline),
        heatmap_out=Path(job.output.heatmap),
    )
    job.record(**facts)
