-- Runs as scripts see them: states, live changes, hooks, experts, series, optimizer, failures.
-- TAP.

local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"
local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local ok, is, refuses = tap.ok, tap.is, tap.refuses

local function near(got, want, rel, name)
  tap.near(got, want, rel * math.max(math.abs(want), 1e-12), name)
end

local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}

local function make(more)
  return small.moe(tap.with({layers = 2, vocab = d.vocab}, more))
end

local names = 0
local function start(m, more, hook, interval)
  names = names + 1
  local r = train(m, d, tap.with({steps = 20, batch = 4, lr = 1e-3, eval_every = 0, warmup = 2,
    name = "run-" .. names}, more, {paused = true})) -- the hook is there before the first step
  if hook then every(r, interval or 1, hook) end
  return r:resume()
end

-- A run that is paused after step n of many
local function paused(m, n, more)
  return start(m, tap.with({steps = 1000}, more), function(r)
    if r.step == n then r:pause() end
  end):wait()
end

-- ---- states ----

do
  local r = paused(make(), 3, {steps = 1000000000}) -- it is met alive below
  is(r.state, "paused", "pause: the state")
  is(r.step, 3, "pause: at the step")
  is(r:steps(2):wait().step, 5, "steps(2): two more")
  is(r.state, "paused", "steps: then paused")
  is(r:wait(100).step, 5, "wait for a step of a paused run returns")
  is(r:resume().state, "running", "resume: running at once")
  is(r:wait(9).step >= 9, true, "wait(step)")
  is(r:stop():wait().state, "stopped", "stop")
  refuses(function() r:steps(0) end, "steps(0)", "steps", "0")
  refuses(function() r:steps(1.5) end, "steps(1.5)", "steps", "1.5")
  local at = r.step
  r.steps = at + 4
  is(r:resume():wait().state .. r.step - at, "done4", "a stopped run goes on to its end")
  is(r:resume():wait().state, "done", "resume of a run that is done changes nothing")
  r.steps = at + 7
  is(r:wait().state .. r.step - at, "done4", "more steps: not before resume")
  is(r:resume():wait().step - at, 7, "more steps and resume: it goes on, and wait waits")
  is(r.state, "done", "and is done again")
  ok(tostring(r):find(("step %d/%d"):format(at + 7, at + 7), 1, true), "steps as it prints")
  refuses(function() r:steps(1) end, "steps(1) of a run that is done", "steps", "done", "r.steps")
  refuses(function() r:wait(-1) end, "wait(-1)", "wait: the step is -1", "at least 0")
  is(r:wait(1000).step, at + 7, "a step behind the end of a run that is done: at its end")
  refuses(function() r.steps = at + 6 end, "fewer steps than were done", "steps is " .. at + 6,
    "at step " .. at + 7, "r:stop()")
  is(r._h:get("steps"), at + 7, "and they stay as they were")
end

-- ---- hooks ----

