"""A picture of a face model, for people to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metatalk.errors import MediaError
from metatalk.landmarks.config import LandmarksConfig
from metatalk.stages.face_model import open_face_model
from metatalk.workspace.actor import disk_errors_remedied
from metatalk.workspace.output import require_output


def write_model_sheet(
    name: str, output: Path, landmarks: LandmarksConfig, units: int, people: int
) -> dict[str, Any]:
    """Draw a face model into a PNG file.

    Args:
        name: the face model, as `fit.face_model` names it.
        output: the picture; an earlier one is replaced.
        landmarks: which detector the landmarks come from.
        units: how many expressions to show.
        people: how many identity and albedo modes to show.

    Returns:
        Where it is, and what it shows.

    Raises:
        MissingAssetError: there is no such face model.
        MediaError: the picture cannot be written there.
    """
    if output.suffix.lower() != ".png":
        raise MediaError(f"{output} is no PNG", "give -o a name that ends in .png")
    require_output(output, ())
    model = open_face_model(name, landmarks)
    from metatalk.fitting.model_sheet import draw_sheet
    from metatalk.media.stills import write_png

    partial = output.with_name(f".{output.name}.partial")
    try:
        with disk_errors_remedied(output.parent):
            write_png(partial, draw_sheet(model, units, people))
            partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return {
        "picture": str(output),
        "face_model": name,
        "source": model.source,
        "terms": model.terms,
        "vertices": len(model.mean),
        "triangles": len(model.triangles),
        "identity_modes": len(model.identity_basis),
        "expressions": len(model.expression_basis),
        "texture_modes": len(model.texture_basis),
    }
