-- Routing that is recorded and forced again: the run is the recorded one bit for bit; what does not
-- fit is refused.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local engine = require "switchyard.engine"
local ok, is = t.ok, t.is
local folder = engine.runs_dir()
assert(os.execute(("mkdir -p '%s'"):format(folder)))

local d = data.synthetic {domains = 4, tokens = 20000, seed = 1}
local MODEL = {layers = 2, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
               expert_dim = 8, dropout = 0.1}
local RUN = {steps = 4, batch = 2, lr = 1e-2, warmup = 1, eval_every = 2, eval_batches = 1,
             save = false, paused = true}

local function with(base, more)
  local out = {}
  for k, v in pairs(base) do out[k] = v end
  for k, v in pairs(more or {}) do out[k] = v end
  return out
end

local function moe(router, more) return model.moe(with(with(MODEL, more), {router = router})) end

-- The bits of losses, evaluations and parameters.
local function bits_of(r)
  local list = {r:history("loss"):hash(), r:history("val_loss"):hash()}
  for _, p in ipairs(r._m.params) do list[#list + 1] = p:hash() end
  for name, state in pairs(r._m.states) do list[#list + 1] = name .. state:hash() end
  return table.concat(list, " ")
end

local function through(m, more)
  local r = train(m, d, with(RUN, more))
  r:resume():wait()
  local bits = bits_of(r)
  r:close()
  return bits
end

-- Record a run of a router; the path of the trace, and its bits.
local count = 0
local function recorded(of, model_more, run_more)
  count = count + 1
  local path = ("%s/%d.safetensors"):format(folder, count)
  local r = train(moe({"record", of = of}, model_more), d, with(RUN, run_more))
  local recorder = nn.record(r)
  r:resume():wait()
  ok(recorder:save(path), of .. ": recorded", tostring(recorder))
  local bits = bits_of(r)
  r:close()
  return path, bits
end

for _, case in ipairs {
  {of = "softmax"}, {of = "softmax", run = {accumulate = 3}},
  {of = "sigmoid scale=2", run = {accumulate = 2, recompute = true}},
  {of = "switch jitter=0.1", model = {top_k = 1}},
  {of = "deepseek_v3 groups=2 keep=1", model = {balance = {gamma = 0.01, aux = 0.001}}},
} do
  local path, bits = recorded(case.of, case.model, case.run)
  is(through(moe({"record", of = case.of}, case.model), case.run), bits,
    case.of .. ": recording changes nothing")
  is(through(moe({"replay", path = path}, case.model), case.run), bits,
    case.of .. ": the replayed run is the recorded one")
end

do -- it forces: weights of the router that were changed would choose otherwise
  local path = recorded "softmax"
  local function other(router)
    local m = moe(router)
    for i, info in ipairs(m._info) do
      if info.name:find("gate.weight", 1, true) then
        engine.copy(m.params[i], tensor.randn(m.params[i].shape, {seed = 9}))
      end
    end
    local r = train(m, d, with(RUN, {steps = 1}))
    r:resume():wait()
    local load = r:history("load.1"):narrow(2, 2, 4):contiguous():hash()
    r:close()
    return load
  end
  local r = train(moe "softmax", d, with(RUN, {steps = 1}))
  r:resume():wait()
  local load = r:history("load.1"):narrow(2, 2, 4):contiguous():hash()
  r:close()
  ok(other "softmax" ~= load, "another router's weights choose otherwise")
  is(other {"replay", path = path}, load, "... and with the trace they do not")
end

-- ---- what does not fit ----

do
  local path = recorded "softmax"
  local replay = {"replay", path = path}
  t.refuses(function() moe(replay, {experts = 8}) end, "another number of experts",
    "router 'replay'", "experts is 8, the trace's 4")
  t.refuses(function() moe(replay, {top_k = 1}) end, "another K", "top_k is 1, the trace's 2")
  t.refuses(function() moe {"replay", path = folder .. "/none.safetensors"} end, "no file",
    "none.safetensors")
  t.refuses(function() moe "replay" end, "no path", "path is missing")
  t.refuses(function() train(moe(replay), d, with(RUN, {batch = 3})) end, "another batch",
    "a micro-batch has 48 tokens (3 x 16), the trace's 32")
  t.refuses(function() train(moe(replay), d, with(RUN, {accumulate = 2})) end,
    "other micro-batches", "accumulate is 2, the trace's 1")
  t.refuses(function() train(moe(replay), d, with(RUN, {steps = 5})) end, "more steps",
    "steps is 5, the trace ends at step 4")
  t.refuses(function() train(moe(replay, {layers = 3}), d, RUN) end, "more layers",
    "the trace has no routing.3")
  local other = folder .. "/other.safetensors"
  assert(tensor.save(other, {x = tensor.ones(3), y = tensor.ones(2)}))
  t.refuses(function() moe {"replay", path = other} end, "another file", "is no routing trace")
  t.refuses(function() moe {"record", of = "softmaks"} end, "no such router", "softmaks",
    "did you mean 'softmax'?")
  t.refuses(function() moe {"record", of = "switch", top_k = 2} end, "its check", "top_k")
  t.refuses(function() moe {"record", of = "softmax scale=2"} end, "its options", "scale")
  local bare = train(moe "softmax", d, RUN)
  t.refuses(function() nn.record(bare) end, "a run of another router", "is not \"record\"")
  bare:stop():wait()
  bare:close()
  local r = train(moe(replay), d, RUN)
  r:steps(1):wait()
  t.refuses(function() r.batch = 4 end, "live: another batch", "the trace's 32")
  is(r.batch, 2, "... which changes nothing")
  r:resume():wait()
  is(r.step, 4, "and the run goes on")
  r:close()
end

t.done()