do
  local seen = {}
  local r = train(make(), d, {steps = 6, batch = 4, name = "hooks", paused = true})
  is(r.state .. r.step, "paused0", "train{paused = true}")
  every(r, 2, function(self) seen[#seen + 1] = "a" .. self.step end)
  every(r, 3, function(self) seen[#seen + 1] = "b" .. self.step end)
  every(r, 1, function(self) if self.step == 6 then seen[#seen + 1] = "c" .. self.state end end)
  r:resume():wait()
  is(table.concat(seen, " "), "a2 b3 a4 a6 b6 crunning", "hooks: steps and order")
  refuses(function() every(r, 0, print) end, "every: interval 0", "every", "0")
  refuses(function() every(r, 1.5, print) end, "every: a fraction", "every", "1.5")
  refuses(function() every(r, 1, "x") end, "every: no function", "every", "string")
  refuses(function() every({}, 1, print) end, "every: no run", "every", "run")

  local why
  r = start(make(), {steps = 9}, function(self)
    if self.step == 4 then
      local _, e = pcall(self.wait, self)
      why = e
      error "oops"
    end
  end):wait()
  is(r.state .. r.step, "paused4", "an error in a hook pauses the run")
  ok(tostring(why):find("hook", 1, true), "wait in a hook of its own run is refused")
  ok(r:journal()[#r:journal()].text:find "hook" or r:journal()[1].kind == "hook",
    "the journal has it")
  is(r:resume():wait().state, "done", "and it can go on")

  -- taken away
  local bad, calls = nil, 0
  r = train(make(), d, {steps = 9, batch = 4, name = "unhooked", paused = true})
  every(r, 1, function() calls = calls + 1 end)
  bad = every(r, 3, function() error "oops" end)
  ok(tostring(bad):find "^every 3 steps of run unhooked: .*run.lua:%d+$", "a hook as text",
    tostring(bad))
  ok(tostring(hooks(r)):find("\n 2  every 3 steps", 1, true), "hooks(r) lists them",
    tostring(hooks(r)))
  is(r:resume():wait().step, 3, "one that fails pauses the run")
  local said = r:journal()[#r:journal()].text
  ok(said:find('hooks("unhooked")[2]:remove()', 1, true), "and is named", said)
  hooks(r)[2]:remove()
  is(r:resume():wait().state .. calls, "done9",
    "removed, the run goes on; the other is still called")
  ok(tostring(bad):find "removed", "what is removed says so")
  bad:remove()
  is(#hooks(r), 1, "removed twice is removed")
  refuses(function() return bad.inteval end, "a field that a hook has not",
    "hook: unknown field 'inteval'")
  local once
  r = train(make(), d, {steps = 4, batch = 4, paused = true})
  once = every(r, 1, function() calls = calls + 1 once:remove() end)
  calls = 0
  is(r:resume():wait().state .. calls, "done1", "a hook may remove itself")
  alert("loss > 1e9", r)
  is(#hooks(r), 0, "alerts are not among them")
  alert("off", r)
  for condition, near in tap.sorted {["loss < 3 and val_loos > 2"] = "val_loss",
                                     ["loss < 1e9 or stepp > 3"] = "step",
                                     ["loss > 1e9 and (step > 3 or math.abs(los) > 2)"] = "loss",
                                     ["loss < 1e9 or foo"] = "foo"} do
    refuses(function() alert(condition, r) end, "alert: " .. condition, "alert: ",
      "unknown field", near)
  end
  is(alert(nil, r), "no alerts", "none of them is set")
  for _, condition in ipairs {'loss > 1e9 and state == "foo.bar"', "loss > 1e9 or math.huge < step",
                              "step == 1e9 and loss..'' == 'x'",
                              "loss > 1e9 and ({foo = 1}).foo == 2",
                              "loss > 1e9 and (function(x) return x end)(step)",
                              "step > 0x1f00 and name:upper() == 'X' or step > 3e7",
                              "dead==1e9 or step==1e9"} do
    alert(condition, r)
    alert("off", r)
  end
  ok(true, "names of its own, of others, in texts")

  local evals, texts = {}, 0
  r = start(make(), {steps = 4}, function(self)
    evals[self.step] = self:eval(2)
    texts = texts + #self:sample({7}, {tokens = 2})
    self:hash()
  end):wait()
  is(#evals .. r.state, "4done", "eval, sample and hash in a hook")
  ok(texts > 0, "samples in a hook")
  local deep = 0
  r = start(make(), {steps = 3}, function(self)
    if self.step == 2 then deep = start(make(), {steps = 5}):wait().step end
  end):wait()
  is(deep .. r.state, "5done", "a hook may train and wait for another run")
  r = start(make(), {steps = 50},
    function(self) if self.step == 5 then self:steps(3) end end):wait()
  is(r.step .. r.state, "8paused", "steps(3) in a hook")
  r:stop()
  r = start(make(), {steps = 50}, function(self) if self.step == 5 then self:stop() end end):wait()
  is(r.step .. r.state, "5stopped", "stop in a hook")
end

-- ---- options and fields ----

do
  local m = make()
  refuses(function() start(m, {stepz = 3}) end, "an unknown option",
    "unknown option 'stepz'", "'steps'")
  refuses(function() start(m, {lr = -1}) end, "lr = -1", "lr", "-1")
  refuses(function() start(m, {lr = "x"}) end, "lr = 'x'", "lr", "number")
  refuses(function() start(m, {lr = 0 / 0}) end, "lr = nan", "lr")
  refuses(function() start(m, {steps = 1.5}) end, "steps = 1.5", "steps", "1.5")
  refuses(function() start(m, {batch = 0}) end, "batch = 0", "batch", "0")
  refuses(function() start(m, {schedule = "cosin"}) end, "an unknown schedule",
    "schedule", "'cosine'")
  refuses(function() start(m, {optimizer = "sgdd"}) end, "an unknown optimizer",
    "optimizer", "sgdd")
  refuses(function() start(m, {precision = "fp16"}) end, "an unknown precision",
    "precision", "fp16")
  refuses(function() start(m, {context = 17}) end, "a context larger than the model's",
    "context", "17", "16")
  refuses(function() train(m) end, "no data", "train", "dataset")
  refuses(function() train({}, d) end, "no model", "train", "model")
  refuses(function() train(make{vocab = 8}, d, {}) end, "data with more ids than the model",
    "vocab", "8")
  local tiny = data.string("abc", {val = 0})
  refuses(function() train(make{vocab = 256}, tiny, {}) end,
    "a text shorter than a window", "tokens")

  local r = paused(m, 2, {lr = 1e-3})
  is(r.optimizer, "adamw", "r.optimizer")
  ok(tostring(r):find("optimizer  adamw, %d", 1), "its card says so: " .. tostring(r))
  refuses(function() r.optimizer = "adamw" end, "the optimizer of a run", "fixed for the run")
  refuses(function() r.lrr = 1 end, "an unknown field", "unknown field 'lrr'", "'lr'")
  refuses(function() return r.losss end, "reading an unknown field", "'losss'", "'loss'")
  refuses(function() r:wiat() end, "calling an unknown method", "(did you mean 'wait'?)")
  refuses(function() r.lr = -1 end, "r.lr = -1", "lr", "-1")
  refuses(function() r.lr = "x" end, "r.lr = 'x'", "lr", "number")
  refuses(function() r.lr = nil end, "r.lr = nil", "lr", "number")
  refuses(function() r.seed = 3 end, "r.seed", "seed", "fixed")
  refuses(function() r.schedule = "cosin" end, "r.schedule", "schedule", "cosin")
  refuses(function() r.loss = 1 end, "a field that cannot be set", "loss")
  refuses(function() r.name = "x" end, "r.name cannot be set", "name")
  refuses(function() r.batch = 0 end, "r.batch = 0", "batch", "0")
  refuses(function() r.batch = 2.5 end, "r.batch = 2.5", "batch", "2.5")
  refuses(function() r.context = 17 end, "r.context over the model's", "context", "17")
  refuses(function() r.context = 0 end, "r.context = 0", "context", "0")
  refuses(function() r.accumulate = 0 end, "r.accumulate = 0", "accumulate", "0")
  refuses(function() r.top_k = 5 end, "r.top_k over experts", "top_k", "5", "4")
  refuses(function() r.top_k = 0 end, "r.top_k = 0", "top_k", "0")
  refuses(function() r.top_k = "x" end, "r.top_k = 'x'", "top_k must be a number, got string")
  refuses(function() r.aux = -1 end, "r.aux = -1", "train: aux must be from 0 to 1000000: it is -1")
  refuses(function() r.z = 1e7 end, "r.z = 1e7", "z must be from 0 to 1000000")
  refuses(function() r.aux = 0 / 0 end, "r.aux = nan", "it is nan")
  r.aux = 0.5
  near(r.aux, 0.5, 0, "and what it refuses changes nothing")
  r.aux = 0.01
  refuses(function() r.capacity = -1 end, "r.capacity = -1", "capacity", "-1")
  refuses(function() r.capacity = "x" end, "r.capacity = 'x'", "capacity", "number")
  refuses(function() r.aux = "x" end, "r.aux = 'x'", "aux", "number")
  refuses(function() r.aux = tensor.zeros(3) end, "r.aux = three numbers", "aux", "number")
  is(rawget(r, "name"), nil, "no field of the run shadows its name")
  refuses(function() r["mask.1"] = tensor.zeros(3) end, "r['mask.1'] of another size",
    "mask.1", "4")
  is(r.lr .. r.batch .. r.context .. r.accumulate .. r.top_k, "0.0014161" .. 2,
    "wrong values leave the fields")
  is(r.capacity, nil, "and capacity")
  is(r.schedule .. r.precision, "cosinefp32", "fields of names")
  near(r.aux, 0.01, 1e-6, "an input's value")
  refuses(function() train(m, d, {steps = 1}) end, "a model in training", "run-", "stop")
  is(r:resume():wait(6).step >= 6, true, "after all that the run goes on")
  r:stop():wait()
end

-- ---- live changes that trace and plan again ----

do
  local m = make()
  local r = paused(m, 4)
  local function steps(name)
    r:steps(3):wait()
    ok(r.loss == r.loss and r.loss < 20, name .. ": the loss continues ("
      .. ("%.3f"):format(r.loss) .. ")")
  end
  r.batch = 6
  steps "batch = 6"
  is(r:history("tokens"):table()[7][2] - r:history("tokens"):table()[6][2], 6 * 16.0,
    "more tokens a step")
  r.context = 8
  steps "context = 8"
  r.accumulate = 3
  steps "accumulate = 3"
  is(r:history("tokens"):table()[13][2] - r:history("tokens"):table()[12][2],
    3 * 6 * 8.0, "and more")
  local flops = m:count().flops_per_token
  r.top_k = 1
  steps "top_k = 1"
  is(m.layers[1].moe.top_k, 1, "the model's layers know")
  ok(m:count().flops_per_token < flops, "and its count")
  near(r.layers[1].load:sum():item(), 4, 1e-4, "loads still sum to E")
  r.capacity = 0.25
  steps "capacity = 0.25"
  ok(r:history "drop.1":table()[1][2] > 0, "tokens are dropped then")
  r.capacity = nil
  steps "capacity = nil"
  r.top_k = 3
  steps "top_k = 3"
  local journal = {}
  for _, e in ipairs(r:journal()) do journal[#journal + 1] = e.step .. " " .. e.text end
  journal = table.concat(journal, "; ")
  for _, text in ipairs {"4 batch = 6", "7 context = 8", "10 accumulate = 3", "13 top_k = 1",
                         "16 capacity = 0.25", "19 capacity = nil", "22 top_k = 3"} do
    ok(journal:find(text, 1, true), "journal: " .. text, journal)
  end
  ok(r:eval(1) < 20, "evaluation with the new shapes")
  r:stop():wait()
end

-- ---- inputs; evaluation without auxiliary losses ----

do
  local m = make()
  local r = paused(m, 3, {lr = 0})
  local before, loss = r:eval(4), r.loss
  r.aux = 10
  r:steps(1):wait()
  is(r:eval(4), before, "evaluation: the same with aux = 10")
  refuses(function() r:eval(0) end, "evaluation of no batches", "eval", "0")
  refuses(function() r:eval(2.5) end, "evaluation of two and a half", "eval", "2.5")
  is(r:eval(9), r:eval(9), "evaluation of several slices: equal parameters, equal bits")
  near(r.aux, 10, 1e-6, "r.aux")
  near(m.inputs.aux:item(), 10, 1e-6, "the model's as well")
  near(r:history("balance.1"):table()[4][2], r:history("balance.1"):table()[3][2], 0.2,
    "balance is observed unweighted")
  near(r.loss, loss, 0.1, "the loss that is shown has no auxiliary loss")
  near(m:loss(d, {batches = 4, batch = 4}), before, 1e-5, "m:loss agrees with r:eval")
  r:stop():wait()
  -- but they do train
  local function after(aux) return start(make{balance = {aux = aux}}, {steps = 5}):wait():hash() end
  ok(after(0) ~= after(10), "auxiliary losses train")
end

-- ---- experts ----

do
  local m = make()
  local r = paused(m, 3)
  near(r.layers[1].load:sum():item(), 4, 1e-5, "loads sum to E")
  is(#r.layers .. #r.layers[2].experts, "24", "layers and experts are counted")
  local seen = 0
  for _, layer in ipairs(r.layers) do seen = seen + #layer.experts end
  is(seen, 8, "ipairs ends at the last one")
  local _, why = pcall(function() return r.layers[3] end)
  ok(why:find("there is no layer 3; they are numbered 1 to 2", 1, true),
    "there is no third layer: " .. why)
  _, why = pcall(function() return r.layers[1].experts[5] end)
  ok(why:find("layer 1: there is no expert 5; they are numbered 1 to 4", 1, true),
    "nor a fifth expert: " .. why)
  _, why = pcall(function() return model.mo{} end)
  ok(why:find("unknown model 'mo' (did you mean 'moe'?)", 1, true),
    "nor a model of this name: " .. why)
  is(tostring(r.layers[1].experts[2]), "layer 1 expert 2 of run " .. r.name .. ": enabled",
    "an expert is printed")
  local x = r.layers[1].experts[2]:disable()
  is(tostring(x), "layer 1 expert 2 of run " .. r.name .. ": disabled", "... and disabled")
  local entries = r:journal()
  is(entries[#entries].text .. entries[#entries].kind, "layer 1 expert 2 disabledinput",
    "the journal says which")
  is(#x:disable().run:journal(), #entries, "disabled twice: one entry")
  r:steps(1):wait()
  is(r.layers[1].load[2]:item(), 0, "disable: load 0")
  ok(r.layers[2].load[2]:item() > 0, "in its layer only")
  local idle = 0
  for l = 1, 2 do
    for e = 1, 4 do idle = idle + (r.layers[l].load[e]:item() == 0 and 1 or 0) end
  end
  is(r.dead, idle - 1, "r.dead does not count it")
  r.layers[1].experts[3]:disable()
  refuses(function() r.layers[1].experts[4]:disable() end, "disable: too few remain",
    "disable", "layer 1")
  refuses(function() r.top_k = 3 end, "top_k over the experts that are enabled", "top_k", "2")
  r.layers[1].experts[2]:enable()
  r.layers[1].experts[3]:enable()
  r:steps(1):wait()
  ok(r.layers[1].load[2]:item() > 0, "enable: load again")

  local function bytes(l, e)
    local out = {}
    for i, info in ipairs(m._info) do
      if info.name:find("layers." .. l - 1 .. ".", 1, true) and info.experts > 0 then
        out[#out + 1] = m.params[i][e]:contiguous():hash()
      end
    end
    return table.concat(out, " ")
  end
  local one, two = bytes(1, 2), bytes(1, 3)
  r.layers[1].experts[2]:freeze()
  r:steps(3):wait()
  is(bytes(1, 2), one, "freeze: the same bits")
  ok(bytes(1, 3) ~= two, "the others change")
  r.layers[1].experts[2]:unfreeze()
  r:steps(1):wait()
  ok(bytes(1, 2) ~= one, "unfreeze")
  one, two = bytes(1, 2), bytes(1, 3)
  r.layers[1].experts[2]:reset()
  ok(bytes(1, 2) ~= one, "reset: other parameters")
  is(bytes(1, 3), two, "of this expert alone")
  for i, info in ipairs(m._info) do -- parameters that begin otherwise
    if info.experts > 0 and info.name:find("layers.0.", 1, true) then
      local was, x = info.init, m.params[i]
      for init, value in tap.sorted {zeros = 0, ones = 1} do
        info.init = init
        r.layers[1].experts[2]:reset()
        local y = x[2]:contiguous():view(-1)
        is(("%g %g"):format(y:min():item(), y:max():item()), value .. " " .. value,
          "reset: what begins as " .. init .. " does so again")
        require("switchyard.run.surgery").redraw(m, r._h,
          {key = info.name, expert = 2, value = 7})
        ok(x[2]:contiguous():view(-1):max():item() < 0.2 and y.size > 8,
          "an entry of before: normal, as it was then")
      end
      info.init = was
    end
  end
  r.layers[1].experts[2]:reset()
  r:steps(2):wait()
  ok(r.loss < 20, "and it trains on")
  local kinds = {}
  for _, e in ipairs(r:journal()) do kinds[e.kind] = (kinds[e.kind] or 0) + 1 end
  is(("%d %d %d"):format(kinds.freeze, kinds.unfreeze, kinds.reset), "1 1 8",
    "the journal has them")
  r:note "a note"
  is(r:journal()[#r:journal()].text, "a note", "note")
  -- while a rewind works on a run, what is typed waits in its order
  local own = tap.globals_of(require("switchyard.run.run").Run.__newindex)
  local sleep, did, jobs = own.sleep, {}, {}
  own.sleep = coroutine.yield
  rawset(r, "_busy", "rewound")
  for i = 1, 4 do
    jobs[i] = coroutine.create(function()
      if i == 2 then r:pause() else r.lr = i * 1e-4 end
      did[#did + 1] = i
    end)
    coroutine.resume(jobs[i])
  end
  is(#did, 0, "what is done to a run that is being rewound waits")
  tap.raises(function() r.lr = 1 end, "lr: run '" .. r.name .. "' is being rewound",
    "where nothing can wait it is refused")
  coroutine.close(jobs[3])
  rawset(r, "_busy", nil)
  for _ = 1, 4 do
    for i = 4, 1, -1 do coroutine.resume(jobs[i]) end
  end
  is(table.concat(did, " "), "1 2 4", "then it is done in order, but for a job that was ended")
  own.sleep = sleep
  local long = ("ä line "):rep(63)
  r:note(long)
  local whole = false -- what was set above takes effect before it or after it
  for _, e in ipairs(r:journal()) do whole = whole or e.text == long end
  ok(whole, "one of 504 bytes, whole")
  for _, bad in ipairs{("x"):rep(512), "a\0b"} do
    local fine, why = pcall(r.note, r, bad)
    ok(not fine and why:find("note: a text of " .. #bad
      .. " bytes: at most 511 bytes, none of them 0", 1, true),
      "a longer one, or one with a 0, is refused: " .. tostring(why))
  end
  refuses(function() r:note(3) end, "note of a number", "note")
  r:stop():wait()
end

-- ---- history, series, lists ----

do
  local r = start(make(), {steps = 12, eval_every = 5, eval_batches = 1}):wait()
  local h = r:history "loss"
  is(h.shape[1] .. "x" .. h.shape[2], "12x2", "history: a row a step")
  is(h:table()[12][1], 12, "its step")
  near(h:table()[12][2], r.loss, 1e-6, "its value")
  is(r:history("val_loss").shape[1], 3, "validation: every 5 steps and at the end")
  is(r:history("load.1.2").shape[1], 12, "an expert's load")
  local all, one = r:history "load.1":table(), r:history "load.1.2":table()
  is(#all[12], 1 + r.layers[1].load.size, "a layer's loads: the step and E values")
  is(all[12][1] .. " " .. all[12][3], "12.0 " .. one[12][2], "... of which each is an expert's")
  local gates = r:history("gate.1.2"):table()
  is(#gates .. " " .. gates[1][1] .. " " .. gates[2][1], "2 1.0 10.0",
    "its probability: at the first step and each tenth")
  refuses(function() r:history "los" end, "an unknown series", "'los'", "'loss'")
  refuses(function() r:history "load.1.9" end, "an expert that is not there", "load.1.9")
  for _, name in ipairs {"lr", "grad_norm", "tok_s", "time.data", "time.compute", "time.optimizer",
                         "entropy.1",
                         "balance.2", "z.1", "tokens"} do
    local fine, t = pcall(r.history, r, name)
    is(fine and t.shape[1], 12, "series " .. name)
  end
  is(r:history("tokens"):table()[12][2], 12.0 * 4 * 16, "tokens")
  ok(tostring(r):find("run " .. r.name .. ": done, step 12/12", 1, true), "tostring")
  ok(tostring(compare{r}):find(r.name, 1, true), "compare")
  refuses(function() compare{} end, "compare of nothing", "compare")
  refuses(function() compare{1} end, "compare of a number", "compare")
  local fresh = paused(make(), 1)
  ok(not tostring(compare{fresh, r}):find "nan", "compare has no nan")
  fresh:stop():wait()
  is(runs(r.name), r, "runs(name)")
  is(runs()[#runs()], fresh, "runs()")
  local printed = tostring(runs()) .. "\n"
  ok(printed:find "^run +state +step +loss +val +size +loss, options\n", "runs() prints columns")
  ok(printed:find("\n" .. r.name:gsub("%-", "%%-") .. " +" .. r.state .. " +" .. r.step .. "/"),
    "a run a line")
  refuses(function() runs "run-x" end, "an unknown run", "run-x")
  refuses(function() train(make(), (data.text "no such file")) end, "data that could not be read",
    "got nil; d = assert(data.text(path)) says why")
  refuses(function() train((model.load "no such folder"), d) end, "a model that could not be read",
    "got nil; m = assert(model.load(path)) says why")
  refuses(function() start(make(), {name = r.name}) end, "a name that is taken", r.name)
  -- another run on the same model
  local m = r.model
  local again = train(m, d, {steps = 3, batch = 4, name = "again", eval_every = 0}):wait()
  is(again.state, "done", "a model can be trained again")
  refuses(function() r:resume() end, "the older run cannot go on", "again")
  again:close()
  is(tostring(again), "run again: closed", "close: what it prints then")
  refuses(function() return again.loss end, "close: its fields are gone", "closed")
  refuses(function() runs "agaim" end, "a run that is nowhere", "'agaim'", "'again'")
  refuses(function() train(m, d, {name = "again"}) end, "but its directory is there",
    "again exists already", "train.resume")
  is(runs "again".state, "done", "where it can be read")
  is(train(m, d, {steps = 3, batch = 4, name = "once more", eval_every = 0}):wait().state, "done",
    "close: the model stays")
end

-- ---- schedules and clipping ----

do
  local function lr(o, step)
    o.steps, o.lr, o.min_lr, o.warmup = 20, 1, 0.1, 4
    local r = start(make{layers = 1, experts = 2, top_k = 1}, o,
      function(self) self.clip = 1e-12 end)
    local h = r:wait():history("lr"):table()
    return h[step][2], h
  end
  local v, h = lr({schedule = "cosine"}, 12)
  near(h[1][2], 0.25, 1e-6, "warm-up: a quarter")
  near(h[4][2], 1, 1e-6, "warm-up: full")
  near(v, 0.55, 1e-6, "cosine: half way")
  near(h[8][2], 0.1 + 0.45 * (1 + math.cos(math.pi / 4)), 1e-6, "cosine: a quarter")
  near(h[20][2], 0.1, 1e-6, "cosine: the end")
  v, h = lr({schedule = "linear"}, 12)
  near(v, 0.55, 1e-6, "linear: half way")
  near(h[20][2], 0.1, 1e-6, "linear: the end")
  v, h = lr({schedule = "wsd", decay = 0.25}, 15)
  near(v, 1, 1e-6, "wsd: stable")
  near(h[18][2], 1 - 0.9 * 0.6, 1e-6, "wsd: decays")
  near(h[20][2], 0.1, 1e-6, "wsd: the end")
  v = lr({schedule = "constant"}, 20)
  near(v, 1, 1e-6, "constant")
end

-- ---- micro-batches ----

do
  local function train_with(batch, accumulate, aux)
    local m = make{balance = {aux = 0, z = 0}}
    return start(m, {batch = batch, accumulate = accumulate, sampling = "sequential",
                     steps = 8}):wait(), m
  end
  local one, m1 = train_with(12, 1)
  local four, m4 = train_with(3, 4)
  near(four.loss, one.loss, 1e-4, "accumulate 4 x 3 is close to a batch of 12: loss")
  near(four.grad_norm, one.grad_norm, 1e-3, "and the gradient's norm")
  local worst = 0
  for i, p in ipairs(m1.params) do
    worst = math.max(worst, (p - m4.params[i]):abs():max():item())
  end
  ok(worst < 2e-4, ("and the parameters (%.1e)"):format(worst))
  near(four.layers[1].load:sum():item(), 4, 1e-4, "loads are means over micro-batches")
end

do
  local m = model.moe{layers = 2, dim = 16, heads = 2, context = 16, experts = 4, expert_dim = 16,
                      capacity = 0.5}
  local r = start(m, {steps = 10}):wait()
  for l = 1, 2 do
    local sum = 0
    for e = 1, 4 do
      sum = sum + r:history(("load.%d.%d"):format(l, e))[-1][2]:item() / 4
        * r:history(("dropped.%d.%d"):format(l, e))[-1][2]:item()
    end
    local drop = r:history("drop." .. l)[-1][2]:item()
    ok(drop > 0, "half the slots: tokens are dropped")
    near(sum, drop, 1e-5, "and each expert's own share of them adds up to the layer's")
  end
end

-- ---- AdamW against the same in plain Lua ----

-- logits of token i: W[i] + b; the gradient is (softmax - onehot) summed over positions, over N
model.define("bigram", function(cfg)
  return function(ids)
    local w = nn.param("w", {cfg.vocab, cfg.vocab}, 0.5)
    local b = nn.param("b", {cfg.vocab}, 0.5)
    return nn.embedding(ids, w) + b
  end
end)

do
  local small = data.synthetic{domains = 1, tokens = 3000, seed = 3, states = 12}
  local V, B, T = small.vocab, 2, 8
  local m = model.bigram{vocab = V, context = T, seed = 5}
  local o = {steps = 12, batch = B, lr = 0.05, min_lr = 0.05, warmup = 3, weight_decay = 0.3,
             clip = 0.55, beta1 = 0.8,
             beta2 = 0.9, eps = 1e-6, schedule = "constant", eval_every = 0, seed = 9,
             name = "bigram"}
  local w, b = m.params.w:table(), m.params.b:table()
  local function zeros(n)
    local t = {}
    for i = 1, n do t[i] = 0 end
    return t
  end
  local state = {mb = zeros(V), vb = zeros(V), mw = {}, vw = {}}
  for i = 1, V do state.mw[i], state.vw[i] = zeros(V), zeros(V) end
  local x, y = tensor.zeros(B, T, {dtype = "i32"}), tensor.zeros(B, T, {dtype = "i32"})
  local losses, clipped, norms = {}, 0, {}
  for step = 1, o.steps do
    engine.batch(small, o.seed, (step - 1) * B, {tokens = x, targets = y})
    local xs, ys = x:view(-1):table(), y:view(-1):table()
    local gb, gw, loss = zeros(V), {}, 0
    for i = 1, V do gw[i] = zeros(V) end
    for n = 1, B * T do
      local row, sum, p = w[xs[n] + 1], 0, {}
      for j = 1, V do
        p[j] = math.exp(row[j] + b[j])
        sum = sum + p[j]
      end
      loss = loss - math.log(p[ys[n] + 1] / sum) / (B * T)
      for j = 1, V do
        local g = (p[j] / sum - (j == ys[n] + 1 and 1 or 0)) / (B * T)
        gb[j] = gb[j] + g
        gw[xs[n] + 1][j] = gw[xs[n] + 1][j] + g
      end
    end
    losses[step] = loss
    local norm = 0
    for i = 1, V do
      norm = norm + gb[i] ^ 2
      for j = 1, V do norm = norm + gw[i][j] ^ 2 end
    end
    norm = math.sqrt(norm)
    norms[step] = norm
    local scale = norm > o.clip and o.clip / norm or 1
    if scale < 1 then clipped = clipped + 1 end
    local lr = o.lr * math.min(1, step / o.warmup)
    local function adamw(p, g, mo, ve, decay)
      for i = 1, V do
        local gi = g[i] * scale
        mo[i] = o.beta1 * mo[i] + (1 - o.beta1) * gi
        ve[i] = o.beta2 * ve[i] + (1 - o.beta2) * gi * gi
        local mh, vh = mo[i] / (1 - o.beta1 ^ step), ve[i] / (1 - o.beta2 ^ step)
        p[i] = p[i] * (1 - lr * decay) - lr * mh / (math.sqrt(vh) + o.eps)
      end
    end
    adamw(b, gb, state.mb, state.vb, 0) -- one dimension: no decay
    for i = 1, V do adamw(w[i], gw[i], state.mw[i], state.vw[i], o.weight_decay) end
  end
  local r = train(m, small, o):wait()
  local worst = 0
  local gotw, gotb = m.params.w:table(), m.params.b:table()
  local worst_b = 0
  for i = 1, V do
    worst_b = math.max(worst_b, math.abs(gotb[i] - b[i]))
    for j = 1, V do worst = math.max(worst, math.abs(gotw[i][j] - w[i][j])) end
  end
  ok(worst < 2e-4, ("AdamW with decay, warm-up and clipping: matrix (%.1e)"):format(worst))
  ok(worst_b < 2e-4, ("without decay: vector (%.1e)"):format(worst_b))
  ok(clipped > 0 and clipped < o.steps, "some steps were clipped, some not (" .. clipped .. ")")
  local h, g = r:history("loss"):table(), r:history("grad_norm"):table()
  local worst_loss, worst_norm = 0, 0
  for i = 1, o.steps do
    worst_loss = math.max(worst_loss, math.abs(h[i][2] - losses[i]))
    worst_norm = math.max(worst_norm, math.abs(g[i][2] - norms[i]) / norms[i])
  end
  ok(worst_loss < 1e-4, ("losses (%.1e)"):format(worst_loss))
  ok(worst_norm < 1e-3, ("norms before clipping (%.1e)"):format(worst_norm))
end

-- ---- values that are not finite ----

do
  local other = start(make(), {steps = 40})
  local seen
  local r = start(make(), {steps = 50, lr = 1e6, clip = 0, warmup = 0},
    function(self) seen = self.step end):wait()
  is(r.state, "failed", "lr = 1e6: failed")
  local why = r.error or ""
  ok(not why:find "\n" and #why > 0, "one line says why")
  ok(why:find("step " .. r.step + 1, 1, true), "it names the step")
  ok(why:find "model%.[%w._]+" or why:find "gradient of" or why:find "%->", "and a tensor: " .. why)
  is(seen, r.step, "the last good step was announced")
  is(r:journal()[#r:journal()].kind, "failed", "the journal has it")
  local same = start(make(), {steps = 50, lr = 1e6, clip = 0, warmup = 0}, function(self)
    if self.step == r.step then self:stop() end
  end):wait()
  is(same.step .. same.state, r.step .. "stopped", "the same run, stopped before")
  is(r:hash(), same:hash(), "the parameters are those of the last good step")
  is(r:resume():wait().state, "failed", "a failed run does not go on")
  is(other:wait().state, "done", "another run went on")
end

-- ---- a run that is paused, on the disk ----

do
  local r = paused(make(), 2)
  local disk = assert(engine.store_open(r.name))
  -- sooner than the minute after which a store looks without being told
  local function is_there(step)
    return tap.poll(function()
      local info, loss = disk:info(), disk:series().loss
      return info.state == "paused" and info.step == step and loss and loss.step == step
    end)
  end
  ok(is_there(2), "a pause is on the disk soon, with its rows")
  r:steps(3):wait()
  ok(is_there(5), "and steps from pause to pause")
  r.lr = 1e-4
  r:steps(1):wait()
  ok(is_there(6), "and one step")
  disk:close()
  r:close()
end

-- ---- what nn's layers take ----
do
  model.define("strange", function(cfg)
    return function(ids)
      local x = nn.embedding(ids, nn.param("e", {cfg.vocab, 16}))
      x = x + nn.attention(x, {heads = 2, mask = cfg.mask, [cfg.extra or "theta"] = 100})
      if cfg.moe then x = x + nn.moe(x, cfg.moe) end
      return nn.head(x, nn.param("h", {cfg.vocab, 16}))
    end
  end)
  refuses(function() model.strange{context = 8, extra = "head"} end,
    "nn.attention: an unknown option",
    "unknown option 'head' (did you mean 'heads'?)")
  refuses(function() model.strange{context = 8, moe = {experts = 4, topk = 2, expert_dim = 8}} end,
    "nn.moe: an unknown option", "unknown option 'topk' (did you mean 'top_k'?)")
  refuses(function() model.strange{context = 8, mask = "full"}:generate "ab" end,
    "a model that sees the whole text cannot generate", "mask = \"full\"")
  local function of(normalize)
    return model.moe{layers = 1, dim = 16, heads = 2, context = 8, experts = 4, expert_dim = 8,
      router = "sigmoid", normalize = normalize}:logits "abc"
  end
  ok((of(true) - of(false)):abs():max():item() > 0,
    "the sigmoid router's gates are as normalize says")
  -- a lone gate that is made to sum to 1 is 1: the loss must reach the router all the same
  function nn.routers.lone(logits, K)
    local gates, experts = logits:softplus():topk(K, -1)
    return nn.normalize_gates(gates), experts, logits:softmax(-1)
  end
  for _, router in ipairs {"softmax", "sigmoid", "lone"} do
    local m = model.moe{layers = 1, dim = 16, heads = 2, context = 8, experts = 4, top_k = 1,
      expert_dim = 8, router = router, balance = {aux = 0, z = 0}}
    local r = train(m, data.string(("to be or not "):rep(20)),
      {steps = 2, batch = 2, eval_every = 0, save = false}):wait()
    local norm = r:history "grad_norm.router.1":table()[1][2]
    ok(norm > 1e-9,
      ("%s, top_k = 1: the loss moves the router (gradient norm %g)"):format(router, norm))
    r:close()
  end
  -- what a parameter is it is declared to be, whatever its name
  model.define("roles", function(cfg)
    return function(ids)
      local x = nn.embedding(ids, nn.param("e", {cfg.vocab, 8}))
      x = nn.layer(1, function() return nn.linear(x, nn.param("gate.weight", {8, 8})) end)
      x = nn.layer(2,
        function() return nn.linear(x, nn.param("chooser", {8, 8}, nil,
          {role = cfg.role or "router"})) end)
      return nn.head(x, nn.param("h", {cfg.vocab, 8}, cfg.init))
    end
  end)
  local r = train(model.roles{context = 8}, data.string(("to be or not "):rep(20)),
    {steps = 1, batch = 2, eval_every = 0, save = false}):wait()
  ok(r:history "grad_norm.router.2" and r:history "grad_norm.1" and not pcall(r.history, r,
    "grad_norm.router.1"),
    "a router is what is declared one, not what is called gate")
  r:close()
  refuses(function() model.roles{context = 8, role = "rooter"} end, "nn.param: an unknown role",
    "no role 'rooter'; there are weight, router, expert, embedding, head")
  for _, init in ipairs{"zero", true} do
    refuses(function() model.roles{context = 8, init = init} end, "nn.param: init = " ..
      tostring(init), "init of 'h' must be a number", "it is " .. tostring(init))
  end
  for init, want in tap.sorted{zeros = 0, ones = 1, [0.5] = "another"} do
    local h = model.roles{context = 8, vocab = 16, init = init}.params.h
    ok(h:min():item() == h:max():item() == (want ~= "another") and
      (want == "another" or h:max():item() == want), "nn.param: init = " .. tostring(init))
  end
  -- two mixtures in one layer: series, inputs and experts of their own; what is observed says what
  -- it is
  model.define("twice", function(cfg)
    local experts = {experts = 4, top_k = 1, expert_dim = 8, capacity = 1}
    return function(ids)
      local x = nn.embedding(ids, nn.param("e", {cfg.vocab, 8}))
      x = nn.layer(1, function()
        local y = x + nn.scope("mlp", nn.moe, x, experts)
        nn.observe("own", y:mean())
        nn.observe("paths", tensor.full(3, 0.5), {kind = cfg.kind or "dropped"})
        return y + nn.scope("memory", nn.moe, y, {experts = 2, top_k = 1, expert_dim = 8,
                                                  router = "sigmoid"})
      end)
      return nn.head(x, nn.param("h", {cfg.vocab, 8}))
    end
  end, {{"vocab", "vocab", 256}, {"context", "integer", 8}, {"layers", "integer", 1},
        {"seed", "integer", 1}, {"kind", "string"}})
  local r = train(model.twice{}, data.string(("to be or not "):rep(40)),
    {steps = 3, batch = 2, eval_every = 0, name = "twice"}):wait()
  local series = r._h:series()
  local first, second = series["load.1"], series["load.1.memory"]
  ok(first.kind == "load" and first.layer == 1 and first.width == 4 and first.mixture == "",
    "the first mixture's loads")
  ok(second.kind == "load" and second.layer == 1 and second.width == 2 and
    second.mixture == "memory", "and the second's")
  ok(series["own.1"].kind == "value" and series["paths.1"].kind == "dropped" and
    series["bias.1.memory"].kind == "bias"
    and series["grad_norm.router.1.memory"].kind == "router_norm" and
    series["grad_norm.experts.1.memory"].width == 2, "each is of its kind")
  ok(#r:history "load.1" == 3 and #r:history "paths.1" == 1, "a kind that is rare is rare")
  ok(r:history "load.1.memory.2".shape[2] == 2, "one expert's of the second")
  local layer = r.layers[1]
  ok(#layer.experts == 4 and #layer.mixtures == 2 and layer.mixtures[2].name == "memory" and
    layer.mixtures[2].load.size == 2
    and layer.load.size == 4, "r.layers has both")
  layer.mixtures[2].experts[1]:disable()
  r._h:settle()
  ok(r._h:input "mask.1":table()[1] == 0 and r._h:input "mask.1.memory":table()[1] == -math.huge,
    "an expert of the second is disabled")
  local _, why = pcall(function() layer.mixtures[2].experts[2]:disable() end)
  ok(tostring(why):find "^[^\n]*run.lua:%d+: disable: 0 of 2 experts would remain in layer 1",
    "and not all of it, which is said with the line")
  r:close()
  local stored = runs "twice"._store:series()["load.1.memory"]
  ok(stored.kind == "load" and stored.layer == 1 and stored.mixture == "memory",
    "in the store as well")
  refuses(function() train(model.twice{kind = "laod"}, data.string(("to be "):rep(40)),
    {steps = 1, batch = 2, save = false}) end,
    "nn.observe: an unknown kind", "unknown kind 'laod' (did you mean 'load'?)")
  refuses(function() train(model.twice{kind = "loss"}, data.string(("to be "):rep(40)),
    {steps = 1, batch = 2, save = false}) end,
    "nn.observe: three numbers as one loss", "'paths.1' is of kind loss, one number: it has 3")
  local m = model.moe{layers = 1, dim = 16, heads = 2, context = 64, experts = 4, expert_dim = 8}
  for t = 1, 40 do m:logits(("a"):rep(t)) end
  local kept = 0
  for _ in pairs(m._programs) do kept = kept + 1 end
  ok(kept <= 8, "logits of 40 lengths: " .. kept .. " programs are kept")
end

-- ---- what a run takes on disk ----

-- 100,000 steps of 6 layers x 64 experts are to stay under 100 MB.  They took 1,860 bytes a step
-- when every wide series had a row a step and nothing was packed; now 800, and with what a short
-- run has beside its rows, which is more the slower it trains and the oftener it is written, up to
-- 960.
do
  local m = model.moe{layers = 6, dim = 8, heads = 1, experts = 64, top_k = 8, expert_dim = 2,
                      context = 64, vocab = d.vocab}
  local r = train(m, d, {steps = 512, batch = 1, name = "wide", eval_every = 0,
                         checkpoint_every = 0, save = true}):wait()
  local path = r.dir .. "/run.sqlite"
  r:close()
  local f = assert(io.open(path, "rb"))
  local bytes = f:seek "end" / 512
  f:close()
  ok(bytes < 1100, ("the store of a run of 6 layers x 64 experts: %d bytes a step"):format(bytes))
end

tap.done()
