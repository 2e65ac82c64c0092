"""A real Slurm of one node on the loopback interface, for the time of a ``with`` block.

Everything of it lies in one folder: configuration, keys, sockets, logs, database. It is reached
through ``SLURM_CONF`` alone, so that another Slurm of the same machine is neither used nor touched.
Needs the programs of Debian's packages slurmctld, slurmd, slurm-client, munge, and for accounting
slurmdbd and mariadb-server.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
DATABASE_PROGRAMS = ("slurmdbd", "sacctmgr", "sacct", "mariadbd", "mariadb", "mariadb-install-db")
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])

# More than a test machine has: nothing is enforced but each job's own request of memory.
CPUS, MEMORY_MB, GPUS = 4, 64_000, 2

SLURM = """
ClusterName=tunescape
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={slurmctld}
SlurmdPort={slurmd}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
# No control groups: a test machine may lack them. Memory is sampled every second instead.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
KillWait=2
MessageTimeout=5
MinJobAge=600
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus}
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
{accounting}
"""

NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none"

ACCOUNTING = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={slurmdbd}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
"""

DATABASE = """
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={slurmdbd}
CommunicationParameters=NoInAddrAny
SlurmUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={mariadb}
StorageUser=slurm
StoragePass={password}
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""


def missing_programs() -> list[str]:
    """Programs of the packages that this machine lacks."""
    return [name for name in (*PROGRAMS, *DATABASE_PROGRAMS) if not shutil.which(name, path=SEARCH)]


def wait_until(what: str, condition: Callable[[], object], limit: float = 180) -> None:
    """Wait for a condition to hold.

    Raises:
        TimeoutError: it does not hold within ``limit`` seconds.
    """
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {limit:g} s")
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@dataclass
class Cluster:
    """A Slurm of one node, with or without accounting.

    Attributes:
        folder: where all of it is kept; its path is short enough for a socket's name.
        accounting: whether slurmdbd and its database are part of it.
        environment: what programs need that are to use it.
    """

    folder: Path
    accounting: bool
    environment: Mapping[str, str] = field(init=False)
    daemons: dict[str, subprocess.Popen[bytes]] = field(init=False, default_factory=dict)

    def __enter__(self) -> Cluster:
        try:
            self._configure()
            self._start_munge()
            if self.accounting:
                self._start_database()
            self.start_slurm()
        except BaseException as error:
            self._stop()
            error.add_note(self._last_words())
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if "slurmctld" in self.daemons:
                self.cancel_jobs()
        finally:
            self._stop()

    def await_end(self, job: str) -> None:
        """Wait until a job is over."""
        listed = ("squeue", "--noheader", "--format=%i", "--jobs", job)
        wait_until(f"job {job} is over", lambda: not self.ask(*listed))

    def cancel_jobs(self) -> None:
        """Cancel all jobs and wait until they are over."""
        self.call("scancel", "--user", getpass.getuser())
        wait_until("all jobs are over", lambda: not self.ask("squeue", "--noheader"))

    def call(self, *command: str, limit: float = 180) -> subprocess.CompletedProcess[str]:
        """Run a program of Slurm."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=limit
        )

    def ask(self, *command: str) -> str:
        """What a program of Slurm prints; it must succeed."""
        done = self.call(*command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def stop_slurm(self) -> None:
        """Take the controller and the node away; jobs go on, and are known again after a start."""
        for name in ("slurmctld", "slurmd"):
            self._end(self.daemons.pop(name))

    def start_slurm(self) -> None:
        """Start the controller and the node."""
        self._spawn("slurmctld", "-D")
        wait_until("slurmctld answers", lambda: not self.call("scontrol", "ping").returncode)
        self._spawn("slurmd", "-D", "-N", self._names["host"])
        ready = {"idle", "mixed", "allocated"}
        wait_until("the node is ready", lambda: self.ask("sinfo", "-h", "-o", "%T") in ready)

    def _configure(self) -> None:
        ports = zip(("slurmctld", "slurmd", "slurmdbd", "mariadb"), free_ports(4), strict=True)
        self._names = {
            "host": socket.gethostname().split(".")[0],
            "folder": str(self.folder),
            "user": getpass.getuser(),
            "cpus": str(CPUS),
            "memory": str(MEMORY_MB),
            "gpus": str(GPUS),
            "password": os.urandom(12).hex(),
            **{name: str(port) for name, port in ports},
        }
        accounting = ACCOUNTING if self.accounting else NO_ACCOUNTING
        self._names["accounting"] = accounting.format(**self._names)
        for name in ("etc", "bin", "state", "spool"):
            (self.folder / name).mkdir(parents=True)
        conf = self.folder / "etc" / "slurm.conf"
        conf.write_text(SLURM.format(**self._names))
        conf.with_name("cgroup.conf").write_text("CgroupAutomount=no\n")
        # A pretended GPU is any file.
        cards = [self.folder / f"gpu{number}" for number in range(GPUS)]
        for card in cards:
            card.touch()
        lines = [f"Name=gpu File={card}\n" for card in cards]
        conf.with_name("gres.conf").write_text("".join(lines))
        # The plugin hides SLURM_CONF from the `srun` of a job.
        srun = self.folder / "bin" / "srun"
        real = shutil.which("srun", path=SEARCH)
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {real} "$@"\n')
        srun.chmod(0o755)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
        path = f"{srun.parent}{os.pathsep}{SEARCH}"
        self.environment = {**kept, "SLURM_CONF": str(conf), "PATH": path}

    def _spawn(self, name: str, *arguments: str) -> None:
        # A daemon ends with the process that started it, even when that one is killed.
        command = ["setpriv", "--pdeathsig", "TERM", name, *arguments]
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _start_munge(self) -> None:
        key, names = self.folder / "munge.key", ("socket", "pid", "seed", "log")
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        files = {name: str(self.folder / f"munge.{name}") for name in names}
        self._spawn(
            "munged",
            "--foreground",
            "--force",
            f"--key-file={key}",
            f"--socket={files['socket']}",
            f"--pid-file={files['pid']}",
            f"--seed-file={files['seed']}",
            f"--log-file={files['log']}",
        )
        command = ("munge", "--no-input", "--socket", files["socket"])
        wait_until("munged answers", lambda: not self.call(*command).returncode)

    def _start_database(self) -> None:
        data, user = self.folder / "mariadb", getpass.getuser()
        self.ask(
            "mariadb-install-db",
            "--no-defaults",
            f"--user={user}",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        connection = f"--socket={self.folder}/mariadb.socket"
        self._spawn(
            "mariadbd",
            "--no-defaults",
            f"--user={user}",
            f"--datadir={data}",
            connection,
            f"--pid-file={self.folder}/mariadb.pid",
            "--bind-address=127.0.0.1",
            f"--port={self._names['mariadb']}",
            "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-lock-wait-timeout=900",
            "--performance-schema=OFF",
        )
        sql = ("mariadb", "--no-defaults", connection, "--user=root", "--execute")
        wait_until("mariadbd answers", lambda: not self.call(*sql, "select 1").returncode)
        self.ask(
            *sql,
            f"create user slurm@'127.0.0.1' identified by '{self._names['password']}';"
            "grant all on slurm_acct_db.* to slurm@'127.0.0.1'",
        )
        conf = self.folder / "etc" / "slurmdbd.conf"
        conf.write_text(DATABASE.format(**self._names))
        conf.chmod(0o600)
        self._spawn("slurmdbd", "-D")
        shown = ("sacctmgr", "--noheader", "show", "cluster")
        wait_until("slurmdbd answers", lambda: not self.call(*shown).returncode)
        for entry in (
            ["cluster", "tunescape"],
            ["account", "research", "cluster=tunescape"],
            ["user", user, "account=research", "defaultaccount=research"],
        ):
            self.call("sacctmgr", "--immediate", "add", *entry)

    def _stop(self) -> None:
        """End the daemons, the last started first; none outlives this call."""
        for name in reversed(self.daemons):
            self._end(self.daemons[name])
        self.daemons.clear()
        # What a job left behind, for want of control groups; all of it has our configuration.
        mark = f"SLURM_CONF={self.folder}/etc/slurm.conf".encode()
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if mark in environment.read_bytes().split(b"\0"):
                    os.kill(int(environment.parent.name), signal.SIGKILL)

    @staticmethod
    def _end(daemon: subprocess.Popen[bytes]) -> None:
        daemon.terminate()
        try:
            daemon.wait(timeout=10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _last_words(self) -> str:
        logs = sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        told: Sequence[str] = [f"--- {log.name}\n{log.read_text()[-1500:]}" for log in logs]
        return "\n".join(told)
