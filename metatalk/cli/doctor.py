"""What is installed and found on this machine, and what each missing thing would add."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import metatalk
from metatalk.cli.terminal import show_json
from metatalk.config import Config
from metatalk.errors import MetatalkError
from metatalk.fitting.config import FitConfig

# distribution, whether metatalk needs it, what it is for
_LIBRARIES = (
    ("torch", True, "fitting, training, everything"),
    ("av", True, "reading and writing video"),
    ("mediapipe", True, "landmarks"),
    ("numba", True, "the rasteriser"),
    ("anny", True, "building the default face model"),
    ("h5py", True, "the Basel face models of 2017 and 2019"),
    ("pygltflib", True, "export to .glb"),
    ("matplotlib", True, "the report on a fit"),
    ("onnxruntime", True, "the encoder of speech"),
    ("silero-vad", True, "telling speech from pauses"),
    ("pocketsphinx", True, "the phones of English"),
    ("praatio", True, "reading TextGrids"),
    (
        "moonshine-voice",
        False,
        "the built-in encoder of speech: pip install 'moonshine-voice>=0.0.66,<=0.1.0'",
    ),
    (
        "transformers",
        False,
        "an encoder of speech of your own: pip install 'metatalk[speech]'",
    ),
    ("onnx", False, "the renderer as ONNX (export renderer): pip install 'metatalk[onnx]'"),
    ("OpenEXR", False, "stills as OpenEXR (render --as exr): pip install OpenEXR"),
    (
        "pytorch3d",
        False,
        "another rasteriser, on a CUDA device: render.backend=pytorch3d tells how to build it",
    ),
    ("face-alignment", False, "the papers' 68 landmarks: pip install 'metatalk[faces68]'"),
)
_MODELS_ADD = "face models you may have ({names}): metatalk face-model list tells where from"
_TEACHER_ADDS = (
    "a Wav2Lip teacher for voices unlike the actor's own: pseudo.checkpoint=FILE pseudo.corpus=DIR"
)
_RESTRICTED = {"no": " [yellow](not for commercial use)[/]",
               "unknown": " [yellow](commercial use: terms not known)[/]"}  # fmt: skip
_PRESENTER = Path(metatalk.__file__).parent / "presenter"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for."""

    topic: str
    name: str
    found: bool
    detail: str  # what was found
    adds: str = ""  # what it is for, or would add
    needed: bool = False
    commercial: str = ""  # "yes", "no" or "unknown", of what has terms that matter


def examine(config: Config) -> list[Finding]:
    """Look for everything metatalk can use.

    Args:
        config: names the teacher's checkpoint and the corpus that are looked for.

    Returns:
        The findings, in the order in which they are shown.
    """
    return [
        *_machine(),
        *_libraries(),
        *_devices(),
        *_face_models(),
        *_footage(),
        *_teachers(config),
        *_terms(config),
    ]


def show_findings(findings: list[Finding], as_json: bool) -> None:
    """Print the findings on standard output.

    Args:
        findings: what `examine` returned.
        as_json: print JSON for a machine, and a table otherwise.
    """
    if as_json:
        show_json([asdict(finding) for finding in findings])
        return
    table = Table(box=None, header_style="bold")
    for title in ("", "", "found", "what it would add"):
        table.add_column(title, overflow="fold")
    topic = ""
    for finding in findings:
        mark = "[green]yes[/]" if finding.found else "[red]no[/]" if finding.needed else "no"
        first = finding.topic if finding.topic != topic else ""
        terms = _RESTRICTED.get(finding.commercial, "") if finding.found else ""
        detail = f"{mark} {escape(finding.detail)}{terms}".strip()
        adds = "" if finding.found else escape(finding.adds)
        table.add_row(first, finding.name, detail, adds)
        topic = finding.topic
    Console().print(table)


def _machine() -> Iterator[Finding]:
    yield Finding("machine", "metatalk", True, metatalk.__version__)
    yield Finding("machine", "python", True, platform.python_version())
    yield Finding("machine", "processor", True, f"{os.cpu_count()} cores, {_bf16()}")
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    detail = f"{free_gb:.0f} GB free here"
    yield Finding(
        "machine", "disk", free_gb > 2, detail, "room to work in: about 1 GB an actor", needed=True
    )


def _bf16() -> str:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    fast = "avx512_bf16" in flags or "amx_bf16" in flags
    return "bf16 in hardware" if fast else "no bf16 in hardware, networks run slower"


def _libraries() -> Iterator[Finding]:
    for name, needed, adds in _LIBRARIES:
        try:
            yield Finding("libraries", name, True, metadata.version(name), adds, needed)
        except metadata.PackageNotFoundError:
            remedy = f"{adds}: pip install {name}" if needed else adds
            yield Finding("libraries", name, False, "", remedy, needed)


def _devices() -> Iterator[Finding]:
    yield Finding("device", "cpu", True, platform.machine(), "draft and standard presets")
    adds = "studio preset: crops of 512 pixels, training in a fraction of the time"
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("device", "cuda", False, f"torch does not load: {error}", adds)
        return
    found = torch.cuda.is_available()
    yield Finding("device", "cuda", found, torch.cuda.get_device_name() if found else "", adds)


def _face_models() -> Iterator[Finding]:
    default = FitConfig.face_model
    adds = "the default face model, free of licence walls"
    try:
        from metatalk.landmarks.config import LandmarksConfig
        from metatalk.stages.face_model import list_face_models
    except (ImportError, OSError) as error:
        detail = f"a library does not load: {error}"
        yield Finding("face models", default, False, detail, adds, needed=True)
        return
    from metatalk.stages.ingredients import source_of
    from metatalk.stages.terms import face_model_entry

    models = list_face_models(LandmarksConfig())
    for model in models:
        if model.found or model.name == default:
            detail = f"{model.where}; {model.sizes}" if model.found else ""
            needed = model.name == default
            entry = face_model_entry(source_of(model.name), model.terms)
            yield Finding(
                *("face models", model.name, model.found, detail, adds, needed, entry.commercial)
            )
    others = ", ".join(model.name for model in models if not model.found and model.name != default)
    if others:
        yield Finding("face models", "others", False, "", _MODELS_ADD.format(names=others))


def _footage() -> Iterator[Finding]:
    presenter = sorted(path.name for path in _PRESENTER.glob("*.mp4"))
    adds = "a synthetic presenter to try everything on: make demo"
    yield Finding("footage", "presenter", bool(presenter), ", ".join(presenter), adds)


def _teachers(config: Config) -> Iterator[Finding]:
    for name in ("checkpoint", "corpus"):
        value = getattr(config.pseudo, name)
        found = value is not None and Path(value).exists()
        yield Finding("teacher", f"pseudo.{name}", found, value or "", _TEACHER_ADDS)


def _terms(config: Config) -> Iterator[Finding]:
    """What training with these settings would take and is not known to be commercially safe."""
    try:
        from metatalk.stages.ingredients import training_ingredients
        from metatalk.stages.terms import restricted

        found = restricted(training_ingredients(config))
    except (MetatalkError, ImportError, OSError) as error:
        yield Finding("terms", "settings", False, "", f"cannot be told: {error}")
        return
    for entry in found:
        yield Finding(
            *("terms", f"{entry.kind} {entry.name}", True, entry.terms),
            commercial=entry.commercial,
        )
    if not found:
        detail = "all that training takes by these settings, footage aside, is commercially safe"
        yield Finding("terms", "settings", True, detail, commercial="yes")
