-- Completion: what Tab offers for a line that ends at the cursor.  TAP.

local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok, is = tap.ok, tap.is
local lines = require("switchyard.prompt.complete").lines

local function all(line)
  local block = lines(line)
  return type(block) == "string" and block:gsub("\n", "|") or block
end

local function has(line, ...)
  local block = all(line)
  for _, word in ipairs {...} do
    ok(type(block) == "string" and ("|" .. block):find("|" .. word .. "|", 1, true),
      ("%s -> %s"):format(line, word))
  end
end

local function hasnt(line, ...)
  local block = "|" .. tostring(all(line))
  for _, word in ipairs {...} do
    ok(not block:find("|" .. word .. "|", 1, true), ("%s -> not %s"):format(line, word))
  end
end

d = data.synthetic{domains = 2, tokens = 20000, seed = 1}
m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
              top_k = 2, expert_dim = 16}
r = train(m, d, {steps = 1000000, batch = 1, eval_every = 0, checkpoint_every = 0,
                 name = "live-one", paused = true})
a = tensor.ones(3, 2)

-- globals, keywords, fields, methods
has("tens", "tensor")
has("x = tra", "train")
has("whi", "while")
has("tensor.ran", "rand", "randn", "randint")
has("tensor.threads(1); math.flo", "floor")
has("a:transp", "transpose")
has("print(a.sh", "shape")
hasnt("a:sh", "shape")
has("r.lo", "loss")
has("r.", "lr", "state", "aux", "top_k", "capacity", "schedule")
has("r:wa", "wait")
hasnt("r:lo", "loss")
has("m.layers[1].", "number", "moe")
has("r.layers[1].experts[2]:dis", "disable")
has("r.model.cfg.lay", "layers")
has("('x'):up", "upper")
is(all "a.nosuch.x", nil, "an unknown field has none")
is(all "", nil, "an empty line has none")
is(all "1.", nil, "neither has a number")
is(all "x = 1 -- tens", nil, "nor a comment")

-- options inside a call's table
is(all "train(m, d, {st", "steps = |", "train's option")
is(all "model.moe{la", "layers = |", "model.moe's option")
is(all "model.moe{layers = 2, la", nil, "one that is given is not offered again")
has("train(m, d, {", "steps = ", "lr = ")
has("train(m, d, {steps = math.floor(3), ", "lr = ")
has("m:generate('x', {to", "tokens = ")
has("train(m, d, {steps = n, lr = tens", "tensor")
has("t = {tens", "tensor")
has("f(model.moe{vocab = tok}, tens", "tensor")

-- texts
is(all 'runs "li', "live-one|", "a run's name")
is(all 'compare{r, "live', "live-one|", "in compare")
is(all 'train.resume("live-', "live-one|", "in train.resume")
is(all 'train(m, d, {schedule = "c', "constant|cosine|", "values of an option")
is(all 'train(m, d, {objective = "', "fim|next|prefix|span|", "objectives")
has('model.moe{router = "s', "softmax", "sigmoid")
has('r:history "lo', "loss")
is(lines 'tensor.load "x', true, "else files")
is(lines "data.text('/usr/sh", true, "in either quote")
is(all 'print("a" .. tens', "tensor|", "behind a text there are names again")

-- lines of the prompt's own
has(":pau", "pause")
has(":", "jobs", "kill", "help", "q")
is(all ":pause li", "live-one|", "a command's run")
is(all ":pause live-o", "one|", "as the editor breaks words")
is(lines ":dump x", true, "a command's file")
is(lines "!ls /tm", true, "the shell's file")
has("?tra", "train")
has("?tensor.ze", "zeros")
has("? run:wa", "wait")
has('help "train', "train.resume")
hasnt("?whi", "while")
has("?warm", "warmup") -- an option
has("?perpl", "perplexity") -- a term

-- nothing of the user's runs, nothing is raised
local ran = 0
local function trap() ran = ran + 1 error "ran" end
evil = setmetatable({plain = 1}, {__index = trap, __len = trap, __pairs = trap, __call = trap,
                                  __name = 3, __metatable = "x",
                                  __tostring = trap, __eq = trap, __lt = trap})
