"""The house rules that a machine can check: who may import whom, how long a file and a function may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "napari_mitosis"
FILES = sorted(PACKAGE.rglob("*.py"))

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

# From the ground up; a part imports its own floor and those below it.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "files", "names", "tables"}),
    frozenset({"jobs", "fields"}),
    frozenset({"decision", "measures"}),
    frozenset({"models", "datasets", "annotations"}),
    frozenset({"inference"}),
    frozenset({"training"}),
    frozenset({"finetune"}),
    frozenset({"session", "review"}),
    frozenset({"batches", "cases"}),
    frozenset({"cli", "gui"}),
)
QT = frozenset({"napari", "magicgui", "qtpy", "superqt", "pyqtgraph", "qtawesome", "PyQt5", "PyQt6", "PySide6"})
MAY_TORCH = frozenset({"models", "inference", "training", "finetune"})
FINETUNE_WITHOUT_TORCH = frozenset(
    {"__init__", "plan", "journal", "folds", "child_rule", "gate", "outcome", "publish"}
    | {"budget", "held_out", "propose", "follow_up"}
    | {"runs", "watch", "claim", "client", "lock", "process"}  # `process` imports torch once it trains
)
FINETUNE_WITH_TORCH = frozenset(
    {"looking", "material", "tune", "job", "features", "look_for", "reference_figures", "check_adopted"}
    | {"simulated_reader", "reader_protocol"}
)
# The command line opens the window; nothing else outside gui/ knows that there is one.
LAUNCHER = "napari_mitosis.gui.app"
FORBIDDEN_MODULES = frozenset({"pickle", "dill", "joblib", "marshal", "shelve"})


@cache
def tree_of(path: Path) -> ast.Module:
    """The file, parsed once for all rules."""
    return ast.parse(path.read_text(encoding="utf-8"))


def part_of(path: Path) -> str:
    """Name of the part that a file belongs to: the folder or module right below the package."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def absolute(node: ast.ImportFrom, path: Path) -> str:
    """Absolute name of the module that a ``from`` import names."""
    if node.level == 0:
        return node.module or ""
    package = ["napari_mitosis", *path.relative_to(PACKAGE).parent.parts]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute module) for every import of a file, inside functions too."""
    return imports_of(tree_of(path), path)


def imports_of(tree: ast.Module, path: Path) -> Iterator[tuple[int, str]]:
    """Like `imports`, for a tree that stands for the file at `path`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, path)
            yield node.lineno, module
            if module.startswith("napari_mitosis"):  # ``from . import x`` may name a module
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def floor_of(part: str) -> int | None:
    """Number of the floor that a part stands on."""
    return next((number for number, parts in enumerate(FLOORS) if part in parts), None)


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def module_of(path: Path) -> str:
    """Absolute name of the module that a file is."""
    parts = ["napari_mitosis", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def problems(check: Callable[[Path], Iterable[str]]) -> str:
    """What a check says of all files, a line each."""
    return "\n".join(line for path in FILES for line in check(path))


def test_every_part_has_a_floor() -> None:
    parts = {part_of(path) for path in FILES} - {"__init__", "__main__"}
    homeless = sorted(part for part in parts if floor_of(part) is None)
    assert not homeless, f"give {homeless} a floor in FLOORS and a row in ARCHITECTURE.md"


def test_imports_run_downwards() -> None:
    assert not problems(upwards)


def needed_by(path: Path, modules: frozenset[str]) -> set[str]:
    """The modules that a file imports; ``from . import x`` needs x, not the package that it stands in."""
    needed = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom):
            module = absolute(node, path)
            full = {f"{module}.{alias.name}" for alias in node.names}
            needed |= full & modules or {module} & modules
    return needed


def upwards(path: Path) -> Iterator[str]:
    part = part_of(path)
    if part in {"__init__", "__main__"}:
        return  # the lazy public list: what it may load is measured in test_import_time.py
    mine = floor_of(part)
    assert mine is not None
    for line, module in imports(path):
        names = module.split(".")
        if names[0] != "napari_mitosis" or len(names) < 2 or names[1] == part:
            continue
        theirs = floor_of(names[1])
        if theirs is None:
            continue  # a public name, such as __version__
        sideways = part in {"cli", "gui"} and names[1] in {"cli", "gui"} and not module.startswith(LAUNCHER)
        if theirs > mine or sideways:
            yield f"{relative(path)}:{line} imports {module}"


