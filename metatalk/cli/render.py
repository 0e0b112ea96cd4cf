"""`metatalk render`: pictures of coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from metatalk.cli import terminal
from metatalk.cli.app import app, train_up_to
from metatalk.cli.options import (
    ConfigFile,
    ConsentFile,
    Face,
    Json,
    Preset,
    Rerun,
    Safe,
    Verbose,
    Words,
    require_files,
    settings,
    with_face,
    with_safe,
)
from metatalk.config import Config
from metatalk.errors import ConfigError

_COEFFICIENTS = ".npz"
_CURVES = (".csv", ".json")
_DRAWING = ("render.", "fit.face_model=", "landmarks.detector=")  # what pictures depend on


def _taken(what: str) -> typer.models.OptionInfo:
    return typer.Option(help=f"Take the {what} from here.", metavar="DIR", rich_help_panel="Mixing")


@app.command()
@terminal.answering_errors
def render(
    source: Annotated[
        Path,
        typer.Argument(help="An actor, a fit or its coefficients; or a clip.", metavar="DIR|CLIP"),
    ],
    words: Words = None,
    *,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="A video, or a folder for stills.", metavar="OUT"),
    ] = None,
    layers: Annotated[
        str,
        typer.Option(help="shaded, lower, normals, uv, depth, mask: some, with commas, or all."),
    ] = "shaded",
    over: Annotated[bool, typer.Option(help="Over the footage, not alone on black.")] = False,
    footage: Annotated[
        Path | None, typer.Option(help="Where the footage lies now.", metavar="CLIP")
    ] = None,
    stills: Annotated[
        Literal["png", "exr"], typer.Option("--as", help="What stills are written as.")
    ] = "png",
    frames: Annotated[
        str | None, typer.Option(help="Some frames only, from 0.", metavar="FIRST-LAST")
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option(help="Play every frame at this rate, not the clip's.", metavar="RATE"),
    ] = None,
    expression: Annotated[Path | None, _taken("expression")] = None,
    identity: Annotated[Path | None, _taken("shape of the head")] = None,
    pose: Annotated[Path | None, _taken("pose, camera and footage")] = None,
    light: Annotated[Path | None, _taken("light")] = None,
    texture: Annotated[Path | None, _taken("skin's colour")] = None,
    actor: Annotated[
        Path | None,
        typer.Option("--actor", help="With a clip: the actor's folder.", metavar="DIR"),
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    rerun: Rerun = None,
    face: Face = None,
    consent: ConsentFile = None,
    safe: Safe = False,
    verbose: Verbose = 0,
    as_json: Json = False,
) -> None:
    """Draw the fitted head in DIR, or run the stages of training up to render on CLIP."""
    terminal.set_up_logging(verbose)
    _require_name(output)
    parts = {
        "expression": expression, "identity": identity, "pose": pose, "light": light,
        "texture": texture,
    }  # fmt: skip
    given = {part: path for part, path in parts.items() if path is not None}
    is_clip = source.is_file() and source.suffix.lower() != _COEFFICIENTS
    home = _home(source, actor, is_clip)
    chosen = settings(preset, config, with_safe(with_face(words, face), safe), home)
    if chosen.commercial_safe and not is_clip:
        _refuse_restricted([home, *given.values()], footage)
    if output is None and not is_clip:
        raise ConfigError("nowhere to draw to", "give -o OUT.mp4, or -o FOLDER for stills")
    if not is_clip:
        _refuse_idle(words, {"--rerun": rerun, "--face": face, "--consent": consent})
    if is_clip:
        train_up_to(source, home, chosen, rerun, "render", consent, as_json)
    if output is not None:
        drawn = _draw(
            home, given, Path(output), layers, over, footage, stills, frames, fps, chosen, as_json
        )
        if not (is_clip and as_json):  # one document is enough: that of the stages
            terminal.show_values(drawn, as_json)


def _require_name(output: str | None) -> None:
    """An empty name, as of a variable that is not set, would be this folder's."""
    if output is not None and not output.strip():
        raise ConfigError("-o is empty", "give -o OUT.mp4, or -o FOLDER for stills")


def _refuse_idle(words: list[str] | None, options: Mapping[str, object]) -> None:
    """Refuse what only matters while a clip is fitted, and would be passed over in silence."""
    idle = [name for name, value in options.items() if value not in (None, [])]
    idle += [word for word in words or [] if not word.startswith(_DRAWING)]
    if idle:
        raise ConfigError(
            f"{', '.join(idle)}: for fitting a clip, and nothing is fitted here",
            "leave it out, or fit: metatalk render CLIP --actor DIR",
        )


def _refuse_restricted(places: list[Path], footage: Path | None) -> None:
    """Refuse fits whose ledger, or footage whose consent, does not allow commercial use."""
    from metatalk.stages.ingredients import require_safe_actor

    for place in dict.fromkeys(places):
        inside = (place, place / "fit" / "coefficients.npz", place / "coefficients.npz")
        file = next((path for path in inside if path.is_file()), place)
        root = file.parent.parent if file.parent.name == "fit" else place
        require_safe_actor(root, [footage] if footage else [])


def _home(source: Path, actor: Path | None, is_clip: bool) -> Path:
    """Where the fit is, or will be."""
    if source.is_file() and source.suffix.lower() in _CURVES:
        from metatalk.stages.sources import curves_are_no_fit

        raise curves_are_no_fit(source)
    if is_clip:
        if actor is None:
            raise ConfigError(
                f"{source} is a clip, and there is no --actor to keep its fit",
                f"metatalk render {source} --actor DIR, or name a folder that has a fit",
            )
        return actor
    if actor is not None:
        raise ConfigError("--actor goes with a clip", f"leave it out: {source} has the fit")
    return source


def _draw(
    home: Path,
    parts: dict[str, Path],
    output: Path,
    layers: str,
    over: bool,
    footage: Path | None,
    stills: str,
    frames: str | None,
    fps: str | None,
    chosen: Config,
    as_json: bool,
) -> dict[str, float | str]:
    if footage is not None:
        require_files(footage)
    with terminal.stdout_kept_clean(as_json):
        from metatalk.interchange.take import parse_rate
        from metatalk.render.layers import LAYERS
        from metatalk.stages.picture_order import Order
        from metatalk.stages.pictures import render_pictures
        from metatalk.stages.sources import mix_sources, open_source

        names = dict.fromkeys(name.strip() for name in layers.split(",") if name.strip())
        order = Order(
            output,
            LAYERS if "all" in names else tuple(names),
            over or footage is not None,
            footage,
            stills,
            frames,
            parse_rate(fps) if fps else None,
        )
        opened = {part: open_source(path) for part, path in parts.items()}
        return render_pictures(
            mix_sources(open_source(home), opened), order, chosen, terminal.bars()
        )
