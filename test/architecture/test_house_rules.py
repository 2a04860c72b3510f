"""What a reviewer would otherwise have to look for."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "vla3d_ros").rglob("*.py"))
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.py"))
TESTS = sorted((ROOT / "test").rglob("*.py"))

LONGEST_FILE_LINES = 400
LONGEST_FUNCTION_LINES = 60
TYPICAL_FILE_LINES = 150
LONGEST_NODE_LINES = 300

DRAWERS = {"utils", "util", "helpers", "helper", "misc", "common"}
CLASS_SUFFIXES = ("Manager", "Helper", "Util", "Utils", "Handler")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def robot_names() -> list[str]:
    return sorted(path.stem for folder in ("config/robots", "urdf") for path in (ROOT / folder).iterdir())


def defined_functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


def words_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and text of every identifier and string in the code; docstrings may give examples."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    examples = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, documented)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if text not in examples:
                yield node.lineno, text
            case ast.Name(id=text) | ast.Attribute(attr=text) | ast.FunctionDef(name=text) | ast.ClassDef(name=text):
                yield node.lineno, text


def test_no_robot_is_named_in_code():
    names = robot_names()
    assert names
    pattern = re.compile(rf"(?<![a-z0-9])({'|'.join(map(re.escape, names))})(?![0-9a-z])", re.IGNORECASE)
    offenders = [
        f"{name(path)}:{line}: {text}"
        for path in MODULES + LAUNCH_FILES
        for line, text in words_of(path)
        if pattern.search(text)
    ]
    assert not offenders, "a new arm is one URDF and one YAML; " + "\n".join(offenders)


def test_no_file_is_too_long():
    lengths = {name(path): len(path.read_text().splitlines()) for path in MODULES + LAUNCH_FILES + TESTS}
    too_long = {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE_LINES}
    assert not too_long, f"split these, none may exceed {LONGEST_FILE_LINES} lines: {too_long}"


def test_the_typical_file_is_short():
    lengths = sorted(len(path.read_text().splitlines()) for path in MODULES if path.name != "__init__.py")
    assert lengths[len(lengths) // 2] <= TYPICAL_FILE_LINES


def test_no_function_is_too_long():
    too_long = {
        f"{name(path)}:{function.lineno} {function.name}": function.end_lineno - function.lineno + 1
        for path in MODULES + LAUNCH_FILES
        for function in defined_functions(path)
        if function.end_lineno - function.lineno + 1 > LONGEST_FUNCTION_LINES
    }
    assert not too_long, f"none may exceed {LONGEST_FUNCTION_LINES} lines: {too_long}"


def test_no_drawer_for_everything():
    drawers = [name(path) for path in MODULES if path.stem in DRAWERS or path.parent.name in DRAWERS]
    classes = [
        f"{name(path)}:{node.lineno} {node.name}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and node.name.endswith(CLASS_SUFFIXES)
        and not any(ast.unparse(base) == "logging.Handler" for base in node.bases)
    ]
    assert not drawers + classes, f"name the thing, not the drawer: {drawers + classes}"


def test_nothing_is_left_for_later():
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
    offenders = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in MODULES + LAUNCH_FILES
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if words.search(line)
    ]
    assert not offenders, "\n".join(offenders)


def test_logging_is_the_callers_choice():
    offenders = [
        f"{name(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "logging.basicConfig"
    ]
    assert not offenders


@pytest.mark.parametrize("path", [path for path in TESTS if path.name.startswith("test_")], ids=name)
def test_tests_are_sentences(path):
    short = [
        function.name
        for function in defined_functions(path)
        if function.name.startswith("test_") and len(function.name.split("_")) < 3
    ]
    assert not short, f"say what holds, e.g. test_gate_stops_when_observation_is_stale: {short}"


def test_version_is_the_same_everywhere():
    from vla3d_ros import __version__

    assert f"<version>{__version__}</version>" in (ROOT / "package.xml").read_text()
    assert f"[{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_node_files_stay_wiring():
    lengths = {name(path): len(path.read_text().splitlines()) for path in MODULES if path.name == "node.py"}
    too_long = {path: lines for path, lines in lengths.items() if lines > LONGEST_NODE_LINES}
    assert not too_long, f"a node converts and delegates, in about {TYPICAL_FILE_LINES} lines: {too_long}"
