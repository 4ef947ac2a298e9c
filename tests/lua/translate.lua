-- m:translate of a model that was trained on pairs; runs on pairs that another process goes on
-- with, that are rewound, forked and replayed; models on disk.  TAP.

local srcdir = os.getenv "srcdir"
local tap = dofile(srcdir .. "/tests/lua/tap.lua")
local small = dofile(srcdir .. "/tests/lua/small.lua")
local mo = dofile(srcdir .. "/tests/lua/mo.lua")
local ok, is, refuses = tap.ok, tap.is, tap.refuses

local folder = tap.folder "files"

local path = tap.write(folder .. "/numbers.tsv", small.numbers())

local script = tap.write(folder .. "/go.lua", ([[
local d = assert(data.pairs(%q, {to = "en", val = 0.1, tag = "<{from}>"}))
local m = model.dense{layers = 2, dim = 48, heads = 2, context = 20, ffn_dim = 96,
                      vocab = d.tokenizer}
local name, steps = arg[1], tonumber(arg[2])
local r = name == "again" and train.resume("numbers", {steps = steps}) or
  train(m, d, {steps = steps, batch = 8, eval_every = 20, eval_batches = 1, name = name, seed = 3,
               lr = 3e-3, schedule = "constant", sampling = "epoch", checkpoint_every = 30,
               accumulate = 2, warmup = 5})
r:wait()
print(r.state, r.step, r:hash(), r.val_loss)
print("says", r.model:translate("zwei", {from = "de"}), r.model:translate("deux", {from = "fr"}))
if arg[3] then assert(r.model:save(arg[3])) end
]]):format(path))

-- ---- a run ----

local whole = tap.child(script .. " whole 150")
local line = whole:match "done\t150\t%x+\t[%d.]+"
ok(line, "a run on pairs", whole)
ok(whole:find("18 pairs in %d+ rows of 20 tokens"), "says how they stand in rows", whole)
tap.child(script .. " numbers 70")
local again = tap.child(script .. " again 150 '" .. folder .. "/model'")
ok(line and again:find(line, 1, true), "another process goes on with the same bits",
  tostring(line) .. "\n" .. again)
ok(again:find("says\ttwo\ttwo", 1, true), "what it has learned it translates", again)

local r = assert(train.resume("numbers", {steps = 160, paused = true}))
local m = r.model
r:rewind(90)
local at90 = r:hash()
r:resume()
r:wait()
local f = r:fork{step = 90, name = "forked", paused = true}
is(f:hash(), at90, "a fork begins with the bits of its step")
f:stop()
ok(replay("whole").identical, "and the first is replayed")

-- ---- a model with an encoder ----

model.define("twosided", function(cfg)
  return function(ids, batch)
    local V, C, B, T = cfg.vocab, cfg.dim, ids.shape[1], ids.shape[2]
    local S = batch.inputs.shape[2]
    local x = nn.embedding(batch.inputs, nn.param("inputs", {V, C}))
    -- the mean of the inputs of the same pair
    local same = batch.documents:view(B, T, 1):eq(batch.input_documents:view(B, 1, S)):cast "f32"
    local mean = same:matmul(x) / same:sum(3, true):maximum(tensor.ones(1))
    local y = nn.embedding(ids, nn.param("outputs", {V, C})) + mean
    return nn.linear(y:view(-1, C), nn.param("head", {V, C}))
  end
end)
local function two_sided(name, batch, accumulate)
  local d2 = assert(data.pairs(path, {to = "en", val = .1}))
  local m2 = model.twosided{dim = 16, vocab = d2.tokenizer, context = 16, input_context = 24}
  return train(m2, d2, {steps = 30, batch = batch, accumulate = accumulate, eval_every = 30,
    lr = 1e-2, name = name, warmup = 1, sampling = "epoch"}):wait(), d2
end
local whole2, d2 = two_sided("large", 4, 1)
local parts2 = two_sided("parts", 2, 2)
ok(whole2.loss < 5, "it learns from rows of both sides", whole2.loss)
for i = 1, 30 do
  local x, y = whole2:history "loss"[i][2], parts2:history "loss"[i][2]
  if math.abs(x - y) > 1e-4 * x then
    ok(false, "step " .. i, x .. " " .. y)
    break
  end
