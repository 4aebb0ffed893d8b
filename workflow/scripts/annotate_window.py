from longtake.annotate import ways, window
from longtake.annotate.sheet import Prompt
from longtake.job import job

with job(snakemake) as it:
    it.survive(
        window.annotate_window,
        ways.ladder,
        video_path=it.input.video,
        index_path=it.input.index,
        window=it.window,
        prompts=[Prompt(**row) for row in it.params.prompts],
        model_dir=it.params.model,
        state_in=next(iter(it.input.state), None),
        detections_out=it.output.detections,
        state_out=next(iter(it.output.state), None),
        direction=it.params.direction,
        device=it.device(it.params.force_cpu),
        **window.asked(it.params.options, it.resources),
    )
