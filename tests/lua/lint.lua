-- lua/lab/lint.lua: each fault is found where it is planted and not in its twin; the program's own
-- routers have none; and nothing is changed by looking.
local srcdir = os.getenv "srcdir" or "."
local t = dofile(srcdir .. "/tests/lua/tap.lua")
local own = routers() -- before the cases add theirs
local cases = dofile(srcdir .. "/tests/lua/lint_cases.lua")
local small = dofile(srcdir .. "/tests/lua/small.lua")

local fast = os.getenv "SY_TEST_FAST"

-- The faults of a list, each once, in their order.
local function names(list)
  local seen, out = {}, {}
  for _, f in ipairs(list) do
    if not seen[f.fault] then out[#out + 1], seen[f.fault] = f.fault, true end
  end
  table.sort(out)
  return table.concat(out, " ")
end

local function wanted(...)
  local all = {}
  for _, list in ipairs {...} do table.move(list, 1, #list, #all + 1, all) end
  table.sort(all)
  return table.concat(all, " ")
end

-- ---- planted, and the twin ----

local planted_ids = {}
for _, case in ipairs(cases) do
  planted_ids[case.fault] = true
  for _, planted in ipairs {true, false} do
    local m = case.make(planted)
    local list = lint(m, case.options and case.options(planted))
    local want = planted and wanted({case.fault}, case.also or {}, case.twin or {})
      or wanted(case.twin or {})
    t.ok(names(list) == want, ("%s: %s: %s"):format(case.fault, case.what, planted and "found"
      or "its twin has none"), ("got '%s', want '%s'\n%s"):format(names(list), want,
      tostring(list)))
  end
end

local OF_RUNS = {validation_loss = true, loads_swing = true, moments_lost = true} -- below
for _, f in ipairs(lint.faults()) do
  t.ok(OF_RUNS[f.fault] or planted_ids[f.fault], f.fault .. ": has a case")
  t.ok(#f.what > 0 and #f.cost > 0 and #f.advice > 0, f.fault .. ": says what, costs and change")
end

-- ---- the program's own ----

local ONE = {switch = true, base = true, llama4 = true}
local ELSEWHERE = {forced = true, replay = true, record = true, expert_choice = true}

for _, router in ipairs(own) do
  for seed = 1, ELSEWHERE[router.name] and 0 or fast and 1 or 3 do
    local list = lint(small.moe {layers = 2, vocab = 64, seed = seed, router = router.name,
                                 top_k = ONE[router.name] and 1 or 2})
    t.ok(#list == 0 and not tostring(list):find "attempt to",
      ("%s, seed %d: nothing is found"):format(router.name, seed), tostring(list))
  end
end

-- what sees later tokens is a fault where they are to be predicted, and none in an encoder
local choice = small.moe {vocab = 64, router = "expert_choice"}
t.is(names(lint(choice)), "sees_future", "expert_choice in a decoder")
t.ok(tostring(lint(choice)):find("cannot train for the next token", 1, true),
  "and what could not be looked at is said")

-- ---- nothing is changed ----

local tok = tokenizer.bytes()
local d = small.words(4000, tok)
local m = small.moe {vocab = tok, router = "deepseek_v3"}
local function bits()
  local list = {}
  for i, p in ipairs(m.params) do list[i] = p:hash() end
  for _, name in ipairs(m._state_names) do list[#list + 1] = m.states[name]:hash() end
  return table.concat(list, " ")
end
local before = bits()
lint(m, {data = d, lr = 1e-3})
t.is(bits(), before, "a model is the same to the bit")
t.is(names(lint(m, {data = d, lr = 1e-3, rows = 3, length = 7})), "", "batches of data, small ones")

local r = train(m, d, {steps = fast and 60 or 200, batch = 4, save = false, eval_every = 0}):wait()
local list = lint(m, {data = d, lr = 1e-3})
t.ok(#list == 0, "a run that is well: nothing after its steps", tostring(list))
r:close()

-- ---- runs ----

local synthetic = data.synthetic {domains = 2, tokens = 4000, seed = 1}
local QUIET = {batch = 2, eval_every = 0, save = false, lr = 1e-3, min_lr = 1e-3}

local function trained(o, more)
  return train(small.moe(t.with({vocab = 64, router = "deepseek_v3"}, o)), synthetic,
    t.with(QUIET, more)):wait()
end

-- the optimizer's state of one expert, and a run that is stored
local kept = trained({layers = 2}, {steps = 60, save = true, name = "kept"})
local hash, rows = kept:hash(), #kept:history("loss"):table()
t.is(names(lint(kept)), "", "a run that is well")
t.is(kept:hash(), hash, "is the same to the bit")
t.is(#kept:history("loss"):table(), rows, "and its series as they were")
for _, info in ipairs(kept.model._info) do
  if info.experts > 0 and info.layer == 2 then kept._h:forget(info.name, 2) end
end
local lost = lint(kept)
t.is(names(lost), "moments_lost", "moments_lost: what is kept of expert 3 is gone")
t.ok(lost[1].layer == 2 and lost[1].evidence:find "experts 3 of", "of layer 2, expert 3",
  tostring(lost))
assert(kept:checkpoint())
kept:close()
t.is(names(lint(runs "kept")), "moments_lost", "and in a stored run")
local said, status = t.child "lint kept"
t.ok(status == 1 and said:find("layer 2, moments_lost", 1, true), "switchyard lint RUN", said)
said, status = t.child "lint kept --json"
t.ok(status == 1 and said:find('{ "advice": ', 1, true) and said:find('"found": 1', 1, true),
  "with --json", said)
said, status = t.child "lint nobody"
t.ok(status == 1 and said:find("nobody", 1, true), "a run that is not there", said)
said, status = t.child "lint"
t.ok(status == 2 and said:find("which run?", 1, true), "no run", said)
local well = trained({}, {steps = 5, save = true, name = "well"})
well:close()
said, status = t.child "lint well"
t.ok(status == 0 and said:find("nothing found", 1, true), "status 0 where all is well", said)

-- loads that swing
for _, gamma in ipairs {0.5, 1e-3} do
  local r = trained({balance = {gamma = gamma}}, {steps = 60, batch = 8})
  local want = gamma > 0.1 and "bias_jumps loads_swing" or ""
  local found = lint(r)
  t.is(names(found), want, ("gamma = %g: '%s'"):format(gamma, want))
  r:close()
end

-- a run that goes on is looked at as it goes
local goes = train(small.moe {vocab = 64}, synthetic, t.with(QUIET, {steps = 1000000}))
t.poll(function() return goes.step > 3 end)
t.is(names(lint(goes)), "", "a run that goes on")
local at = goes.step
t.poll(function() return goes.step > at end)
t.ok(goes.step > at, "goes on")
goes.layers[1].experts[2]:disable()
goes:wait(goes.step + 60)
t.is(names(lint(goes)), "", "an expert that is disabled is not dead")
goes:stop():wait()
goes:close()

-- what evaluations report
local Model = require("switchyard.model.model")._Model
local loss_of = Model.loss_of
local function with_more(f)
  Model.loss_of = function(desc)
    local loss, each, total = loss_of(desc)
    return desc.mode == "eval" and loss + 0.02 or loss, each, total
  end
  local result = f()
  Model.loss_of = loss_of
  return result
end
local plain = small.moe {vocab = 64}
t.is(names(with_more(function() return lint(plain) end)), "validation_loss",
  "validation_loss: of a model")
local more = with_more(function() return trained({}, {steps = 3}) end)
local reported = lint(more)
t.is(names(reported), "validation_loss", "and of a run's own program")
t.ok(reported[1].evidence:find("0.02", 1, true), "by how much", tostring(reported))
more:close()

-- ---- by itself ----

local function notes(r)
  local list = {}
  for _, e in ipairs(r:events()) do
    if e.text:find "^lint: " then list[#list + 1] = e.step .. " " .. e.text end
  end
  return list
end

local hashes = {}
for _, o in ipairs {{name = "off", lint = false}, {name = "on"}} do
  local r = train(small.moe {vocab = 64, capacity = 0.2, top_k = 1}, synthetic,
    t.with(QUIET, {steps = 101, save = true}, o)):wait()
  hashes[#hashes + 1] = r:hash()
  local list = notes(r)
  t.is(#list, o.lint == false and 0 or 2, o.name .. ": lines of lint")
  if #list == 2 then
    t.ok(list[1]:find("1 lint: step 1: 1 fault (layer 1: mostly_dropped", 1, true)
      and list[2]:find("^100 "), "at steps 1 and 100", table.concat(list, "\n"))
  end
  r:close()
end
t.is(hashes[1], hashes[2], "by itself it changes nothing of a run")
local fine = trained({}, {steps = 101, save = true, name = "fine"})
t.is(#notes(fine), 0, "nothing is said of a run that is well")
fine:close()

-- ---- the report ----

local bad = lint(small.moe {vocab = 64, balance = {aux = 0}})
t.is(bad[1].fault .. " " .. bad[1].layer, "no_balance 1", "a fault and its layer")
local text = tostring(bad)
for _, part in ipairs {"lint: 1 found", "layer 1, no_balance", "seen:", "costs:", "change:",
                       "not looked at:", "no bias chooses"} do
  t.ok(text:find(part, 1, true), "the report says " .. part, text)
end
for line in text:gmatch "[^\n]+" do
  t.ok(#line < 100, "a line of the report fits", line)
end
t.ok(tostring(lint.faults()):find("sees_future", 1, true), "faults are listed")

-- ---- refused ----

t.refuses(function() lint(3) end, "no model", "lint: takes a model or a run, got number")
t.refuses(function() lint(model.dense {layers = 1, dim = 16, heads = 2, vocab = 64, context = 16,
                                       ffn_dim = 16}) end, "a dense model", "no mixture of experts")
t.refuses(function() lint(m, {row = 3}) end, "unknown options", "did you mean 'rows'")
t.refuses(function() lint(m, {data = 3}) end, "no data", "data must be a data set")
t.refuses(function() lint(m, {objective = "fim"}) end, "objective alone", "has no effect without")
t.done()
