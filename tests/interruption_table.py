"""Trials as the book shows them: `python tests/interruption_table.py TRIALS.jsonl … TABLE.csv`.

Reads the lines that `interruptions.py` and `interrupted_workflow.py` printed; one row a step.
"""

import argparse
import datetime
import json
from pathlib import Path

import pandas as pd
from scale_run import processor

from softseg.files import replacing

COMMANDS = {"workflow": "python tests/interrupted_workflow.py --trials {trials} --seed 9"}
USUAL = "python tests/interruptions.py '{step}' --trials {trials} --seed 9"


def summarise(trials: pd.DataFrame) -> pd.DataFrame:
    """One row a step: how many trials, when they were killed and what became of them."""
    rows = []
    # The workflow's two kinds of kills take turns in one run.
    both = int(trials["step"].str.startswith("workflow").sum())
    for step, some in trials.groupby("step", sort=False):
        command = COMMANDS.get(step.split(",")[0], USUAL)
        first, last = some["killed_after_s"].min(), some["killed_after_s"].max()
        rows.append(
            {
                "step": step,
                "trials": len(some),
                "killed after (s)": f"{first:.1f} to {last:.1f}",
                "files in place then": f"{some['files_then'].min()} to {some['files_then'].max()}",
                "half files": int(some["half_files"].sum()),
                "restarts that ended well": int(some["restarted"].sum()),
                "identical results": int(some["identical"].sum()),
                "date": str(datetime.date.today()),
                "machine": processor(),
                "command": command.format(
                    step=step, trials=both if step.startswith("workflow") else len(some)
                ),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trials", type=Path, nargs="+")
    parser.add_argument("table", type=Path)
    options = parser.parse_args()
    lines = [line for path in options.trials for line in path.read_text().splitlines()]
    table = summarise(pd.DataFrame([json.loads(line) for line in lines]))
    with replacing(options.table) as temporary:
        table.to_csv(temporary, index=False)
    print(table.drop(columns=["machine", "command"]).to_string())


if __name__ == "__main__":
    main()
