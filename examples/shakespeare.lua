-- Train on characters of Shakespeare (or of any text), at the size of nanoGPT's CPU recipe:
-- 4 layers, 128 wide, context 64, 12 sequences a step, 2,000 steps.
--
--     switchyard examples/shakespeare.lua TEXT          a mixture of 8 experts, 2 a token
--     switchyard examples/shakespeare.lua TEXT dense    a dense model of equal active size
--     switchyard examples/shakespeare.lua TEXT both     one after the other, then compared
--     ... [STEPS]                                       fewer or more steps

local path, which, steps = arg[1], arg[2] or "moe", math.tointeger(tonumber(arg[3] or 2000))
local known = which == "moe" or which == "dense" or which == "both"
if not path or not known or not steps or steps < 1 then
  io.stderr:write "usage: switchyard examples/shakespeare.lua TEXT [moe|dense|both] [STEPS]\n"
  quit(2)
end

tok = tokenizer.bytes()
local why
d, why = data.text(path, {tokenizer = tok, val = 0.1})
if not d then
  io.stderr:write(why, "\n")
  quit(1)
end
local size = {layers = 4, dim = 128, heads = 4, context = 64, vocab = tok}

local function with(extra)
  for k, v in pairs(size) do extra[k] = v end
  return extra
end

-- tok, d, m and r are globals: in the workbench they are there to be looked at and changed.
local function run(name)
  if name == "dense" then
    m = model.dense(with {ffn_dim = 344})
  else
    m = model.moe(with {experts = 8, top_k = 2, expert_dim = 172,
                        balance = {aux = 0.01, z = 0.001}})
  end
  r = train(m, d, {steps = steps, batch = 12, context = 64, lr = 2e-3, min_lr = 1e-4, beta2 = 0.99,
                   warmup = math.min(100, steps // 10), eval_every = 250, eval_batches = 20,
                   -- runs are kept: another name each time
                   name = name .. "-" .. steps .. os.date "-%d%H%M%S"})
  r:wait()
  print(("%s: validation loss %.4f after %d steps (%d tokens)"):format(name,
    r:eval(math.min(200, steps)), r.step, r.tokens))
  print(m:generate("ROMEO:", {tokens = 300, temperature = 0.8, seed = 1}))
  return r
end

if which == "both" then
  print(compare {run "dense", run "moe"})
else
  run(which)
end
