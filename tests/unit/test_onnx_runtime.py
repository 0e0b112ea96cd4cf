"""What runs networks from files tells nobody of it, unless the user says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metatalk.onnx_runtime import open_onnx_runtime

RUNS = {
    "an encoder of speech": """
import contextlib, os, sys
from pathlib import Path
from metatalk.a2e.encoders import onnx_encoder
from metatalk.errors import ConfigError
Path(sys.argv[1]).write_bytes(b"no network")
with contextlib.suppress(ConfigError):
    onnx_encoder(Path(sys.argv[1]))
""",
    "a part of it": """
import os
from metatalk.neural.onnx_export import open_package
open_package("onnxruntime.quantization")
from onnxruntime import SessionOptions
SessionOptions()
""",
}
NEEDED = {"an encoder of speech": ["onnxruntime"], "a part of it": ["onnxruntime", "onnx"]}
TELL = "print(os.environ['ORT_DISABLE_TELEMETRY'])"


def ended(code: str, home: Path) -> str:
    """What a process with a home folder of its own says."""
    home.mkdir()
    left_out = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    own = {name: value for name, value in os.environ.items() if name not in left_out}
    done = subprocess.run(
        [sys.executable, "-c", code + TELL, str(home.with_name("network.onnx"))],
        env={**own, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("user", RUNS)
def test_nothing_is_told_to_its_makers(user: str, tmp_path: Path) -> None:
    for needed in NEEDED[user]:
        pytest.importorskip(needed)
    assert ended(RUNS[user], tmp_path / "home") == "1"
    assert [path.name for path in (tmp_path / "home").rglob("*.db*")] == []


def test_the_users_wish_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    open_onnx_runtime("json")  # any module: no test tells anybody anything
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
