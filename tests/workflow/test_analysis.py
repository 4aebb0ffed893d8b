"""One more analysis: its own files and one line of the Snakefile, and everything else shows it."""

import csv
import hashlib
import json

import pytest

# What whoever writes an analysis of arrays adds, by place.
FILES = {
    "workflow/longtake/toy/__init__.py": '"""Sums of arrays."""\n',
    "workflow/longtake/toy/options.py": '''"""The settings of section `toy`."""
from longtake.settings.section import Section, setting


class Options(Section):
    """Sums of arrays."""

    cases: list[str] = setting(["one", "two"], "Names of the arrays.")
    side: int = setting(3, "Rows and columns of each array.", ge=1)
''',
    "workflow/longtake/toy/analysis.py": '''"""What longtake knows of the toy."""
from longtake.unit import Analysis, Kind, Section, Study, Tile, Unit

CASE = Kind("toy_case", "toy/{case}.json", "toy sums", work="arrays")


def units(study: Study):
    for case in study.facts["cases"]:
        yield Unit(CASE.rule, {"case": case}, case, 1, {"rows": study.facts["side"]}, case="square")


def outdated(study: Study, unit: Unit) -> str:
    import json

    made = json.loads(CASE.path(study.results, unit).read_text())["side"]
    return f"made of {made} rows" if made != study.facts["side"] else ""


def section(study: Study):
    import json

    paths = [CASE.path(study.results, unit) for unit in units(study)]
    return {"rows": [(path.stem, json.loads(path.read_text())["sum"]) for path in paths if path.is_file()]}


ANALYSIS = Analysis(
    "toy", (CASE,), units, outdated, sections=(Section("toy", "Sums of toys", section, "report.html.j2"),)
)
''',
    "workflow/longtake/toy/workload.py": '''"""What a sum takes of memory."""
from longtake.planning.driver import Footprint, Probe, Workload


def workloads(ask):
    side = ask.study.facts["side"]
    for chunk in (side, 1):
        yield Workload("square", chunk, f"{chunk} rows at a time", {"side": side, "chunk": chunk})


def footprint(ask, workload):
    held = {"activations": 8 * workload.chunk * workload.depends["side"]}
    return Footprint(held, held, effort=1.0)


def probe(ask, first):
    return Probe(100 * 2**20, speed=10.0)
''',
    "workflow/longtake/toy/sums.py": '''"""The work."""
import json
from dataclasses import asdict

from longtake.store.atomic import write_text
from longtake.unit import Done


def add(out, side, rows, progress=None):
    write_text(out, json.dumps({"side": side, "rows": rows, "sum": side * side}))
    return {"status": "ok", "done": asdict(Done(1, 0.5, {"rows": side}))}
''',
    "workflow/longtake/toy/report.html.j2": "{{ table(('Case', 'Sum'), rows, numeric=(1,)) }}\n",
    "workflow/scripts/toy_case.py": """from longtake.job import job
from longtake.toy.sums import add

with job(snakemake) as job:
    job.survive(add, out=job.output.sum, side=job.params.side, rows=job.resources["chunk"])
""",
    "rules/toy.smk": '''"""Sums of arrays."""

CASES = settings.toy.cases


rule toy_case:
    input:
        plan=wait_for_plan,
    output:
        sum=f"{OUT}/toy/{{case}}.json",
    log:
        f"{OUT}/logs/toy_case/{{case}}.log",
    benchmark:
        f"{OUT}/benchmarks/toy_case/{{case}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        **asked("toy_case"),
    params:
        side=settings.toy.side,
        code=digest("longtake.toy.sums"),
    message:
        "Add {wildcards.case}: {resources.mem_mb} MB; {resources.plan}"
    script:
        "../workflow/scripts/toy_case.py"


takes_part(
    "toy",
    active=bool(CASES),
    facts=lambda: {"cases": CASES, "side": settings.toy.side},
    targets=expand(f"{OUT}/toy/{{case}}.json", case=CASES),
)
''',
}


