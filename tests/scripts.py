"""Scripts of the project, which no package holds, as modules."""

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def loaded_script(place: str) -> ModuleType:
    """The script at a place in the checkout, run as an import would."""
    path = ROOT / place
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
