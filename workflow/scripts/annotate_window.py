from longtake.annotate import ways, window
from longtake.annotate.sheet import Prompt
from longtake.job import job

with job(snakemake) as job:
    job.survive(
        window.annotate_window,
        ways.ladder,
        video_path=job.input.video,
        index_path=job.input.index,
        window=job.window,
        prompts=[Prompt(**row) for row in job.params.prompts],
        model_dir=job.params.model,
        state_in=next(iter(job.input.state), None),
        detections_out=job.output.detections,
        state_out=next(iter(job.output.state), None),
        direction=job.params.direction,
        device=job.device(job.params.force_cpu),
        **window.asked(job.params.options, job.resources),
    )
