-- What a run, an expert, a router, a result and a refusal say of themselves: frozen and disabled
-- experts and their counts, what is fixed for a run, what a router that sees the batch says before
-- it trains, choices of a user's router that are none, results as they are printed, languages that
-- need not be named.  TAP.

local own = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/own_routers.lua")
local t, d, moe, with = own.t, own.data, own.moe, own.t.with
local ok, is, refuses = t.ok, t.is, t.refuses
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local show = require "switchyard.prompt.show"

local function run_of(model_more, more)
  return train(moe(model_more), d, with(own.TRAIN, with({paused = true}, more)))
end

-- ---- frozen ----

do
  local r = run_of({router = "softmax"}, {name = "cold"})
  local x, gate = r.layers[1].experts[2], r.layers[2].router
  is(tostring(gate), "router of layer 2 of run cold: learns", "a router is printed")
  x:freeze()
  gate:freeze()
  is(tostring(x), "layer 1 expert 2 of run cold: enabled, frozen", "a frozen expert")
  is(tostring(r.layers[1].experts[1]), "layer 1 expert 1 of run cold: enabled", "... alone")
  is(tostring(gate), "router of layer 2 of run cold: frozen", "a frozen router")
  is(tostring(r.layers[1].router), "router of layer 1 of run cold: learns", "... alone")
  x:disable()
  is(tostring(x), "layer 1 expert 2 of run cold: disabled, frozen", "disabled and frozen")
  r:resume():wait()
  x:unfreeze()
  gate:unfreeze()
  is(tostring(x), "layer 1 expert 2 of run cold: disabled", "an expert that learns again")
  is(tostring(gate), "router of layer 2 of run cold: learns", "... and a router")
  r:close()
  is(tostring(gate), "router of layer 2 of run cold: closed", "of a run that is closed")
  r = run_of {router = {"softmax", frozen = true}}
  ok(tostring(r.layers[1].router):find ": frozen$", "frozen for good", tostring(r.layers[1].router))
  r:close()
  r = run_of {router = "hash", top_k = 1}
  ok(tostring(r.layers[1].router):find ": has no parameters$", "nothing to freeze",
    tostring(r.layers[1].router))
  r:close()
end

-- ---- dead and disabled ----

nn.router("first_two", { -- of four experts the last two are never chosen
  gives = "",
  route = function(ctx)
    local experts = ctx:numbers():narrow(2, 1, 2):contiguous()
    return {experts = experts, gates = tensor.ones(ctx.N, 2) / 2}
  end,
})

do
  local r = run_of({router = "first_two"}, {name = "idle", save = true})
  r:steps(1):wait()
  is(("%d %d"):format(r.dead, r.disabled), "4 0", "two of each layer have no token")
  ok(not tostring(r):find("disabled", 1, true), "none is disabled", tostring(r))
  local names = table.concat(r:series(), " ")
  ok(not names:find("disabled", 1, true), "nor is there a series of it", names)
  r.layers[1].experts[4]:disable()
  r:steps(1):wait()
  is(("%d %d"):format(r.dead, r.disabled), "3 1", "one that is disabled is not dead")
  ok(tostring(r):find("dead 3, disabled 1", 1, true), "the card says both", tostring(r))
  local off = r:history "disabled.1"
  is(table.concat(off[1]:table(), " "), "2.0 0.0 0.0 0.0 1.0", "the series says which, and when")
  is(off.shape[1], 1, "... at no other")
  ok(tostring(r:why(2)):find("1 have nothing, 1 are disabled", 1, true), "r:why, too",
    tostring(r:why(2)))
  r.layers[1].experts[4]:enable()
  r:steps(1):wait()
  is(("%d %d"):format(r.dead, r.disabled), "4 0", "enabled again it is dead")
  is(r:history("disabled.1").shape[1], 1, "and the series ends")
  r:rewind(1)
  is(r:history("disabled.1").shape[1], 0, "before it there was none")
  r:stop():wait()
  r:close()