def test_no_circle_of_files() -> None:
    """Nor inside a room: a reader can always begin with a file that needs none of its neighbours."""
    names = {module_of(path): path for path in FILES}
    graph = {
        name: needed_by(path, frozenset(names)) - {name}
        for name, path in names.items()
        if name != "napari_mitosis"  # the lazy public list imports for type checkers only
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_only_gui_knows_qt() -> None:
    assert not problems(lambda path: [] if part_of(path) == "gui" else importing(path, QT))


def importing(path: Path, roots: frozenset[str]) -> Iterator[str]:
    """The places where a file imports any of these packages."""
    return (f"{relative(path)}:{line} {name}" for line, name in imports(path) if name.split(".")[0] in roots)


def test_torch_stays_in_its_rooms() -> None:
    assert not problems(lambda path: [] if part_of(path) in MAY_TORCH else importing(path, frozenset({"torch"})))


def test_one_half_of_fine_tuning_needs_no_torch() -> None:
    """The window plans, watches, judges and publishes fine-tunings without torch; its process learns with it."""
    files = {path.stem for path in FILES if part_of(path) == "finetune"}
    assert files == FINETUNE_WITHOUT_TORCH | FINETUNE_WITH_TORCH, "say which half a new file belongs to"
    names = [f"napari_mitosis.finetune.{name}" for name in sorted(FINETUNE_WITHOUT_TORCH - {"__init__"})]
    code = f"import sys, {', '.join(names)}; print('torch' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "False"


def test_nothing_can_unpickle() -> None:
    assert not problems(unpickling)


def unpickling(path: Path) -> Iterator[str]:
    yield from importing(path, FORBIDDEN_MODULES)
    for call in calls(path):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if ast.unparse(call.func) == "torch.load" and keywords.get("weights_only") != "True":
            yield f"{relative(path)}:{call.lineno} torch.load without weights_only=True"
        if keywords.get("allow_pickle") == "True":
            yield f"{relative(path)}:{call.lineno} allow_pickle=True"


def test_file_length() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES}, "split by subject"


def test_function_length() -> None:
    """Docstrings do not count: only code makes a function hard to read."""
    assert not problems(long_functions)


def long_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if ast.get_docstring(node, clean=False) is not None:
                first = node.body[0]
                lines -= (first.end_lineno or 0) - first.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{relative(path)}:{node.lineno} {node.name} has {lines} lines"


def calls(path: Path) -> Iterator[ast.Call]:
    """Every call of a file."""
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call))


def test_no_print_and_no_process_events() -> None:
    assert not problems(
        lambda path: (
            f"{relative(path)}:{call.lineno} {ast.unparse(call.func)}"
            for call in calls(path)
            if ast.unparse(call.func) == "print" or ast.unparse(call.func).endswith("processEvents")
        )
    )


def test_tables_are_written_in_one_place() -> None:
    """`tables.table_text` lets no formula out, and no text that UTF-8 cannot write."""
    assert not problems(
        lambda path: (
            f"{relative(path)}:{call.lineno} {ast.unparse(call.func)}"
            for call in calls(path)
            if ast.unparse(call.func).endswith(".to_csv") and path.stem != "tables"
        )
    )


MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_CALLS = frozenset({"list", "dict", "set", "defaultdict", "OrderedDict", "deque", "Counter", "bytearray"})
MUTATING = frozenset(
    {"append", "extend", "insert", "remove", "pop", "clear", "update", "setdefault", "popitem", "add", "discard"}
    | {"sort", "reverse", "appendleft"}
)


def mutable_names(tree: ast.Module) -> set[str]:
    """Module-level names that hold a list, a dict or a set."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            value = node.value
            made = isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] in MUTABLE_CALLS
            if made or isinstance(value, MUTABLE):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names |= {ast.unparse(target) for target in targets}
    return names - {"__all__"}


def changed_by(node: ast.AST) -> list[str]:
    """The things whose contents one node changes: ``x[k] = v``, ``x += v``, ``x.append(v)``."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return [ast.unparse(node.value)]
    if isinstance(node, ast.AugAssign):
        return [ast.unparse(node.target)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATING:
        return [ast.unparse(node.func.value)]
    return []


def mutations(tree: ast.Module, names: set[str]) -> list[str]:
    """Places where one of these names is changed, or any name is declared global."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            found.append(f"{node.lineno}: global {', '.join(node.names)}")
        elif any(target in names for target in changed_by(node)):
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def test_no_mutable_state_in_modules() -> None:
    """A table in capitals that nothing changes is a constant; anything else is state."""
    assert not problems(state)


def state(path: Path) -> Iterator[str]:
    tree = tree_of(path)
    names = mutable_names(tree)
    yield from (f"{relative(path)}:{place}" for place in mutations(tree, names))
    variables = sorted(name for name in names if not name.strip("_").isupper())
    if variables:
        yield f"{relative(path)}: {variables} look like state; a constant is in capitals"


def test_no_utils() -> None:
    assert not [relative(path) for path in FILES if path.stem in {"utils", "util", "helpers", "misc", "common"}]


def test_the_rules_can_fail() -> None:
    """The checks above see an import inside a function, a relative one, and a changed table."""
    probe = PACKAGE / "datasets" / "probe.py"  # never written: only its place matters
    source = "from ..gui import app\nfrom . import icpr\ndef f():\n    import torch.nn\n    from qtpy import QtCore\n"
    names = [name for _, name in imports_of(ast.parse(source), probe)]
    assert {"napari_mitosis.gui", "napari_mitosis.datasets.icpr", "torch.nn", "qtpy"} <= set(names)
    changed = ast.parse("TABLE = {}\ndef f():\n    TABLE['a'] = 1\n    TABLE.update(b=2)\n")
    assert len(mutations(changed, mutable_names(changed))) == 2
