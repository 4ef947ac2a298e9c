-- Numbers of the routers: every default beside its paper's and the factor between, what parameters
-- begin with, and values of what is drawn and of losses, each against plain numbers.  TAP.

local srcdir = os.getenv "srcdir" or "."
local own = dofile(srcdir .. "/tests/lua/own_routers.lua")
local hand = dofile(srcdir .. "/tests/lua/by_hand.lua")
local capacity = require "switchyard.model.capacity"
local engine = require "switchyard.engine"
local options = require "switchyard.core.options"
local routing = require "switchyard.model.routing"
local t, d, with = own.t, own.data, own.t.with
local ok, is, near = t.ok, t.is, t.near

-- ---- defaults ----

-- The paper's number, and what it is to be multiplied by in our convention: shares f that sum to 1,
-- capacities as factors of N*K/E, losses of layers added.
local function of(paper, factor)
  if type(paper) ~= "number" then return paper end
  return paper * (factor or 1)
end

-- Of a mean over the layers there: of a sum, which ours is, by their number.
local function mean(paper, factor) return options.number(of(paper, factor)) .. "/layers" end

-- No paper has it, or it says nothing of it.
local function ours(v) return v end

local K2 = 1 / 2 -- N/E in N*K/E where K is 2
local DEFAULTS = {
  base = {balanced_eval = ours(0), top_k = of(1)},
  deepseek_v3 = {normalize = of(true), scale = of(2.5), groups = ours(1), keep = ours(1),
                 aux = of(0), z = of(0), gamma = of(1e-3), recentre = ours(true),
                 sequence = of(1e-4, 1)}, -- there f sums to E and P to 1: sum of f P, as E f P here
  deepseek_v4 = {normalize = of(true), scale = of(1.5), hash_layers = of(3), seed = ours(1),
                 aux = of(0), z = of(0), gamma = of(1e-3), recentre = ours(true)},
  expert_choice = {factor = of(2, K2), scope = ours "sequence", allow_leak = ours(false),
                   z = ours(0)},
  expert_threshold = {decay = of(0.99), warmup = of(4000), z = of(0)},
  forced = {normalize = ours(true), experts = ours "", aux = ours(0), z = ours(0)},
  gpt_oss = {aux = ours(0.01), z = ours(1e-3), activation = of "swiglu_oai",
             expert_bias = of(true)},
  gshard = {policy = of "random", threshold = of(1, 1 / 2), aux = of(0.01), z = of(0),
            scope = of "group", top_k = of(2),
            capacity = {train = of(2, K2), eval = of(2, K2), least = of(4)}},
  hash = {seed = ours(1)},
  llama4 = {aux = ours(0.01), z = ours(1e-3), top_k = of(1)},
  mixtral = {aux = mean(0.001, 2), z = of(0), top_k = of(2)}, -- there f sums to K
  noisy_topk = {aux = of(0), z = of(0), cv2 = of(0.1), cv2_load = of(0.1)},
  olmoe = {aux = mean(0.01), z = of(1e-3)},
  quantile = {score = of "softmax", normalize = ours(true), scale = ours(1), ema = of(0),
              z = of(0)},
  qwen3 = {normalize = of(true), aux = of(1e-3), scope = of "step", z = of(0)},
  random = {normalize = ours(true)},
  record = {of = ours "softmax"}, -- all else is the router's that it stands for
  relu = {l1 = of(1e-8), rate = of(1.2), z = of(0)},
  replay = {path = ours ""},
  sigmoid = {normalize = ours(true), scale = ours(1), aux = ours(0.01), gamma = of(1e-3),
             z = ours(1e-3)},
  sinkhorn = {tolerance = of(1e-4), balanced_eval = ours(0), z = of(0)},
  softmax = {normalize = ours(true), aux = ours(0.01), z = ours(1e-3)},
  st_moe = {aux = of(0.01, 2), z = of(1e-3), top_k = of(2), -- there f sums to K
            capacity = {train = of(1.25, K2), eval = of(2, K2), least = ours(4)}},
  switch = {jitter = of(0.01), aux = of(0.01), z = of(0), scope = of "group", top_k = of(1),
            capacity = {train = of(1.25), eval = of(2), least = of(4)}},
  top_p = {normalize = ours(true), kp = ours(0.02), ki = ours(0.005), aux = ours(0.01),
           z = ours(1e-3)},
  uniform = {},
  zero_experts = {zero = of(1), copy = of(1), constant = of(2), residual = of(true),
                  normalize = of(false), scale = ours(1), aux_all = of(0.01, 2), tau = of(0.75),
                  mu = ours(0.01), z = of(0)},
}

