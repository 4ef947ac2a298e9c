-- The same seed gives the same bits: for any number of threads, on every instruction set, beside
-- other runs, and however much a run is disturbed by the prompt.  TAP.  With "worker" as argument:
-- print the hashes that are compared (a child process each, for the environment is read when a
-- program starts).

local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok, is = tap.ok, tap.is

local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}

local function make_model(router, seed)
  return model.moe{layers = 2, dim = 32, heads = 4, kv_heads = 2, context = 32, vocab = d.vocab,
                   experts = 4, top_k = 2, expert_dim = 24, shared_experts = 1, dense_layers = 0,
                   router = router, capacity = 1.25, dropout = 0.1, seed = seed or 1}
end

local names = 0
local function options(more)
  names = names + 1
  local name = arg[1] ~= "worker" and "exact-" .. names or nil
  return tap.with({steps = 50, batch = 3, accumulate = 2, lr = 2e-3, warmup = 5, eval_every = 20,
                   eval_batches = 2, name = name}, more)
end

-- Paused before the first step, with a hook that is called at one step; calls[run] counts.
local calls = {}
local function hooked(router, at, f)
  local run = train(make_model(router), d, options{paused = true})
  calls[run] = 0
  every(run, at, function(self)
    if self.step ~= at then return end
    calls[self] = calls[self] + 1
    f(self)
  end)
  return run:resume():wait()
end

local function hash(router)
  return train(make_model(router), d, options()):wait():hash()
end

if arg[1] == "worker" then
  print("hashes " .. hash "softmax" .. " " .. hash "sigmoid")
  return
end

-- ---- threads and instruction sets ----

local alone = {softmax = hash "softmax", sigmoid = hash "sigmoid"}
ok(alone.softmax:match "^%x+$" and #alone.softmax == 16, "hash: 16 hexadecimal digits")
ok(alone.softmax ~= alone.sigmoid, "hash: another model, another hash")

local function child(cpu, threads)
  local text = tap.worker(cpu, threads)
  return text:match "hashes (%x+ %x+)", text:match "[^\n]*"
end

local want = alone.softmax .. " " .. alone.sigmoid
for _, case in ipairs {{"avx512", 1}, {"avx512", 2, slow = true}, {"avx512", 3, slow = true},
                       {"avx512", 8}, {"avx2", 1},
                       {"avx2", 3, slow = true}, {"ref", 2}} do
  local cpu, threads = case[1], case[2]
  if os.getenv "SY_TEST_FAST" and case.slow then goto next end
  local got, line = child(cpu, threads)
  local name = ("50 steps on %s with %d threads"):format(cpu, threads)
  if not got and (line:find "SWITCHYARD_CPU" or line:find(cpu)) then
    tap.skip(name, line)
  else
    is(got, want, name)
  end
  ::next::
end

-- ---- beside another run ----

local a = train(make_model "softmax", d, options())
local b = train(make_model "sigmoid", d, options())
is(b:wait():hash(), alone.sigmoid, "two runs at once: the second is as alone")
is(a:wait():hash(), alone.softmax, "two runs at once: the first is as alone")

-- ---- disturbed ----

-- The run pauses at every third step, and each time around the loop it is sent on at most twice: so
-- all of it is done to it, however fast it is.
local m = make_model "softmax"
local r = train(m, d, options{sample_every = 20, paused = true})
every(r, 3, function(self) self:pause() end)
local state, busy = 0, 0
while r.state == "running" or r.state == "paused" do
  state = state + 1
  local what = state % 7
  if what == 0 then r:eval(1)
  elseif what == 1 then r:pause(); r:resume()
  elseif what == 2 then m:generate({1}, {tokens = 3, seed = state})
  elseif what == 3 then busy = busy + (tensor.randn(40, 40):matmul(tensor.randn(40, 40))):sum()
    :item() * 0 + 1
  elseif what == 4 then r:steps(3); r:wait()
  elseif what == 5 then busy = busy + (r.loss and 1 or 0); r:history "loss"; tostring(r)
  else r:hash(); m:logits {1, 2, 3}; r:resume() end
  if r.state == "paused" then r:resume() end
end
is(r.state, "done", "a disturbed run ends as others do")
is(r:hash(), alone.softmax, "a disturbed run has the hash of an undisturbed one")
ok(state >= 7, "it was disturbed indeed (" .. state .. " times)")

-- an evaluation every step, or never, changes nothing either
is(train(make_model "softmax", d, options{eval_every = 1, eval_batches = 1}):wait():hash(),
  alone.softmax,
   "evaluations change nothing")
is(train(make_model "softmax", d, options{eval_every = 0}):wait():hash(), alone.softmax,
  "nor does their absence")

-- ---- stopped on the way and going on ----

r = hooked("sigmoid", 20, function(self) self:pause() end)
is(r.state .. r.step, "paused20", "paused on the way")
r:resume():wait()
is(r.state .. r.step .. " " .. calls[r], "done50 1",
  "going on goes to the end, and the hook was called once")
is(r:hash(), alone.sigmoid, "going on gives the hash of the whole")
r = hooked("sigmoid", 7, function(self) self:stop() end)
is(r.state .. r.step, "stopped7", "stopped on the way")
is(r:resume():wait():hash(), alone.sigmoid, "a stopped run that goes on as well")

-- ---- a change at a step ----

local function changed(at, field, value)
  return hooked("softmax", at, function(self) self[field] = value end):hash()
end

local first = changed(10, "lr", 5e-3)
ok(first ~= alone.softmax, "r.lr = x changes the run")
is(changed(10, "lr", 5e-3), first, "the same change at the same step: the same hash")
ok(changed(11, "lr", 5e-3) ~= first, "at another step: another hash")
for what, case in tap.sorted {["another batch"] = {"batch", 5}, ["an input"] = {"aux", 0.5}} do
  local other = changed(10, table.unpack(case))
  ok(other ~= alone.softmax, what .. " from a step on: another hash")
  is(changed(10, table.unpack(case)), other, what .. " from a step on: the same hash again")
end
is(changed(10, "lr", 2e-3), alone.softmax, "a change to the same value is none")

-- ---- what the seed does ----

ok(train(make_model "softmax", d, options{seed = 2}):wait():hash() ~= alone.softmax,
  "another seed of the run")
ok(train(make_model("softmax", 2), d, options()):wait():hash() ~= alone.softmax,
  "another seed of the model")

tap.done()
