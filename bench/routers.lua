-- Time of a training step with every router that routers() lists, beside softmax with as many
-- experts and as many a token: a table.
--
--     switchyard bench/routers.lua [STEPS] [ROUNDS] [NAME ...]
--
-- All have the same shape: 4 layers x 128, 8 experts of width 256, 768 tokens a step; two experts a
-- token, or one where the router takes one.  The rounds go through the routers in turn; a figure is
-- the fastest step of all rounds but the first two of each, its ratio that of these.  The learning
-- rate is tiny, so that routers stay as they were drawn; load is the largest expert's over the
-- mean, which sets the cost of the grouped products, drop the share that a router's own capacity
-- drops.

local steps, rounds = tonumber(arg[1] or 20), tonumber(arg[2] or 3)
local SHAPE = {layers = 4, dim = 128, heads = 4, context = 64, experts = 8,
               expert_dim = 256}
local OPTIONS = {forced = {experts = "1,2 3,4 5,6 7,8"}}
local SKIP = 2

local d = data.synthetic {domains = 8, tokens = 2e5, seed = 1}

local function build(name, K)
  local router = {name}
  for k, v in pairs(OPTIONS[name] or {}) do router[k] = v end
  if not nn.routers[name].causal then router.allow_leak = true end
  local o = {router = router, top_k = K, vocab = d.vocab}
  for k, v in pairs(SHAPE) do o[k] = v end
  return model.moe(o)
end

local function mean_of(r, what, column)
  local sum, n = 0, 0
  for l = 1, SHAPE.layers do
    local good, rows = pcall(r.history, r, what .. "." .. l)
    if good and rows then
      local last = rows[rows.shape[1]]
      sum, n = sum + (column or function(x) return x[2] end)(last), n + 1
    end
  end
  return n > 0 and sum / n or nil
end

local function largest(row) return row:narrow(1, 2, SHAPE.experts):max():item() end

local function run(case)
  local r = train(build(case.name, case.K), d, {steps = steps + SKIP, batch = 12, context = 64,
    lr = 1e-6, warmup = 0, schedule = "constant", eval_every = 0, save = false}):wait()
  for _, part in ipairs {"time.data", "time.compute", "time.optimizer"} do
    local rows = r:history(part):table()
    for i = SKIP + 1, #rows do
      local at = #rows * case.round + i
      case.times[at] = (case.times[at] or 0) + rows[i][2]
    end
  end
  case.round = case.round + 1
  case.load, case.drop = mean_of(r, "load", largest), mean_of(r, "drop")
  r:close()
end

-- Other work on the machine only adds.
local function fastest(times)
  local least = math.huge
  for _, v in pairs(times) do least = math.min(least, v) end
  return least
end

-- ---- the routers ----

local cases, base = {}, {}
local function add(name, K)
  local case = {name = name, K = K, times = {}, round = 0}
  cases[#cases + 1] = case
  return case
end
for K = 1, 2 do base[K] = add("softmax", K) end

local function wanted(name)
  for i = 3, #arg do
    if arg[i] == name then return true end
  end
  return #arg < 3
end

for _, row in ipairs(routers()) do
  if row.name ~= "softmax" and wanted(row.name) then
    local K = pcall(build, row.name, 2) and 2 or 1
    local good, why = pcall(build, row.name, K)
    if good then add(row.name, K)
    else io.stderr:write(("%s: left out: %s\n"):format(row.name, why)) end
  end
end

for _ = 1, rounds do
  for _, case in ipairs(cases) do run(case) end
end

print(("%-18s %2s %9s %7s %6s %6s"):format("router", "K", "ms/step", "softmax", "load", "drop"))
for _, case in ipairs(cases) do
  local ms = fastest(case.times) * 1e3
  print(("%-18s %2d %9.2f %7.2f %6s %6s"):format(case.name, case.K, ms,
    ms / (fastest(base[case.K].times) * 1e3), case.load and ("%.2f"):format(case.load) or "",
    case.drop and ("%.3f"):format(case.drop) or ""))
end
