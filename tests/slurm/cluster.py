"""A real SLURM of several nodes on this machine, in one folder, for as long as the tests take.

munged, mariadbd and slurmdbd (the accounts), slurmctld and one slurmd a node run in the foreground as children of this
process, with a key, sockets and ports of their own, so that they meet neither a SLURM of the system nor a second test
run. Nodes claim more processors and memory than the machine has, and GPUs that are copies of /dev/null: enough for a
scheduler, which never looks. Memory is enforced: a job is killed that uses more than it asked for.

As a program it starts such a cluster to try the profile on, until Ctrl-C.
"""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

CLIENTS = ("sbatch", "srun", "scontrol", "squeue", "scancel", "sinfo", "sacct", "sacctmgr", "sshare")
COMMANDS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd", *CLIENTS, "setpriv")
# Where Debian's mariadb-server-core keeps what makes an empty database a usable one.
SYSTEM_TABLES = [
    Path("/usr/share/mysql") / f"mysql_{name}.sql"
    for name in ("system_tables", "performance_tables", "system_tables_data")
]


@dataclass(frozen=True)
class Node:
    """A node as the scheduler sees it: its GPUs, the GB of each, and the partition of its kind."""

    name: str
    gpus: int = 0
    gpu_model: str = ""
    gpu_gb: int = 0
    partition: str = ""

    @property
    def counted(self):
        """What may be asked of it: whole GPUs, eighths of them, or their memory, which is a number and no device."""
        if not self.gpus:
            return {}
        return {f"gpu:{self.gpu_model}": self.gpus, "shard": 8 * self.gpus, "vram": f"{self.gpu_gb * self.gpus}G"}


# One that asks for GPUs finds every way of asking here that config/clusters shows.
NODES = (
    Node("small-1", gpus=2, gpu_model="t4", gpu_gb=16, partition="gpu-small"),
    Node("small-2", gpus=2, gpu_model="t4", gpu_gb=16, partition="gpu-small"),
    Node("large", gpus=1, gpu_model="a100", gpu_gb=40, partition="gpu-large"),
    Node("plain"),
)


