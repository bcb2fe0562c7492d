#!/usr/bin/env bash
# A Slurm cluster of this one machine, for tests: `tests/slurm/cluster.sh install|start|stop|status [FOLDER]`.
#
# Everything lies in FOLDER (default /tmp/softseg-slurm) and belongs to the user who starts it: a key
# and a socket of its own for munge, ports of its own for Slurm, so that a cluster that the machine
# belongs to is left alone. `start` prints what points Slurm's commands at it:
#
#   eval "$(tests/slurm/cluster.sh start)"
#
# (Snakemake's job steps forget SLURM_CONF; an `srun` in FOLDER/bin reminds them.)
# Jobs are followed through /proc and are not confined (no control groups), which a container allows.
# One GPU that does not exist is announced, so that jobs which ask for one are scheduled.
set -euo pipefail

PACKAGES=(slurm-wlm munge)
ACTION=${1:-}
FOLDER=$(realpath -m "${2:-/tmp/softseg-slurm}")
PATH=$PATH:/usr/sbin:/sbin

install_packages() {
  if command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null; then
    return
  fi
  local sudo_if_needed
  sudo_if_needed=$([ "$(id -u)" -eq 0 ] || echo sudo)
  export DEBIAN_FRONTEND=noninteractive
  $sudo_if_needed apt-get update -qq
  $sudo_if_needed apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}"
}

write_configuration() {
  local name user cores memory_mb
  name=$(hostname -s)
  user=$(id -un)
  cores=$(nproc)
  memory_mb=$(awk '/^MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
  mkdir -p "$FOLDER"/{state,spool,log}
  chmod 0755 "$FOLDER" "$FOLDER"/log
  [ -f "$FOLDER/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom > "$FOLDER/munge.key")
  cat > "$FOLDER/slurm.conf" <<CONF
ClusterName=softseg-test
SlurmctldHost=$name(127.0.0.1)
SlurmctldPort=17817
SlurmdPort=17818
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$FOLDER/munge.socket
CredType=cred/munge
CryptoType=crypto/munge
StateSaveLocation=$FOLDER/state
SlurmdSpoolDir=$FOLDER/spool
SlurmctldPidFile=$FOLDER/slurmctld.pid
SlurmdPidFile=$FOLDER/slurmd.pid
SlurmctldLogFile=$FOLDER/log/slurmctld.log
SlurmdLogFile=$FOLDER/log/slurmd.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=5
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MinJobAge=600
GresTypes=gpu
NodeName=$name NodeAddr=127.0.0.1 CPUs=$cores RealMemory=$memory_mb Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=$name Default=YES MaxTime=INFINITE DefMemPerCPU=1000 State=UP
CONF
  echo "Name=gpu File=/dev/null" > "$FOLDER/gres.conf"
  mkdir -p "$FOLDER/bin"
  printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$FOLDER/slurm.conf" "$(command -v srun)" > "$FOLDER/bin/srun"
  chmod +x "$FOLDER/bin/srun"
}

is_running() {
  [ -s "$FOLDER/$1.pid" ] && kill -0 "$(cat "$FOLDER/$1.pid")" 2>/dev/null
}

start() {
  export SLURM_CONF=$FOLDER/slurm.conf
  write_configuration
  is_running munged || munged --force --key-file="$FOLDER/munge.key" --socket="$FOLDER/munge.socket" \
    --pid-file="$FOLDER/munged.pid" --log-file="$FOLDER/log/munged.log" --seed-file="$FOLDER/munge.seed"
  is_running slurmctld || slurmctld -f "$SLURM_CONF"
  is_running slurmd || slurmd -f "$SLURM_CONF"
  for _ in $(seq 60); do
    if [ "$(sinfo --noheader --format=%T 2>/dev/null | head -1)" = idle ]; then
      echo "export SLURM_CONF=$SLURM_CONF PATH=$FOLDER/bin:\$PATH"
      return
    fi
    sleep 0.5
  done
  echo "the cluster did not come up within 30 s; see $FOLDER/log" >&2
  exit 1
}

stop() {
  for daemon in slurmd slurmctld munged; do
    is_running "$daemon" && kill "$(cat "$FOLDER/$daemon.pid")"
  done
  for _ in $(seq 40); do
    is_running slurmd || is_running slurmctld || is_running munged || break
    sleep 0.25
  done
  rm -rf "$FOLDER"
}

case $ACTION in
  install) install_packages ;;
  start) install_packages && start ;;
  stop) stop ;;
  status) SLURM_CONF=$FOLDER/slurm.conf sinfo ;;
  *) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
