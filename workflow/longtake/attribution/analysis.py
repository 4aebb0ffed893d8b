"""What longtake knows of attribution without loading it: one job for each volume."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from longtake.unit import Analysis, Kind, Section, Study, Unit

VOLUME = Kind("attribution_volume", "attribution/{volume}/results.parquet", "attribution", work="passes", parts="maps")


def probe_of(study: Study, volume: str) -> dict[str, Any]:
    """Return what the probe found of a volume; status ``unreadable`` where it found nothing."""
    path = study.results / "probe" / "volumes" / f"{volume}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"status": "unreadable", "reason": f"{path} is missing or damaged"}


def case_of(facts: Mapping[str, Any]) -> str:
    """Return the name that volumes of one shape share: their jobs take the same."""
    return "x".join(map(str, [facts.get("channels", 1), *facts.get("model_shape", ())]))


def units(study: Study) -> Iterator[Unit]:
    """Yield the volumes that are analysed; facts ``volumes`` and ``passes``, of the model for each of them."""
    for name in study.facts["volumes"]:
        facts = probe_of(study, name)
        case = case_of(facts) if facts["status"] == "ok" else ""
        yield Unit(VOLUME.rule, {"volume": name}, name, study.facts["passes"], case=case, where=case)


def section(study: Study) -> dict[str, Any] | None:
    """Return the variables of the report's section."""
    from longtake.attribution.report import variables

    return variables(Path(study.results))


ANALYSIS = Analysis(
    name="attribution",
    kinds=(VOLUME,),
    units=units,
    targets={
        "attribution_summary": "attribution/results.csv",
        "attribution_pictures": "attribution/pictures/{volume}.json",
        "attribution_figures": "figures/attribution/summary.png",
    },
    sections=(Section("attribution", "Attribution of volumes", section, "report.html.j2", place=40),),
)
