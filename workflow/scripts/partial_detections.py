from longtake.annotate.partial import merge_what_exists
from longtake.annotate.sheet import Prompt
from longtake.job import job
from longtake.media.index_file import load_index

with job(snakemake) as it:
    facts = merge_what_exists(
        windows=it.windows,
        passes=[[found and found[0] for found in each] for each in it.params.passes],
        index=load_index(it.input.index, it.input.video),
        prompts=[Prompt(**row) for row in it.params.prompts],
        **{name: it.params[name] for name in ("overlap_iou", "dense_seeding", "frame_interval", "continuity")},
        detections_out=it.output.detections,
        holes_out=it.output.holes,
    )
    it.record(**facts)
