from longtake.attribution.sheet import VolumeRow
from longtake.job import job
from longtake.store.atomic import write_json
from longtake.volumes.axes import Axes
from longtake.volumes.probe import probe_volume

with job(snakemake) as job:
    row, options = VolumeRow(**job.params.row), job.params.options
    axes = Axes(row.axes or options["axes"], options["model_axes"])
    variable = row.variable or options["variable"]
    facts = probe_volume(row.path, axes, variable=variable, divide_by=options["divide_by"])
    write_json(job.output.facts, {"volume": row.volume, **facts})
    job.record(volume_status=facts["status"], volume_reason=facts["reason"])
