-- What keeps a run healthy: router updates over micro-batches, spikes that are skipped, alarms,
-- r:why.
local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local ok, is = t.ok, t.is

local text = data.string(("the quick brown fox jumps over the lazy dog 0123456789. "):rep(200),
  {val = 0.1})

-- ---- the sigmoid router's bias sees all micro-batches of a step ----

local function biases(accumulate, batch, threads)
  tensor.threads(threads)
  local m = model.moe{layers = 2, dim = 24, heads = 2, context = 9, vocab = 256, experts = 6,
                      top_k = 2, expert_dim = 16, router = "sigmoid", seed = 3}
  -- parameters stand still and rows come in order, so that the loads of a step are the same however
  -- it is cut
  local r = train(m, text, {steps = 6, batch = batch, context = 9, accumulate = accumulate,
                            lr = 1e-30, warmup = 0,
                            weight_decay = 0, eval_every = 0, sampling = "epoch"})
  r:wait()
  local out = {}
  for _, name in ipairs(m._state_names) do
    out[#out + 1] = table.concat(m.states[name]:table(), " ")
  end
  local loads, hash = r:history "load.2.3":hash(), r:hash()
  r:close()
  return table.concat(out, " "), hash, loads
end

local threads = tensor.threads()
local whole = biases(1, 6, 2)
ok(whole:find "0.00", "biases move: " .. whole)
for _, cut in ipairs{{2, 3}, {3, 2}, {6, 1}} do
  local bias, hash = biases(cut[1], cut[2], 2)
  is(bias, whole, ("%d micro-batches of %d move the bias as one of 6"):format(cut[1], cut[2]))
  local _, alone = biases(cut[1], cut[2], 1)
  is(alone, hash, "... with one thread, too")
end
tensor.threads(threads)

-- ---- a poisoned text: skipped, and named ----

local words = {"the ", "quick ", "brown ", "fox ", "jumps ", "over ", "lazy ", "dog ", "and ",
               "runs ", "away "}
local drawn, noise, at = {}, {}, 7
local function draw(n)
  at = (at * 1103515245 + 12345) % 2147483648
  return at // 65536 % n
end
for i = 1, 4000 do drawn[i] = words[draw(#words) + 1] end
for i = 1, 300 do noise[i] = string.char(128 + draw(127)) end
drawn, noise = table.concat(drawn), table.concat(noise)
local poisoned = t.write(t.scratch "poisoned", drawn:sub(1, 9000) .. noise .. drawn:sub(9001))
local d = data.text(poisoned, {val = 0.1})

local function small(seed, more, of)
  local m = model.moe{layers = 2, dim = 32, heads = 2, context = 32, vocab = 256, experts = 4,
                      top_k = 2, expert_dim = 32, router = "sigmoid", seed = seed}
  return train(m, of or d, t.with({steps = 320, batch = 2, context = 32, lr = 3e-3, eval_every = 0,
                                   seed = 5, checkpoint_every = 50}, more))
end

-- The worst of many sequences is found by halves, also where some have far more targets.
do
  local function text(n)
    local list = {}
    for i = 1, n do list[i] = words[draw(8) + 1] end
    return table.concat(list)
  end
  local lines = {}
  for i = 1, 600 do
    if i % 199 == 60 then
      local odd = {}
      for k = 1, 30 do odd[k] = utf8.char(0x400 + draw(200)) end
      lines[i] = i .. "\t#" .. table.concat(odd)
    elseif i % 2 == 0 then lines[i] = ("%s %d\t%d"):format(text(4), i, i % 10)
    else lines[i] = ("%d\t%s"):format(i, text(5)) end
  end
  local path = t.write(t.scratch "uneven.tsv", table.concat(lines, "\n"))
  local pairs_of = assert(data.pairs(path, {val = 0}))
  local m = model.dense{layers = 2, dim = 32, heads = 2, context = 64, ffn_dim = 64,
                        vocab = pairs_of.tokenizer, seed = 3}
  local run = train(m, pairs_of, {steps = 300, batch = 16, lr = 3e-3, eval_every = 0, seed = 5,
                                  skip_sigma = 4, save = false}):wait()
  local marks, right = run:history "skipped", 0
  for i = 1, marks.shape[1] do
    local w = run:why(math.tointeger(marks[i][1]:item()))
    right = right + (w.sequences[1].loss and w.sequences[1].text:find("#", 1, true) and 1 or 0)
  end
  ok(marks.shape[1] > 4 and right == marks.shape[1], "the worst of 16 rows of uneven pairs",
    right .. " of " .. marks.shape[1])
  run:close()
end

local r = small(3):wait()
local marks, skipped = r:history "skipped", {}
for i = 1, marks.shape[1] do skipped[i] = marks[i][1]:item() end
ok(#skipped >= 3 and r.skipped == #skipped, "steps with noise are skipped: "
  .. table.concat(skipped, " "))
-- a series of a kind that is rare has rows at the first step, at each tenth, and at those that
-- stand out
local gates = {}
for _, row in ipairs(r:history "gate.1.1":table()) do gates[row[1]] = true end
local without, plain = 0, 0
for _, s in ipairs(skipped) do without = without + (gates[s] and 0 or 1) end
for s in pairs(gates) do plain = plain + (s ~= 1 and s % 10 ~= 0 and 1 or 0) end
is(without, 0, "steps that stand out have rows of what is rare")
ok(plain <= #skipped, "and no others between the tenths: " .. plain)
-- of all steps after the first 64, those whose windows touch the noise deeply are the skipped ones
local touched = 0
for step = 65, 320 do
  local deep = false
  for _, row in ipairs(r._h:rows(step)) do
    deep = deep or row.start > 9000 - 16 and row.start < 9300 - 16
  end
  local is_skipped = false
  for _, s in ipairs(skipped) do is_skipped = is_skipped or s == step end
  if deep and not is_skipped then touched = touched + 1 end
end
ok(touched <= 2, "and few others have as much of it: " .. touched)
local w = r:why()
is(w.step, math.tointeger(skipped[#skipped]), "r:why(): the newest of them")
is(w.skipped and w.reason, "loss spike", "its reason")
ok(w.loss.sigma > 6 and w.loss.value > w.loss.mean, "its loss against those before")
is(#w.sequences, 2, "its sequences")
local worst = w.sequences[1]
ok(worst.start > 8960 and worst.start < 9300 and worst.loss > 2 * w.sequences[2].loss,
  ("the worst is the one with noise: token %d, loss %.2f"):format(worst.start, worst.loss))
is(worst.source, poisoned, "its document")
ok(not worst.text:find "[\128-\255][\128-\255]?\0" and utf8.len(worst.text), "its text is clean")
for _, x in ipairs(w.layers) do
  local outside = not x.what:find "layer %d"
  if outside then ok(x.what == x.name, "outside of layers: " .. x.name, x.what) end
end
ok(w.layers[1].ratio > 3 and #w.experts == 8 and w.experts[1].norm > 0,
  "layers and experts by their gradients")
is(#w.routers, 2, "the routers")
is(#w.routers[1].load, 4, "their loads")
is(#(w.routers[1].bias or {}), 4, "their biases")
local card = tostring(w)
ok(card:find("step " .. w.step, 1, true) and card:find "deviations" and
  card:find "layer %d expert %d" and card:find "loss",
  "the card")
for line in card:gmatch "[^\n]+" do
  if (utf8.len(line) or 999) > 180 then ok(false, "a line of the card is too long: " .. line) end
end
ok(not pcall(r.why, r, 400) and not pcall(r.why, r, 0) and not pcall(r.why, r, "x"),
  "steps that are none")
local plain = r:why(200)
ok(plain.loss.value and plain.loss.mean and #plain.sequences == 2 and not plain.sequences[1].loss,
  "any other step")
is(plain.sequences[1].text,
  (drawn:sub(1, 9000) .. noise .. drawn:sub(9001)):sub(plain.sequences[1].start + 1,
    plain.sequences[1].start + 32),
  "its texts")
r.lr = 1e-3
r:note "look here"
r.steps = 330
r:resume():wait()
local before = r:why(325).before
local texts = {}
for _, e in ipairs(before) do texts[#texts + 1] = e.step == 320 and e.text or nil end
table.sort(texts)
is(table.concat(texts, "; "),
  "look here; lr = 0.001; steps = 330: lr stays at 0.0001 up to step 330 (cosine)",
  "what was changed before")
local gone = r:history "grad_norm.2"
local sum, norm = 0, r:history "grad_norm":table()[gone.shape[1]][2]
for _, name in ipairs(r:series()) do
  local part = name:match "%.experts%." or name:match "%.router[%._]"
  if name:match "^grad_norm%.%a" and not part or
    name:match "^grad_norm%.%d+$" then
    sum = sum + r:history(name):table()[gone.shape[1]][2] ^ 2
  end
end
ok(math.abs(math.sqrt(sum) - norm) < 1e-4 * norm, "norms of layers add up to the whole")

-- the same again: rewound, replayed
local hash = r:hash()
r:rewind(190)
local entries = 0
for _, e in ipairs(r:journal()) do entries = entries + (e.kind == "skipped" and 1 or 0) end
is(entries, r.skipped, "rewound: each skipped step is in the journal once")
r:resume():wait()
ok(replay(r.name).identical, "its replay is identical")
r:close()

-- of many sequences only the worst is looked for
local rare = data.string(drawn:sub(1, 9000) .. noise:sub(1, 40) .. drawn:sub(9001), {val = 0.1})
r = small(3, {batch = 11, steps = 400, skip_sigma = 4}, rare):wait()
w = r:why()
local measured, deepest = 0, 0
for _, s in ipairs(w.sequences) do
  measured = measured + (s.loss and 1 or 0)
  deepest = math.max(deepest, math.min(s.start + 32, 9040) - math.max(s.start, 9000))
end
worst = w.sequences[1]
is(#w.sequences .. " " .. measured, "11 1", "one of eleven is measured: " .. tostring(w.reason))
is(math.min(worst.start + 32, 9040) - math.max(worst.start, 9000), deepest,
  "the one with the most noise")
ok(worst.loss > 1.5, ("its loss: %.2f"):format(worst.loss))
r:close()

-- ---- alarms ----

function nn.routers.stuck(logits, K, o) -- ever the same K experts
  local gates, experts = (logits:clamp({lo = 0, hi = 0}) + tensor{3, 2, 1, 0, 0, 0}):softmax(-1)
    :topk(K, -1)
  return gates, experts, logits:softmax(-1)
end
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = 256, experts = 6,
                    top_k = 2, expert_dim = 16, router = "stuck"}
r = train(m, text, {steps = 140, batch = 2, eval_every = 0, paused = true})
r.layers[1].experts[6]:disable()
r:resume():wait()
local on = {}
for _, a in ipairs(r:alarms()) do
  on[a.name] = a.on and ("step %d: %s"):format(a.step, a.text)
end
is(on["dead experts"],
  "step 128: 3 experts are under 1% of a fair share over 128 steps (layer 1: 3 4 5)",
  "dead experts are named, but not the disabled one")
is(on["router collapse"],
  "step 128: layer 1: 2 of 6 experts got 100% of the tokens over 128 steps",
  "a collapsed router")
is(#r:alarms(), 16, "the table of alarms")
ok(tostring(r:alarms()):find "ON  dead experts", "prints")
r:close()

-- ---- a text that is learned by heart: its bumps heal by themselves, and are no spikes ----

local verse = data.string(("so it goes "):rep(100))
for _, c in ipairs{{4e-3, 1}, {8e-3, 3}} do
  m = model.moe{layers = 2, dim = 48, heads = 4, context = 32, vocab = 256, experts = 4, top_k = 2,
                expert_dim = 48, seed = c[2]}
  r = train(m, verse, {steps = 360, batch = 6, lr = c[1], save = false, eval_every = 0,
                       seed = c[2]}):wait()
  local rung = {}
  for _, a in ipairs(r:alarms()) do rung[#rung + 1] = a.text end
  is(("%s %d %d"):format(r.state, r.skipped, #rung), "done 0 0",
    ("lr %g: done, no step skipped, no alarm"):format(c[1]))
  r:close()
end

-- ---- divergence ----

local function diverges(lr, steps, more)
  local d1 = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = 256, experts = 4,
                       top_k = 2, expert_dim = 16}
  local run = train(d1, verse, t.with({steps = steps, batch = 2, lr = lr, eval_every = 0,
                                       warmup = 10}, more)):wait()
  for _, a in ipairs(run:alarms()) do
    if a.name == "divergence" then return run, a end
  end
end

local a
r, a = diverges(10, 60, {name = "diverges"})
ok(a.on and a.text:find "the loss is %d+.* it was [45]%.%d+ at best",
  "lr = 10 is seen: " .. tostring(a.text))
is(r.state, "done", "and told only")
r:close()
r = train.resume("diverges", {steps = 62}):wait()
for _, b in ipairs(r:alarms()) do a = b.name == "divergence" and b or a end
ok(a.on and a.step == 61, "another process knows what the best was")
r.steps = 400 -- at a tenth of it
r:resume():wait()
for _, b in ipairs(r:alarms()) do a = b.name == "divergence" and b or a end
ok(not a.on, ("it is off when the loss comes back (%.2f)"):format(r.loss))
r:close()
r, a = diverges(3e-3, 100)
ok(not a.text, "none of it in a healthy run")
r:close()

-- ---- rewinding by itself ----

-- Weights of which no finite loss comes: more than r.z and r.aux may be.
local function overflow(run)
  for name, v in t.sorted {z = 1e30, aux = 1e38} do run._h:set_input(name, tensor.full(v)) end
end

r = small(4, {auto_rewind = true, max_skips = 3, checkpoint_every = 20, paused = true})
local broken = false
every(r, 1, function()
  if r.step == 100 and not broken then
    broken = true
    overflow(r)
  end
end)
r:resume():wait()
is(r.state, "done", "it went back and on")
local left = {}
for _, e in ipairs(r:journal()) do
  left[#left + 1] = e.kind == "skip" and math.tointeger(e.value) or nil
end
is(#left, 35, "32 steps before the first bad one and three of these are left out")
is(left[1] .. " " .. left[#left], "69 103", "... namely")
is(r:why(80).reason, "left out", "r:why knows")
ok(replay(r.name).identical, "its replay is identical")
r:close()

r = small(4, {auto_rewind = true, max_skips = 3, checkpoint_every = 20, paused = true})
broken = false
every(r, 1, function()
  if broken then return end
  if r.step == 95 then r.batch = 4 end
  broken = r.step == 100
  if broken then overflow(r) end
end)
r:resume():wait()
left = {}
for _, e in ipairs(r:journal()) do
  left[#left + 1] = e.kind == "skip" and math.tointeger(e.value) or nil
end
is(left[1] .. " " .. left[#left], "69 111",
  "the windows of then are left out, though the batch is again the one before")
t.raises(function() r._store:add("events", 1, "eclipse", "of the sun") end,
  "kind of event 'eclipse'", "an event of no kind is not stored")
t.raises(function() require "switchyard.engine".event(r.name, "eclipse", "of the sun") end,
  "kind 'eclipse'", "and not told")
r:close()

r = small(4, {auto_rewind = true, max_skips = 3, checkpoint_every = 20, paused = true})
every(r, 1, function() if r.step == 100 then overflow(r) end end)
r:resume():wait()
local alarm, stored
for _, a in ipairs(r:alarms()) do alarm = a.name == "rewind" and a or alarm end
for _, e in ipairs(r:events()) do stored = e.kind == "alarm" and e.text or stored end
local text = "it was rewound 3 times already; the run ends at its next such step"
is(tostring(alarm.on) .. " " .. tostring(alarm.text), "true " .. text,
  "what cannot be rewound is an alarm")
is(stored, ("alarm: step %d: rewind: %s"):format(alarm.step or -1, text),
  "... that is stored, with its name and step")
is(r.state, "failed", "and the run ends")
r:close()

t.done()
