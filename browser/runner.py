"""Runs a program as `python lstm.py` would, and draws its figures.

This file runs in the reader's browser: `worker.mjs` loads it into Pyodide.
"""

import io
import linecache
import logging
import sys
import traceback
import types
from collections.abc import Callable, Iterator

import figures

_program = types.ModuleType("__main__")  # the one that ran last


def run(code: str, name: str, check: str = "") -> bool:
    """Run a whole program, and what checks it; False if either raised.

    The check runs among the program's own names. A traceback goes to stderr.
    """
    global _program
    _program = types.ModuleType("__main__")
    sys.modules["__main__"] = _program
    return _run_part(code, f"{name}.py") and _run_part(check, "check.py")


def _run_part(code: str, file: str) -> bool:
    lines = code.splitlines(keepends=True)
    linecache.cache[file] = (len(code), None, lines, file)  # for the traceback
    return _tell(lambda: exec(compile(code, file, "exec"), _program.__dict__))


def draw(name: str, show: Callable[[str], None]) -> bool:
    """Call every `draw_…` of the program that ran; `show` takes the SVG of each.

    False if one raised, with its traceback on stderr.
    """

    def draw_all() -> None:
        for symbol, svg in _drawings():
            words = " ".join((getattr(_program, symbol).__doc__ or symbol).split())
            show(figures.for_page(svg, f"run-{name}-{symbol}", words))

    return _tell(draw_all)


def _drawings() -> Iterator[tuple[str, str]]:
    import matplotlib

    matplotlib.use("svg")
    logging.getLogger("matplotlib").setLevel(
        logging.ERROR
    )  # it looks for fonts, slowly
    from matplotlib import pyplot

    pyplot.style.use(figures.STYLE)
    for symbol in [symbol for symbol in vars(_program) if symbol.startswith("draw_")]:
        pyplot.close("all")
        getattr(_program, symbol)()
        svg = io.StringIO()
        pyplot.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        yield symbol, svg.getvalue()


def _tell(work: Callable[[], None]) -> bool:
    """Do it; False if it raised. The traceback begins in the reader's program."""
    try:
        work()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return not end.code
    except BaseException as error:
        frames = error.__traceback__
        while frames and frames.tb_frame.f_code.co_filename == __file__:
            frames = frames.tb_next
        traceback.print_exception(error.with_traceback(frames))
        return False
    return True
