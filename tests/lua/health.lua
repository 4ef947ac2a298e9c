-- Router health: figures that are computed of loads against plain Lua, of live runs and of stored
-- ones; r:health() and how it is printed.  TAP.

local engine = require "switchyard.engine"
local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local ok, is, near = t.ok, t.is, t.near

-- ---- by hand ----

-- Values of who is not in off.
local function kept(row, off)
  local x = {}
  for i, v in ipairs(row) do
    if not (off and off[i] > 0) then x[#x + 1] = v end
  end
  return x
end

local function sum_of(x, f)
  local sum = 0
  for _, v in ipairs(x) do sum = sum + f(v) end
  return sum
end

local function by_hand(name, rows, off, window)
  local mean = {}
  for e = 1, #rows[1] do
    mean[e] = 0
    for i = math.max(1, #rows - window + 1), #rows do
      mean[e] = mean[e] + rows[i][e] / math.min(window, #rows)
    end
  end
  local x = kept(mean, off)
  local n, sum, most = #x, sum_of(x, function(v) return v end), math.max(table.unpack(x))
  local function p(f) return sum_of(x, function(v) return f(v / sum) end) end
  local by = {
    max_vio = most * n / sum - 1, max_mean = most * n / sum,
    cv = math.sqrt(sum_of(x, function(v) return (v - sum / n) ^ 2 end) / n) * n / sum,
    effective = math.exp(-p(function(v) return v > 0 and v * math.log(v) or 0 end)),
    jain = 1 / (n * p(function(v) return v * v end)),
    dead = sum_of(x, function(v) return v <= 0.01 and 1 or 0 end),
  }
  return by[name] or by.max_vio
end

-- ---- the function alone ----

math.randomseed(7)
local rows, off = {}, {}
for i = 1, 300 do
  rows[i] = {i}
  for e = 2, 7 do rows[i][e] = math.random() < 0.2 and 0 or math.random(0, 64) / 16 end
  rows[i][8] = 2.5
  if i % 3 == 0 then off[#off + 1] = {i, 0, 1, 0, 0, 0, 0, i % 2} end
end
local function values_of(list, i) return table.move(list[i], 2, 8, 1, {}) end
for _, f in ipairs(engine.derived()) do
  local got = engine.derive(f.name, tensor(rows, {dtype = "f64"}), tensor(off, {dtype = "f64"}))
  local worst = 0
  for _, i in ipairs {1, 2, 3, 127, 128, 129, 150, 299, 300} do
    local before = {}
    for k = 1, i do before[k] = values_of(rows, k) end
    local wanted = by_hand(f.name, before, i % 3 == 0 and values_of(off, i // 3) or nil, f.window)
    worst = math.max(worst, math.abs(got[i][2]:item() - wanted))
  end
  ok(worst < 1e-12, f.name .. " as plain numbers have it", worst)
end
local function figure(name, row, o) return engine.derive(name, tensor({row}, {dtype = "f64"}),
  o and tensor({o}, {dtype = "f64"}))[1][2]:item() end
is(figure("cv", {1, 0.1, 0.1, 0.1}), 0, "even loads: CV is 0, not what rounding leaves")
is(figure("effective", {1, 0, 3, 0}), 1, "one expert alone")
near(figure("effective", {1, 0.7, 0.7, 0}, {1, 0, 0, 1}), 2, 1e-12, "a disabled one is not counted")
is(figure("dead", {1, 4, 0, 0}, {1, 0, 0, 1}), 1, "... and not dead")
local nothing = figure("max_vio", {1, 0, 0, 0})
ok(nothing ~= nothing, "no load at all: no figure")

-- ---- a run ----

local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
local m = small.moe{layers = 2, vocab = d.vocab, router = "sigmoid"}
local r = small.run(m, d, {steps = 25, batch = 2, eval_every = 0, name = "h"}, function(self, step)
  if step == 12 then self.layers[2].experts[3]:disable() end
end)
local function check(run, what, tolerance)
  local loads, list = run:history "load.2":table(), {}
  for i, row in ipairs(loads) do list[i] = table.move(row, 2, 5, 1, {}) end
  for _, f in ipairs(engine.derived()) do
    local h = run:history(f.name .. ".2")
    is(h.shape[1], 25, f.name .. " at every step, " .. what)
    near(h[25][2]:item(), by_hand(f.name, list, {0, 0, 1, 0}, f.window), tolerance, "... its value")
    near(run:health()[2][f.name], h[25][2]:item(), tolerance, "... in health()")
  end
end
check(r, "live", 1e-6)
local live = r:health()
is(#live, 2, "a table for each mixture")
is(live[2].layer .. live[2].name .. live[2].step, "2layer 225", "of which layer and step")
is(live[2].load[3], 0, "loads of each expert")
near(live[1].entropy, t.values(r, "entropy.1")[25][1]:item(), 0, "a stored series")
is(live[1].steps.gate, 20, "what is kept at few steps says its step")
is(live[1].steps.entropy, nil, "... and nothing else does")
is(live[1].drop, nil, "what the router does not have is absent")
t.raises(function() r:history "max_vioo.2" end, "did you mean 'max_vio.2'?", "a name that is none")
t.raises(function() r:history "max_vio.3" end, "unknown series 'max_vio.3'", "a layer that is none")
t.raises(function() r:history "max_vio" end, "unknown series 'max_vio'", "no layer")
r:close()
local s = runs "h"
check(s, "stored", 1e-3) -- vectors are stored as halves
is(s:health()[2].step, 25, "of a stored run")
s:close()

-- ---- printed ----

local text = tostring(live)
local columns = engine.columns()
for line in text:gmatch "[^\n]+" do
  if utf8.len(line) >= columns then ok(false, "lines fit the terminal", line) end
end
ok(text:find "^router health at step 25; gate, importance, expert_norm: step 20; margin,",
  "its title", text)
ok(text:find "MaxVio .*\nlayer 1 .*\nlayer 2 .*\n\n", "blocks of columns", text)

local dense = train(model.dense{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab}, d,
  {steps = 2, batch = 2, eval_every = 0, save = false}):wait()
is(#dense:health(), 0, "a dense model has none")
ok(tostring(dense:health()):find "no router health", "... and says so")
dense:close()

local before = train(small.moe{vocab = d.vocab}, d, {steps = 2, batch = 2, paused = true,
                                                     save = false})
ok(tostring(before:health()):find "no step was learned from yet", "before the first step")
before:close()

t.done()
