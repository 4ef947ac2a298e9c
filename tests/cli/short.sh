#!/bin/sh
# What a text is too short for is said in a line: validation, and the ids of a tokenizer.
# shellcheck source=tests/cli/lib.sh
. "${srcdir:-.}/tests/cli/lib.sh"

lua() { "$SWITCHYARD" -E --runs "$folder/runs" -e "$1" > "$folder/out" 2>&1; report $? "$2"; }
lines() { # lines N PATTERN NAME
    [ "$(grep -c -e "$2" "$folder/out")" -eq "$1" ]
    report $? "$3"
}

yes 'the quick brown fox' | head -n 40 > "$folder/text"
printf abc > "$folder/val"
cat > "$folder/lib.lua" <<'LUA'
m = model.dense{layers = 1, dim = 16, heads = 2, context = 32, ffn_dim = 16}
function try(d, more)
  local o = {steps = 2, batch = 2, save = false, name = "short"}
  for k, v in pairs(more or {}) do o[k] = v end
  local r = train(m, d, o)
  r:wait()
  return r
end
text = ("to be "):rep(50)
LUA
begin="dofile '$folder/lib.lua'"
none='short: no validation'

lua "$begin try(data.text{train = '$folder/text', val = '$folder/val'})" \
    "a file of 3 tokens for validation"
lines 1 "^$none: 3 validation tokens are fewer than context 32 + 1\$" "it is said"
lua "$begin assert(try(data.string(text)).val_loss == nil)" "a tenth of a short text"
lines 1 "^$none: 30 validation tokens are fewer than context 32 + 1\$" "it is said"
lua "$begin try(data.string(text, {val = 0}))" "val = 0"
lines 0 "$none" "it is not said: it was asked for"
lua "$begin try(data.string(text), {eval_every = 0})" "eval_every = 0"
lines 0 "$none" "neither is it then"
lua "$begin assert(try(data.string(text, {val = 0.2})).val_loss)" "a fifth"
lines 0 "$none" "is enough"
lua "$begin r = try(data.string(text), {context = 8, paused = true, eval_every = 0}) r.batch = 3 r.eval_every = 1 r.context = 32 r.lr = 1e-4" \
    "context and eval_every are set later"
lines 1 "$none" "it is said then"

lua "print(tokenizer.train_bpe('$folder/text', {vocab = 100000}))" \
    "a tokenizer of a text with few words"
size=$(sed -n 's/^tokenizer: bpe, \([0-9]*\) ids$/\1/p' "$folder/out")
[ "$size" -lt 300 ]; report $? "has $size ids"
lines 1 "^train_bpe: $size ids, fewer than vocab 100000: no other pair of tokens occurs twice in the text\$" "it is said"
lua "print(tokenizer.train_bpe('$folder/text', {vocab = $size}))" "as many as there are"
lines 0 "^train_bpe" "need no word"
finish
