# For scripts that wait for what another process does.
# shellcheck shell=sh

# until_true COMMAND...: until the command is true, however slow the machine is; false after $LIMIT
# seconds, which are there to end a hang.
: "${LIMIT:=120}"
until_true()
{
    end=$(($(date +%s) + LIMIT))
    until "$@"; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.03
    done
}