end

-- ---- what is minimized, what is fixed ----

do
  local r = train(moe {balance = {aux = 0.5}}, d, own.TRAIN):wait()
  is(r.total_loss, r:history("total_loss")[own.TRAIN.steps][2], "r.total_loss is its newest value")
  ok(r.total_loss > r.loss, "and more than the loss")
  refuses(function() r.total_loss = 1 end, "it is read", "total_loss cannot be set")
  r:close()
  local dense = model.dense {layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab}
  r = train(dense, d, own.TRAIN):wait()
  is(r.total_loss, r.loss, "where nothing is added it is the loss")
  r:close()
end

do
  local r = run_of {router = {"switch", jitter = 0.02}, top_k = 1, balance = {scope = "sequence"}}
  refuses(function() r.jitter = 0.1 end, "an option of the router", "jitter is fixed for the run "
    .. "(0.02)", "router = {\"switch\", jitter = ...} has another")
  refuses(function() return r.jitter end, "... when it is read", "jitter is fixed for the run")
  refuses(function() r.scope = "step" end, "an option of a balance rule",
    "scope is fixed for the run (sequence)", "balance = {scope = ...}")
  r.aux = 0.5
  is(r.aux, 0.5, "a coefficient is not")
  refuses(function() r.gamma = 1 end, "one that is not there", "gamma has no effect with router "
    .. "'switch'")
  r:close()
  local text = help.text "run"
  ok(text:gsub("%s+", " "):find("(scope, jitter, policy ...) is fixed for the run", 1, true),
    "?run says it", text)
end

refuses(function() moe {router = "top2"} end, "what papers call a router leads to it",
  "unknown router 'top2' (did you mean 'gshard'?)")

-- ---- before it trains ----