end
tap.near(parts2.loss, whole2.loss, 1e-4, "micro-batches are as one large batch, with padding, too")
tap.near(whole2.model:loss(d2), whole2.val_loss, 1e-6, "m:loss is what the run evaluated")
ok(replay("parts").identical, "and it is replayed")

-- ---- languages ----

is(m:translate("drei", {from = "de", to = "en"}), "three", "a text")
is(table.concat(m:translate({"drei", "acht"}, {from = "de"}), " "), "three eight", "a list")
refuses(function() m:translate "drei" end, "no language named", "translate: from names no language",
  "de, fr")
refuses(function() m:translate("drei", {from = "xx"}) end, "an unknown language", "from is 'xx'",
  "de, fr into en")
refuses(function() m:translate("drei", {from = "de", to = "it"}) end, "another target",
  "to is 'it'", "en alone")
refuses(function() m:translate(("lang "):rep(20), {from = "de"}) end, "a text that is too long",
  "20 (context)")
refuses(function() m:translate("drei", {from = "de", beam = 4}) end, "a beam", "beam",
  "model.dense has none")
refuses(function() m:translate(3, {from = "de"}) end, "a number", "number")
local plain = model.dense{layers = 1, dim = 16, heads = 2, context = 16, vocab = 258}
refuses(function() plain:translate("drei", {from = "de"}) end, "a model of no languages",
  "not trained on pairs")

-- ---- on disk ----

local loaded = assert(model.load(folder .. "/model"))
is(loaded:translate("deux", {from = "fr"}), "two", "a saved model knows its languages")
local config = tap.read(folder .. "/model/config.json")
local broken = config:gsub('"sources": *%[[^%]]*%]', '"sources": [1]', 1)
ok(broken ~= config, "its languages are in config.json", config)
tap.write(folder .. "/model/config.json", broken)
local none, why = model.load(folder .. "/model")
ok(none == nil and why:find("languages", 1, true), "broken ones are refused", why)

-- ---- catalogues: made again from the folder, and only as they were ----

local place = folder .. "/locale/de/LC_MESSAGES"
assert(os.execute("mkdir -p '" .. place .. "'"))
local function catalogue(more)
  local messages = {}
  for i = 1, 10 do messages[i] = {small.english[i], small.german[i] .. (more or "")} end
  tap.write(place .. "/numbers.mo", mo(messages))
end
catalogue()
local script2 = tap.write(folder .. "/go2.lua", ([[
local steps = tonumber(arg[2])
local r
if arg[1] == "again" then r = train.resume("catalogued", {steps = steps})
else
  local d = assert(data.catalogues{from = "de", to = "en", path = "locale", val = 0.1,
                                   tokenizer = {vocab = 270}})
  local m = model.dense{layers = 1, dim = 16, heads = 2, context = 48, ffn_dim = 16,
                        vocab = d.tokenizer}
  r = train(m, d, {steps = steps, batch = 4, eval_every = 0, name = arg[1], seed = 3,
                   schedule = "constant"})
end
r:wait()
print(r.state, r.step, r:hash())
]]))
local runs = require("switchyard.engine").runs_dir()
local function there(arguments)
  return tap.output(("cd '%s' && '%s' -E --runs '%s' go2.lua %s"):format(folder,
    tap.program:sub(1, 1) == "/" and tap.program or os.getenv "PWD" .. "/" .. tap.program,
    runs:sub(1, 1) == "/" and runs or os.getenv "PWD" .. "/" .. runs, arguments))
end
line = there "one 8":match "done\t8\t%x+"
ok(line, "a run on catalogues")
there "catalogued 4"
again = tap.child(script2 .. " again 8") -- in another folder
ok(line and again:find(line, 1, true), "goes on in another process", again)
catalogue " und mehr"
again = tap.child(script2 .. " again 9")
ok(again:find("the data changed: hash", 1, true), "not when the catalogues are others", again)

tap.done()
