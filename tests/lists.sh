#!/bin/sh
# Every file of the tree that a build, a test or a user needs is named in a local.mk, or `make dist`
# would leave it out; and no test is named twice.  One TAP case a folder, and one.
set -u
builddir=${builddir:-.}
cd "${srcdir:-.}" || exit 99

n=0
status=0
for folder in src include lua tests examples bench man; do
    n=$((n + 1))
    unlisted=$(find "$folder" -type f \( -name '*.[ch1-9]' -o -name '*.def' -o -name '*.lua' \
        -o -name '*.sh' -o -name '*.py' -o -name '*.txt' \) | sort | while read -r file; do
        # A program of one source is listed without its suffix.
        grep -qF -e "$file" -e "${file%.c}\$(EXEEXT)" "$builddir/Makefile" ||
            echo "#   $file is in no local.mk"
    done)
    if [ -z "$unlisted" ]; then
        echo "ok $n - $folder"
    else
        echo "not ok $n - $folder"
        echo "$unlisted"
        status=1
    fi
done
n=$((n + 1))
twice=$(sed -n 's/^script_tests += //p' tests/local.mk | tr ' ' '\n' | sort | uniq -d |
    sed 's/^/#   /')
if [ -z "$twice" ]; then
    echo "ok $n - each script once"
else
    echo "not ok $n - each script once"
    echo "$twice"
    status=1
fi
echo "1..$n"
exit $status