deep = setmetatable({}, {__index = evil})
loop = {}
setmetatable(loop, {__index = loop})
strange = setmetatable({[{}] = 1, [1.5] = 2, ["not a name"] = 3},
  {methods = 3, fields = "x", __index = setmetatable({}, {__index = trap})})
for _, line in ipairs {"evil.", "evil.x.", "evil.x.y:", "evil:", "deep.", "deep.x.", "loop.",
                       "loop.x.", "strange.", "evil{", "f(evil.",
                       "evil[1].", 'evil "', "pause{evil = '", "?evil.", ":evil evil.", "x\0y.",
                       "[[", "[==[ x", "]]]]", ")))", "{{{((", "\"\\",
                       "a.b.c.d", "a..b", "a:b:c:", "::", ":::", "?", "??", "!", "r.layers[99999].",
                       "r.layers[0].experts[1].", "\xff\xfe."} do
  local fine, why = pcall(lines, line)
  ok(fine, "raises nothing: " .. line:gsub("%c", "?") .. (fine and "" or tostring(why)))
end
has("evil.", "plain")

-- what looks like a run, a module or a row of options of ours
looks = {series = trap, _h = 1, _m = setmetatable({}, {__index = trap})}
fake = setmetatable({_h = {}, _m = setmetatable({}, {__index = trap})}, debug.getmetatable(r))
model.define("mine", trap, setmetatable({{"width", "integer"}, setmetatable({}, {__index = trap})},
                                        {__index = trap, __len = trap, __pairs = trap}))
require("switchyard.help.help").add{name = "added", signature = "added{x=}", text = "",
                                    options = trap}
is(lines 'looks:history "', nil, "only a run's series are asked for")
lines "looks." lines "fake.layers." lines "fake." lines "?looks.x" lines "added{"
is(all "model.mine{w", "width = |", "options of a model of the user's")
local real = nn
nn = setmetatable({}, {__index = trap})
has('model.moe{router = "s', "softmax")
nn = real
is(ran, 0, "nothing of the user's ran")
local stored = setmetatable({_name = "live-one"}, require("switchyard.run.stored").Stored)
old = stored
has("old:", "journal", "series")
is(all "old.model.", nil, "the model of a stored run is not built")
ok(rawget(stored, "_model") == nil and rawget(stored, "_store") == nil, "nor are its files opened")

-- keys that are no names, many keys, long lines
keys = {["end"] = 1, ["a\nb"] = 1, ["a'b"] = 1, ["\xff"] = 1, a = 1, [0 / 1] = 1, [true] = 1}
is(all "keys.", "a|", "only names are offered")
many, list = {}, {behind = 1}
for i = 1, 200000 do many["k" .. i], list[i] = i, i end
local _, count = lines("many."):gsub("\n", "")
ok(count > 1000 and count <= 50000, "of very many keys some: " .. count)
is(all "list.", "behind|", "a name behind a long list")
local began, n = os.clock(), 100000
for _, line in ipairs {("("):rep(n), ("a("):rep(n), ("a"):rep(n) .. "-", ("a."):rep(n) .. "-",
                       ("]"):rep(n), "?" .. ("a"):rep(n),
                       "train(m, d, {x = '" .. ("a"):rep(n) .. "', st", ("a"):rep(n) .. "'",
                       ":help " .. ("a"):rep(n) .. " b"} do
  lines(line)
end
-- minutes if it took its square
ok(os.clock() - began < 30, "a long line takes no time that is felt")

-- what stands before the cursor is a value that is not known
is(all "f(x).t", nil, "a call's result")
is(all "many[f(x)].t", nil, "an element behind a call")
is(all "many[k].t", nil, "an element of an unknown index")
has("many[r.lo", "loss")
has("a..tens", "tensor")

-- every beginning of a line
local text =
  [[r = train(model.moe{layers = 2, router = "softmax"}, data.text('x.txt'), ]]
  .. [[{steps = 10, schedule = "cos"}):wait() -- end]]
local fine = true
for i = 0, #text do fine = fine and pcall(lines, text:sub(1, i)) end
ok(fine, "every beginning of a line")

tap.is(require("switchyard.prompt.hint").add("yard:1: attempt to call a nil value (field 'train')",
  'tokenizer.train "f"'),
  "yard:1: attempt to call a nil value (field 'train'); did you mean 'train_bpe'?",
  "a name that was meant to be longer")

tap.done()
