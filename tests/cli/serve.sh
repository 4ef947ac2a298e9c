#!/bin/sh
# switchyard serve: every verb, several clients, clients that are slow, deaf, gone or talk nonsense;
# the socket's mode and its end; the journal, which a replay repeats bit for bit.  TAP.
# shellcheck disable=SC2016,SC2034,SC2119,SC2120,SC2013 # conditions are evaluated in ok
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"
client=${builddir:-.}/tests/cli/socket
socket=$folder/s
srcdir=$(cd "${srcdir:-.}" && pwd)
cd "$folder" || exit 99
case $client in /*) ;; *) client=$OLDPWD/$client ;; esac
case $SWITCHYARD in /*) ;; *) SWITCHYARD=$OLDPWD/$SWITCHYARD ;; esac

ask() { "$client" "$socket" "$@" > out 2> err; }
says() { grep -q -F -e "$1" out; report $? "$2"; }

cat > s.lua << 'LUA'
local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, experts = 4, top_k = 2,
  expert_dim = 16, vocab = d.vocab}
r = train(m, d, {steps = 60, batch = 2, name = "served", eval_every = 20, eval_batches = 1,
  checkpoint_every = 10, paused = true})
extra = ...
LUA

# ---- what is refused before anything begins ----

refused() { # STATUS TEXT WORDS...
    status=$1 text=$2
    shift 2
    "$SWITCHYARD" serve "$@" > out 2> err
    [ $? -eq "$status" ] && grep -q -F -e "$text" err
    report $? "refused: $text"
}
refused 2 'which run, or which script?'
refused 2 'serve: takes --socket PATH' s.lua
refused 2 "unknown option '--sockt' (did you mean '--socket'?)" s.lua --sockt x
refused 2 'serve: --steps is of a run, not of a script' s.lua --steps 4 --socket "$socket"
refused 2 "serve: what is 'b'?" a b --socket "$socket"
refused 1 'the path of a socket has at most 107 bytes' s.lua \
    --socket "$folder/$(printf '%0120d' 0)"
refused 1 "serve: the folder of $folder/none/s: No such file or directory" s.lua \
    --socket "$folder/none/s"
echo mine > file
refused 1 "serve: $folder/file is there and is no socket" s.lua --socket "$folder/file"
ok '[ "$(cat file)" = mine ]' 'and it is as it was'
refused 1 'none' none --socket "$socket"
ok '[ ! -e "$socket" ]' 'no socket stays behind'
echo 'error "broken"' > bad.lua
refused 1 'broken' bad.lua --socket "$socket"

# ---- a script, served ----

"$client" "$socket" --leave
ok '[ -S "$socket" ]' 'a socket of a dead process'
in_front "$SWITCHYARD" serve s.lua --socket "$socket" word > log 2>&1 &
server=$!
comes log 'serving at'
report $? 'is taken over'
ok '[ "$(ls -l "$socket" | cut -c 1-10)" = srw------- ]' 'for this user alone'
refused 1 "serve: another process listens at $socket" s.lua --socket "$socket"
until_true sh -c 'echo "{\"id\":1,\"do\":\"status\"}" | "$1" "$2" | grep -q paused' - \
    "$client" "$socket"
report $? 'its run is there'

ask << 'J'
{"id":1,"do":"hello","who":"notebook"}
{"id":2,"do":"set","name":"lr","value":0.004}
{"id":3,"do":"steps","n":5}
{"id":4,"do":"wait"}
{"id":5,"do":"expert","layer":1,"expert":2,"verb":"disable","who":"an agent"}
{"id":6,"do":"get","name":"lr"}
{"id":7,"do":"eval","code":"extra, nil, 1/0, {}, tensor{0/0}"}
{"id":8,"do":"eval","code":"local x = 4 return {x, n = 1}"}
{"id":9,"do":"eval","code":"x = {} x.x = x return x"}
{"id":10,"do":"eval","code":"tensor.zeros(300, 300)"}
{"id":11,"do":"eval","code":"('x'):rep(9e6)"}
{"id":"t","do":"note","text":"here"}
J
says '"name":"rewind"' 'hello says what there is'
says '{"id":2,"result":0.004}' 'set'
says '{"id":4,"result":{' 'wait'
says '"step":5,' 'and it has come there'
says '{"id":5,"result":"disable"}' 'a verb of an expert'
says '{"id":6,"result":0.004}' 'get'
says '{"id":7,"result":["word",null,"inf",[],{"shape":[1],"dtype":"f32","values":["nan"]}]}' \
    'eval: values as JSON has them'
says 'the result cannot be JSON: it has the key 1 beside names' 'eval: not as a mixture of both'
says '{"id":9,"error":{"code":"result",' 'eval: nor what is inside itself'
says '"shape":[300,300],"dtype":"f32","values":null,"limit":65536}' \
    'eval: a large tensor by its shape'
says 'the result is longer than 8388608 bytes' 'eval: a long text is refused'
says '{"id":"t","result":"served"}' 'an id may be a text'

ask << 'J'
{"id":1,"do":"hello","who":"a name that is longer than the journal has room for"}
{"id":2,"do":"expert","layer":1,"expert":99,"verb":"disable"}
{"id":3,"do":"expert","layer":9,"expert":1,"verb":"disable"}
{"id":4,"do":"eval","code":"lint(r)"}
{"id":5,"do":"status"}
J
says 'hello: who has 51 bytes, at most 39 are possible' 'a name that is too long is refused'
says 'there is no expert 99; they are numbered 1 to 4' 'an expert that is not there'
says 'there is no layer 9; they are numbered 1 to 1' 'a layer that is not there'
says '{"id":4,"result":' 'what lint finds'
says '{"id":5,"result":' 'and the connection is good'

ask << 'J'
garbage
[1]
{"id":1}
{"id":2,"do":"stauts"}
{"id":3,"do":"set","nme":"lr"}
{"id":4,"do":"set","name":"lr"}
{"id":5,"do":"set","name":"lrr","value":1}
{"id":6,"do":"rewind","step":-1}
{"id":7,"do":"rewind","step":1000}
{"id":8,"do":"history","series":"los"}
{"id":9,"do":"expert","layer":1,"expert":9,"verb":"disable"}
{"id":10,"do":"expert","layer":1,"expert":1,"verb":"disabel"}
{"id":11,"do":"eval","code":"error 'mine'"}
{"id":12,"do":"eval","code":"x ="}
{"id":13,"do":"status","run":"none"}
{"id":14,"do":"note","text":"x","who":"0123456789012345678901234567890123456789"}
{"id":{},"do":"status"}
{"id":true,"do":"status"}
{"id":15,"do":"status","do":"pause"}
{"id":16,"do":"get","name":"step"}
J
says '{"id":null,"error":{"code":"json"' 'a line that is no JSON'
says 'serve: a request is an object' 'nor an object'
says '{"id":1,"error":{"code":"request","message":"serve: unknown verb' 'no verb'
says "unknown verb 'stauts' (did you mean 'status'?)" 'the nearest verb'
says "unknown option 'nme' (did you mean 'name'?)" 'the nearest field'
says "set: 'value' is missing" 'a field that is missing'
says "'lrr' (did you mean 'lr'?)" 'the nearest hyper-parameter'
says '{"id":6,"error":' 'a step under 0'
says '{"id":7,"error":' 'a step that was not'
says '{"id":8,"error":' 'a series that is not'
says '{"id":9,"error":' 'an expert that is not'
says "unknown verb 'disabel'" 'a verb of experts that is not'
says '"message":"socket:1: mine"' 'an error of a chunk'
says '{"id":12,"error":' 'a chunk that does not compile'
says '{"id":13,"error":' 'a run that is not'
says 'at most 47 bytes' 'a name that is too long'
ok '[ "$(grep -c "must be a number or a text" out)" -eq 2 ]' 'an id that is a table, or true'
says '{"id":16,"result":5}' 'and it goes on after each of them'

missing=
echo '{"do":"hello"}' | "$client" "$socket" > out
for verb in $(grep -o '"name":"[a-z]*"' out | cut -d '"' -f 4); do
    grep -q "^\.It.* Cm $verb\( \|$\)" "$srcdir/man/switchyard.1" || missing="$missing $verb"
done
ok '[ -z "$missing" ]' "the manual page has all verbs${missing:+ but$missing}"

# ---- clients of all kinds ----

ok '[ "$("$client" "$socket" --many 100)" = 100 ]' '100 clients at once, in half lines'
echo '{"id":1,"do":"get","name":"step"}' | "$client" "$socket" --long 1048577 > out
says 'serve: a line has more than 1048576 bytes' 'a line that is too long'
says '{"id":1,"result":5}' 'and the one behind it'
ok '[ "$(wc -l < out)" -eq 2 ]' 'once: its rest is no line of its own'
names="local n, v = debug.getupvalue(require('switchyard.serve.serve').ROWS[1].f, i)"
cat > kept << J
{"do":"eval","code":"for i = 1, 9 do $names if n == 'NAMES' then return next(v) == nil end end"}
J
until_true sh -c '"$1" "$2" < kept | grep -q "\"result\":true"' - "$client" "$socket"
report $? 'the names of those that are gone are not kept'
printf '{"id":1,"do":"get","name":"step"}' | "$client" "$socket" > out
says '{"id":1,"result":5}' 'a last line without an end'
ask << 'J'
{"id":1,"do":"history","series":"loss","from":4,"to":4}
{"id":2,"do":"history","series":"loss","from":6}
{"id":3,"do":"history","series":"loss","from":-9223372036854775808,"to":1}
{"id":4,"do":"history","series":"load.1.2","from":5}
{"id":5,"do":"history","series":"max_vio.1","from":5}
J
ok 'grep "^{\"id\":1," out | grep -q "\"rows\":\[\[4,[^]]*\]\]"' 'history: from a step to a step'
says '"rows":[]' 'history: of none'
ok 'grep "^{\"id\":3," out | grep -q "\"rows\":\[\[1,[^]]*\]\]"' 'history: from before all'
ok 'grep "^{\"id\":4," out | grep -q "\"rows\":\[\[5,[^]]*\]\]"' 'history: of a column'
ok 'grep "^{\"id\":5," out | grep -q "\"rows\":\[\[5,[^]]*\]\]"' \
    'history: of a figure that is computed'
echo '{"id":1,"do":"events","steps":true}' | "$client" "$socket" --deaf &
deaf=$!
echo '{"id":1,"do":"eval","code":"r:history \"loss\"; sleep(0.1)"}' | "$client" "$socket" --gone
head -c 300000 /dev/urandom | "$client" "$socket" > out
ask << 'J'
{"id":1,"do":"resume"}
{"id":2,"do":"wait"}
J
says '{"id":2,"result":{' 'a deaf one, one that is gone, and noise: the run goes on'
says '"step":60,' 'to its end'
kill $deaf
ask << 'J'
{"id":1,"do":"events"}
{"id":2,"do":"rewind","step":20}
{"id":3,"do":"fork","name":"f"}
J
says '{"event":"rewind"' 'events are told'
says '{"id":2,"result":{' 'a rewind'
says '"run":"f"' 'a fork'
ask << 'J'
{"id":0,"do":"rewind","step":19,"run":"served"}
{"id":1,"do":"eval","code":"while not rawget(_G, 'go') do sleep(0.01) end return 1"}
{"id":2,"do":"eval","code":"rawset(_G, 'go', true) return 2"}
J
ok '[ "$(grep -o "^{\"id\":[12]" out | tr -d "\n")" = "{\"id\":2{\"id\":1" ]' \
    'a long request is answered when it is through, others before'
ask << 'J'
{"id":1,"do":"set","name":"weight_decay","value":0.05,"run":"served","who":"\u001b]0;evil\u0007"}
{"id":2,"do":"set","name":"lr","value":0.002,"run":"served"}
{"id":2,"do":"steps","n":4,"run":"served"}
{"id":3,"do":"wait","run":"served"}
J
ask << 'J'
{"id":3,"do":"set","name":"lr","value":0.003,"run":"served"}
{"id":2,"do":"resume","run":"served"}
{"id":3,"do":"wait","run":"served"}
J
ask << 'J'
{"id":4,"do":"journal","run":"served"}
{"id":5,"do":"eval","code":"r:hash()"}
{"id":6,"do":"eval","code":"tostring(r:journal())"}
J
says '"who":"socket: notebook"' 'the journal says who did it'
says '"who":"socket: an agent"' 'by request'
says '"who":"socket"' 'or that it was somebody'
ok 'grep "^{\"id\":6," out | grep -q "0;evil" && ! grep "^{\"id\":6," out | grep -q u001b' \
    'a name is shown without what a terminal obeys'
hash=$(sed -n 's/^{"id":5,"result":"\([0-9a-f]*\)"}$/\1/p' out)

# ---- its end ----

kill -TERM $server
wait $server
status=$?
ok '[ $status -eq 143 ]' "a signal ends it ($status)"
ok '[ ! -e "$socket" ]' 'its socket is gone'
"$SWITCHYARD" replay served > out 2> err
report $? 'a replay is the same bit for bit'

# ---- a run that is stored ----

"$SWITCHYARD" serve served --socket "$socket" --steps 62 --paused > log 2>&1 &
server=$!
comes log 'serving at'
report $? 'a stored run is served'
ask << 'J'
{"id":1,"do":"eval","code":"r:hash()"}
{"id":2,"do":"resume"}
{"id":3,"do":"wait"}
J
ok '[ -n "$hash" ] && grep -q "^{\"id\":1,\"result\":\"$hash\"}" out' 'with its bits'
says '"step":62,' 'and goes on'
ask << 'J'
{"id":4,"do":"quit"}
J
says '{"id":4,"result":true}' 'quit is answered'
wait $server
ok '[ $? -eq 0 ] && [ ! -e "$socket" ]' 'and ends it well'
finish
