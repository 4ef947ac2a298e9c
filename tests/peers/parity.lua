-- Models of ours against tests/peers/parity.py, the same mathematics written in PyTorch: logits
-- within 2e-5 of its float64, 200 steps of training within 1e-3.  Skips where $PYTHON (default
-- python3) has no torch and numpy.  TAP.

local engine = require "switchyard.engine"

local peers = dofile(os.getenv "srcdir" .. "/tests/peers/peers.lua")
local script = (os.getenv "srcdir" or ".") .. "/tests/peers/parity.py"
local STEPS, B, T = os.getenv "SY_TEST_FAST" and 20 or 200, 4, 24

peers.needs("torch", "numpy")
local folder = peers.folder()

-- Checks are collected, then done by one process: PyTorch takes seconds to load.
local checks = {}
local function check(name, wanted, command, ...)
  checks[#checks + 1] = {name = name, wanted = wanted, command = command:format(...)}
end

local places = 0
local function place()
  places = places + 1
  local path = folder .. "/" .. places
  assert(os.execute("mkdir '" .. path .. "'"))
  return path
end

local function check_logits(name, m)
  local at = place()
  local ids = tensor.randint(0, m.cfg.vocab - 1, T, {seed = 3})
  local logits = m:logits(ids)
  assert(m:save(at .. "/model"))
  assert(ids:save(at .. "/ids.npy"))
  assert(logits:save(at .. "/logits.npy"))
  assert((logits + 1e-4):save(at .. "/other.npy")) -- the check can fail
  local command = "logits %s/model --ids %s/ids.npy --logits %s/%s.npy"
  check(name .. ": logits", 0, command, at, at, at, "logits")
  check(name .. ": logits that are 1e-4 away are told", 1, command, at, at, at, "other")
end

-- The batches that the trainer will draw, (steps,B,T+1).
local function batches(d, seed)
  local all = tensor.zeros(STEPS, B, T + 1, {dtype = "i32"})
  local x, y = tensor.zeros(B, T, {dtype = "i32"}), tensor.zeros(B, T, {dtype = "i32"})
  for step = 1, STEPS do
    engine.batch(d, seed, (step - 1) * B, {tokens = x, targets = y})
    all[step]:narrow(2, 1, T):fill(x)
    all[step]:narrow(2, 2, T):fill(y)
  end
  return all
end

-- limit: of a loss.  A bias that moves by a sign makes of a rounding another choice of experts.
local function check_training(name, m, d, gamma, limit)
  local at = place()
  assert(m:save(at .. "/model"))
  assert(batches(d, 11):save(at .. "/batches.npy"))
  local r = train(m, d, {steps = STEPS, batch = B, context = T, lr = 1e-3, min_lr = 1e-4,
    warmup = 20, weight_decay = 0.1, clip = 1.0, seed = 11, eval_every = 0, checkpoint_every = 0})
  r:wait()
  for _, series in ipairs {"loss", "lr"} do
    assert(r:history(series):narrow(2, 2, 1):contiguous():view(-1):save(at .. "/"
      .. series .. ".npy"))
  end
  check(name .. ": " .. STEPS .. " steps", 0,
    "train --threads 1 %s/model --batches %s/batches.npy --losses %s/loss.npy --lrs %s/lr.npy "
    .. "--bias-rate %g --tolerance %g", at, at, at, at, gamma, limit)
end

local d = data.synthetic {domains = 4, tokens = 40000, states = 16, branch = 3, seed = 9}
local common = {layers = 2, dim = 32, heads = 4, kv_heads = 2, context = 32, vocab = d.vocab}
local function with(extra) return tap.with(common, extra) end

local cases = {
  {"dense", model.dense, {ffn_dim = 48}, 0},
  {"dense, tied, qk_norm", model.dense, {ffn_dim = 48, tie = true, qk_norm = true, head_dim = 16},
   0},
  {"softmax", model.moe, {experts = 4, top_k = 2, expert_dim = 24}, 0},
  {"softmax, top 1, not normalized, dense first", model.moe,
    {experts = 4, top_k = 1, expert_dim = 24, normalize = false, dense_layers = 1}, 0},
  {"sigmoid, shared expert, qk_norm", model.moe, {experts = 8, top_k = 3, expert_dim = 16,
    router = "sigmoid", shared_experts = 1, qk_norm = true, scale = 1.5}, 1e-3, 5e-3},
}
for _, case in ipairs(cases) do
  local name, make, cfg, gamma, limit = table.unpack(case)
  local m = make(with(cfg))
  peers.stir(m)
  check_logits(name, m)
  check_training(name, make(with(cfg)), d, gamma, limit or 1e-3)
end

local list <close> = assert(io.open(folder .. "/checks", "w"))
for _, c in ipairs(checks) do list:write(c.command, "\n") end
list:flush()
local pipe = io.popen(("%s '%s' each %s/checks 2>&1"):format(peers.python, script, folder))
local done, failed = 0, 0
for line in pipe:lines() do
  local status = line:match "^status (%d+)$"
  if status then
    done = done + 1
    local c = checks[done]
    local good = tonumber(status) == c.wanted
    if not good then failed = failed + 1 end
    print((good and "ok " or "not ok ") .. done .. " - " .. c.name)
  else
    print("# " .. line)
  end
end
pipe:close()
os.execute("rm -rf '" .. folder .. "'")
print("1.." .. #checks)
os.exit(failed == 0 and done == #checks)
