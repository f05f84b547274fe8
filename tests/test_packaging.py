"""pyproject.toml, constraints.txt and environment.yml say the same, and the package carries its data."""

import importlib
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
# The packages that whoever ordered this project listed for environment.yml.
PROMISED = {
    *("jupyterlab", "redis", "fakeredis", "simpy", "pandas", "matplotlib", "ipywidgets", "nbval", "pytest")
}


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", pin) for pin in pins), pins
    names = [canonicalize_name(pin.partition("==")[0]) for pin in pins]
    assert len(set(names)) == len(names)
    return dict(zip(names, (pin.partition("==")[2] for pin in pins), strict=True))


def requirements() -> list[Requirement]:
    project = PROJECT["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    found = [Requirement(line) for line in [*project["dependencies"], *extras]]
    return [requirement for requirement in found if requirement.name != "labsched"]


def pip_lines() -> list[str]:
    (pip,) = [entry["pip"] for entry in ENVIRONMENT["dependencies"] if isinstance(entry, dict)]
    return pip


def test_every_requirement_is_pinned_inside_its_range():
    pins = constraints()
    for requirement in requirements():
        version = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} but {version} is pinned"


def test_whatever_a_full_install_brings_is_pinned():
    pins, open_, seen = constraints(), requirements(), set()
    while open_:
        requirement = open_.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        assert name in pins or name == "setuptools", f"{name} is not in constraints.txt"
        try:
            below = metadata.requires(requirement.name) or []
        except metadata.PackageNotFoundError:  # an extra that is not installed here
            continue
        for line in below:
            child = Requirement(line)
            extras = requirement.extras or {""}
            if not child.marker or any(child.marker.evaluate({"extra": extra}) for extra in extras):
                open_.append(child)
    assert len(seen) > 50


def test_environment_yml_pins_what_constraints_txt_pins():
    pins = constraints()
    named = dict(line.split("==") for line in pip_lines() if "==" in line)
    assert named.keys() >= PROMISED
    assert named == {name: pins[canonicalize_name(name)] for name in named}


def test_environment_yml_installs_labsched_under_the_constraints():
    assert "-c constraints.txt" in pip_lines()
    assert "-e .[all]" in pip_lines()


def test_environment_yml_asks_for_the_pythons_of_pyproject():
    (python,) = [
        entry
        for entry in ENVIRONMENT["dependencies"]
        if isinstance(entry, str) and entry.startswith("python")
    ]
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(PROJECT["project"]["requires-python"])


def test_the_extra_all_holds_every_other_extra():
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    assert Requirement(everything).extras == extras.keys() - {"all"}


def test_no_file_of_the_setup_names_a_registry():
    for name in ("pyproject.toml", "constraints.txt", "environment.yml", "Makefile", ".ci/run"):
        text = (ROOT / name).read_text()
        assert not re.search(r"https?://|--index-url|--extra-index|--find-links", text), name


def test_package_data_reaches_every_file_that_is_not_python():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["labsched"]
    package = ROOT / "labsched"
    covered = {path for pattern in patterns for path in package.glob(pattern)}
    others = {
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert others == covered


ENTRY_POINTS = [
    *PROJECT["project"]["scripts"].items(),
    *PROJECT["project"]["entry-points"]["labsched.urls"].items(),
]


@pytest.mark.parametrize(("name", "target"), ENTRY_POINTS)
def test_every_entry_point_leads_to_a_callable(name, target):
    module, _, attribute = target.partition(":")
    assert callable(getattr(importlib.import_module(module), attribute))
