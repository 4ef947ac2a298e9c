-- Routing that is recorded and forced again: the run is the recorded one bit for bit; what does not
-- fit is refused.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"
local ok, is, with = t.ok, t.is, t.with
local folder = engine.runs_dir()
assert(os.execute(("mkdir -p '%s'"):format(folder)))

local d = data.synthetic {domains = 4, tokens = 20000, seed = 1}
local MODEL = {layers = 2, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
               expert_dim = 8, dropout = 0.1}
local RUN = {steps = 4, batch = 2, lr = 1e-2, warmup = 1, eval_every = 2, eval_batches = 1,
             save = false, paused = true}

local function moe(router, more) return model.moe(with(MODEL, more, {router = router})) end

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

-- Recording changes nothing, and the replayed run is the recorded one.  plain: the router itself.
local function tries(of, plain, model_more, run_more)
  local path, bits = recorded(of, model_more, run_more)
  is(through(moe(plain, model_more), run_more), bits, of .. ": recording changes nothing")
  is(through(moe({"replay", path}, model_more), run_more), bits,
    of .. ": the replayed run is the recorded one")
  return path
end

for _, case in ipairs {
  {of = "softmax", router = "softmax", run = {accumulate = 3}},
  {of = "sigmoid scale=2", router = {"sigmoid", scale = 2},
   run = {accumulate = 2, recompute = true}},
  {of = "switch jitter=0.1", router = {"switch", jitter = 0.1}, model = {top_k = 1}},
  {of = "deepseek_v3 groups=2 keep=1", router = {"deepseek_v3", groups = 2, keep = 1},
   model = {balance = {gamma = 0.01, aux = 0.001, scope = "step"}}, run = {accumulate = 2}},
  {of = "gshard policy=all", router = {"gshard", policy = "all"}},
  {of = "softmax frozen=true", router = {"softmax", frozen = true}},
} do
  tries(case.of, case.router, case.model, case.run)
end

-- Every router that gives a token K experts; the others are refused when recording is asked for.
local NEEDED = {forced = {" experts=2,3", {"forced", "2,3"}, {" experts=2", {"forced", "2"}}}}
local ANY_NUMBER = {expert_choice = true, expert_threshold = true, relu = true, top_p = true}
local STANDS = {record = true, replay = true}
for _, listed in ipairs(routers()) do
  local name = listed.name
  local needed = NEEDED[name] or {"", name}
  local more = {activation = "silu", expert_bias = false,
                top_k = (nn.routers[name].model or {}).top_k or 2}
  if ANY_NUMBER[name] then
    t.refuses(function() moe({"record", of = name}, more) end, name .. " cannot be recorded",
      "record", listed.causal and "does not give each token K experts" or "sees later tokens")
  elseif not STANDS[name] then
    tries(name .. needed[1], needed[2], more)
  end
end

do -- an encoder-decoder, whose stacks have other numbers of tokens
  local tok = tokenizer.bytes {sentinels = 20}
  local text = small.words(400, tok)
  local function bits(router, path)
    local m = model.encdec {layers = 2, dim = 16, heads = 2, input_context = 40, vocab = tok,
                            experts = 4, top_k = 2, router = router}
    local r = train(m, text, with(RUN, {objective = "span", eval_every = 0}))
    local recorder = path and nn.record(r)
    r:resume():wait()
    if path then ok(recorder:save(path), "encdec: recorded", tostring(recorder)) end
    local all = bits_of(r)
    r:close()
    return all
  end
  local path = folder .. "/encdec.safetensors"
  local recorded_bits = bits("record", path)
  is(bits {"replay", path}, recorded_bits, "encdec: the replayed run is the recorded one")
end

