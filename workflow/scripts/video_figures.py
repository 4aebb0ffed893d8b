from pathlib import Path

from longtake.job import job
from longtake.species.draw import draw_video

with job(snakemake) as it:
    facts = draw_video(
        video=it.wildcards["video"],
        windows=it.windows,
        detections=Path(it.input.detections),
        curves=next(map(Path, it.input["curves"]), None),
        statistics=Path(it.input.statistics[0]).parent,
        species=it.params.species,
        timeline_out=Path(it.output.timeline),
        heatmap_out=Path(it.output.heatmap),
    )
    it.record(**facts)
