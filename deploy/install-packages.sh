#!/bin/sh
# Installs into /opt/kindred what the arguments name, for deploy/Dockerfile, without the files that no program reads.
set -eu

# Bytecode is compiled here, because tasks cannot write it. Python does not compare it with the time of its source,
# which a layer may change.
export PYC_INVALIDATION_MODE=UNCHECKED_HASH UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
cd /opt/kindred
[ -x bin/python ] || /opt/uv/bin/uv venv --quiet --allow-existing --python "$(command -v python3)" .
/opt/uv/bin/uv pip install --quiet --no-deps --compile-bytecode --python bin/python "$@"
rm -f .lock # uv leaves it, writable for all
# Tests, and C++ headers, which are a fifth of TensorFlow.
cd lib/python3.*/site-packages
find . -type d -name tests -prune -exec rm -r {} +
rm -rf tensorflow/include pyarrow/include
