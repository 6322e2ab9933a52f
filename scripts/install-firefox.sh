#!/usr/bin/env bash
# Installs Firefox ESR from Debian, as root: some of the tests then run in it, too (test/firefox.node.test.ts). Does nothing where
# there is a Firefox. Nothing depends on it.
set -euo pipefail

notice() {
  echo "install-firefox: $1; going on without it"
  exit 0
}

command -v firefox firefox-esr && exit 0
command -v apt-get >/dev/null || notice "this is no Debian"
[[ $EUID -eq 0 ]] || notice "not running as root"
get() {
  DEBIAN_FRONTEND=noninteractive timeout --kill-after=10 120 apt-get -o Acquire::Retries=1 -o Acquire::http::Timeout=20 \
    -o DPkg::Lock::Timeout=60 "$@" >/dev/null 2>&1
}
get update && get install -y --no-install-recommends firefox-esr || notice "apt-get failed or took too long"
echo "install-firefox: done"
