from longtake.annotate.partial import merge_what_exists
from longtake.annotate.sheet import Prompt
from longtake.job import job
from longtake.media.index_file import load_index

with job(snakemake) as job:
    facts = merge_what_exists(
        windows=job.windows,
        passes=[[found and found[0] for found in each] for each in job.params.passes],
        index=load_index(job.input.index, job.input.video),
        prompts=[Prompt(**row) for row in job.params.prompts],
        **{name: job.params[name] for name in ("overlap_iou", "dense_seeding", "frame_interval", "continuity")},
        detections_out=job.output.detections,
        holes_out=job.output.holes,
    )
    job.record(**facts)
