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


# Of objectives whose windows are longer than the context, and of the parts of a mix.
cat >> "$folder/lib.lua" << 'LUA'
tok = tokenizer.bytes{pad = true, sentinels = 20}
function string(n, val) return data.string(("to be "):rep(n), {tokenizer = tok, val = val}) end
local f = assert(io.open(arg[1], "w"))
for i = 1, 40 do f:write(("wort %s\tword %s\n"):format(("x"):rep(i), ("y"):rep(i))) end
f:close()
words = assert(data.pairs(arg[1], {val = 0, tokenizer = tok}))
dense = model.dense{layers = 1, dim = 16, heads = 2, context = 64, ffn_dim = 16, vocab = tok}
function go(m, d, more)
  local o = {steps = 1, batch = 2, save = false, name = "short"}
  for k, v in pairs(more or {}) do o[k] = v end
  return train(m, d, o)
end
LUA
begin="arg = {'$folder/p.tsv'} dofile '$folder/lib.lua'"
lua "$begin r = go(model.encdec{layers = 1, dim = 16, heads = 2, input_context = 128, vocab = tok}, string(340, 0.05), {objective = 'span'}) r:wait() assert(r.val_loss == nil)" \
    "102 tokens for validation, where a window of spans is 141"
lines 1 "^$none: 102 validation tokens are fewer than a window of the objective's, 141 + 1\$" "it is said"
lua "$begin go(dense, data.mix{{string(99, 0.5), 1}, {string(60, 0.1), 1, name = 'few'}, {string(60, 0), 1, name = 'wanted'}}):wait()" \
    "a mix of which a part has too few"
lines 1 "^$none: 'few': 36 validation tokens are fewer than context 64 + 1\$" "it is said of that part"
lines 1 "$none" "and of no other"
lua "$begin go(dense, words):wait()" "pairs that are too long"
lines 1 "^short: 26 pairs in .* 14 longer ones are left out\$" "how many is said"
lua "$begin go(dense, data.mix{{string(60, 0), 1}, {words, 1, name = 'de'}}):wait()" "the same in a mix"
lines 1 "^short: 'de': 26 pairs in .* 14 longer ones are left out\$" "is said of that part"
lua "$begin r = go(dense, words, {paused = true}) r.context = 32 r:resume() r:wait()" "a shorter context"
lines 1 "^short: 10 pairs in .* 30 longer ones are left out\$" "says how many are left out by now"

lua "print(tokenizer.train_bpe('$folder/text', {vocab = 100000}))" \
    "a tokenizer of a text with few words"
size=$(sed -n 's/^tokenizer: bpe, \([0-9]*\) ids$/\1/p' "$folder/out")
[ "$size" -lt 300 ]; report $? "has $size ids"
lines 1 "^train_bpe: $size ids, fewer than vocab 100000: no other pair of tokens occurs twice in the text\$" "it is said"
lua "print(tokenizer.train_bpe('$folder/text', {vocab = $size}))" "as many as there are"
lines 0 "^train_bpe" "need no word"
finish