def of_project(project):
    """Digests of the project's own files, without results and what Snakemake keeps."""
    kept = ("Snakefile", "rules", "workflow", "config", "envs", "profiles")
    paths = [path for name in kept for path in [project.path / name, *(project.path / name).rglob("*")]]
    files = [path for path in paths if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(project.path)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def extended(finished, tmp_path_factory):
    """The finished project with the toy, and its own files before and after."""
    project = finished.copy(tmp_path_factory.mktemp("toy") / "checkout")
    before = of_project(project)
    for place, text in FILES.items():
        path = project.path / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    snakefile = project.path / "Snakefile"
    line = 'include: "rules/plan.smk"\n'
    snakefile.write_text(snakefile.read_text().replace(line, f'include: "rules/toy.smk"\n{line}'))
    return project, before, of_project(project)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_an_analysis_is_its_own_files_and_one_line_and_everything_shows_it(extended):
    project, before, after = extended
    assert {place for place in after if after[place] != before.get(place)} == {"Snakefile", *FILES}
    jobs = project.jobs("all")
    assert jobs["forecast"] == 1
    assert not {"windows", "probe_video", "annotate_window", "gradients_window", "merge_detections"} & jobs.keys()
    tables = project.digests("annotate", "detections", "gradients", "statistics")

    project.run("all", "status", "memory_check")
    assert project.digests("annotate", "detections", "gradients", "statistics") == tables, "no window ran again"
    assert not project.jobs("all")
    assert json.loads((project.out / "toy/one.json").read_text()) == {"side": 3, "rows": 3, "sum": 9}
    plan = [row for row in rows_of(project.out / "plan/jobs.tsv") if row["rule"] == "toy_case"]
    assert [(row["unit"], row["subject"], row["work"], row["counted"], row["way"]) for row in plan] == [
        (case, case, "1", "arrays", "3 rows at a time") for case in ("one", "two")
    ]
    record = json.loads((project.out / "logs/toy_case/one.json").read_text())
    assert (record["done"]["load"], record["asked"]["forecast"]) == ({"rows": 3}, plan[0]["key"])
    status = [row for row in rows_of(project.out / "reports/status.tsv") if row["row"] == "toy sums"]
    assert [(row["subject"], row["status"]) for row in status] == [("one", "ok"), ("two", "ok")]
    assert "toy sums: 2 ok" in (project.out / "reports/status.txt").read_text()
    assert {row["analysis"] for row in rows_of(project.out / "reports/memory_check.tsv")} >= {"toy", "annotate"}
    assert "toy_case" in {row["rule"] for row in rows_of(project.out / "reports/memory.tsv")}
    page = (project.out / "report.html").read_text()
    assert '<section id="toy"><h2>Sums of toys</h2>' in page
    assert "<small>Toy sums</small><b>2</b>" in page


def test_its_settings_and_measurements_count_as_everybodys(extended):
    project, *_ = extended
    again = ("--config", "toy={side: 4}")
    project.run("status", *again)
    told = rows_of(project.out / "reports/status.tsv")
    assert [row["reason"] for row in told if row["row"] == "toy sums"] == ["made of 3 rows"] * 2
    project.run("plan", "--forcerun=plan")
    plan = [row for row in rows_of(project.out / "plan/jobs.tsv") if row["rule"] == "toy_case"]
    assert all(row["why"].endswith("as 2 earlier jobs used") for row in plan)
    assert "toy" in project.run("status", "--config", "toy={sides: 4}", fails=True)


def test_an_empty_sheet_of_videos_will_do_where_another_analysis_has_rows(extended, tmp_path):
    project = extended[0].copy(tmp_path / "checkout")
    for name in ("videos", "prompts"):
        sheet = project.path / f"config/{name}.tsv"
        sheet.write_text(sheet.read_text().splitlines()[0] + "\n")
    options = ("--config", "output_dir=elsewhere")
    jobs = project.jobs("all", *options)
    assert not {"windows", "annotate_window"} & jobs.keys()
    project.run("all", "status", *options)
    assert {row["rule"] for row in rows_of(project.path / "elsewhere/plan/jobs.tsv")} == {"toy_case"}
    assert "Sums of toys" in (project.path / "elsewhere/report.html").read_text()
    assert "holds no video" in project.run("all", *options, "toy={cases: []}", fails=True)


def test_without_what_speeds_snakemake_up_all_works_the_same(finished, tmp_path):
    project = finished.copy(tmp_path / "checkout")
    rules = project.path / "rules/driver.smk"
    text = rules.read_text()
    assert 'TRIED = ("9.",)' in text
    rules.write_text(text.replace('TRIED = ("9.",)', 'TRIED = ("none",)'))
    assert not project.jobs("all"), "no job's params, inputs or resources differ"
    project.forget("annotate/pond-b/window-0001.parquet", "detections/pond-b.parquet")
    assert project.jobs("annotate")["annotate_window"] == 1
    project.run("annotate")
    assert project.digests("detections") == finished.digests("detections")