@dataclass(frozen=True)
class Cluster:
    """A running SLURM: `environment` is what a command needs to find it."""

    path: Path

    @property
    def environment(self):
        return {"SLURM_CONF": str(self.path / "slurm.conf"), "PATH": f"{self.path / 'bin'}:{os.environ['PATH']}"}

    def ask(self, *command):
        return self._run(*command).stdout

    def _run(self, *command):
        return subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False, timeout=30
        )

    def _answer(self, *command):
        """What a command answered, or None: on a loaded machine the controller may miss its own time-out."""
        with suppress(subprocess.TimeoutExpired):
            done = self._run(*command)
            return done if done.returncode == 0 else None
        return None

    def submissions(self):
        """Every job the controller remembers, as its fields, in the order of submission."""
        asked = ("scontrol", "--oneliner", "show", "job")
        lines = self.wait_for(lambda: self._answer(*asked), "scontrol does not answer", 120).stdout.splitlines()
        records = [record for record in (dict(FIELD.findall(line)) for line in lines) if "Comment" in record]
        return sorted(records, key=lambda record: int(record["JobId"]))

    def jobs(self):
        """Comment -> fields of the last job with that comment, which says the rule and the window."""
        return {record["Comment"]: record for record in self.submissions()}

    def wait_for(self, condition, complaint, seconds=300):
        return wait_until(condition, complaint, self.path, seconds)

    def working(self, comment, before, log, seconds=600):
        """A job that is not in `before` and has begun to write its log, so that there is something to lose."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job = self.jobs().get(comment)
            new = job is not None and job["JobId"] != before.get(comment, {}).get("JobId")
            if new and job["JobState"] == "RUNNING" and log.exists() and log.stat().st_size:
                return job
            time.sleep(0.3)
        raise TimeoutError(comment)

    @staticmethod
    def megabytes(number):
        """Memory as SLURM writes it: in the largest unit of which it is a whole number."""
        number = int(number)
        return f"{number // 1024}G" if number % 1024 == 0 else f"{number}M"

    @staticmethod
    def megabytes_of(job):
        """What a job asked for, as a number."""
        number, unit = float(job["MinMemoryNode"][:-1]), job["MinMemoryNode"][-1]
        return round(number * {"M": 1, "G": 1024}[unit])

    def nodes(self):
        lines = self.ask("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines()
        return dict(line.split() for line in lines)


FIELD = re.compile(r"(\S+?)=(\S*)")


def missing():
    """Why no cluster can be started here, or nothing."""
    if os.geteuid() != 0:
        return "a SLURM of our own needs root"
    absent = [name for name in COMMANDS if shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None]
    if absent:
        packages = "slurmctld slurmd slurm-client munge slurmdbd mariadb-server-core"
        return f"{', '.join(absent)} not found: apt-get install {packages}"
    return ""


@contextmanager
def running_cluster(nodes=NODES):
    """Start a cluster; stop all of it at the end, and only it."""
    path = Path(tempfile.mkdtemp(prefix="longtake-slurm-"))
    cluster = Cluster(path)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        stack.callback(end_what_is_left, path)
        write_files(path, nodes)
        stack.enter_context(daemon(cluster, "munged", *munge_options(path)))
        wait_until((path / "munge.socket").exists, "munged made no socket", path)
        start_accounts(cluster, stack)
        stack.enter_context(daemon(cluster, "slurmctld", "-D"))
        for node in nodes:
            stack.enter_context(daemon(cluster, "slurmd", "-D", "-N", node.name, name=f"slurmd-{node.name}"))
        stack.callback(cancel_everything, cluster)
        ready = {node.name: "idle" for node in nodes}
        wait_until(lambda: cluster.nodes() == ready, "the nodes did not come up", path)
        yield cluster


def start_accounts(cluster, stack):
    """A database of our own, and the daemon that keeps the accounts in it."""
    path = cluster.path
    buffers = ("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--innodb-lock-wait-timeout=900")
    small = (*buffers, "--user=root", f"--datadir={path}/accounts")
    program = shutil.which("mariadbd", path=os.environ["PATH"] + ":/usr/sbin")
    tables = "".join(["create database mysql;\nuse mysql;\n", *(file.read_text() for file in SYSTEM_TABLES)])
    with (path / "mariadbd-bootstrap.log").open("w") as log:
        command = [program, "--no-defaults", "--bootstrap", *small]
        subprocess.run(command, input=tables, stderr=log, text=True, check=True)
    ports = Ports.read(path)
    private = (f"--socket={path}/mariadb.socket", "--bind-address=127.0.0.1", f"--port={ports.database}")
    options = ("--no-defaults", *small, *private, f"--pid-file={path}/mariadbd.own.pid", "--skip-grant-tables")
    stack.enter_context(daemon(cluster, "mariadbd", *options))
    log = path / "mariadbd.log"
    wait_until(lambda: "ready for connections" in log.read_text(), "the database did not start", path)
    stack.enter_context(daemon(cluster, "slurmdbd", "-D"))
    named = ("sacctmgr", "--immediate", "add", "cluster", "longtake")
    wait_until(lambda: "longtake" in cluster.ask(*named), "slurmdbd does not answer", path)


def cancel_everything(cluster):
    """A slurmd leaves its jobs running when it ends: end them first."""
    cluster.ask("scancel", "--user=root", "--full")
    with suppress(TimeoutError):
        wait_until(lambda: not cluster.ask("squeue", "--noheader"), "jobs do not end", cluster.path, seconds=20)


def end_what_is_left(path):
    """End processes of jobs that nobody kills any more: of a lost node, or of a Snakemake that hangs in SIGTERM."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            of = process.environ()
            if "SLURM_JOB_ID" in of and of.get("PATH", "").startswith(f"{path}/bin:"):
                process.kill()


