#!/bin/bash
# Prints the address of the package source that this Debian uses, for what has
# to come from the next one.
set -euo pipefail
apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1
