"""Generation: samples from a model, one after another, by the engine that suits, streamed to files as they are made.

It hands out `generate` and `render`, the engines and `make_engine`, and `exported` for files that run without Python.
It may import `wavenet.recordings`, `wavenet.model` and the rooms below them.

`player`, `playing` and what they import play an exported file without torch, which takes seconds to import. Therefore
the names that the room hands out are imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavenet.generation.cached import CachedEngine
    from wavenet.generation.calibration import exported
    from wavenet.generation.compiled import CompiledEngine
    from wavenet.generation.conditions import Conditions
    from wavenet.generation.engine import Engine, State, projection
    from wavenet.generation.engine_choice import ENGINES, make_engine
    from wavenet.generation.format import PRECISIONS
    from wavenet.generation.naive import NaiveEngine
    from wavenet.generation.rendering import Rendering
    from wavenet.generation.streams import generate, render

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "CachedEngine",
    "CompiledEngine",
    "Conditions",
    "Engine",
    "NaiveEngine",
    "Rendering",
    "State",
    "exported",
    "generate",
    "make_engine",
    "projection",
    "render",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wavenet.generation.cached import CachedEngine
    from wavenet.generation.calibration import exported
    from wavenet.generation.compiled import CompiledEngine
    from wavenet.generation.conditions import Conditions
    from wavenet.generation.engine import Engine, State, projection
    from wavenet.generation.engine_choice import ENGINES, make_engine
    from wavenet.generation.format import PRECISIONS
    from wavenet.generation.naive import NaiveEngine
    from wavenet.generation.rendering import Rendering
    from wavenet.generation.streams import generate, render

    kinds = (CachedEngine, CompiledEngine, Conditions, Engine, NaiveEngine, Rendering, State)
    functions = (exported, generate, make_engine, projection, render)
    found: dict[str, Any] = {"ENGINES": ENGINES, "PRECISIONS": PRECISIONS}
    globals().update(found | {made.__name__: made for made in (*kinds, *functions)})
    return globals()[name]
