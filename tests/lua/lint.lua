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

for _, f in ipairs(lint.faults()) do
  t.ok(planted_ids[f.fault], f.fault .. ": has a case")
  t.ok(#f.what > 0 and #f.cost > 0 and #f.advice > 0, f.fault .. ": says what, costs and change")
end

-- ---- the program's own ----

local ONE = {switch = true, base = true, llama4 = true}
local ELSEWHERE = {forced = true, replay = true, record = true, expert_choice = true}

for _, router in ipairs(own) do
  for seed = 1, ELSEWHERE[router.name] and 0 or fast and 1 or 3 do
    local list = lint(small.moe {layers = 2, vocab = 64, seed = seed, router = router.name,
                                 top_k = ONE[router.name] and 1 or 2})
    t.ok(#list == 0, ("%s, seed %d: nothing is found"):format(router.name, seed), tostring(list))
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

t.refuses(function() lint(3) end, "no model", "lint: argument 1 must be a model or a run")
t.refuses(function() lint(model.dense {layers = 1, dim = 16, heads = 2, vocab = 64, context = 16,
                                       ffn_dim = 16}) end, "a dense model", "no mixture of experts")
t.refuses(function() lint(m, {row = 3}) end, "unknown options", "did you mean 'rows'")
t.refuses(function() lint(m, {data = 3}) end, "no data", "data must be a data set")
t.refuses(function() lint(m, {objective = "fim"}) end, "objective alone", "has no effect without")
t.done()
