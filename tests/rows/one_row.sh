#!/bin/sh
# rows.lua, by the program whose table of hyper-parameters has rows more (rows.h).
set -u
program=${builddir:-.}/tests/rows/switchyard
others=$(grep -rlE '"(switchyard/(hyper|train)|train/[a-z_]+)\.h"' "${srcdir:-.}/src" |
    grep -v -e /src/train/ -e /src/bind/ -e /src/main.c -e /src/cli/)
[ -z "$others" ] || {
    echo "Bail out! the table is in objects that tests/local.mk does not make again: $others"
    exit 1
}
exec "$program" -E --runs "$SWITCHYARD_RUNS" "${srcdir:-.}/tests/rows/rows.lua"
