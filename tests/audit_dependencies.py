"""Known vulnerabilities of what is installed here, for `make check`.

    python tests/audit_dependencies.py [--strict]

Ends with 1 where one is known. Where no database of vulnerabilities can be reached it says so in
one line and ends with 0: a check without network must not fail for that, and must not look as if
it had passed. With `--strict`, for releases, it ends with 2 then.
"""

import json
import subprocess
import sys
from pathlib import Path

SECONDS = 300
UNKNOWN = "dependencies NOT audited"


def audit(command: list[str]) -> tuple[int, str]:
    """Exit code, and what to say."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except FileNotFoundError:
        return 0, f"{UNKNOWN}: pip-audit is not installed"
    except subprocess.TimeoutExpired:
        return 0, f"{UNKNOWN}: no answer in {SECONDS} s"
    try:
        listed = json.loads(done.stdout)["dependencies"]
    except (ValueError, LookupError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return 0, f"{UNKNOWN}: no database of vulnerabilities reached ({last[:200]})"
    known = [
        f"{package['name']} {package.get('version', '?')}: {found['id']}"
        + (f", mended in {', '.join(found['fix_versions'])}" if found.get("fix_versions") else "")
        for package in listed
        for found in package.get("vulns", [])
    ]
    skipped = sum("skip_reason" in package for package in listed)
    if skipped == len(listed):
        return 0, f"{UNKNOWN}: what answered knows none of {skipped} packages"
    summary = f"{len(listed) - skipped} dependencies audited, {len(known)} known vulnerabilities"
    summary += f", {skipped} not in the database" if skipped else ""
    return int(bool(known)), "\n".join([*known, summary])


def main() -> None:
    """Audit this environment."""
    program = Path(sys.executable).with_name("pip-audit")
    words = ["--local", "--format", "json", "--progress-spinner", "off", "--timeout", "20"]
    code, said = audit([str(program), *words])
    print(said)
    sys.exit(2 if said.startswith(UNKNOWN) and "--strict" in sys.argv[1:] else code)


if __name__ == "__main__":
    main()
