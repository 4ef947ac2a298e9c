-- trace(): what it shows is what the model does; what another expert would have made of the next
-- token is what it would have.  TAP.
local srcdir = os.getenv "srcdir" or "."
local t = dofile(srcdir .. "/tests/lua/tap.lua")
local small = dofile(srcdir .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"

local tok = tokenizer.bytes()
local TEXT = "The quick brown"
local ids = tok:encode(TEXT)
local T = #ids

local function made(router, more)
  return small.moe(t.with({layers = 2, vocab = tok, router = router}, more))
end

local function nan(x) return x ~= x end

-- Are the losses of two traces the same?  The last is none.
local function same_losses(a, b)
  return a.losses:narrow(1, 1, T - 1):contiguous():equal(b.losses:narrow(1, 1, T - 1):contiguous())
end

-- ---- what it has ----

local m = made "softmax"
local x = trace(m, TEXT)
t.is(#x.layers, 2, "a layer a layer")
t.is(table.concat(x.layers[1].experts.shape, " "), T .. " 2", "experts (T,K)")
t.is(table.concat(x.layers[1].scores.shape, " "), T .. " 4", "scores (T,E)")
t.near(x.losses:narrow(1, 1, T - 1):mean():item(), m:loss(TEXT), 2e-6, "losses are the model's")
t.ok(nan(x.losses[T]:item()) and x.ranks[T]:item() == 0, "behind the last token there is none")
for l = 1, 2 do
  local s = x.layers[l]
  local best, experts = s.scores:topk(3, -1)
  t.ok(s.experts:equal(experts:narrow(2, 1, 2):contiguous()), "the two of the largest scores")
  t.ok(s.margin:allclose((best:narrow(2, 2, 1) - best:narrow(2, 3, 1)):view(-1), 1e-6, 1e-7),
    "the margin is that of the second over the third")
end
local logits = m:logits(TEXT)
local better = 0
for v = 1, logits.shape[2] do
  if logits[{3, v}]:item() > logits[{3, ids[4] + 1}]:item() then better = better + 1 end
end
t.is(x.ranks[3]:item(), better + 1, "ranks are counted by logits")
t.ok(trace(m, ids).layers[2].experts:equal(x.layers[2].experts), "ids are as the text")
t.is(#trace(m, ids, {layers = {2}})._parts, 1, "layers = {2} keeps one")
t.ok(not same_losses(trace(m, TEXT, {precision = "bf16"}), x), "bf16 is another precision")
local bias = made{"deepseek_v3", groups = 2, keep = 1}
engine.put(bias.states[bias._state_names[1]], {0.5, 0, 0, 0})
t.ok(trace(bias, TEXT).layers[1].experts:eq(1):sum(-1):min():item() == 1,
  "what chooses is what the router goes by: a bias")
t.ok(trace(made "hash", TEXT).layers[1].margin == nil, "hash has no margin")

-- ---- windows ----

local long = TEXT:rep(3)
local w = trace(m, long, {windows = true})
t.is(#w.ids, 3 * T, "windows: each token is taken once")
local first = trace(m, table.move(w.ids, 1, 16, 1, {}))
t.ok(w.layers[2].gates:narrow(1, 1, 16):contiguous():equal(first.layers[2].gates),
  "the first 16 are a text of 16")
local last = trace(m, table.move(w.ids, 3 * T - 15, 3 * T, 1, {}))
t.ok(w.layers[2].gates:narrow(1, 33, 13):contiguous():equal(
  last.layers[2].gates:narrow(1, 4, 13):contiguous()), "the last are those of the last 16")

-- ---- counterfactual ----

-- Token 1 sees itself alone: a mask of all others of a layer is what another expert is, where a
-- gate does not depend on them.
local one = made("llama4", {top_k = 1, layers = 3})
local function by_mask(l, e, a, b)
  local off = {}
  for k = 1, 4 do off[k] = k == e and 0 or -math.huge end
  engine.put(one.inputs["mask." .. l], off)
  local loss = one:loss{a, b}
  engine.put(one.inputs["mask." .. l], {0, 0, 0, 0})
  return loss
end
local y = trace(one, {7, 11})
for l = 1, 3 do
  local c, same = y:counterfactual(1, l), true
  for e = 1, 4 do same = same and c[e]:item() == by_mask(l, e, 7, 11) end
  t.ok(same, ("K = 1, layer %d: each loss is that of a mask by hand"):format(l))
end

-- K = 2, by hand: a router to which each token's experts are said, one of them another.
local two = made("softmax", {layers = 1})
local v = trace(two, TEXT)
local function said(i, e)
  local list, least = v.layers[1].experts:table(), nil
  local gates = v.layers[1].gates[i]:table()
  least = gates[1] < gates[2] and 1 or 2
  if list[i][3 - least] ~= e then list[i][least] = e end
  for k, row in ipairs(list) do list[k] = table.concat(row, ",") end
  local other = made({"forced", experts = table.concat(list, " ")}, {layers = 1})
  other:copy_from(two)
  return trace(other, TEXT).losses[i]:item()
end
for _, i in ipairs {1, 8} do
  local c, same = v:counterfactual(i, 1), true
  for e = 1, 4 do same = same and c[e]:item() == said(i, e) end
  t.ok(same, "K = 2: each loss is that of experts that are said, in the place of the weakest")
end

for _, router in ipairs {"softmax", "switch", "deepseek_v3", "gpt_oss", "hash", "zero_experts"} do
  local some = made(router, {top_k = router == "switch" and 1 or 2})
  local z = trace(some, TEXT)
  for _, i in ipairs {1, 9, T - 1} do
    local c, told = z:counterfactual(i, 1)
    local chosen, fine = z.layers[1].experts[i]:table(), true
    for _, e in ipairs(chosen) do
      fine = fine and (e == 0 or c[e]:item() == z.losses[i]:item())
    end
    t.ok(fine, router .. ": of an expert that is chosen it is the loss as it is")
    t.ok(told.factual == z.losses[i]:item() and #told == 4, router .. ": and is told")
  end
end
local c = x:counterfactual(5, 2)
t.ok(c:max():item() > c:min():item(), "another expert makes another loss")
local whole = w:counterfactual(40, 1)
for _, e in ipairs(w.layers[1].experts[40]:table()) do
  t.is(whole[e]:item(), w.losses[40]:item(), "in the last of several windows")
end

engine.put(m.inputs["mask.1"], {0, 0, -math.huge, 0})
local z = trace(m, TEXT)
c = z:counterfactual(4, 1)
t.ok(nan(c[3]:item()) and not nan(c[1]:item()), "NaN of a disabled expert")
t.ok(tostring(select(2, z:counterfactual(4, 1))):find("3 +%- +disabled"), "which is said")
engine.put(m.inputs["mask.1"], {0, 0, 0, 0})

-- ---- what is printed ----

local hostile = trace(m, "a\n\tb\27[31mc\xC3\xA9")
local shown = tostring(hostile)
t.ok(not shown:find "\27" and not shown:find "\t", "nothing that a terminal would obey")
t.ok(shown:find("a↵\n", 1, true) and shown:find("\\tb", 1, true), "newline and tab are seen")
local under = shown:match "a↵\n(%d%d)\n"
local e = {}
for i, l in ipairs(hostile.layers[1].experts:table()) do
  local g = hostile.layers[1].gates[i]:table()
  e[i] = g[1] >= g[2] and l[1] or l[2]
end
t.is(under, ("%d%d"):format(e[1], e[2]), "its expert's number is under each token")

local pens = {[0] = "<d>"}
for i = 1, 32 do pens[i] = ("<%d>"):format(i) end
local meta = getmetatable(hostile)
local painted = meta.painted(hostile, pens)
t.ok(painted:find(("<%d>a\27[0m"):format(e[1]), 1, true), "in the colour of its expert")
t.ok(not painted:gsub("\27%[0m", ""):find "\27", "no other escape sequence than ours")
local many = made("softmax", {experts = 40, layers = 1})
painted = getmetatable(x).painted(trace(many, TEXT), pens)
local rows = select(2, painted:gsub("\n[%d%- ]+%f[\n]", ""))
t.is(rows, 2, "more experts than colours: their numbers, digit below digit")
for line in tostring(w):gmatch "[^\n]+" do
  if engine.cells(line) > engine.columns() then t.ok(false, "lines fit", line) end
end
t.ok(tostring(x:at(3)):find("rank " .. better + 1, 1, true), "at tells the rank")
t.is(x:at(3).layers[2].experts[1], x.layers[2].experts[{3, 1}]:item(), "and the experts")

-- ---- an encoder ----

local both = model.encdec{layers = 2, decoder_layers = 2, dim = 16, heads = 2, vocab = tok,
                          context = 12, input_context = 20, experts = 4, moe_every = 1,
                          router = "switch", expert_dim = 16}
local s = trace(both, {inputs = "abcdef", tokens = "xyz"})
t.is(s.layers["enc 2"].experts.shape[1], 6, "the encoder's layers have the inputs' tokens")
t.is(s.layers["dec 1"].experts.shape[1], 4, "the decoder's those of the text behind a start")
local d1 = s:counterfactual(2, "dec 1")
t.is(d1[s.layers["dec 1"].experts[2]:item()]:item(), s.losses[2]:item(), "a layer by its label")

-- ---- runs ----

local d = small.words(4000, tok)
local r = train(m, d, {steps = 1e6, batch = 2, eval_every = 0, checkpoint_every = 3,
                       keep_every = 3, paused = true})
r:steps(6):wait()
local now = trace(r, TEXT)
t.is(now.step, 6, "a run's step")
local before = trace(r, TEXT, {step = 3})
t.is(before.step, 3, "a checkpoint's")
t.ok(not same_losses(before, now), "is another model")
local told = select(2, x:counterfactual(3, 1))
t.ok(tostring(told):find("has learnt since", 1, true), "a model that has learnt since is told")
r:resume()
t.poll(function() return r.step > 8 end, "the run goes on")
trace(r, TEXT):counterfactual(2, 1)
local at = r.step
t.poll(function() return r.step > at end, "and goes on")
r:stop():wait()
r:close()
local old = runs(r.name)
t.ok(same_losses(trace(old, TEXT, {step = 3}), before), "a stored run's checkpoint")

-- ---- refused ----

t.refuses(function() trace(m, ("x"):rep(17)) end, "too long", "the text is 17 tokens", "is 16",
  "windows = true")
t.refuses(function() trace(m, "") end, "no token", "the text has no token")
t.refuses(function() trace(m, {1, 256}) end, "an id", "token 2 is 256")
t.refuses(function() trace(5, "a") end, "no model", "takes a model or a run, got number")
t.refuses(function() trace(m, "a", {layer = 1}) end, "option", "did you mean 'layers'")
t.refuses(function() trace(m, "a", {layers = {3}}) end, "layers", "layers has 3", "1, 2")
t.refuses(function() trace(m, "a", {step = 3}) end, "step", "a model alone has no checkpoints")
t.refuses(function() trace(old, "a", {step = 4}) end, "no checkpoint", "step 4", "there are: ")
t.refuses(function() trace(m, {inputs = "a", tokens = "b"}) end, "inputs", "has no encoder")
t.refuses(function() trace(both, "abc") end, "inputs missing", "{inputs = text or ids")
t.refuses(function() trace(both, {inputs = ("a"):rep(21), tokens = "a"}) end, "inputs too long",
  "the inputs are 21 tokens, the model reads 20")
t.refuses(function() x:at(T + 1) end, "at", "there is no token 16", "1 to 15")
t.refuses(function() x:counterfactual(T, 1) end, "the last", "token 15 is the last")
t.refuses(function() x:counterfactual(1, 3) end, "no layer", "there is no layer 3", "1 to 2")
t.refuses(function() x:counterfactual(1, 1, 2) end, "no mixture", "has 1 mixtures")
t.refuses(function() s:counterfactual(1, "enc 1") end, "of inputs", "reads the inputs")
t.refuses(function() trace(made "relu", TEXT):counterfactual(1, 1) end, "any number",
  "router 'relu' gives a token any number of experts")
t.refuses(function() trace(model.dense{layers = 1, dim = 16, heads = 2, context = 8, vocab = tok},
  "abc"):counterfactual(1, 1) end, "dense", "layer 1 has no experts")
t.refuses(function() return x.layer end, "a field", "did you mean 'layers'")
t.done()
