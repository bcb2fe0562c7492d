#!/bin/sh
# What became of a job: running, success or failed. Snakemake asks with its name.
conditions=$(kubectl get job "$1" --output='jsonpath={range .status.conditions[*]}{.type}={.status} {end}' 2>&1)
case "$?/$conditions" in
  0/*Complete=True*) echo success ;;
  0/*Failed=True* | */*NotFound*) echo failed ;;
  *) echo running ;;  # or the cluster does not answer now: ask again
esac
