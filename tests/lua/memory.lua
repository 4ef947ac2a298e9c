-- Memory: no allocation in the loop, no growth over 1,000 steps, everything back when a run and its
-- model are closed, and what does not fit refused before it is taken.  TAP.

-- then what the system counts is not only ours
local sanitized = (os.getenv "SY_SANITIZERS" or "") ~= ""

local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok, is = tap.ok, tap.is

local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
local LIVE = 1000000000 -- steps of a run that no machine ends meanwhile

local function make(more)
  return model.moe(tap.with({layers = 2, dim = 16, heads = 2, kv_heads = 1, context = 16,
    vocab = d.vocab, experts = 4, top_k = 2, expert_dim = 16, shared_experts = 1,
    router = "sigmoid", capacity = 1.25, dropout = 0.1}, more))
end

local function resident() -- KB, or nil: not known
  if sanitized then return nil end
  local f <close> = io.open "/proc/self/statm"
  return f and tonumber(f:read "a":match "^%d+ (%d+)") * 4
end

local function memory()
  local now = tensor.memory()
  return now.live, now.peak, now.allocations
end

local function touched() -- KB at most so far
  if sanitized then return 0 end
  for line in io.lines "/proc/self/status" do
    local kb = line:match "^VmHWM:%s*(%d+)"
    if kb then return tonumber(kb) end
  end
  return 0
end

local function clean()
  for _ = 1, 4 do collectgarbage() end
end

-- ---- the loop ----

local m = make()
local r = train(m, d, {steps = 2000, batch = 4, accumulate = 2, eval_every = 20, eval_batches = 2,
                       checkpoint_every = 0, lint = false, name = "loop", paused = true})
-- Counted by a hook, so between two certain steps however late anyone else is; series grow at 64
-- rows, those of every 10th step at 16.
local at = {}
every(r, 10, function(self)
  local _, _, allocations = memory()
  at[self.step] = allocations
end)
r.layers[1].experts[2]:disable() -- whose series disabled.1 has a row at each step
r:steps(201):wait()
is(r.disabled, 1, "one expert is disabled")
is(at[150] - at[70], 0, "80 steps with 4 evaluations: allocations")
-- KB: of the process, or nil; of what the engine holds.  At a border, so both are of one moment
local function sizes()
  clean()
  return resident(), memory() / 1024
end
-- Until another process finds the steps on the disk: what the store takes at its first flush is
-- then taken.
local function written(step)
  return tap.poll(function()
    local last = tap.child("log loop loss", {runs = r.dir:match "(.*)/"}):match "(%d+)%s+%S+%s*$"
    return tonumber(last) == step
  end)
end
r:steps(499):wait()
ok(written(r.step), "the store has what was trained")
local small, held = sizes()
local from = r.step
r:steps(1000):wait()
ok(written(r.step), "and again")
local large, holds = sizes()
local series = 0 -- KB that these rows take; a chunk of 1,024 may be begun
for _, s in pairs(r._h:series()) do
  series = series + (r.step - from + 1024) * (8 + 4 * s.width) / 1024
end
ok(holds - held < series + 8,
  ("the engine holds %.0f KB more, of which series at most %.0f"):format(holds - held, series))
if small then ok(large - small - (holds - held) < 400,
  ("1,000 steps: %d KB more, %.0f of them series"):format(large - small, holds - held))
else ok(true, "1,000 steps # SKIP memory is not known") end
r:stop():wait()
r:close()

-- ---- giving back ----

local function once(name)
  local model_ = make()
  local run = train(model_, d, {steps = 12, batch = 4, accumulate = 2, eval_every = 5, name = name,
                                lint = false, paused = true})
  every(run, 3, function(self) self:eval(1) end)
  every(run, 6, function(self) self.batch = 3 end)
  run:resume():wait()
  model_:generate({1}, {tokens = 4})
  model_:loss(d, {batches = 1, batch = 2})
  run:history "loss"
  run:close()
end

m, r = nil, nil
once "first" -- scratch of threads, caches: taken once
clean()
local live0 = memory()
for i = 1, 3 do once("next-" .. i) end
clean()
local live1 = memory()
is(live1 - live0, 0, "models and runs: all bytes come back")

-- closed in the middle, with a hook under way
local run = train(make(), d, {steps = LIVE, batch = 4, name = "middle", lint = false,
                              paused = true})
every(run, 1, function() end)
run:resume():wait(5)
run:close()
run = nil
clean()
is(memory() - live0, 0, "a run that is closed while it runs as well")

-- one that was never closed is found by nobody, but a model without a run is collected
local big = model.dense{layers = 1, dim = 256, heads = 2, ffn_dim = 2048, vocab = 256}
ok(memory() - live0 > 4e6, "a model takes memory")
big = nil
clean()
is(memory() - live0, 0, "a model without a run is collected")

-- a look at routers; its products are larger, so the threads' scratch grows until each has had one
local function looked()
  lint(make())
  clean()
  return memory()
end
local most
for _ = 1, 4 do most = looked() end
ok(tap.poll(function()
  local now = looked()
  local same = now == most
  most = now
  return same
end), "what lint looks at is given back")

-- ---- too large ----

local function refused(name, f, ...)
  clean()
  local live = memory()
  local before_ = touched()
  local fine, why = pcall(f)
  why = tostring(why)
  local good = not fine and not why:find "\n" and why:find "bytes"
  for _, text in ipairs {...} do good = good and why:find(text, 1, true) end
  if not ok(good, name .. ": refused with the bytes") then
    print("# " .. (fine and "it was not refused" or why))
  end
  clean()
  local now, top = memory(), touched() - before_
  if not ok(now - live < 1e5, name .. ": nothing stays taken") then print("# " .. now - live) end
  if not ok(top < 300000, name .. ": nothing large was touched") then
    print("# " .. top .. " KB")
  end
end

refused("model.dense{vocab = 16777216}",
  function() model.dense{dim = 1 << 20, heads = 2, vocab = 1 << 24} end)
if not sanitized then -- there zeroes are written: all memory that the machine has to give
  refused("model.moe{dim = 60000}: as a whole, before anything is taken",
    function() model.moe{dim = 60000} end,
    "model.moe", "381126960000 bytes", "the machine has")
  refused("model.moe{dim = 100000}",
    function() model.moe{dim = 100000, heads = 10, layers = 100, experts = 64} end)
  refused("many layers",
    function() model.dense{dim = 2048, ffn_dim = 8192, heads = 16, layers = 1024} end)
end
refused("tensor.zeros", function() tensor.zeros(1 << 20, 1 << 20) end)
local fits = make()
refused("an enormous batch", function() train(fits, d, {batch = 1000000, name = "huge"}) end)
refused("an enormous batch, accumulated",
  function() train(fits, d, {batch = 999999, accumulate = 1000, name = "huge"}) end)
local wide = model.dense{layers = 1, dim = 64, heads = 2, ffn_dim = 64, context = 1 << 24,
                         vocab = 256}
refused("an enormous context", function()
  train(wide, data.string(("abc "):rep(1 << 20), {val = 0}),
    {batch = 100000, context = 1 << 20, name = "huge"})
end)
r = train(fits, d, {steps = LIVE, batch = 4, eval_every = 0, name = "lives"})
r:wait(5) -- threads have their scratch then
r:pause():wait() -- its series would grow meanwhile
r:events() -- the store has written once, and has its buffers
refused("a live batch", function() r.batch = 1000000 end)
is(r.batch, 4, "the batch is what it was")
is(r:resume():wait(r.step + 5).state, "running", "and the run goes on")
r:stop():wait()

tap.done()
