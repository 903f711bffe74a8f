"""The example for a cluster, run to its end by commands that behave as those of Slurm."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("bash") is None, reason="Slurm runs on Linux"
)

# What each command is asked goes to a file; jobs run here, all at once, from a copy of the script,
# which is moved away as soon as sbatch has answered.
COMMANDS = {
    "sbatch": """
        cp "$1" {seen}/script
        last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
        for i in $(seq 0 "$last"); do
            SLURM_JOB_ID=$((7 + i)) SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$i SLURM_NTASKS=1 \\
                SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_JOB_NUM_NODES=1 \\
                SLURM_JOB_NODELIST=node SLURM_RESTART_COUNT=0 \\
                bash {seen}/script >> {seen}/output.$i 2>&1 < /dev/null &
        done
        echo "Submitted batch job 7"
    """,
    "srun": """
        while [[ $1 == --* ]]; do if [[ $1 == --unbuffered ]]; then shift; else shift 2; fi; done
        echo $$ > {seen}/process.$SLURM_ARRAY_TASK_ID
        exec "$@"
    """,
    "scontrol": """
        echo "$@" >> {seen}/queued_again
        bash {seen}/script >> {seen}/output.$SLURM_ARRAY_TASK_ID 2>&1 < /dev/null &
    """,
    "sacct": """
        echo "JobID|State|NodeList"
        for i in 0 1; do echo "7_$i|RUNNING|node"; done
    """,
}
SWEEP = ["-m", "hydra/launcher=slurm", "hydra.launcher.partition=short", "experiment=quick"]
SWEEP += ["callbacks=none", "logger=none", "trainer.enable_progress_bar=false", "seed=0,1"]
SWEEP += ["task.batch_size=128", "trainer.max_epochs=12"]


def waited(ready, process, seconds=200):
    """Wait until something is there, and say whether it is."""
    end = time.monotonic() + seconds
    while not ready() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    return ready()


@pytest.mark.slow
def test_a_sweep_on_a_cluster_survives_a_run_that_is_out_of_time(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    seen, sweep = tmp_path / "seen", tmp_path / "sweep"
    seen.mkdir()
    for name, text in COMMANDS.items():
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("#!/usr/bin/env bash" + text.format(seen=seen))
        file.chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        [sys.executable, "-m", "sntorch.cli", *SWEEP, f"hydra.sweep.dir={sweep}"],
        env=os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    last = sweep / "0" / "checkpoints" / "last.ckpt"
    try:
        assert waited(last.is_file, process)
        os.kill(int((seen / "process.0").read_text()), signal.SIGUSR2)  # as when time is nearly up
        output, _ = process.communicate(timeout=400)
        assert process.returncode == 0, output
    finally:
        process.kill()
    asked = (seen / "script").read_text()
    wanted = ("array=0-1%2", "partition=short", "time=240", "cpus-per-task=1", "mem=4GB")
    assert all(f"#SBATCH --{line}\n" in asked for line in (*wanted, "signal=USR2@120"))
    assert re.fullmatch(r"requeue 7_0\n|requeue 7\n", (seen / "queued_again").read_text())
    assert f"resume: {sweep / '0'}\n" in (sweep / "0" / "config.yaml").read_text()
    assert "resume: null\n" in (sweep / "1" / "config.yaml").read_text()
    for run in ("0", "1"):
        assert (sweep / run / "result.json").is_file()
        assert (
            torch.load(sweep / run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 11
        )