@contextmanager
def daemon(cluster, program, *options, name=None):
    """A child that also ends when this process is killed."""
    name = name or program
    program = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    with (cluster.path / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", program, *options],
            env={**os.environ, **cluster.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (cluster.path / f"{name}.pid").write_text(f"{process.pid}\n")
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(condition, complaint, path, seconds=60):
    """What `condition` gives, once that is true of it."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            logs = "\n".join(f"== {log.name}\n{log.read_text()[-1500:]}" for log in sorted(path.glob("*.log")))
            raise TimeoutError(f"{complaint}\n{logs}")
        time.sleep(0.1)
    return found


def munge_options(path):
    # Forced: a folder of mode 0700 above the socket is refused otherwise, and everything here runs as root.
    files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid", "seed-file": "munge.seed"}
    return ["--force", "--foreground", *(f"--{option}={path / name}" for option, name in files.items())]


def write_files(path, nodes):
    """Key, fake devices, slurm.conf, gres.conf, and a way to it for steps of jobs."""
    path.chmod(0o755)
    key = path / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    (path / "state").mkdir()
    devices = []
    for node in nodes:
        (path / f"spool-{node.name}").mkdir()
        for number in range(node.gpus):
            device = path / f"gpu-{node.name}-{number}"
            os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            devices.append(f"NodeName={node.name} Name=gpu Type={node.gpu_model} File={device}")
        if node.gpus:
            devices.append(f"NodeName={node.name} Name=shard Count={node.counted['shard']}")
            devices.append(f"NodeName={node.name} Name=vram Count={node.counted['vram']} Flags=CountOnly")
    (path / "accounts").mkdir()
    (path / "gres.conf").write_text("\n".join([*devices, ""]))
    ports = Ports.free(path, nodes)
    (path / "slurm.conf").write_text(slurm_conf(path, nodes, ports))
    (path / "slurmdbd.conf").touch(mode=0o600)
    (path / "slurmdbd.conf").write_text(slurmdbd_conf(path, ports))
    # Snakemake's plugin takes every SLURM_ variable from the environment of a job's own srun, and of a driver that is a
    # job itself: SLURM_CONF too, and without it these look in /etc/slurm only.
    (path / "bin").mkdir()
    for name in CLIENTS:
        command = path / "bin" / name
        command.write_text(f'#!/bin/sh\nSLURM_CONF={path}/slurm.conf exec {shutil.which(name)} "$@"\n')
        command.chmod(0o755)


@dataclass(frozen=True)
class Ports:
    """The ports of one cluster, kept in its folder."""

    controller: int
    accounts: int
    database: int
    nodes: tuple[int, ...]

    @classmethod
    def free(cls, path, nodes):
        controller, accounts, database, *others = free_ports(3 + len(nodes))
        (path / "ports.json").write_text(json.dumps([controller, accounts, database, others]))
        return cls.read(path)

    @classmethod
    def read(cls, path):
        *single, nodes = json.loads((path / "ports.json").read_text())
        return cls(*single, tuple(nodes))


def slurmdbd_conf(path, ports):
    lines = [
        "AuthType=auth/munge",
        f"AuthInfo=socket={path}/munge.socket",
        "DbdHost=localhost",
        "DbdAddr=127.0.0.1",
        f"DbdPort={ports.accounts}",
        "SlurmUser=root",
        f"PidFile={path}/slurmdbd.own.pid",
        "StorageType=accounting_storage/mysql",
        "StorageHost=127.0.0.1",
        f"StoragePort={ports.database}",
        "StorageUser=root",
        "StorageLoc=longtake_accounts",
    ]
    return "\n".join([*lines, ""])


def slurm_conf(path, nodes, ports):
    lines = [
        "ClusterName=longtake",
        f"SlurmctldHost={socket.gethostname().split('.')[0]}(127.0.0.1)",
        f"SlurmctldPort={ports.controller}",
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={path}/munge.socket",
        f"StateSaveLocation={path}/state",
        f"SlurmdSpoolDir={path}/spool-%n",
        f"SlurmctldPidFile={path}/slurmctld.own.pid",
        f"SlurmdPidFile={path}/slurmd-%n.own.pid",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "MpiDefault=none",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_CPU_Memory",
        "GresTypes=gpu,shard,vram",
        "SlurmdParameters=config_overrides",
        # An administrator who sets a node down must resume it; by itself it comes back only if it was not heard of.
        "ReturnToService=1",
        "AccountingStorageType=accounting_storage/slurmdbd",
        "AccountingStorageHost=127.0.0.1",
        f"AccountingStoragePort={ports.accounts}",
        # What sacct can tell later: the rule and the window, and the GPUs.
        "AccountingStoreFlags=job_comment",
        "AccountingStorageTRES="
        + ",".join(sorted({"gres/gpu", *(f"gres/gpu:{node.gpu_model}" for node in nodes if node.gpus)})),
        # What authenticates towards slurmdbd: its own entry, although it is the socket of AuthInfo again.
        f"AccountingStoragePass={path}/munge.socket",
        # Resident memory is looked at every second; a job with more than it asked for is killed.
        "JobAcctGatherType=jobacct_gather/linux",
        "JobAcctGatherFrequency=task=1",
        "JobAcctGatherParams=OverMemoryKill",
        # Finished jobs are remembered until the last test has asked.
        "MinJobAge=3600",
        "KillWait=2",
        "SchedulerParameters=sched_interval=1,batch_sched_delay=0",
    ]
    for node, port in zip(nodes, ports.nodes, strict=True):
        gres = ",".join(f"{name}:{count}" for name, count in node.counted.items())
        lines.append(
            f"NodeName={node.name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=64000"
            + (f" Feature=gpu_mem_{node.gpu_gb}gb Gres={gres}" if gres else "")
        )
    for partition in sorted({node.partition for node in nodes if node.partition}):
        inside = ",".join(node.name for node in nodes if node.partition == partition)
        lines.append(f"PartitionName={partition} Nodes={inside} MaxTime=1-0 State=UP")
    lines.append("PartitionName=batch Nodes=ALL Default=YES MaxTime=1-0 State=UP")
    return "\n".join([*lines, ""])


def free_ports(number):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def main():
    sys.stdout.write("Starting a SLURM in a folder of its own ...\n")
    with running_cluster() as cluster:
        sys.stdout.write(
            "Ready. In another terminal, from the checkout:\n\n"
            f"  export SLURM_CONF={cluster.path}/slurm.conf PATH={cluster.path}/bin:$PATH\n"
            "  sinfo -o '%P %G %f %m'\n"
            "  .venv/bin/snakemake --profile profiles/slurm --configfile config/demo/videos.yaml \\\n"
            "      --config cluster=config/clusters/by-model.yaml 'device={force_cpu: false}'\n"
            "  squeue -o '%i %T %M %m %b %k'; sacct -X --format=JobID,Comment%50,State,ReqMem,Timelimit,ReqTRES%45\n\n"
            "Ctrl-C here ends it, and removes the folder.\n"
        )
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
