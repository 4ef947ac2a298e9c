-- Rules that keep something over the steps, each against a plain reference in double precision:
-- quantile, expert_threshold, relu, top_p, and the kinds of the rule bias.  TAP.

local own = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/own_routers.lua")
local t, moe, with = own.t, own.moe, own.t.with
local ok, is, says, series = t.ok, t.is, own.says, t.series
local engine = require "switchyard.engine"

-- ---- a layer whose logits are given ----

-- A text in which any T bytes in a row are the same T bytes: every batch has the same tokens.
local function round(T)
  local bytes = {}
  for i = 1, T do bytes[i] = string.char(31 + i) end
  return data.string(table.concat(bytes):rep(40), {tokenizer = tokenizer.bytes(), val = 0})
end

-- The logits of byte 31 + i are logits[i]; nothing of it learns but states.
model.define("given", function(cfg)
  return function(ids)
    local E, C = cfg.experts, cfg.experts
    local x = nn.embedding(ids, nn.param("embed", {256, C}))
    if cfg.padded then nn.description().padding = ids:view(-1):gt(31 + cfg.padded) end
    if cfg.micro then -- all of this micro-batch is
      local at = nn.step_sum("at", tensor.ones(1))
      nn.description().padding = (ids:view(-1):cast "f32" * 0 + at):eq(cfg.micro)
    end
    x = nn.layer(1, function()
      return nn.scope("mlp", nn.moe, x, with({experts = E, top_k = cfg.top_k, expert_dim = 4,
        router = cfg.router}, cfg.rules))
    end)
    return nn.head(x, nn.param("head", {256, C}))
  end
end)

local function given(logits, o)
  local T, E = #logits, #logits[1]
  local m = model.given(with({experts = E, layers = 1, context = T, vocab = 256}, o))
  local one = tensor.zeros(E, E):table()
  for e = 1, E do one[e][e] = 1 end
  engine.copy(m.params["model.layers.0.mlp.gate.weight"], tensor(one))
  for i, row in ipairs(logits) do engine.copy(m.params.embed[31 + i + 1], tensor(row)) end
  return m, round(T)
end

local function run(m, d, o)
  return train(m, d, with({steps = 1, batch = 1, lr = 1e-30, warmup = 0, weight_decay = 0,
                           eval_every = 0, save = false}, o)):wait()
end

local function state(m, name) return m.states[name]:view(-1):table() end

