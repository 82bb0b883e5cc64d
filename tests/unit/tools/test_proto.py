"""The committed code of the gRPC contract is what `make proto` writes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from settings import ROOT

PROTO = "tools/proto/tool_executor.proto"
GO = ROOT / "tests" / "executors" / "go"


def test_the_python_code_is_up_to_date(tmp_path: Path) -> None:
    out = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", ".", *out, PROTO], cwd=ROOT, check=True)
    made = {path.name: path.read_text() for path in (tmp_path / "tools" / "proto").iterdir()}
    assert set(made) == {"tool_executor_pb2.py", "tool_executor_pb2.pyi", "tool_executor_pb2_grpc.py"}
    for name, text in made.items():
        assert (ROOT / "tools" / "proto" / name).read_text() == text, f"{name} is not what `make proto` writes"


def test_the_go_code_is_up_to_date(tmp_path: Path) -> None:
    if (go := shutil.which("go")) is None:
        pytest.skip("there is no Go toolchain on PATH: the code in Go cannot be generated")
    words: list[str] = []
    for plugin, kind in (("protoc-gen-go", "go"), ("protoc-gen-go-grpc", "go-grpc")):
        program = subprocess.run([go, "tool", "-n", plugin], cwd=GO, check=True, capture_output=True, text=True).stdout.strip()
        words += [f"--plugin={plugin}={program}", f"--{kind}_out={tmp_path}", f"--{kind}_opt=M{PROTO}=./toolsv1"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", ".", *words, PROTO], cwd=ROOT, check=True)
    for path in (tmp_path / "toolsv1").iterdir():
        assert (GO / "toolsv1" / path.name).read_text() == path.read_text(), f"{path.name} is not what `make proto` writes"