do -- a trace that is written again is read again
  local path = recorded "softmax"
  local m = moe {"replay", path}
  local other = recorded("softmax", {experts = 8})
  assert(os.execute(("mv '%s' '%s'"):format(other, path)))
  t.refuses(function() moe {"replay", path} end, "it is another", "experts is 4, the trace's 8")
  is(type(through(moe({"replay", path}, {experts = 8}))), "string", "... and is replayed")
  t.refuses(function() train(m, d, RUN) end, "a model of before", "trace")
end

do -- a recording ends when it is saved, and says what it takes
  local r = train(moe {"record", "softmax"}, d, RUN)
  local recorder = nn.record(r)
  r:steps(2):wait()
  local path = folder .. "/ends.safetensors"
  ok(tostring(recorder):find("2 steps from 1, 512 B", 1, true), "how large it is",
    tostring(recorder))
  assert(recorder:save(path))
  is(#hooks(r), 0, "its hook is gone")
  r:resume():wait()
  ok(tostring(recorder):find("2 steps", 1, true), "and it is over", tostring(recorder))
  r:close()
end

for _, precision in ipairs {"fp32", "bf16"} do -- more experts than bf16 has whole numbers
  local more = {experts = 600, layers = 1}
  tries("softmax", "softmax", more, {accumulate = 2, precision = precision})
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
  t.refuses(function() moe {"replay", path, path = path} end, "two paths", "path is given twice")
  t.refuses(function() moe {"switch", 3} end, "a value without a name", "unknown option '2'")
  t.refuses(function() train(moe(replay), d, with(RUN, {batch = 3})) end, "another batch",
    "a micro-batch has 48 tokens (3 x 16), the trace's 32")
  t.refuses(function() train(moe(replay), d, with(RUN, {accumulate = 2})) end,
    "other micro-batches", "accumulate is 2, the trace's 1")
  t.refuses(function() train(moe(replay), d, with(RUN, {steps = 5})) end, "more steps",
    "steps is 5, the trace ends at step 4")
  t.refuses(function() train(moe(replay, {layers = 3}), d, RUN) end, "more layers",
    "the trace has no routing.3")
  local other_version, all = folder .. "/version.safetensors", assert(tensor.load(path))
  all.about = tensor({1, table.unpack(all.about:table(), 2)}, {dtype = "i32"})
  assert(tensor.save(other_version, all))
  t.refuses(function() moe {"replay", other_version} end, "a trace that was written otherwise",
    "version.safetensors' is of version 1; this program reads 2")
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

-- ---- behind its end, and before its beginning ----

do
  local path = recorded "softmax"
  local ends = ("the trace '%s' ends at step 4"):format(path)
  local r = train(moe {"replay", path}, d, with(RUN, {save = true, name = "to-its-end"}))
  t.refuses(function() r.steps = 5 end, "more steps, live", "train: steps is 5: " .. ends)
  is(r._h:get "steps", 4, "... which changes nothing")
  r.steps = 3
  r.batch = 2 -- is as it was
  r:steps(9):wait()
  is(r.state .. r.step, "done3", "r:steps goes to the end of the run at most")
  t.refuses(function() r.steps = 5 end, "when it is done", ends)
  r.steps = 4
  r:resume():wait()
  is(r.state .. r.step, "done4", "to the trace's end it goes on")
  r:close()
  t.refuses(function() train.resume("to-its-end", {steps = 5}) end, "resumed",
    "steps is 5: " .. ends)
  r = train.resume("to-its-end", {paused = true})
  t.refuses(function() r.steps = 6 end, "and then", "steps is 6: " .. ends)
  r:close()
end

do -- a hook that came late
  local r = train(moe {"record", "softmax"}, d, RUN)
  r:steps(2):wait()
  local recorder, path = nn.record(r), folder .. "/late.safetensors"
  r:resume():wait()
  assert(recorder:save(path))
  r:close()
  t.refuses(function() train(moe {"replay", path}, d, with(RUN, {steps = 2})) end,
    "a trace that begins later", "the trace begins with step 3, a run with step 1")
end

t.done()
