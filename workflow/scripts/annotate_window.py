from longtake.annotate.window import annotate_window
from longtake.job import job
from longtake.sheets import Prompt

with job(snakemake) as it:
    it.survive(
        annotate_window,
        video_path=it.input.video,
        index_path=it.input.index,
        window=it.window,
        prompts=[Prompt(**row) for row in it.params.prompts],
        model_dir=it.params.model,
        scale=it.params.scale,
        frame_interval=it.params.frame_interval,
        state_in=next(iter(it.input.state), None),
        detections_out=it.output.detections,
        state_out=it.output.state,
        device=it.device(it.params.force_cpu),
        **it.params.tracker,
    )
