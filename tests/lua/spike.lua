-- What keeps a run healthy: router updates over micro-batches, spikes that are skipped, alarms, r:why.
local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local ok, is = t.ok, t.is

local text = data.string(("the quick brown fox jumps over the lazy dog 0123456789. "):rep(200), {val = 0.1})

-- ---- the sigmoid router's bias sees all micro-batches of a step ----

local function biases(accumulate, batch, threads)
  tensor.threads(threads)
  local m = model.moe{layers = 2, dim = 24, heads = 2, context = 9, vocab = 256, experts = 6, top_k = 2, expert_dim = 16,
                      router = "sigmoid", seed = 3}
  -- parameters stand still and rows come in order, so that the loads of a step are the same however it is cut
  local r = train(m, text, {steps = 6, batch = batch, context = 9, accumulate = accumulate, lr = 1e-30, warmup = 0,
                            weight_decay = 0, eval_every = 0, sampling = "epoch"})
  r:wait()
  local out = {}
  for _, name in ipairs(m._state_names) do out[#out + 1] = table.concat(m.states[name]:table(), " ") end
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

t.done()
