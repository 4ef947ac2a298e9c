-- Train on characters of Shakespeare (or of any text), at the size of nanoGPT's CPU recipe:
-- 4 layers, 128 wide, context 64, 12 sequences a step, 2,000 steps.
--
--     switchyard examples/shakespeare.lua TEXT          a mixture of 8 experts, 2 a token
--     switchyard examples/shakespeare.lua TEXT dense    a dense model of equal active size
--     switchyard examples/shakespeare.lua TEXT both     one after the other, then compared
--     ... [STEPS]                                       fewer or more steps

local path = arg[1] or error("usage: switchyard examples/shakespeare.lua TEXT [moe|dense|both] [STEPS]", 0)
local which, steps = arg[2] or "moe", tonumber(arg[3] or 2000)

local tok = tokenizer.bytes()
local d = assert(data.text(path, {tokenizer = tok, val = 0.1}))
local size = {layers = 4, dim = 128, heads = 4, context = 64, vocab = tok}

local function with(extra)
  for k, v in pairs(size) do extra[k] = v end
  return extra
end

local function run(name)
  local m
  if name == "dense" then
    m = model.dense(with {ffn_dim = 344})
  else
    m = model.moe(with {experts = 8, top_k = 2, expert_dim = 172, balance = {aux = 0.01, z = 0.001}})
  end
  local r = train(m, d, {steps = steps, batch = 12, context = 64, lr = 2e-3, min_lr = 1e-4, beta2 = 0.99,
                         warmup = math.min(100, steps // 10), eval_every = 250, eval_batches = 20,
                         name = name .. "-" .. steps})
  r:wait()
  print(("%s: validation loss %.4f after %d steps (%d tokens)"):format(name, r:eval(200), r.step, r.tokens))
  print(m:generate("ROMEO:", {tokens = 300, temperature = 0.8, seed = 1}))
  return r
end

if which == "both" then
  print(compare {run "dense", run "moe"})
elseif which == "moe" or which == "dense" then
  run(which)
else
  error("unknown model '" .. which .. "': moe, dense or both", 0)
end
