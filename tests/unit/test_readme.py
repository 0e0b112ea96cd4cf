"""What README and docs say is true: commands parse, links lead somewhere, names exist."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import typer
from omegaconf import OmegaConf

from metatalk.cli.app import app
from metatalk.config import Config, load_config

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "metatalk"
README = REPOSITORY / "README.md"
PAGES = [
    README,
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *REPOSITORY.glob("third_party/*/*.md"),
]
SECTIONS = [field.name for field in fields(Config)]
STAGE_FILE = re.compile(r"[\w/*]+\.(?:npz|npy|json|wav|png|safetensors|pth)")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text(page), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", text(page), flags=re.MULTILINE | re.DOTALL)


def quoted(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(page))


def shell_lines() -> Iterator[list[str]]:
    for page in PAGES:
        for block in blocks(page, "sh"):
            yield from (shlex.split(line, comments=True) for line in block.splitlines())


def commands() -> list[list[str]]:
    """The command lines of the pages' blocks, from the command on."""
    return [words[1:] for words in shell_lines() if words and words[0].endswith("metatalk")]


def named_commands() -> set[str]:
    spoken = [words.split() for page in PAGES for words in quoted(page)]
    return {words[1] for words in spoken if words[0] == "metatalk" and len(words) > 1}


def settings() -> list[str]:
    """Dotted keys, and `key=value` words, wherever they stand in the pages."""
    pattern = re.compile(rf"(?:{'|'.join(SECTIONS)})(?:\.[a-z0-9_]+)+(?:=\S+)?")
    words = [word for page in PAGES for quote in quoted(page) for word in quote.split()]
    words += [word for command in commands() for word in command if "=" in word]
    dotted = {word for word in words if pattern.fullmatch(word)}
    return sorted(word for word in dotted if not is_module(word) and not STAGE_FILE.fullmatch(word))


def is_module(word: str) -> bool:
    """Whether a dotted word starts with a module's path: `a2e.rest.find_rest` is no setting."""
    return module_of(word) is not None


def module_of(word: str) -> tuple[Path, list[str]] | None:
    """The file that a dotted word leads into, and the names that follow; None: into none."""
    parts = word.split(".")
    for depth in range(2, len(parts)):
        path = (PACKAGE / "/".join(parts[:depth])).with_suffix(".py")
        if path.is_file():
            return path, parts[depth:]
    return None


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_command_lines_parse(words: list[str]) -> None:
    group = typer.main.get_command(app)
    with group.make_context("metatalk", list(words)) as context:
        name, command, rest = group.resolve_command(context, list(words))  # type: ignore[attr-defined]
        parsed = command.make_context(name, rest, parent=context)
    load_config(words=parsed.params.get("words") or [])


def test_the_readme_has_the_commands_a_user_needs() -> None:
    assert {"train", "drive"} <= {words[0] for words in commands()}
    group = typer.main.get_command(app)
    assert named_commands() <= set(group.commands)  # type: ignore[attr-defined]


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", text(REPOSITORY / "Makefile"), re.MULTILINE))
    named = {words[1] for words in shell_lines() if words and words[0] == "make"}
    named |= {quote.split()[1] for page in PAGES for quote in quoted(page) if quote[:5] == "make "}
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    missing = []
    for link in re.findall(r"\]\(([^)]+)\)", prose(page)):
        place, _, anchor = link.partition("#")
        if "://" in place:
            continue
        found = (page.parent / place).resolve() if place else page
        if not found.exists():
            missing.append(link)
        elif anchor:
            headings = re.findall(r"^#+ (.+)$", text(found), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]
            missing += [link] * (anchor not in anchors)
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_files_of_the_repository_exist(page: Path) -> None:
    for quote in quoted(page):
        for word in quote.split():
            if word.startswith(("tools/", "tests/", "metatalk/", "configs/")):
                assert (REPOSITORY / word).exists(), f"{page.name}: {word}"


@pytest.mark.parametrize("word", settings())
def test_settings_exist(word: str) -> None:
    key, equals, _ = word.partition("=")
    value: object = load_config(words=[word] if equals else [])
    for name in key.split("."):
        assert hasattr(value, name), word
        value = getattr(value, name)


