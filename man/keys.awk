# switchyard-keys(7) from src/tui/panel_keys.def, the one list of keys.
#
#     SY_KEY(ACTION, MAP, "readline-name", "keys", "shown", "help")
BEGIN {
    print ".\\\" Made from src/tui/panel_keys.def; do not edit."
    print ".Dd November 30, 2026\n.Dt SWITCHYARD-KEYS 7\n.Os\n.Sh NAME\n.Nm switchyard-keys"
    print ".Nd keys of the workbench\n.Sh DESCRIPTION"
    print "At the prompt every key is Readline's, as"
    print ".Xr readline 3\nand the user's\n.Pa ~/.inputrc\nhave it, and"
    print "those of the first list below."
    print ".Pp\nIn pane mode the keys of the second list act on the panels;"
    print "what they do not have is told."
    print "The cursor is a step: all charts show it, and the heatmap shows that step."
    print ".Pp\nEvery key is bound to a function of Readline, whose name stands in parentheses,"
    print "and may be"
    print "bound to another:\n.Bd -literal -offset indent"
    print "$if switchyard\n\"\\eC-xp\": switchyard-panes\n$endif\n.Ed"
}
/^SY_KEY\(/ {
    n = split($0, part, "\"")
    split(part[1], head, /[(, ]+/)
    shown = part[6]
    gsub(/←/, "Left", shown); gsub(/→/, "Right", shown) # a terminal may have no arrows
    gsub(/↑/, "Up", shown); gsub(/↓/, "Down", shown)
    shown = (shown ~ /^[-.'0]/ ? "\\&" : "") shown
    row[head[3]] = row[head[3]] ".It " shown "\n" part[8] "\n.Pq " part[2] "\n"
}
END {
    printf ".Sh PROMPT\n.Bl -tag -width 12n -compact\n%s.El\n", row["PROMPT"]
    printf ".Sh PANE MODE\n.Bl -tag -width 12n -compact\n%s.El\n", row["PANE"]
    print ".Sh SEE ALSO\n.Xr switchyard 1 ,\n.Xr switchyard-lua 7 ,\n.Xr readline 3"
}
