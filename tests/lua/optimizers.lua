-- Each optimizer in runs: it learns, to the same bits on any threads and kernel sets, over resume,
-- rewind, fork and replay; it is fixed for the run; options of another say that they have no
-- effect.  TAP.  With "worker" and a name: print the hash of a run.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"

local d = data.synthetic{domains = 2, tokens = 20000, seed = 1}

-- Sides of 128 and more: what Adafactor factors.
local function make()
  return model.moe{layers = 1, dim = 128, heads = 2, context = 16, vocab = d.vocab,
                   experts = 2, top_k = 1, expert_dim = 128, seed = 1}
end

local LR = {adamw = 3e-3, muon = 3e-3, sgd = 0.1, adafactor = 0.03}

local function run(optimizer, more, f)
  return small.run(make(), d, t.with({steps = 12, batch = 2, accumulate = 2, lr = LR[optimizer],
    warmup = 2, eval_every = 0, checkpoint_every = 5, keep = 4, optimizer = optimizer}, more), f)
end

if arg[1] == "worker" then
  print("hash " .. run(arg[2], {save = false, steps = 5}):hash())
  return
end

local names = {}
for i, o in ipairs(engine.optimizers()) do names[i] = o.name end
t.is(table.concat(names, " "), "adamw muon sgd adafactor", "the optimizers")

-- ---- learning: the mean of the last ten losses, from 5.5 at the beginning ----

local MOST = {adamw = 1.75, muon = 1.6, sgd = 1.8, adafactor = 1.65}
for _, name in ipairs(names) do
  local r = run(name, {steps = 80, batch = 4, accumulate = 1, save = false, schedule = "constant"})
  local h, sum = r:history "loss", 0
  for i = 71, 80 do sum = sum + h[i][2] / 10 end
  t.ok(sum < MOST[name], ("%s: the loss falls under %.2f: %.3f"):format(name, MOST[name], sum))
end

-- ---- the same bits ----

local function child(name, cpu, threads)
  local text = t.worker(cpu, threads, name)
  return text:match "hash (%x+)", text
end

local function in_another(script) return (t.child("-e '" .. script .. "'")) end

local function expert(r, e)
  return r.model.params["model.layers.0.mlp.experts.gate_proj.weight"][e]:clone()
end

-- seen: the run's hash after each step; "frozen" and "trained": the experts at step 3; "reset": the
-- other one at step 6, before and after.
local function interventions(seen)
  return function(r, step)
    seen[step] = r:hash()
    if step == 3 then
      seen.frozen, seen.trained = expert(r, 2), expert(r, 1)
      r.layers[1].experts[2]:freeze()
    end
    if step == 6 then
      local before = expert(r, 1)
      r.layers[1].experts[1]:reset()
      seen.reset = {before, expert(r, 1)}
    end
    if step == 8 then r.lr = r.lr / 2 end
  end
end

-- Of a run at its end.
local function they_count(r, name, seen)
  t.ok(expert(r, 2):equal(seen.frozen), name .. ": a frozen expert has the bits it had")
  t.ok(not seen.reset[1]:equal(seen.trained), name .. ": the other one went on")
  t.ok(not seen.reset[2]:equal(seen.reset[1]), name .. ": until its reset")
  t.ok(not expert(r, 1):equal(seen.reset[2]), name .. ": and after it")
end

-- A rate that is halved after step 8 is seen in step 9 alone.
local function a_rate_counts(name)
  local function hashes(change)
    local list = {}
    run(name, {save = false, steps = 9}, function(r, step)
      list[step] = r:hash()
      if step == 8 and change then r.lr = r.lr / 2 end
    end)
    return list
  end
  local a, b = hashes(false), hashes(true)
  t.ok(a[8] == b[8] and a[9] ~= b[9], name .. ": half the rate is another step")
end

for _, name in ipairs(names) do
  local plain = run(name, {save = false, steps = 5}):hash()
  for _, cpu in ipairs {"ref", "avx2", "avx512"} do
    local hash, text = child(name, cpu, cpu == "ref" and 1 or 3)
    if text:find("CPU", 1, true) and not hash then
      t.skip(name .. ": the bits of " .. cpu, "this CPU lacks it")
    else
      t.is(hash, plain, ("%s: the bits of %s"):format(name, cpu))
    end
  end
  local hashes = {}
  local r = run(name, {name = name}, interventions(hashes))
  t.is(r.optimizer, name, name .. ": the run says so")
  they_count(r, name, hashes)
  a_rate_counts(name)
  local f = r:fork{step = 7, name = name .. "-fork"}:wait()
  t.is(f.optimizer .. f.step, name .. "12", name .. ": a fork has it too")
  local before = hashes[7]
  r:rewind(7)
  t.is(r:hash(), before, name .. ": rewound to step 7")
  r:resume():wait()
  t.is(r.step, 12, name .. ": and on")
  r:close()
  f:close()
  local text = in_another(('print("identical", replay(%q).identical)'):format(name .. "-fork"))
  t.ok(text:find("identical\ttrue", 1, true), name .. ": a replay is identical", text)
  local whole = run(name, {name = name .. "-whole"}):hash()
  run(name, {name = name .. "-half"},
    function(self, step) if step == 7 then self:stop() end end):close()
  text = in_another(('print("hash " .. train.resume(%q):wait():hash())'):format(name .. "-half"))
  t.is(text:match "hash (%x+)", whole, name .. ": stopped and resumed elsewhere")
