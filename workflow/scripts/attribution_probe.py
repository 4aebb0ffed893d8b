from longtake.attribution.sheet import VolumeRow
from longtake.job import job
from longtake.store.atomic import write_json
from longtake.volumes.axes import Axes
from longtake.volumes.probe import probe_volume

with job(snakemake) as it:
    row, options = VolumeRow(**it.params.row), it.params.options
    axes = Axes(row.axes or options["axes"], options["model_axes"])
    variable = row.variable or options["variable"]
    facts = probe_volume(row.path, axes, variable=variable, divide_by=options["divide_by"])
    write_json(it.output.facts, {"volume": row.volume, **facts})
    it.record(volume_status=facts["status"], volume_reason=facts["reason"])