for name, K in t.sorted {base = 1, sinkhorn = 2} do
  local r = run_of {router = name, top_k = K}
  local said = table.concat(r._beside, "\n")
  is(#r._beside, 1, name .. ": one line")
  ok(said:find("router " .. name .. ": in training a token's experts go by all tokens of its "
    .. "micro-batch, later ones too", 1, true), "that it sees the batch", said)
  r:close()
end

-- ---- choices that are none ----

-- The state and error of a run whose third token has these two experts.
local function chooses(list, more)
  nn.router("given", {
    gives = "",
    route = function(ctx)
      local rows = {}
      for i = 1, ctx.N do rows[i] = i == 3 and list or {1, 2} end
      local experts = tensor(rows, {dtype = "i32"})
      return with({experts = experts, gates = tensor.ones(ctx.N, 2) / 2}, more)
    end,
  })
  local r = train(moe {router = "given"}, d, own.TRAIN):wait()
  local state, why = r.state, r.error
  r:close()
  return state, why
end
for what, list in t.sorted {["expert 4 is there twice"] = {4, 4},
                            ["expert 0 is none, which goes with fewer = true"] = {1, 0},
                            ["expert 5 is none of the layer's"] = {1, 5},
                            ["expert -1 is none of the layer's"] = {1, -1}} do
  local state, why = chooses(list)
  is(state, "failed", what)
  ok(tostring(why):find("router of layer 1: token 3: " .. what, 1, true), "... and where", why)
end
is((chooses({3, 0}, {fewer = true})), "done", "0 with fewer = true")
is((chooses({4, 4}, {fewer = true})), "failed", "... but no expert twice")
is((chooses {4, 3}), "done", "two experts")

-- ---- results as they are printed ----

do
  local tok = tokenizer.bytes {fim = true}
  local m = model.dense {layers = 1, dim = 16, heads = 2, context = 32, vocab = tok}
  local _, list = m:fill("a ___ b", {tokens = 2, by = "fim"})
  is(tostring(list), show.text(list), "the fillings of m:fill print as the prompt shows them")
  ok(not tostring(list):find "^table", "... and not as a table's address", tostring(list))
  is(#list, 1, "and are a list")
end

local german = {"eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"}
local english = {"one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"}
local lines = {}
for i = 1, 10 do
  lines[#lines + 1] = ("de\t%s\t%s"):format(german[i], english[i])
  lines[#lines + 1] = ("nl\t%s!\t%s"):format(german[i], english[i])
end
local path = t.write(t.scratch "pairs.tsv", table.concat(lines, "\n"))

local function learnt(o)
  local p = assert(data.pairs(path, with({to = "en", val = 0.2}, o)))
  local m = model.encdec {layers = 1, dim = 16, heads = 2, input_context = 32, context = 16,
                          vocab = p.tokenizer}
  train(m, p, {steps = 2, batch = 2, eval_every = 0, save = false}):wait()
  return m, p
end

do
  local m, p = learnt()
  local _, of = m:accuracy(p)
  ok(tostring(of):find "^source  accuracy\nde +[%d.e-]+\nnl +[%d.e-]+$",
    "m:accuracy: a row a source", tostring(of))
  is(type(of.de), "number", "whose values are numbers")
  -- a language that neither tag nor model tells from the other
  is(m:translate "zwei", m:translate("zwei", {from = "nl"}), "from need not be said without tags")
  refuses(function() m:translate("zwei", {from = "fr"}) end, "but must be one of them",
    "from is 'fr'", "de, nl into en")
  local tagged = learnt {tag = "<{from}> "}
  refuses(function() tagged:translate "zwei" end, "with tags it must", "translate: from names no "
    .. "language: the model knows de, nl")
end

model.define("by_source", function(cfg)
  return function(ids, batch)
    local x = nn.embedding(ids, nn.param("tokens", {cfg.vocab, cfg.dim}))
    local s = nn.embedding(batch.sources, nn.param("sources", {8, cfg.dim}))
    return nn.linear((x + s):view(-1, cfg.dim), nn.param("head", {cfg.vocab, cfg.dim}))
  end
end)
do
  local p = assert(data.pairs(path, {to = "en", val = 0.2}))
  local m = model.by_source {dim = 8, context = 48, vocab = p.tokenizer}
  train(m, p, {steps = 1, batch = 2, eval_every = 0, save = false}):wait()
  refuses(function() m:translate "zwei" end, "and where the model reads it", "names no language")
end

-- ---- layers ----

do
  local words = small.words(2000, tokenizer.bytes {sentinels = 20})
  local m = model.encdec {layers = 2, decoder_layers = 2, dim = 16, heads = 2, seed = 1,
    vocab = words.tokenizer, input_context = 40, experts = 4, moe_every = 2, moe_first = 2}
  local r = train(m, words, {steps = 1, batch = 1, objective = "span", save = false,
    name = "layered", paused = true})
  is(tostring(r.layers), "layer 1 (enc 1) of run layered: no experts\n"
    .. "layer 2 (enc 2) of run layered: 4 experts\nlayer 3 (dec 1) of run layered: no experts\n"
    .. "layer 4 (dec 2) of run layered: 4 experts", "a list of layers prints them")
  local experts = tostring(r.layers[2].experts)
  ok(experts:find "^[^\n]*enc 2[^\n]*1[^\n]*enabled\n", "and one of experts", experts)
  is(r.layers["dec 2"].number, 4, "a layer by its label")
  refuses(function() return r.layers["dec 3"] end, "none of that label", "there is no layer dec 3")
  refuses(function() return r.layers[{1}] end, "none of a table", "there is no layer of a table")
  r.layers[2].experts[3]:disable()
  is(r.disabled, 1, "disabled now, while it is paused")
  refuses(function() r.steps = "12" end, "a text", "train: steps takes a number, not the text '12'")
  refuses(function() r.lr = {} end, "a table", "train: lr takes a number, not a table")
  r:stop()
  r:close()
end

t.done()
