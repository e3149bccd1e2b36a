#!/usr/bin/env bash
# Installs what Qt needs on Debian and Ubuntu; with the word "test", also the database server that the tests of a
# shared journal start for themselves. Where it may not, it prints the line to run and goes on:
# detection without a window works all the same.
set -euo pipefail

packages=(
  xvfb libgl1 libegl1 libgl1-mesa-dri libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0
  libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1 libdbus-1-3
  libfontconfig1 libglib2.0-0
)
if [[ "${1:-}" == test ]]; then
  packages+=(postgresql)
fi

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  echo "system libraries: not a Debian or Ubuntu system, nothing to install here"
  exit 0
fi

installed() {
  # Newer releases provide some of these under another name (libglib2.0-0t64).
  local name
  for name in "$1" "$1t64"; do
    [[ "$(dpkg-query -W -f='${Status}' "$name" 2>/dev/null)" == *"ok installed" ]] && return 0
  done
  return 1
}

missing=()
for package in "${packages[@]}"; do
  installed "$package" || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  echo "system libraries: all there"
  exit 0
fi

line="apt-get install --yes --no-install-recommends ${missing[*]}"
if [[ "$(id -u)" -eq 0 ]]; then
  as_root=()
elif command -v sudo >/dev/null && sudo --non-interactive true 2>/dev/null; then
  as_root=(sudo)
else
  echo "system libraries: not root and no sudo without a password. A window needs these; run"
  echo "    sudo apt-get update && sudo $line"
  exit 0
fi
echo "system libraries: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
if ! { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" $line -qq >/dev/null; }; then
  echo "system libraries: apt-get failed. A window needs these; run"
  echo "    sudo apt-get update && sudo $line"
fi