def test_python_block_compiles_and_its_names_exist() -> None:
    (block,) = blocks(README, "python")
    tree = ast.parse(block)
    compile(tree, "README.md", "exec")
    imported = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("metatalk"):
            for alias in node.names:
                imported[alias.name] = getattr(import_module(str(node.module)), alias.name)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = [call for call in calls if getattr(call.func, "id", "") in imported]
    assert len(called) == len(imported)
    for call in called:  # every call of ours fits its function's parameters
        keywords = {str(keyword.arg): None for keyword in call.keywords}
        inspect.signature(imported[call.func.id]).bind(*call.args, **keywords)  # type: ignore[attr-defined]


def test_python_block_names_attributes_that_exist() -> None:
    from metatalk.morphable import camera, coefficients

    (block,) = blocks(README, "python")
    types = {
        "person": coefficients.PersonCoefficients,
        "track": coefficients.TrackCoefficients,
        "camera": camera.Camera,
    }
    for name, attribute in re.findall(r"\b(person|track|camera)\.(\w+)", block):
        assert attribute in {field.name for field in fields(types[name])}, f"{name}.{attribute}"


def test_sizes_of_the_face_model_are_those_told() -> None:
    from metatalk.morphable import anny, skin_texture

    modes = 3 * (4 + skin_texture.SMOOTH_TEXTURE_MODES)
    assert f"{anny.IDENTITY_MODES} identity modes" in text(README)
    assert f"{modes} texture modes" in text(README)


PRESETS = {
    path.stem: OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.load(path))
    for path in (REPOSITORY / "configs").glob("*.yaml")
}


def test_minutes_of_the_presets_are_those_told() -> None:
    told = re.findall(r"`(\w+)`, whose renderer alone may train for (\d+)\s+minutes", text(README))
    told += [(name, minutes) for minutes, name in re.findall(r"(\d+) min \(`(\w+)`", text(README))]
    assert {"draft", "standard"} <= {name for name, _ in told}
    for name, minutes in told:
        assert PRESETS[name].neural.minutes == float(minutes), name


@pytest.mark.parametrize(
    ("page", "pattern"),
    [
        (README, r"(\d+) px \(`(\w+)`\)"),
        (REPOSITORY / "docs" / "data.md", r"(\d+)(?: pixels)? in `(draft|standard|studio)`"),
    ],
)
def test_crop_sizes_of_the_presets_are_those_told(page: Path, pattern: str) -> None:
    told = {name: int(size) for size, name in re.findall(pattern, text(page))}
    assert told == {name: PRESETS[name].render.max_size for name in ("draft", "standard", "studio")}


def test_files_in_the_table_of_stages_are_written() -> None:
    sources = "".join(text(path) for path in (PACKAGE / "stages").glob("*.py"))
    table = [row for row in text(README).splitlines() if row.startswith("| `")]
    names = [name for row in table for name in STAGE_FILE.findall(row)]
    assert len(names) > 10
    for name in names:
        assert name in sources or f'"{name.removesuffix(".npy")}"' in sources, name


@pytest.mark.parametrize(
    "name",
    [q for q in quoted(REPOSITORY / "docs" / "equations.md") if re.fullmatch(r"\w+(\.\w+){2,}", q)],
)
def test_functions_in_equations_exist(name: str) -> None:
    found_module = module_of(name)
    assert found_module is not None, name
    module, path = found_module
    body: list[ast.stmt] = ast.parse(text(module)).body
    for part in path:
        found = [node for node in body if getattr(node, "name", None) == part]
        assert found, name
        body = getattr(found[0], "body", [])


@cache
def messages() -> frozenset[str]:
    """Every string of the package's code, with … for what is filled in."""
    found = set()
    for module in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(text(module))):
            if isinstance(node, ast.JoinedStr):
                parts = (getattr(part, "value", None) for part in node.values)
                found.add("".join(part if isinstance(part, str) else "…" for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(re.sub(r"%s|%d|%\.\df", "…", node.value))
    return frozenset(found)


def told_messages() -> list[str]:
    """The first cell of each row of the troubleshooting tables."""
    return re.findall(
        r"^\| `([^`]+)` \|", text(REPOSITORY / "docs/troubleshooting.md"), re.MULTILINE
    )


@pytest.mark.parametrize("message", told_messages())
def test_messages_in_troubleshooting_are_the_codes_own(message: str) -> None:
    part = message.strip("… ")
    assert any(part in known for known in messages()), message


def test_pages_name_no_private_place() -> None:
    for page in PAGES:
        assert not re.search(r"/(?:home|work|tmp|root|Users)/", text(page)), page.name
