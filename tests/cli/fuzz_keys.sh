#!/bin/sh
# Keys at random (keys.c): SY_KEYS of them, from the seed SY_KEYS_SEED.
if [ ! -x tests/cli/keys ]; then
    echo "1..0 # SKIP the driver is not built"
    exit 0
fi
exec tests/cli/keys "${SWITCHYARD:-./switchyard}" "${SY_KEYS:-5000}" "${SY_KEYS_SEED:-1}"
