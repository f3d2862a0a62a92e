"""What the tests of several snippets share: how torch computes, and with whom."""

import os
import socket
import subprocess
import sys

import pytest
import torch


@pytest.fixture
def double():
    """What is made without a type is float64: for comparing at 1e-10."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def launch(tmp_path):
    """Run a program as two processes, as torchrun would: what each printed.

    Both must end well and leave no file behind.
    """

    def run(program: str, *arguments: str) -> list[str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        processes = [
            subprocess.Popen(
                [sys.executable, program, *arguments],
                env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank},
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in "01"
        ]
        try:
            said = [process.communicate(timeout=60) for process in processes]
        finally:
            for process in processes:
                process.kill()  # where one failed, the other waits for it
        errors = "".join(error for _, error in said)
        assert [process.returncode for process in processes] == [0, 0], errors
        assert not list(tmp_path.iterdir())
        return [out for out, _ in said]

    return run