local function close(a, b, least)
  for i = 1, math.max(#a, #b) do
    if not (a[i] and b[i] and math.abs(a[i] - b[i]) <= (least or 1e-6)) then return false end
  end
  return true
end

local function text(list)
  local out = {}
  for i, v in ipairs(list) do out[i] = ("%.6g"):format(v) end
  return table.concat(out, " ")
end

local function near(a, b, what, least)
  ok(close(a, b, least), what, text(a) .. " | " .. text(b))
end

local function random_logits(T, E, seed)
  return (tensor.randn(T, E, {seed = seed})
    + tensor.linspace(-0.7, 0.7, E)):table()
end

-- ---- plain numbers ----

local function softmax(row)
  local out, sum = {}, 0
  for e, v in ipairs(row) do out[e] = math.exp(v) sum = sum + out[e] end
  for e in ipairs(out) do out[e] = out[e] / sum end
  return out
end

local function sigmoid(row)
  local out = {}
  for e, v in ipairs(row) do out[e] = 1 / (1 + math.exp(-v)) end
  return out
end

local function order(row) -- experts, the largest first; of equal ones the lower
  local at = {}
  for e in ipairs(row) do at[e] = e end
  table.sort(at, function(a, b) return row[a] > row[b] or row[a] == row[b] and a < b end)
  return at
end

local function kth(list, k)
  local copy = table.move(list, 1, #list, 1, {})
  table.sort(copy, function(a, b) return a > b end)
  return copy[k]
end

local function column(rows, e)
  local out = {}
  for i, row in ipairs(rows) do out[i] = row[e] end
  return out
end

local function map(rows, f)
  local out = {}
  for i, row in ipairs(rows) do out[i] = f(row) end
  return out
end

local function less(row, beta)
  local out = {}
  for e, v in ipairs(row) do out[e] = v - beta[e] end
  return out
end

-- ---- quantile ----

local function quantiles(s, beta, K)
  local N, E = #s, #beta
  local rest = map(s, function(row)
    local alpha, out = kth(less(row, beta), K + 1), {}
    for e, v in ipairs(row) do out[e] = v - alpha end
    return out
  end)
  local raw, mean = {}, 0
  for e = 1, E do
    raw[e] = kth(column(rest, e), N * K // E + 1)
    mean = mean + raw[e] / E
  end
  for e = 1, E do raw[e] = raw[e] - mean end
  return raw
end

local function loads(s, beta, K)
  local out = {}
  for e in ipairs(beta) do out[e] = 0 end
  for _, row in ipairs(s) do
    local at = order(less(row, beta))
    for k = 1, K do out[at[k]] = out[at[k]] + #beta / (#s * K) end
  end
  return out
end

local BETA = "model.layers.0.mlp.gate.beta"
local function logit(p) return math.log(p / (1 - p)) end

do -- Su's own example
  local s = {{.9, .1}, {.8, .2}, {.7, .6}, {.6, .5}}
  local m, d = given(map(s, function(row) return {logit(row[1]), logit(row[2])} end),
    {top_k = 1, router = {"quantile", score = "sigmoid"}})
  local r = run(m, d, {steps = 1})
  near(series(r, "load.1")[1], {2, 0}, "quantile: all choose the first")
  near(state(m, BETA), {.05, -.05}, "quantile: beta of the four tokens")
  near(quantiles(s, {0, 0}, 1), {.05, -.05}, "... and of the reference")
  r:close()
end

for _, case in ipairs {{24, 4, 2, "softmax"}, {64, 8, 2, "sigmoid"}, {50, 7, 3, "softmax"}} do
  local T, E, K, score = table.unpack(case)
  local logits = random_logits(T, E, T)
  local s = map(logits, score == "softmax" and softmax or sigmoid)
  local what = ("quantile: %d tokens, %d of %d, %s: "):format(T, K, E, score)
  local m, d = given(logits, {top_k = K, router = {"quantile", score = score}})
  local r = run(m, d, {steps = 1})
  local zero = {}
  for e = 1, E do zero[e] = 0 end
  local beta = quantiles(s, zero, K)
  near(series(r, "load.1")[1], loads(s, zero, K), what .. "loads without beta")
  near(state(m, BETA), beta, what .. "beta")
  r:close()
  m, d = given(logits, {top_k = K, router = {"quantile", score = score}})
  r = run(m, d, {steps = 1, accumulate = 3, batch = 2})
  near(state(m, BETA), beta, what .. "the mean of equal micro-batches")
  r:close()
  m, d = given(logits, {top_k = K, router = {"quantile", score = score, ema = 0.75}})
  r = run(m, d, {steps = 1})
  near(state(m, BETA), map(beta, function(b) return b / 4 end), what .. "ema")
  r:close()
end

do -- a fresh batch is even
  local d = own.data
  local function largest(o) -- load of an expert, in the mean over steps
    local r = train(moe(with({experts = 8}, o)), d, {steps = 80, batch = 16, lr = 1e-3,
      eval_every = 0, save = false}):wait()
    local mean = 0
    for i, row in ipairs(series(r, "load.2")) do
      mean = i > 30 and mean + math.max(table.unpack(row)) / 50 or mean
    end
    r:close()
    return mean
  end
  local even, free = largest {router = "quantile"}, largest {balance = {aux = 0}}
  ok(even < 1.5 and even < free - 0.2, "quantile: loads of batches that it has not seen",
    ("%g, without %g"):format(even, free))
end

do -- tokens that define a quantile lie on the border when their batch is routed again
  local m, d = given({{1, 1}, {2, 1}, {1, 2}, {1, 1}}, {top_k = 1, router = "quantile"})
  local r = run(m, d, {steps = 3})
  for i, row in ipairs(series(r, "load.1")) do
    near(row, {1.5, 0.5}, "quantile: of equal scores the lower expert, step " .. i, 0)
  end
  near(state(m, BETA), {0, 0}, "... and beta stays", 0)
  r:close()
end

for _, rules in ipairs {{"aux", 0.01}, {"gamma", 1e-3}} do
  says(function() moe {router = "quantile", balance = {[rules[1]] = rules[2]}} end,
    ("model.moe: %s has no effect with router 'quantile'"):format(rules[1]))
end
is(moe({router = "quantile", experts = 2, top_k = 2}):logits({1, 2}).shape[1], 2,
  "quantile: all experts are chosen")

-- ---- expert_threshold ----

local CUT, WEIGHT = "model.layers.0.mlp.gate.cutoff", "model.layers.0.mlp.gate.cutoff_weight"

do
  local T, E, K = 40, 4, 2
  local logits = random_logits(T, E, 5)
  local want = {}
  for e = 1, E do want[e] = kth(column(logits, e), T * K // E) end
  local function made(warmup)
    return given(logits, {top_k = K, router = {"expert_threshold", decay = 0.9, warmup = warmup}})
  end
  local m, d = made(2)
  local r = run(m, d, {steps = 3, batch = 2})
  local weight = state(m, WEIGHT)[1]
  near({weight}, {1 - 0.9 ^ 3}, "expert_threshold: the weight of what is averaged")
  near(map(state(m, CUT), function(v) return v / weight end), want,
    "expert_threshold: cutoffs, corrected for the zeros at the beginning")
  for i, row in ipairs(series(r, "load.1")) do
    -- behind the warm-up what lies on the border may fall to either side of the average
    near(row, {1, 1, 1, 1}, "expert_threshold: even in step " .. i, i > 2 and 1.01 / 20 or 1e-6)
  end
  near({series(r, "active.1")[2]}, {K}, "expert_threshold: K experts a token")
  r:close()
  m, d = made(0)
  r = run(m, d, {steps = 2})
  local count = 0
  for _, row in ipairs(logits) do
    for _, v in ipairs(row) do count = count + (v >= 0 and 1 or 0) end
  end
  local active = series(r, "active.1")
  near({active[1]}, {count / T}, "expert_threshold: without warm-up a cutoff of 0 at first")
  near({active[2]}, {K}, "... and then the average", 1.01 * E / T)
  r:close()
end

do -- causal, whatever it was before
  local m = moe {router = {"expert_threshold", warmup = 3, decay = 0.8}}
  local o = {steps = 6, batch = 4, eval_every = 0, checkpoint_every = 2, keep = 9,
             name = "threshold", schedule = "constant"}
  local r = train(m, own.data, o):wait()
  local ids = {1, 5, 2, 7, 3, 3, 9, 4}
  is(m:_one_by_one(ids):hash(), m:logits(ids):hash(),
    "expert_threshold: one token after another is the whole sequence")
  is(m:logits({1, 5, 2, 9}):narrow(1, 1, 3):contiguous():hash(),
    m:logits({1, 5, 2}):hash(), "expert_threshold: no later token is seen")
  local hash = r:hash()
  r:rewind(2)
  r:resume()
  is(r:wait():hash(), hash, "expert_threshold: rewound to the warm-up")
  r:close()
  is(replay("threshold").identical, true, "expert_threshold: replayed through its end")
  local said = t.child([[-e '
    local d = data.synthetic{domains = 2, tokens = 8000, seed = 1}
    local m = model.moe{layers = 2, dim = 16, heads = 2, context = 16, vocab = d.vocab,
      experts = 4, expert_dim = 8, router = {"expert_threshold", warmup = 7}}
    train(m, d, {steps = 1, batch = 2, eval_every = 0, save = false}):wait()']])
  local _, n = said:gsub("in training, steps 1 to 7 choose among a whole batch", "")
  is(n, 1, "expert_threshold: that its warm-up is not causal is said, once")
end

-- ---- relu ----

do
  local T, E, K = 30, 4, 1
  local logits = random_logits(T, E, 9)
  local mean, count, all = {}, {}, 0
  for e = 1, E do
    mean[e], count[e] = 0, 0
    for _, row in ipairs(logits) do
      mean[e] = mean[e] + math.max(row[e], 0) / T
      count[e] = count[e] + (row[e] > 0 and 1 or 0)
    end
    all = all + count[e]
  end
  local l1 = 0
  for e = 1, E do l1 = l1 + E * mean[e] * count[e] / (T * K) end
  for _, accumulate in ipairs {1, 3} do
    local m, d = given(logits, {top_k = K, router = {"relu", l1 = 0.5, rate = 1.5}})
    local r = run(m, d, {steps = 4, accumulate = accumulate})
    near({series(r, "l1.1")[1]}, {l1}, "relu: the L1 loss, accumulate " .. accumulate, 1e-5)
    near({series(r, "active.1")[1]}, {all / T}, "relu: experts a token", 1e-6)
    local up = all / T > K and 1.5 or 1 / 1.5
    near(series(r, "lambda"), {0.5, 0.5 * up, 0.5 * up ^ 2, 0.5 * up ^ 3}, "relu: lambda", 1e-5)
    near(state(m, "relu.lambda"), {0.5 * up ^ 4}, "relu: lambda is one state of the model", 1e-5)
    r:close()
  end
end

do -- through its phases
  local m = moe {top_k = 1, router = {"relu", l1 = 1e-4}}
  local r = train(m, own.data, {steps = 500, batch = 4, lr = 3e-3, schedule = "constant",
                                eval_every = 0, save = false}):wait()
  local a, b, lambda = series(r, "active.1"), series(r, "active.2"), series(r, "lambda")
  local crossed, rises, right = nil, true, true
  for i = 1, #lambda - 1 do
    local over = (a[i] + b[i]) / 2 > 1
    crossed = crossed or not over and i or nil
    if not crossed then rises = rises and lambda[i + 1] > lambda[i] end
    local factor = lambda[i + 1] / lambda[i]
    right = right and math.abs(factor - (over and 1.2 or 1 / 1.2)) < 1e-5
  end
  ok(crossed and crossed > 10 and rises, "relu: lambda rises until sparsity is 1 - K/E", crossed)
  ok(right, "relu: ... and then by the side on which it is")
  local mean = 0
  for i = 101, 500 do mean = mean + (a[i] + b[i]) / 800 end
  ok(math.abs(mean - 1) < 0.05, "relu: K experts a token in the mean", mean)
  r:close()
end
do -- lambda comes back, however long it fell
  local m = moe {experts = 8, top_k = 6, router = {"relu", rate = 10}}
  local r = train(m, own.data, {steps = 180, batch = 2, lr = 1e-4, eval_every = 0, save = false,
                                paused = true})
  r:steps(60):wait()
  r.top_k = 1
  r:resume():wait()
  local lambda = series(r, "lambda")
  ok(lambda[60] > 0 and lambda[60] < 1e-15, "relu: lambda falls while there are too few",
    lambda[60])
  ok(lambda[180] > 1e-6 and lambda[180] < 1e11, "... and grows where there are too many",
    lambda[180])
  r:close()
end
says(function() moe {router = {"relu", frozen = true}} end,
  "model.moe: router 'relu': frozen = true: nothing could bring it to K experts a token")
says(function() moe {router = "relu", balance = {aux = 0.1}} end,
  "model.moe: aux has no effect with router 'relu'")

-- ---- top_p ----

do
  local T, E, K = 36, 6, 2
  local logits = random_logits(T, E, 21)
  local function normal(row)
    local mean, var, out = 0, 0, {}
    for _, v in ipairs(row) do mean = mean + v / E end
    for _, v in ipairs(row) do var = var + (v - mean) ^ 2 / E end
    for e, v in ipairs(row) do out[e] = (v - mean) / math.sqrt(var + 1e-6) end
    return out
  end
  local taken, load = 0, {0, 0, 0, 0, 0, 0}
  for _, row in ipairs(logits) do
    local p, sum = softmax(normal(row)), 0
    for _, e in ipairs(order(p)) do
      if sum < 0.55 then taken, load[e] = taken + 1, load[e] + 1 end
      sum = sum + p[e]
    end
  end
  for e = 1, E do load[e] = load[e] * E / taken end
  local m, d = given(logits, {top_k = K, router = {"top_p", start = 0.55, kp = 0.5, ki = 0.25}})
  local r = run(m, d, {steps = 2, accumulate = 2})
  near({series(r, "active.1")[1]}, {taken / T}, "top_p: the fewest that add up to it")
  near(series(r, "load.1")[1], load, "top_p: which they are", 1e-5)
  local e = K - taken / T
  near({series(r, "threshold")[2]}, {0.55 + 0.75 * e}, "top_p: the controller", 1e-5)
  r:close()
end

do
  local m = moe {experts = 8, top_k = 2, router = "top_p"}
  local r = train(m, own.data, {steps = 400, batch = 8, lr = 3e-3, eval_every = 0,
                                save = false}):wait()
  local a, b, mean = series(r, "active.1"), series(r, "active.2"), 0
  for i = 301, 400 do mean = mean + (a[i] + b[i]) / 200 end
  ok(math.abs(mean - 2) < 0.04, "top_p: K experts a token in the mean", mean)
  local r2 = nn.routers.top_p
  ok(r2.causal, "top_p: causal")
  r:close()
end

-- ---- padding is no token ----

do
  local T, n, E, K = 40, 31, 4, 2
  local logits = random_logits(T, E, 33)
  local real = table.move(logits, 1, n, 1, {})
  local function padded(router, o)
    local micro = o and o.micro
    local m, d = given(logits, {top_k = K, router = router, padded = not micro and n or nil,
                                micro = micro})
    local r = run(m, d, {steps = 1, accumulate = o and o.accumulate or 2})
    return m, r
  end
  local m, r = padded("quantile")
  near(state(m, BETA), quantiles(map(real, softmax), {0, 0, 0, 0}, K), "padding: quantile")
  r:close()
  m, r = padded {"expert_threshold", decay = 0.5}
  local want = {}
  for e = 1, E do want[e] = 0.5 * kth(column(real, e), n * K // E) end
  near(state(m, CUT), want, "padding: expert_threshold")
  near({series(r, "active.1")[1]}, {(n * K // E) * E / n}, "padding: experts a token")
  r:close()
  do -- the second micro-batch is padding alone
    local batch_of = {}
    for e = 1, E do batch_of[e] = 0.5 * kth(column(logits, e), T * K // E) end
    m, r = padded({"expert_threshold", decay = 0.5}, {accumulate = 3, micro = 2})
    near(state(m, CUT), batch_of, "padding: expert_threshold, of a micro-batch without a token")
    r:close()
  end
  local count, heavy, l1 = 0, {}, 0
  for e = 1, E do
    local c, sum = 0, 0
    for _, v in ipairs(column(real, e)) do
      c, sum = c + (v > 0 and 1 or 0), sum + math.max(v, 0)
    end
    count, heavy[e], l1 = count + c, c, l1 + E * sum / n * c / (n * K)
  end
  m, r = padded {"relu", l1 = 1}
  near({series(r, "l1.1")[1], series(r, "active.1")[1]}, {l1, count / n}, "padding: relu", 1e-5)
  r:close()
  local active = {}
  for _, is_padded in ipairs {false, true} do
    local m2, d = given(logits, {top_k = K, router = {"top_p", start = 0.5},
                                 padded = is_padded and n or nil})
    r = run(m2, d, {steps = 2})
    active[#active + 1] = series(r, "threshold")[2] - 0.5
    if is_padded then
      near({active[2]}, {0.025 * (K - series(r, "active.1")[1])}, "padding: top_p", 1e-5)
    end
    r:close()
  end
  ok(math.abs(active[1] - active[2]) > 1e-5, "... which is another without it", text(active))
end

-- ---- kinds of bias ----

local BIAS = "model.layers.0.mlp.gate.e_score_correction_bias"

local function biased(balance, steps)
  local m = moe {layers = 1, router = "sigmoid", balance = balance}
  local r = train(m, own.data, with(own.STILL, {steps = steps, batch = 4, accumulate = 2})):wait()
  local l = series(r, "load.1")
  r:close()
  return state(m, BIAS), l
end

local function reference(l, gamma, momentum, f)
  local b, v = {0, 0, 0, 0}, {0, 0, 0, 0}
  for _, row in ipairs(l) do
    local step = f(row)
    for e = 1, 4 do
      v[e] = momentum * v[e] + (1 - momentum) * step[e]
      b[e] = b[e] + gamma * v[e]
    end
  end
  return b
end

local function missing(row) return map(row, function(x) return (1 - x) / 4 end) end

local function centred_tanh(row)
  local out, mean = {}, 0
  for e, x in ipairs(row) do
    local y = 1 - x
    out[e] = (math.exp(y) - math.exp(-y)) / (math.exp(y) + math.exp(-y))
    mean = mean + out[e] / 4
  end
  return map(out, function(x) return x - mean end)
end

local function signs(row)
  return map(row, function(x) return x < 1 and 1 or x > 1 and -1 or 0 end)
end

-- ---- a disabled expert ----

-- A bias stands while its expert is off, the others share evenly, and it comes back as one of them.
for _, router in ipairs {"sigmoid", "deepseek_v3", {"deepseek_v4", hash_layers = 0}} do
  for _, kind in ipairs {"sign", "proportional", "tanh"} do
    local what = ("%s, %s: "):format(router[1] or router, kind)
    local m = moe {layers = 1, router = router,
                   balance = {gamma = kind == "proportional" and 0.4 or 0.05, kind = kind}}
    local r = train(m, own.data, {steps = 100, batch = 16, lr = 1e-30, warmup = 0, weight_decay = 0,
                                  eval_every = 0, save = false, paused = true})
    r.layers[1].experts[2]:disable()
    r:steps(60):wait()
    local mean, got = {0, 0, 0, 0}, 0
    for i, row in ipairs(series(r, "load.1")) do
      got = got + row[2]
      for e = 1, 4 do mean[e] = mean[e] + (i > 20 and row[e] / 40 or 0) end
    end
    is(got, 0.0, what .. "a disabled expert has no token")
    near(mean, {4 / 3, 0, 4 / 3, 4 / 3}, what .. "the others have even shares", 0.4)
    local b = state(m, BIAS)
    local most = math.max(b[1], b[3], b[4])
    ok(b[2] <= most + 0.3, what .. "its bias does not grow", text(b))
    r.layers[1].experts[2]:enable()
    r:resume():wait()
    local again = 0
    for i, row in ipairs(series(r, "load.1")) do again = again + (i > 60 and row[2] / 40 or 0) end
    near({again}, {1}, what .. "enabled it has its share", 0.3)
    r:close()
  end
end

do -- quantile: the others have even shares, by their own quantiles
  local m = moe {layers = 1, router = "quantile"}
  local r = train(m, own.data, {steps = 100, batch = 32, lr = 1e-30, warmup = 0, weight_decay = 0,
                                eval_every = 0, save = false, paused = true})
  r.layers[1].experts[2]:disable()
  r:resume():wait()
  local mean = {0, 0, 0, 0}
  for i, row in ipairs(series(r, "load.1")) do
    for e = 1, 4 do mean[e] = mean[e] + (i > 20 and row[e] / 80 or 0) end
  end
  near(mean, {4 / 3, 0, 4 / 3, 4 / 3}, "quantile: one of four is off", 0.06)
  r:close()
end

do -- zero_experts: so many compute a token, evenly, whatever the loss
  local function last(real, accumulate)
    local m = moe {layers = 1, top_k = 3, router = {"zero_experts", copy = 4, zero = 0,
      constant = 0, real = real, mu = 0.5, aux_all = 0}}
    local r = train(m, own.data, with(own.STILL, {steps = 150, batch = 16,
                                                  accumulate = accumulate})):wait()
    local computed, load, n = series(r, "computed.1"), {0, 0, 0, 0}, 0
    for i, row in ipairs(series(r, "load.1")) do
      if i > 50 then
        n = n + computed[i] / 100
        for e = 1, 4 do load[e] = load[e] + row[e] / 100 end
      end
    end
    r:close()
    return n, load
  end
  for accumulate, real in t.sorted {[1] = 1, [2] = 2.5} do
    local n, load = last(real, accumulate)
    near({n}, {real}, ("zero_experts: %g of three compute"):format(real), 0.06)
    near(load, {1, 1, 1, 1}, "... evenly", 0.2)
  end
  says(function() moe {top_k = 2, router = {"zero_experts", real = 3}} end,
    "model.moe: router 'zero_experts': real is 3 of top_k = 2")
end

do -- deepseek_v3: one of a group of two is off, the other is not
  local m = moe {layers = 1, experts = 8, router = {"deepseek_v3", groups = 4, keep = 2}}
  local r = train(m, own.data, {steps = 40, batch = 16, lr = 1e-30, warmup = 0, weight_decay = 0,
                                eval_every = 0, save = false, paused = true})
  r.gamma = 0.05
  r.layers[1].experts[1]:disable()
  r:resume():wait()
  local first, second = 0, 0
  for _, row in ipairs(series(r, "load.1")) do first, second = first + row[1], second + row[2] end
  is(first, 0.0, "deepseek_v3: a disabled expert has no token")
  ok(second > 4, "deepseek_v3: ... and the other of its group has some", second)
  r:close()
end

do -- a model that was saved before computes what it did: its disabled expert has score + bias
  local path = t.scratch "model"
  assert(moe {layers = 1, router = "sigmoid"}:save(path))
  local config, n = t.read(path .. "/config.json"):gsub('%s*"sigmoid_mask":%s*true,?', "")
  is(n, 1, "a model notes that its sigmoid router looks at the mask")
  t.write(path .. "/config.json", (config:gsub(",%s*}", "}")))
  local before = assert(model.load(path))
  is(before.cfg.sigmoid_mask, nil, "... which one of before does not")
  local function run_of(m, off)
    local r = train(m, own.data, {steps = 30, batch = 4, eval_every = 0, save = false,
                                  paused = true})
    r.gamma = 0.2
    if off then r.layers[1].experts[1]:disable() end
    r:resume():wait()
    local got, hash = 0, r:hash()
    for _, row in ipairs(series(r, "load.1")) do got = got + row[1] end
    r:close()
    return got, hash
  end
  local _, as_it_was = run_of(before)
  local _, now = run_of(moe {layers = 1, router = "sigmoid"})
  is(as_it_was, now, "where none is disabled both are the same")
  ok(run_of(assert(model.load(path)), true) > 0, "of before: as it was")
  is(run_of(moe {layers = 1, router = "sigmoid"}, true), 0.0, "new: a disabled expert has no token")
end

local plain, l = biased({gamma = 0.01}, 5)
near(plain, reference(l, 0.01, 0, signs), "bias: sign is the default")
local sign = biased({gamma = 0.01, kind = "sign"}, 5)
is(text(sign), text(plain), "bias: ... and the same bits")
local b, lb = biased({gamma = 0.5, kind = "proportional"}, 5)
near(b, reference(lb, 0.5, 0, missing), "bias: proportional")
b, lb = biased({gamma = 0.1, kind = "tanh"}, 6)
near(b, reference(lb, 0.1, 0.9, centred_tanh), "bias: tanh, with momentum 0.9")
b, lb = biased({gamma = 0.1, kind = "tanh", momentum = 0.5}, 6)
near(b, reference(lb, 0.1, 0.5, centred_tanh), "bias: ... or another")
b, lb = biased({gamma = 0.01, momentum = 0.5}, 4)
near(b, reference(lb, 0.01, 0.5, signs), "bias: sign with momentum")
local centred, lc = biased({gamma = 0.01, recentre = true}, 5)
local shift = (plain[1] + plain[2] + plain[3] + plain[4]) / 4
near(map(centred, function(x) return x + shift end), plain, "bias: recentred it is less its mean")
near({(centred[1] + centred[2] + centred[3] + centred[4])}, {0}, "bias: ... whose mean is 0", 1e-7)
for i in ipairs(l) do
  if not close(l[i], lc[i]) then ok(false, "recentred it chooses the same") end
end
says(function() moe {router = "sigmoid", balance = {kind = "step"}} end,
  "model.moe: balance: unknown kind 'step'; there are: sign, proportional, tanh")
says(function() moe {balance = {kind = "tanh"}} end,
  "model.moe: kind has no effect with router 'softmax'")

-- A token that chooses within groups needs its K experts there, as it is said or recorded.
for _, router in ipairs {{"deepseek_v3", groups = 2, keep = 1},
                         {"record", of = "deepseek_v3 groups=2 keep=1"}} do
  local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
  local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 8,
    top_k = 2, expert_dim = 8, router = router}
  local r = train(m, d, {steps = 4, batch = 2, save = false, eval_every = 0, paused = true})
  local experts, what = r.layers[1].experts, router[1] .. ": "
  experts[1]:disable()
  experts[2]:disable()
  says(function() experts[4]:disable() end, "disable: 1 of 8 experts would remain in layer 1 for "
    .. "a token whose groups have the fewest, a token needs 2", what .. "too few of a group")
  experts[8]:disable()
  says(function() r.top_k = 3 end, "train: top_k must be from 1 to 2: it is 3", what .. "top_k")
  r:resume():wait()
  local load = r.layers[1].load:table()
  ok(load[1] == 0 and load[2] == 0 and load[8] == 0 and load[3] + load[4] > 0,
    what .. "they have none", table.concat(load, " "))
  r:close()
end

t.done()