local function words_of(list)
  local words = {}
  for name, v in pairs(list) do
    if type(v) == "table" then words[#words + 1] = capacity.text(v)
    else
      words[#words + 1] = name .. "=" .. (type(v) == "number" and options.number(v) or tostring(v))
    end
  end
  table.sort(words)
  return table.concat(words, ", ")
end

-- "aux=0.01 capacity={train=1 eval=2}" in order, each once.
local function sorted_words(text)
  local words = {}
  text = text:gsub("%b{}", function(inside) return (inside:gsub(" ", "\0")) end)
  for word in text:gmatch "%S+" do words[#words + 1] = (word:gsub("\0", " ")) end
  table.sort(words)
  return table.concat(words, ", ")
end

local built_in = {}
for _, module in ipairs(engine.modules "routers.") do built_in[module:match "[^.]+$"] = true end
for _, r in ipairs(routers()) do
  if built_in[r.name] and ok(DEFAULTS[r.name], r.name .. ": its defaults are in the table") then
    is(sorted_words(r.defaults), words_of(DEFAULTS[r.name]), r.name .. ": its defaults")
  end
end

do -- by the number of layers with experts, unless it is given
  local function aux(more)
    local r = train(own.moe(more), d, with(own.TRAIN, {paused = true}))
    local v = r.aux
    r:stop():wait()
    r:close()
    return v
  end
  near(aux {router = "olmoe", layers = 4}, 0.01 / 4, 1e-9, "olmoe: aux by four layers")
  near(aux {router = "olmoe", layers = 4, dense_layers = 2}, 0.01 / 2, 1e-9, "... by two of four")
  near(aux {router = "olmoe", balance = {z = 0}}, 0.01 / 2, 1e-9, "... beside another coefficient")
  near(aux {router = {"record", of = "mixtral"}}, 0.001 * 2 / 2, 1e-9, "... of what is recorded")
  near(aux {router = "olmoe", balance = {aux = 0.03}}, 0.03, 1e-9, "what is given is the sum's")
end

-- ---- what parameters begin with ----

local WIDE, MANY = 256, 128
local CUT = 0.8796256610342398 -- deviation of a normal that is cut at two deviations

-- deviation and largest value; rows of the router's weight in a model of dim 256 and 128 experts
local NORMAL = {0.02, 0.2}
local BEGINS = {
  gshard = {math.sqrt(1 / WIDE), math.sqrt(3 / WIDE)}, -- Lingvo: uniform, variance 1 / inputs
  switch = {math.sqrt(0.1 / WIDE), 2 / CUT * math.sqrt(0.1 / WIDE)},
  noisy_topk = {0, 0},
  base = {0.1 / math.sqrt(WIDE), 0.1}, -- rows of length 0.1
}

-- A model of a router with what it cannot do without.
local function made(name, more)
  local o = {name}
  if not nn.routers[name].causal then o.allow_leak = true end
  local good, m
  for _, K in ipairs {2, 1} do
    if name == "forced" then o.experts = K == 2 and "1,2" or "1" end
    good, m = pcall(own.moe, with({router = o, top_k = K, capacity = false}, more))
    if good then return m, o, K end
  end
  return nil, m
end

local function begins(name, m)
  for i, info in ipairs(m._info) do
    if info.name:find "gate%.weight$" or info.name:find "noise%.weight$" then
      local w, want = m.params[i]:detach(), BEGINS[name] or NORMAL
      local what = ("%s: %s begins"):format(name, info.name:match "[^.]+%.weight$")
      near(w:square():mean():sqrt():item(), want[1], 0.01 * want[1], what .. " with its deviation")
      ok(math.abs(w:mean():item()) <= 0.02 * want[1], what .. " around 0", w:mean():item())
      ok(w:abs():max():item() <= want[2] * (1 + 1e-6), what .. " within its bounds")
    end
  end
end

for name in t.sorted(built_in) do
  if not (nn.routers[name].except or {}).alone then
    local m, why = made(name, {layers = 1, dim = WIDE, experts = MANY, expert_dim = 1})
    if ok(m, name .. ": can be made", why) then begins(name, m) end
    if name == "base" then
      local w = m.params["model.layers.0.mlp.gate.weight"]:detach():cast "f64"
      local one = w:matmul(w:permute {2, 1}) * 100
      local lengths = one:eq(one:max(-1, true)):cast("f64") * one
      ok((one - lengths):abs():max():item() < 1e-6, "base: its rows are at right angles")
      ok((lengths:sum(-1) - 1):abs():max():item() < 1e-6, "... and 0.1 long")
    end
  end
end

-- ---- what is drawn ----

local N = 100000

local function moments(x)
  local mean = x:mean():item()
  return mean, (x - mean):square():mean():item()
end

do -- the difference of two noisy logits is normal, its variance the sum of both spreads' squares
  local m = own.moe {layers = 1, router = "noisy_topk", experts = 2, top_k = 2}
  local at, given = "model.layers.0.mlp.", {}
  local x = tensor.ones({N, own.C}, {dtype = "f64"}) / own.C
  given[at .. "gate.weight"] = tensor({{1.5}, {0.25}}, {dtype = "f64"}):expand {2, own.C}
  given[at .. "noise.weight"] = tensor({{1}, {-2}}, {dtype = "f64"}):expand {2, own.C}
  given[at .. "gate.noise.weight"] = given[at .. "noise.weight"]
  tensor.seed(5)
  local r = hand.route(nn.routers.noisy_topk, m, x, {E = 2, K = 2, mode = "train", params = given})
  local g = hand.dense(r, 2)
  local apart = (g:narrow(2, 1, 1) / g:narrow(2, 2, 1)):log()
  local mean, variance = moments(apart)
  local function softplus(v) return math.log(1 + math.exp(v)) end
  local want = softplus(1) ^ 2 + softplus(-2) ^ 2
  near(mean, 1.25, 0.02, "noisy_topk: noise has the mean 0")
  near(variance, want, 0.02 * want, "... and the variance softplus(x w')^2")
end

do -- the ratio of two probabilities has the factor of the router's input in it
  local m = own.moe {layers = 1, router = "switch", experts = 2, top_k = 1, capacity = false}
  local w = tensor.zeros({2, own.C}, {dtype = "f64"})
  w[1][1] = 2
  local x = tensor.ones({N, own.C}, {dtype = "f64"})
  for _, j in ipairs {0.01, 0.3} do
    tensor.seed(6)
    local r = hand.route(nn.routers.switch, m, x, {E = 2, K = 1, mode = "train",
      options = {"switch", jitter = j}, params = {["model.layers.0.mlp.gate.weight"] = w}})
    local u = (r.scores:narrow(2, 1, 1) / r.scores:narrow(2, 2, 1)):log() / 2
    local mean, variance = moments(u)
    local what = ("switch: jitter of %g"):format(j)
    near(mean, 1, 0.01 * j, what .. ": around 1")
    near(variance, j * j / 3, 0.02 * j * j, what .. ": as wide as it says")
    near(u:min():item(), 1 - j, 1e-3 * j, what .. ": from 1 - jitter")
    near(u:max():item(), 1 + j, 1e-3 * j, what .. ": to 1 + jitter")
  end
end

-- ---- values of losses ----

-- Losses by name of what a router makes of logits, by the functions of the balance rules.
local function losses(name, logits, more)
  local out, kept, rules = {}, nn.loss, nn.balances
  local m = own.moe {layers = 1, router = name, top_k = 2, experts = logits.shape[2]}
  nn.loss = function(what, v) out[what] = v:item() end
  local good, r = pcall(hand.route, nn.routers[name], m, tensor.zeros({logits.shape[1], own.C},
    {dtype = "f64"}), {E = logits.shape[2], K = 2, logits = logits, also = function(ctx, r)
      r.logits = logits
      for field, v in pairs(more or {}) do r[field] = v end
      for _, rule in ipairs {"z", "cv2_load"} do
        local on = routing.in_force(rules[rule], ctx._router, m.cfg.balance)
        if on then rules[rule].loss(ctx, r) end
      end
    end})
  nn.loss = kept
  if not good then error(r, 0) end
  return out
end

do
  local logits = tensor.randn({7, 4}, {seed = 4, dtype = "f64"})
  local sum = 0
  for _, row in ipairs(logits:table()) do
    local all = 0
    for _, v in ipairs(row) do all = all + math.exp(v) end
    sum = sum + math.log(all) ^ 2
  end
  near(losses("st_moe", logits).z, sum / 7, 1e-9, "z: the mean of logsumexp^2")

  local chance = tensor.rand({7, 4}, {seed = 8, dtype = "f64"})
  local sums, mean, variance = chance:sum(1):table(), 0, 0
  for _, v in ipairs(sums) do mean = mean + v / 4 end
  for _, v in ipairs(sums) do variance = variance + (v - mean) ^ 2 / 4 end
  near(losses("noisy_topk", logits, {chance = chance}).cv2_load, variance / mean ^ 2, 1e-8,
    "cv2_load: variance / mean^2 of the sums of chances")
end

-- ---- the bias that chooses ----

-- Its mean and its largest value after ten steps.
local function bias_after(balance)
  local m = own.moe {layers = 1, router = "deepseek_v3", top_k = 1, balance = balance}
  local w = m.params["model.layers.0.mlp.gate.weight"]
  engine.copy(w, tensor.randn(w.shape, {seed = 2}))
  train(m, d, {steps = 10, batch = 2, warmup = 0, eval_every = 0, save = false}):wait():close()
  local b = m.states["model.layers.0.mlp.gate.e_score_correction_bias"]
  return b:mean():item(), b:abs():max():item()
end

do
  local mean, most = bias_after {gamma = 0.1}
  ok(math.abs(mean) < 1e-6 and most > 0.09, "deepseek_v3: its bias keeps the mean 0", mean)
  mean = bias_after {gamma = 0.1, recentre = false}
  ok(math.abs(mean) > 1e-3, "... which it would leave", mean)
end

-- ---- zero_experts: logits go on from layer to layer ----

-- How far the second layer's gates are from those of x w + (the logits of the first) w'.
model.define("chained", function(cfg)
  local router = nn.routers.zero_experts
  local route = router.route
  local function gates_of(l, before)
    local seen
    router.route = function(ctx)
      seen = {r = route(ctx), x = ctx.x}
      return seen.r
    end
    local x = nn.embedding(cfg.ids, nn.param("embed." .. l, {own.V, own.C}, 1)):view(-1, own.C)
    nn.layer(l, nn.scope, "mlp", nn.moe, x, {experts = 3, top_k = 2, expert_dim = 4,
      router = "zero_experts", capacity = false})
    router.route = route
    local p = nn.description().model.params
    local at = ("model.layers.%d.mlp.gate."):format(l - 1)
    local logits = seen.x:linear(p[at .. "weight"])
    if before then logits = logits + before:linear(p[at .. "residual"]) end
    local want, choices = logits:softmax(-1):topk(2, -1)
    local off = seen.r.gates - choices:le(3):where(want, tensor.zeros(want.shape))
    return off:abs():sum(-1, true), logits
  end
  return function(ids)
    cfg.ids = ids
    local first, logits = gates_of(1)
    local second = gates_of(2, logits)
    return nn.linear(first:cat(second, 2), nn.param("head", {cfg.vocab, 2}, "ones"))
  end
end)

do
  local m = model.chained {vocab = own.V, context = 16}
  for i, info in ipairs(m._info) do
    if info.name:find "gate%." then
      engine.copy(m.params[i], tensor.randn(m.params[i].shape, {seed = i}))
    end
  end
  ok(m:logits({1, 2, 3, 4, 5, 6}):abs():max():item() < 1e-5,
    "zero_experts: a layer adds what a matrix makes of the logits before")
end

-- ---- places ----

local function slots(factor, n, K, E, more)
  local ctx = {mode = "train", N = n, T = n, B = 1, K = K, E = E}
  return capacity.now(with({train = factor}, more), ctx).slots
end
is(slots(2, 11, 1, 4), 6, "places: 5.5 are 6")
is(slots(1.25, 10, 2, 8), 4, "places: 3.125 are 4")
is(slots(1, 10, 2, 8), 3, "places: 2.5 are 3")
is(slots(1, 16, 1, 8), 2, "places: what is whole stays")
is(slots(0.1, 16, 1, 8, {least = 4}), 4, "places: at least so many")

-- ---- coefficients that go by the steps ----

local STEPS = {steps = 4, batch = 2, optimizer = "sgd", momentum = 0, nesterov = false, lr = 0.1,
               warmup = 0, schedule = "constant", weight_decay = 0, clip = 0, eval_every = 0,
               save = false, seed = 3}

-- Parameters and states after four steps; live: what a coefficient is set to behind the first.
local function after(router, name, value, live)
  local m = own.moe {router = router, top_k = 2, capacity = false, balance = {[name] = value}}
  for i, info in ipairs(m._info) do
    if info.name:find "gate%." then
      engine.copy(m.params[i], tensor.randn(m.params[i].shape, {seed = i}) * 0.5)
    end
  end
  local r = train(m, d, with(STEPS, {paused = true}))
  r:steps(1):wait()
  if live then r[name] = live end
  r:resume():wait()
  local hash = r:hash()
  r:close()
  return hash
end

for name, router in t.sorted {aux = "softmax", z = "softmax", cv2 = "softmax", simbal = "softmax",
                              sequence = "deepseek_v3", gamma = "deepseek_v3",
                              cv2_load = "noisy_topk"} do
  local once = after(router, name, {0.5, last = 1})
  is(once, after(router, name, 0.5, 0.0), name .. ": it is what the schedule says, step by step")
  ok(once ~= after(router, name, 0.5), "... which is not what it was all along")
  is(after(router, name, {0.5, warmup = 1, schedule = "linear", steps = 3, min = 0.5}),
    after(router, name, 0.5), "... and one that stays is a number")
end

t.done()
