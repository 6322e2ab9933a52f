#!/usr/bin/env bash
# Installs Mesa's software Vulkan driver (lavapipe) from Debian's backports, as root on Debian 12: the tests then have
# shader-f16 and run about five times as fast. Debian 12's own Mesa 22.3 gives Dawn no adapter; 24.2 or later does.
# Does nothing where it is there already. Nothing depends on it: without it the tests use the npm SwiftShader.
set -euo pipefail

notice() {
  echo "install-lavapipe: $1; going on without it (the tests then use the SwiftShader from npm)"
  exit 0
}

new_enough() {
  local version
  version=$(dpkg-query -W -f '${Status} ${Version}' mesa-vulkan-drivers 2>/dev/null) || return 1
  [[ $version == "install ok installed "* ]] && dpkg --compare-versions "${version##* }" ge 24.2
}

command -v dpkg-query >/dev/null || notice "this is no Debian"
if new_enough; then
  echo "install-lavapipe: mesa-vulkan-drivers is installed and new enough"
  exit 0
fi
. /etc/os-release
[[ ${VERSION_CODENAME:-} == bookworm && ${ID:-} == debian ]] || notice "this is not Debian 12"
[[ $EUID -eq 0 ]] || notice "not running as root"

# Three minutes for everything, then on without it.
deadline=$((SECONDS + 180))
limited() {
  local left=$((deadline - SECONDS))
  ((left > 0)) || return 124
  DEBIAN_FRONTEND=noninteractive timeout --kill-after=10 "$left" "$@" >/dev/null 2>&1
}
options=(-o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o DPkg::Lock::Timeout=60)

if ! grep -rqs bookworm-backports /etc/apt/sources.list /etc/apt/sources.list.d; then
  echo "deb http://deb.debian.org/debian bookworm-backports main" >/etc/apt/sources.list.d/bookworm-backports.list
fi
limited apt-get "${options[@]}" update || notice "apt-get update failed or took too long"
limited apt-get "${options[@]}" install -y --no-install-recommends -t bookworm-backports \
  mesa-vulkan-drivers libvulkan1 || notice "apt-get install failed or took too long"
new_enough || notice "the installed Mesa is too old"
echo "install-lavapipe: done"
