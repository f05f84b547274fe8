"""The pages of docs/ say what the code says: every setting, every name that a body is given, every page reachable."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from labsched import ConfigError, Settings, config, durations, manual
from labsched.app import Scheduler
from labsched.context import Context, SyncContext
from labsched.sources import PATHS, variable

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))


def rows(page: str, columns: int) -> list[list[str]]:
    """The lines of all tables with so many columns, without their heads."""
    lines = [line for line in (DOCS / page).read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if len(row) == columns]


# --- settings ---------------------------------------------------------------------------------------


def written(value: object) -> str:
    if isinstance(value, float):
        value = durations.show(value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`" if text else "none"


def test_settings_lists_every_key_with_variable_name_and_default():
    table = rows("settings.md", 5)[1:]
    assert [row[:4] for row in table] == [
        [f"`{path}`", f"`{variable(path)}`", f"`{field}`", written(getattr(Settings(), field))]
        for path, field in PATHS.items()
    ]
    assert all(row[4] for row in table)


RELATIONS = [row[0].strip("`") for row in rows("settings.md", 2) if " < " in row[0]]


def test_settings_names_as_many_relations_as_are_checked():
    assert len(RELATIONS) == inspect.getsource(config._check_relations).count("    below(")


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_relation_that_settings_names_is_checked(relation):
    left, right = relation.split(" < ")
    factor, _, small = left.rpartition(" * ")
    defaults = {field: getattr(Settings(), field) for field in PATHS.values()}
    limit = eval(right, {}, defaults) / int(factor or 1)
    assert getattr(Settings(**{small: limit * 0.99}), small) == pytest.approx(limit * 0.99)
    with pytest.raises(ConfigError, match=f"{small} .*must be less than"):
        Settings(**{small: limit})


def test_a_scheduler_reads_no_environment(monkeypatch):
    monkeypatch.setenv("LABSCHED_REDIS_URL", "redis://elsewhere")
    monkeypatch.setenv("LABSCHED_SCHEDULER_NAMESPACE", "elsewhere")
    assert (Scheduler().target, Scheduler().namespace) == ("embedded", "labsched")
    loaded = Scheduler(settings=Settings.load())
    assert (loaded.target, loaded.namespace) == ("redis://elsewhere", "elsewhere")


# --- scripting --------------------------------------------------------------------------------------


def test_scripting_says_which_names_a_body_is_given_where():
    inside = {"lines", "progress_made"}  # what `log` and `progress` keep for the instance
    facts = {"task": "", "execution": "", "slot": None, "attempt": 1, "token": 1, "instance": ""}
    elsewhere = SyncContext(facts, lambda name, args: 0.0, None)
    told = {}
    for names, coroutine, thread, process, text in rows("scripting.md", 5)[1:]:
        assert coroutine == "yes" and text
        told |= dict.fromkeys(re.findall(r"`ctx\.(\w+)", names), (thread, process))
    assert set(told) == {name for name in dir(Context) if not name.startswith("_")} - inside
    for name, (thread, process) in told.items():
        assert (thread == "yes") == (name in dir(elsewhere)), name
        try:
            getattr(elsewhere, name)
        except (AttributeError, ConfigError):
            assert process == "no", name
        else:
            assert process == "yes", name


def test_the_task_file_of_scripting_can_be_loaded(tmp_path):
    text = re.search(r"```yaml\n(# tasks.yml.*?)```", (DOCS / "scripting.md").read_text(), re.DOTALL).group(1)
    (tmp_path / "tasks.yml").write_text(text)
    app = Scheduler("fake")
    nightly, now = app.load_tasks(tmp_path / "tasks.yml", {"report": lambda ctx, *, day="today": day})
    assert (nightly.timeout, nightly.misfire.policy, now.schedule) == (600.0, "SKIP", manual())


# --- all pages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_the_readme_links_every_page(page):
    assert f"](docs/{page})" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{name}" for name in PAGES)])
def test_links_lead_somewhere(page):
    path = ROOT / page
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        file, _, heading = target.partition("#")
        found = path.parent / file if file else path
        assert found.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}, target


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{name}" for name in PAGES)])
def test_python_in_a_page_can_be_parsed_and_imports_what_exists(page):
    for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        tree = compile(block, page, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("labsched"):
                exec(f"from {node.module} import {', '.join(alias.name for alias in node.names)}")
