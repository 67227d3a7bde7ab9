"""Checks and measures this package on a machine with one CUDA device, in one command of under eight minutes.

    python scripts/gpu_check.py [--output gpu_report.json] [--only machine,tests,...] [--device cuda] [--quick]

Prints a JSON report, then the same in tables. Each section runs in its own process with its own time limit, so that one
that fails or hangs does not affect the others. A row has a result or says why not: `failed` or `not_run`. The report is
written again after every row; progress and tracebacks go to standard error.

`--device cpu --quick` rehearses the same code with small models on a machine without a device; the report says so. The
tests need pytest, and torch.compile needs a C++ compiler.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from gpu_measure import Check
from gpu_sections import SECTIONS
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("gpu_report.json"), help="file to write")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="small models and few samples: a rehearsal")
    parser.add_argument("--section", choices=SECTIONS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.section:
        in_this_process(asked.section, asked)
        return
    names = asked.only.split(",")
    if unknown := set(names) - set(SECTIONS):
        parser.error(f"--only: {', '.join(sorted(unknown))}; sections are {', '.join(SECTIONS)}")
    rehearsal = asked.quick or asked.device == "cpu"
    report: dict[str, Any] = {"began": time.strftime("%Y-%m-%d %H:%M"), "device": asked.device, "rehearsal": rehearsal}
    report["sections"] = {}
    with tempfile.TemporaryDirectory() as cache:
        for name in names:
            in_a_process(name, asked, report, {**os.environ, "XDG_CACHE_HOME": cache})
    print(json.dumps(report))
    for name in names:
        show(name, report)


def in_a_process(name: str, asked: argparse.Namespace, report: dict[str, Any], environment: dict[str, str]) -> None:
    """Run a section in its own process and record each row as it comes; stop it after its time limit."""
    allowed, rows, began = SECTIONS[name][1] * (4 if asked.device == "cpu" else 1), [], time.monotonic()
    section = report["sections"][name] = {"ended": "running", "seconds_allowed": allowed, "rows": rows}
    command = [sys.executable, __file__, "--section", name, "--device", asked.device, *["--quick"] * asked.quick]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    timer = threading.Timer(allowed, end, (process,))
    timer.start()
    assert process.stdout is not None
    try:
        for line in process.stdout:
            rows.append(json.loads(line))
            print(f"{name}: {line}", end="", file=sys.stderr)
            asked.output.write_text(json.dumps(report, indent=2) + "\n")
        status = process.wait()
    finally:
        timer.cancel()
        end(process)
    section["seconds"] = time.monotonic() - began
    failed, missing = (sum(kind in row for row in rows) for kind in ("failed", "not_run"))
    section["ended"] = f"{len(rows) - failed - missing} measured, {failed} failed, {missing} not run"
    if status:
        how = f"stopped after its {allowed:g} s" if section["seconds"] >= allowed else f"ended with status {status}"
        section["ended"] += f"; {how}: rows that are missing here were not run"
    asked.output.write_text(json.dumps(report, indent=2) + "\n")


def end(process: subprocess.Popen[str]) -> None:
    """Stop a section that is still running, and every process that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def in_this_process(name: str, asked: argparse.Namespace) -> None:
    """Run a section, with its rows as lines of JSON on standard output and everything else on standard error."""
    with os.fdopen(os.dup(1), "w", buffering=1) as rows:
        os.dup2(2, 1)
        if asked.device == "cuda" and not torch.cuda.is_available():
            print(json.dumps({"what": "all of it", "not_run": "no CUDA device was found"}), file=rows)
            return
        section, seconds = SECTIONS[name]
        section(Check(asked.device, asked.quick, seconds, lambda row: print(json.dumps(row), file=rows)))


def show(name: str, report: dict[str, Any]) -> None:
    section = report["sections"][name]
    columns = list(dict.fromkeys(key for row in section["rows"] for key in row if key not in ("failed", "not_run")))
    rehearsed = f", a rehearsal on {report['device']}" if report["rehearsal"] else ""
    title = f"\n{name}: {section['ended']}, {section['seconds']:.0f} s{rehearsed}"
    table = Table(title=title, title_justify="left", box=None)
    for column in [*columns, ""]:
        table.add_column(column.replace("_", " "))
    for row in section["rows"]:
        notes = [f"{key.replace('_', ' ')}: {row[key]}" for key in ("failed", "not_run") if key in row]
        table.add_row(*(words(row.get(column)) for column in columns), escape("; ".join(notes)))
    Console(width=170).print(table)


def words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return "" if value is None else escape(str(value))


if __name__ == "__main__":
    main()
