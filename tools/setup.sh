#!/usr/bin/env bash
# setup.sh EXTRA: makes .venv and installs the package in it, editable, with that extra ("all" or "dev").
# Run again, it does only what is left to do. TORCH, PYTHON and VENV can be set from outside.
set -euo pipefail
cd "$(dirname "$0")/.."

extra="${1:?which extra: all or dev}"
venv="${VENV:-.venv}"
read -ra torch <<<"${TORCH:-torch==2.13.0}" # pip's options may follow, such as --index-url

pick_python() {
  local name
  for name in ${PYTHON:-} python3.12 python3.11 python3.13 python3 python; do
    if command -v "$name" >/dev/null &&
      "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "no Python 3.11, 3.12 or 3.13 found; install one or say PYTHON=/path/to/python" >&2
  return 1
}

if [[ ! -x "$venv/bin/python" ]]; then
  python="$(pick_python)"
  echo "environment: $("$python" --version) in $venv"
  "$python" -m venv "$venv"
else
  echo "environment: $venv is there"
fi

# The stamp holds what was installed; a changed pyproject.toml installs anew.
stamp="$venv/.installed-$extra"
wanted="$(cat pyproject.toml tools/setup.sh | cksum) $(pwd)"
for done in "$stamp" "$venv/.installed-dev"; do # dev holds all
  if [[ -f "$done" && "$(cat "$done")" == "$wanted" ]]; then
    echo "packages: all there"
    exit 0
  fi
done
if ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
  # First and alone, so that a build without CUDA, a tenth of the size, is taken where pip is offered one.
  echo "packages: ${torch[*]}"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${torch[@]}" ||
    echo "packages: no ${torch[*]} here; the range in pyproject.toml decides"
fi
echo "packages: napari-mitosis[$extra] and what it needs (minutes the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$extra]"
echo "$wanted" >"$stamp"
echo "packages: done"
