#!/bin/sh
# Wrong lines typed at the prompt: each gives exactly one line, and the prompt goes on.
# Lines that begin with + are set-up: they give nothing.
set -u
program=${SWITCHYARD:-./switchyard}
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
printf 'not gzip' > "$dir/bad.gz"
: > "$dir/empty.txt"
printf 'short' > "$dir/short.txt"
printf 'garbage' > "$dir/bad.npy"
printf 'garbage' > "$dir/bad.safetensors"
printf '{"not": "a tokenizer"}' > "$dir/tokenizer.json"
printf '\377\376\200 not UTF-8 \300' > "$dir/bytes.txt"

cat > "$dir/lines" <<'EOF'
+a = tensor.randn(4, 3, {seed = 1})
+tok = tokenizer.bytes()
+d = data.synthetic{domains = 2, tokens = 5000, seed = 1}
a:matmul(a)
a + tensor.ones(5)
a:sum(3)
a:sum(0)
a:sum(-3)
a:sum(1.5)
a:sum("x")
a:summ()
a.shap
a[5]
a[0]
a["x"] = 1
a[1][9] = 2
a:view(5, 5)
a:transpose(1, 4)
a:permute(1, 1)
a:narrow(1, 3, 5)
a:item()
a:topk(9)
a:cast "f8"
a:softmax(7)
a:cat(tensor.ones(4, 4), 1)
a:where(1, 2)
a:gather(1, a)
a < 3
a()
a:backward()
a:grad(true, 1):cast("i32"):grad(true)
a:save "x.txt"
a:add(1, 2, 3)
a:add()
a:clamp{low = 1}
tensor.zeros(-1)
tensor.zeros(2, {dtyp = "f32"})
tensor.zeros(2, {dtype = "f23"})
tensor.zeros(1e6, 1e6)
tensor.zeros(1, 2, 3, 4, 5, 6, 7, 8, 9)
tensor.zeros "x"
tensor.full()
tensor.arange(1, 2, 0)
tensor.randint(5, 1, 3)
tensor{{1, 2}, {3}}
tensor{1, "x"}
tensor{{}, 1}
tensor.threads(0)
tensor.threads(1.5)
tensor.load "nofile.npy"
tensor.load "DIR/bad.npy"
tensor.load "DIR/bad.safetensors"
tensor.load "DIR"
tensor.load(nil)
tensor.solve(tensor.zeros(2, 2), tensor.ones(2))
tensor.cholesky(tensor.ones(2, 2) * -1)
tok:decode{999}
tok:decode{"x"}
tok:decode{-1}
tok.siz
tok:encode()
tokenizer.load "nofile"
tokenizer.load "DIR/tokenizer.json"
tokenizer.train_bpe("DIR/short.txt", {vocab = 3})
tokenizer.train_bpe("nofile", {vocab = 300})
tokenizer.train_bpe("DIR/short.txt", {vocab = 300, pattern = "gpt2"})
data.text "nofile.txt"
x = data.text "nofile.txt"
data.text "DIR/empty.txt"
data.text "DIR/bad.gz"
data.text "DIR/*.nothing"
data.text("DIR/short.txt", {val = 2})
data.text("DIR/short.txt", {tokeniser = tok})
data.text("DIR/short.txt", {tokenizer = 5})
data.text(5)
data.synthetic{domain = 2}
data.synthetic{domains = 0}
data.synthetic{tokens = -5}
data.shards "nofile.bin"
d.tokns
d:sample(99999999)
d:sample(0)
+m = model.moe{layers = 1, dim = 8, heads = 1, context = 8, experts = 2, top_k = 1, expert_dim = 8}
model.moe{expert = 4}
model.moe{experts = 2, top_k = 3}
model.moe{dim = 10, heads = 3}
model.moe{layers = 0}
model.moe{layers = 1.5}
model.moe{router = "softmac"}
model.moe{balance = {auks = 1}}
model.moe{vocab = "x"}
model.moe{dim = "wide"}
model.moe(5)
model.mo{}
model.define("x", 5)
m:generat()
m:generate(5, {token = 3})
m:generate("x", {temperature = -1})
m:loss(5)
m:logits(nil)
train()
train(m)
train(m, 5)
train(5, d)
train(m, x)
train(m, d, {step = 5})
train(m, d, {steps = -1})
train(m, d, {lr = "fast"})
train(m, d, {schedule = "cosin"})
train(m, d, {optimizer = "sgdd"})
train(m, d, {precision = "fp8"})
train(m, d, {context = 4096})
train(m, data.string("short", {val = 0}), {})
runs "nosuchrun"
every(5, 10, print)
compare{}
nn.linear(1, 2)
nn.moe()
x.y
nofunction()
1 +* 2
x = = 3
x = = 2
end
"unfinished
return return
goto nowhere
error("first\nsecond")
error({})
error(nil)
require "nothing"
string.rep("x", 1e12)
t = {} for i = 1, 1e12 do t[i] = string.rep("x", 1e8) .. i end
f = function() return f() + 1 end f()
setmetatable({}, {__index = function(t, k) return t[k] end}).x
("x"):rep(100):find(("(.-)"):rep(40))
coroutine.wrap(function() error "inside" end)()
string.format("%d", 1.5)
dofile "nofile.lua"
loadfile(1, 2, 3, 4)()
load(string.dump(function() end))()
??tensor.zeros
?nothingofthesort
!exit 3
EOF

n=0
bad=0
: > "$dir/in"
: > "$dir/list"
[ -z "${SY_SANITIZERS:-}" ] || sed -i "/1e12 do/d" "$dir/lines"
while IFS= read -r line; do
    text=$(printf '%s\n' "$line" | sed "s|DIR|$dir|g; s|^+||")
    printf '%s\nprint "--%s"\n' "$text" "$n" >> "$dir/in"
    printf '%s\n' "$line" >> "$dir/list"
    n=$((n + 1))
done < "$dir/lines"
# Endless growth needs an end that comes soon (an address sanitizer cannot live with one).
(
    # shellcheck disable=SC3045  # where a shell has no -v, it does without
    [ -n "${SY_SANITIZERS:-}" ] || ulimit -v 3000000 2> /dev/null
    XDG_STATE_HOME=$dir exec "$program" -E --runs "$dir/runs" -i
) < "$dir/in" > "$dir/out" 2>&1
status=$?

i=0
while IFS= read -r line; do
    want=1
    case $line in +*) want=0 ;; esac
    awk -v from="--$((i - 1))" -v to="--$i" -v first="$i" '
        BEGIN { on = first == 0 } $0 == to { exit } on { print } $0 == from { on = 1 }
    ' "$dir/out" > "$dir/got"
    if ! grep -qx -- "--$i" "$dir/out"; then
        echo "not ok $((i + 1)) - $line: the prompt did not come back"
        bad=1
    elif [ "$(wc -l < "$dir/got")" -eq $want ]; then
        echo "ok $((i + 1)) - $line   => $(head -c 150 "$dir/got" | tr '#' '.')"
    else
        echo "not ok $((i + 1)) - $line: $(wc -l < "$dir/got") lines, not $want"
        sed 's/^/#   /' "$dir/got" | head -5
        bad=1
    fi
    i=$((i + 1))
done < "$dir/list"
if [ $status -eq 1 ]; then echo "ok $((i + 1)) - lines that failed: exit status 1";
    else echo "not ok $((i + 1)) - exit status $status"; bad=1; fi
echo "1..$((i + 1))"
exit $bad
