"""Known vulnerabilities of what is installed here, for `make check`.

    python tests/audit_dependencies.py

Ends with 1 where one is known. Where no database of vulnerabilities can be reached it says so and
ends with 0: a check without network must not fail for that, and must not look as if it had passed.
"""

import json
import subprocess
import sys
from pathlib import Path

SECONDS = 300


def audit(command: list[str]) -> tuple[int, str]:
    """Exit code, and what to say."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except FileNotFoundError:
        return 0, "dependencies NOT audited: pip-audit is not installed"
    except subprocess.TimeoutExpired:
        return 0, f"dependencies NOT audited: no answer in {SECONDS} s"
    try:
        listed = json.loads(done.stdout)["dependencies"]
    except (ValueError, LookupError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return 0, f"dependencies NOT audited: no database of vulnerabilities reached ({last[:200]})"
    known = [
        f"{package['name']} {package.get('version', '?')}: {found['id']}"
        + (f", mended in {', '.join(found['fix_versions'])}" if found.get("fix_versions") else "")
        for package in listed
        for found in package.get("vulns", [])
    ]
    skipped = sum("skip_reason" in package for package in listed)
    if skipped == len(listed):
        return 0, f"dependencies NOT audited: the database reached knows none of {skipped}"
    summary = f"{len(listed) - skipped} dependencies audited, {len(known)} known vulnerabilities"
    summary += f", {skipped} not in the database" if skipped else ""
    return int(bool(known)), "\n".join([*known, summary])


def main() -> None:
    """Audit this environment."""
    program = Path(sys.executable).with_name("pip-audit")
    words = ["--local", "--format", "json", "--progress-spinner", "off", "--timeout", "20"]
    code, said = audit([str(program), *words])
    print(said)
    sys.exit(code)


if __name__ == "__main__":
    main()
