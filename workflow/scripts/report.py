from pathlib import Path

from longtake.job import job
from longtake.report.memory import write_memory
from longtake.report.page import write_report

with job(snakemake) as it:
    facts = write_report(
        results=Path(it.params.results),
        out=Path(it.output.page),
        species=it.params.species,
        settings=it.params.settings,
        pages={species: Path(page) for species, page in it.params.pages.items()},
        command=it.params.command,
    )
    it.record(**facts, jobs=write_memory(Path(it.params.results), Path(it.output.memory)))