end

-- ---- fixed, refused, without effect ----

do
  local r = run("sgd", {name = "other", beta1 = 0.8})
  t.refuses(function() r.optimizer = "adamw" end, "the optimizer of a run",
    "fixed for the run", "sgd")
  r.momentum = 0.5
  t.is(r.momentum, 0.5, "momentum is set live")
  local told = {}
  local line = engine.event
  engine.event = function(_, _, text) told[#told + 1] = text end
  r = run("sgd", {save = false, steps = 3}, function(self, step)
    if step == 1 then self.beta2 = 0.5 end
    if step == 2 then self.momentum = 0.9 end
  end)
  engine.event = line
  told = table.concat(told, "\n")
  t.ok(told:find("beta2 = 0.5 has no effect: the optimizer is sgd", 1, true) and
    not told:find("momentum", 1, true),
    "what another optimizer reads has no effect, and a line says so", told)
  local _, text = pcall(in_another, [[d = data.synthetic{tokens = 20000, seed = 1}
    m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 2,
      top_k = 1, expert_dim = 16}
    train(m, d, {optimizer = "adafactor", steps = 1, batch = 1, weight_decay = 0.2,
      name = "said"}):wait()]])
  t.ok(text:find("said: weight_decay has no effect: the optimizer is adafactor", 1, true),
    "... also at the start", text)
  _, text = pcall(in_another, [[d = data.synthetic{tokens = 20000, seed = 1}
    local function try(name, o)
      local m = model.dense{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab}
      o.name, o.save, o.steps, o.batch, o.eval_every = name, false, 1, 1, 0
      train(m, d, o):wait():close()
    end
    try("level", {schedule = "constant", min_lr = 1e-5, decay = 0.5, warmup = 0})
    try("falling", {min_lr = 1e-5, decay = 0.5, warmup = 0})
    try("stable", {schedule = "wsd", min_lr = 1e-5, decay = 0.5, warmup = 0})]])
  for _, line in ipairs {"level: min_lr has no effect: the schedule is constant",
                         "level: decay has no effect: the schedule is constant",
                         "falling: decay has no effect: the schedule is cosine"} do
    t.ok(text:find(line, 1, true), line, text)
  end
  t.is(select(2, text:gsub("has no effect", "")), 3, "what the schedule reads is not told of")
end

do -- a checkpoint of another
  local a = run("adamw", {name = "whose"})
  local path = assert(a:checkpoint())
  local b = run("muon", {save = false, steps = 1})
  b._h:hold()
  local good, why = b._h:load(path, true)
  b._h:release()
  t.ok(not good and tostring(why):find("its optimizer is adamw, the run's is muon", 1, true),
    "a checkpoint of another is refused by name", why)
end

do -- memory is said before the first step, and is what the optimizer keeps
  local line, said, kept = engine.line, nil, {}
  engine.line = function(text, ...)
    said = said or text:match "memory: (.-) state"
    return line(text, ...)
  end
  local P = make():count().total
  for _, name in ipairs(names) do
    said = nil
    local r = train(make(), d,
      {steps = 1, batch = 2, optimizer = name, save = false, paused = true})
    local bytes = r._h:state_bytes()
    t.is(said, engine.bytes(bytes), name .. ": its memory is said, no step is done")
    kept[name] = bytes - 8 * P -- but for parameters and gradients
    r:stop()
  end
  engine.line = line
  local function between(name, least, most)
    local x = kept[name] / P
    t.ok(x >= least and x <= most, ("%s: %.2f bytes a parameter"):format(name, x))
  end
  between("adamw", 8, 8.2)
  between("sgd", 4, 4.2)
  between("muon", 15, 15.5) -- four of a matrix: one that stays, three to work in
  between("adafactor", 0.4, 0.6) -- rows and columns, but all of the embedding and the head
end

t.done()
