"""Send one step of the workflow to Kubernetes: Snakemake calls it with the step's script.

    python3 submit.py --step model --cpu 1 --memory-mb 32000 --minutes 2880 --gpu 1 SCRIPT

Prints the name of the job. The pod is that of `job.yaml` beside this file, or of the file that
`SOFTSEG_KUBERNETES_JOB` names; `kubectl` knows the cluster and the namespace.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).with_name("job.yaml")


def manifest(template: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The job of one step: the template with its name, command, folder and resources."""
    job = json.loads(json.dumps(template))
    step = options.step.replace("_", "-").lower()
    job["metadata"] |= {"generateName": f"softseg-{step}-"}
    job["metadata"].setdefault("labels", {})["step"] = step
    pod = job["spec"]["template"]["spec"]
    # Of the pod, not of the job: waiting for a node does not count.
    pod["activeDeadlineSeconds"] = 60 * options.minutes
    container = pod["containers"][0]
    container |= {
        "command": ["/bin/sh", str(options.script.absolute())],
        "workingDir": str(Path.cwd()),
    }
    memory = f"{options.memory_mb}M"
    wanted = container.setdefault("resources", {})
    wanted["requests"] = wanted.get("requests", {}) | {"cpu": options.cpu, "memory": memory}
    wanted["limits"] = wanted.get("limits", {}) | {"memory": memory}
    if options.gpu:
        # Requests of such devices are their limits.
        wanted["limits"][options.gpu_kind] = options.gpu
    return job


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """What Snakemake says of the step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", required=True, help="name of the rule")
    parser.add_argument("--cpu", type=int, required=True)
    parser.add_argument("--memory-mb", type=int, required=True)
    parser.add_argument("--minutes", type=int, required=True)
    parser.add_argument("--gpu", type=int, default=0, help="how many")
    parser.add_argument("--gpu-kind", default="nvidia.com/gpu", help="what the cluster calls them")
    parser.add_argument("script", type=Path)
    return parser.parse_args(words)


def main() -> None:
    """Command line."""
    template = Path(os.environ.get("SOFTSEG_KUBERNETES_JOB", TEMPLATE))
    job = manifest(yaml.safe_load(template.read_text(encoding="utf-8")), arguments())
    done = subprocess.run(
        ["kubectl", "create", "--output=name", "--filename=-"],  # noqa: S607 (theirs, on the path)
        input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit("kubectl could not create the job")
    print(done.stdout.strip().rpartition("/")[2])


if __name__ == "__main__":
    main()
