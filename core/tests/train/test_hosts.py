"""Training on two hosts equals training in one process, and goes on with another number of processes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from equipot_test_support.checkpoints import saving
from equipot_test_support.engines import record_capability
from equipot_test_support.hosts import ADDRESSES, two_hosts

pytestmark = pytest.mark.slow
UNEVEN = ["data.split_dataset.train=13", "data.split_dataset.test=3", "data.test_dataloader.batch_size=3", saving(1)]
"""13 frames in steps of 4: the last step has one frame, so that one of two hosts has none."""

ONE = ["data.train_dataloader.batch_size=4"]
TWO = ["data.train_dataloader.batch_size=2", "+trainer.num_nodes=2", "+trainer.devices=1", "+trainer.strategy=ddp"]
ALLOWED = ("data.train_dataloader.batch_size", "trainer.num_nodes", "trainer.devices", "trainer.strategy")


@pytest.fixture
def hosts():
    with two_hosts() as made:
        yield made


def train(hosts, by, *arguments):
    """Run the same command on both hosts; gives their outputs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = ["-m", "equipot._cli.main", "train", "config.yaml", *UNEVEN, *TWO, *arguments]
    started = []
    for rank, (inside, own) in enumerate(hosts):
        environment = {**os.environ, **own, "OMP_NUM_THREADS": "1"}
        if by == "torchrun":
            agent = ["--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1"]
            begin = [str(Path(sys.executable).with_name("torchrun")), *agent, "--master-addr", ADDRESSES[0]]
            begin += ["--master-port", port]
        else:  # what srun sets for each task
            begin = [sys.executable]
            task = {"PROCID": rank, "NODEID": rank, "LOCALID": 0, "NTASKS": 2, "NNODES": 2, "JOB_ID": 7}
            environment |= {f"SLURM_{name}": str(value) for name, value in task.items()}
            environment |= {"SLURM_JOB_NAME": "train", "SLURM_NODELIST": "a,b", "SLURM_NTASKS_PER_NODE": "1"}
            environment |= {"MASTER_ADDR": ADDRESSES[0], "MASTER_PORT": port}
        command = [*inside, *begin, *script]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=environment, **pipes))
    outputs = [one.communicate(timeout=400) for one in started]
    assert [one.returncode for one in started] == [0, 0], outputs
    assert sum(out.count("Labels in the data") for out, _ in outputs) == 1, "the first process speaks for all"


def assert_equal_runs(found, expected):
    """Weights, and the errors of all stages."""
    ends = [torch.load(run / "last.ckpt", weights_only=True) for run in (found, expected)]
    assert ends[0]["global_step"] == ends[1]["global_step"] == 8
    for name, value in ends[1]["state_dict"].items():
        torch.testing.assert_close(ends[0]["state_dict"][name], value, rtol=1e-12, atol=1e-13)
    results = [json.loads((run / "results.json").read_text()) for run in (found, expected)]
    for stage in ("train", "val", "test"):
        assert results[0][stage] == pytest.approx(results[1][stage], rel=1e-10)


@pytest.mark.parametrize("by", ["torchrun", pytest.param("slurm", marks=pytest.mark.nightly)])
def test_two_hosts_equal_one_process(folder, hosts, by):
    code, _, errors = folder.call("--output", "one", *UNEVEN, *ONE)
    assert code == 0, errors
    train(hosts, by, "--output", "two")
    assert_equal_runs(folder.path / "two", folder.path / "one")
    line = "torchrun --nnodes 2 -m equipot._cli.main train CONFIG" if by == "torchrun" else "srun equipot train CONFIG"
    name = "training on two hosts" if by == "torchrun" else "training on two hosts (environment of srun)"
    record_capability("torch.distributed", name, version=torch.__version__, command=line, deviation="1e-12 relative")
    if by == "slurm":
        return
    allow = [word for key in ALLOWED for word in ("--allow", key)]
    resumed = ["--resume", "two/step6.ckpt", "--output", "from two", *UNEVEN, *ONE, *allow]
    code, _, errors = folder.call(*resumed)
    assert code == 0, errors
    assert_equal_runs(folder.path / "from two", folder.path / "one")
    train(hosts, by, "--resume", "one/step5.ckpt", "--output", "from one", *allow)
    assert_equal_runs(folder.path / "from one", folder.path / "one")
