-- Each router is what its paper or its authors' code says: references in plain numbers, in double,
-- values worked out by hand, and what a wrong combination is told.  TAP.

local srcdir = os.getenv "srcdir" or "."
local t = dofile(srcdir .. "/tests/lua/tap.lua")
local hand = dofile(srcdir .. "/tests/lua/by_hand.lua")
local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"
local routing = require "switchyard.model.routing"
local ok, is, near, with = t.ok, t.is, t.near, t.with

local d = data.synthetic {domains = 4, tokens = 20000, seed = 1}
local C, V = 16, d.vocab
local SMALL = {layers = 1, dim = C, heads = 2, context = 16, vocab = V, expert_dim = 8}

local function moe(more) return model.moe(with(SMALL, more)) end

-- A model whose routing weights are far from 0.
local function scattered(more)
  local m = moe(more)
  for i, info in ipairs(m._info) do
    if info.name:find("mlp.", 1, true) and not info.name:find("experts.", 1, true) then
      engine.copy(m.params[i], tensor.randn(m.params[i].shape, {seed = 10 + i}))
    end
  end
  for _, state in pairs(m.states) do
    engine.copy(state, tensor.randn(state.shape, {seed = 3}) * 0.3)
  end
  return m
end

-- ---- in plain numbers ----

local function softmax(list)
  local most, sum, out = -math.huge, 0, {}
  for _, v in ipairs(list) do most = math.max(most, v) end
  for i, v in ipairs(list) do
    out[i] = math.exp(v - most)
    sum = sum + out[i]
  end
  for i in ipairs(out) do out[i] = out[i] / sum end
  return out
end

local function map(list, f)
  local out = {}
  for i, v in ipairs(list) do out[i] = f(v) end
  return out
end

local function sigmoid(v) return 1 / (1 + math.exp(-v)) end
local function root_softplus(v) return math.sqrt(math.log(1 + math.exp(v))) end

-- Places of the K largest; of equal ones the lower.
local function largest(list, K)
  local order = {}
  for i in ipairs(list) do order[i] = i end
  table.sort(order, function(a, b)
    if list[a] ~= list[b] then return list[a] > list[b] end
    return a < b
  end)
  return table.move(order, 1, K, 1, {})
end

local function of(list, places)
  return map(places, function(i) return list[i] end)
end

local function sums_to(list, total)
  local sum = 0
  for _, v in ipairs(list) do sum = sum + v end
  return map(list, function(v) return v / sum * total end)
end

-- Logits (N,E) of x by w (E,C) and b (E).
local function logits_of(x, w, b)
  local out = {}
  for n, row in ipairs(x) do
    out[n] = {}
    for e, weights in ipairs(w) do
      local sum = b and b[e] or 0
      for c, v in ipairs(row) do sum = sum + v * weights[c] end
      out[n][e] = sum
    end
  end
  return out
end

local function within(choice, groups, keep)
  local each, scores, out = #choice // groups, {}, {}
  for g = 1, groups do
    local inside = table.move(choice, (g - 1) * each + 1, g * each, 1, {})
    local two = largest(inside, 2)
    scores[g] = inside[two[1]] + inside[two[2]]
  end
  local kept = {}
  for _, g in ipairs(largest(scores, keep)) do kept[g] = true end
  for e, v in ipairs(choice) do out[e] = kept[(e - 1) // each + 1] and v or -math.huge end
  return out
end

local function plus(a, b)
  local out = {}
  for i, v in ipairs(a) do out[i] = v + b[i] end
  return out
end

-- A token's experts and gates by its logits.
local PLAIN = {}

local function likeliest(logits, K)
  local p = softmax(logits)
  local places = largest(p, K)
  return places, of(p, places)
end
PLAIN.switch, PLAIN.st_moe, PLAIN.olmoe = likeliest, likeliest, likeliest

local function to_one(logits, K)
  local places, gates = likeliest(logits, K)
  return places, sums_to(gates, 1)
end
PLAIN.qwen3, PLAIN.gshard, PLAIN.softmax = to_one, to_one, to_one

local function over_chosen(logits, K)
  local places = largest(logits, K)
  return places, softmax(of(logits, places))
end
PLAIN.mixtral, PLAIN.gpt_oss, PLAIN.noisy_topk = over_chosen, over_chosen, over_chosen

function PLAIN.deepseek_v3(logits, K, bias, o)
  local s = map(logits, sigmoid)
  local choice = plus(s, bias)
  if o.groups then choice = within(choice, o.groups, o.keep) end
  local places = largest(choice, K)
  return places, sums_to(of(s, places), o.scale or 2.5)
end

function PLAIN.deepseek_v4(logits, K, bias)
  local s = map(logits, root_softplus)
  local places = largest(plus(s, bias), K)
  return places, sums_to(of(s, places), 1.5)
end

function PLAIN.llama4(logits, K)
  local places = largest(logits, K)
  return places, map(of(logits, places), sigmoid)
end

local AT = "model.layers.0.mlp.gate."

-- A parameter or state of this name, or nil.
local function find(m, name)
  for i, info in ipairs(m._info) do
    if info.name == name then return m.params[i] end
  end
  for known, state in pairs(m.states) do
    if known == name then return state end
  end
end

local function values(m, name)
  local x = find(m, AT .. name)
  return x and x:detach():table()
end

-- What a router makes of 12 tokens is what plain numbers say.
local function compare(name, K, E, o)
  local router = with({name}, o)
  local m = scattered {router = router, top_k = K, experts = E}
  local x = tensor.randn({12, C}, {seed = 5, dtype = "f64"}) * 0.4
  local r = hand.route(nn.routers[name], m, x, {E = E, K = K, options = router})
  local logits = logits_of(x:table(), values(m, "weight"), values(m, "bias"))
  local bias = values(m, "e_score_correction_bias")
  local experts, gates, wrong, off = r.experts:table(), r.gates:table(), 0, 0
  for n, row in ipairs(logits) do
    local places, weights = PLAIN[name](row, K, bias, o or {})
    for k = 1, K do
      wrong = wrong + (experts[n][k] ~= places[k] and 1 or 0)
      off = math.max(off, math.abs(gates[n][k] - weights[k]))
    end
  end
  local what = ("%s: %d of %d"):format(name, K, E)
  is(wrong, 0, what .. ": experts")
  ok(off < 1e-8, what .. ": gates", off)
  if r.scores then
    ok((r.scores:sum(-1) - 1):abs():max():item() < 1e-9, what .. ": scores sum to 1")
  end
end

compare("softmax", 2, 5)
compare("switch", 1, 5)
compare("gshard", 2, 5)
compare("noisy_topk", 3, 6)
compare("st_moe", 2, 5)
compare("mixtral", 2, 8)
compare("olmoe", 3, 8)
compare("qwen3", 3, 8)
compare("gpt_oss", 4, 8)
compare("llama4", 1, 5)
compare("deepseek_v3", 3, 8)
compare("deepseek_v3", 3, 8, {groups = 4, keep = 2})
compare("deepseek_v3", 2, 8, {groups = 2, keep = 1, scale = 1})
compare("deepseek_v4", 2, 8, {hash_layers = 0})

-- ---- values of balance losses ----

-- Losses, by name, of a router with given logits (N,E); tensors.
local function losses(name, logits, K, o)
  local N, E = table.unpack(logits.shape)
  local m, out, kept = moe {router = with({name}, o), top_k = K, experts = E}, {}, nn.loss
  local function also(ctx, r)
    r.load = (r.counted or r.experts):moe_load({experts = E})
    r.importance, r.logits = r.scores:mean(1), rawget(ctx, "_raw")
    r.taken_gates = r.experts:gt(0):where(r.gates, tensor.zeros(r.gates.shape))
    for _, rule in ipairs(routing.all_rules()) do
      if rule.loss and routing.in_force(rule, ctx._router, m.cfg.balance) then rule.loss(ctx, r) end
    end
  end
  nn.loss = function(what, v) out[what] = v end
  local good, r = pcall(hand.route, nn.routers[name], m, tensor.zeros({N, C}, {dtype = "f64"}),
    {E = E, K = K, options = with({name}, o), logits = logits, also = also})
  nn.loss = kept
  if not good then error(r, 0) end
  return out, r
end

local function row_of_logs(...)
  return map({...}, math.log)
end

local function f64(rows) return tensor(rows, {dtype = "f64"}) end

do -- all to one expert with probability 0.9
  local row = row_of_logs(0.9, 0.1)
  local l = losses("switch", f64 {row, row, row, row}, 1)
  near(l.balance:item(), 1.8, 1e-6, "switch: aux of four tokens at one of two experts: 2 * 0.9")
end

do -- two of three
  local logits = f64 {row_of_logs(0.6, 0.3, 0.1), row_of_logs(0.1, 0.6, 0.3)}
  local l, r = losses("gshard", logits, 2)
  near(r.gates[1][1], 2 / 3, 1e-7, "gshard: the first gate of (0.6, 0.3, 0.1)")
  near(r.gates[1][2], 1 / 3, 1e-7, "gshard: the second")
  -- f of first choices (1/2, 1/2, 0), P (0.35, 0.45, 0.2)
  near(l.balance:item(), 3 * (0.5 * 0.35 + 0.5 * 0.45), 1e-6, "gshard: aux of first choices alone")
end

do -- the second now and then
  local rows = {}
  for n = 1, 100000 do rows[n] = row_of_logs(0.6, 0.3, 0.1) end
  local logits = f64(rows)
  local function kept(policy, threshold)
    tensor.seed(7)
    local m = moe {router = {"gshard", policy = policy}, experts = 3}
    local r = hand.route(nn.routers.gshard, m, tensor.zeros({#rows, C}, {dtype = "f64"}),
      {E = 3, K = 2, mode = "train", logits = logits,
       options = {"gshard", policy = policy, threshold = threshold}})
    return r.experts:narrow(2, 2, 1), r
  end
  local second, random = kept("random", 0.5)
  near(second:gt(0):cast("f32"):mean():item(), 2 / 3, 0.005,
    "gshard: a second gate of 1/3 is kept of 0.5 in 2 of 3 cases")
  near(random.gates:narrow(2, 1, 1):min():item(), 2 / 3, 1e-7,
    "... and the first stays what it is where the second is left out")
  near(kept("random", 0.2):gt(0):cast("f32"):mean():item(), 1, 0, "... over its threshold always")
  near(kept("all"):gt(0):cast("f32"):mean():item(), 1, 0, "... by policy all as well")
  local drawn = kept("sampling")
  near(drawn:eq(2):cast("f32"):mean():item(), 0.75, 0.005, "... sampled by 0.3 of 0.3 + 0.1")
  is(drawn:eq(1):cast("f32"):sum():item(), 0.0, "... never the first again")
  local sure = {}
  for n = 1, 8 do sure[n] = {2000, 0, 0} end
  local m = moe {router = {"gshard", policy = "sampling"}, experts = 3}
  local r = hand.route(nn.routers.gshard, m, tensor.zeros({8, C}, {dtype = "f64"}),
    {E = 3, K = 2, mode = "train", logits = f64(sure), options = {"gshard", policy = "sampling"}})
  is(r.experts:narrow(2, 2, 1):eq(1):cast("f32"):sum():item(), 0.0, "... however sure it is")
end

do -- st_moe's z sees what softmax does not
  local logits = tensor.randn({6, 4}, {seed = 4, dtype = "f64"})
  local a, r = losses("st_moe", logits, 2)
  local b, s = losses("st_moe", logits + 10, 2)
  ok((r.gates - s.gates):abs():max():item() < 1e-12, "st_moe: 10 more leave the gates")
  ok(b.z:item() > a.z:item() + 50, "... and not the z-loss", b.z:item())
end

-- erf by its series.
local function erf(x)
  local sum, term = x, x
  for n = 1, 200 do
    term = -term * x * x / n
    sum = sum + term / (2 * n + 1)
  end
  return 2 / math.sqrt(math.pi) * sum
end

do -- noisy_topk: importance and load
  local m = scattered {router = "noisy_topk", top_k = 2, experts = 4}
  local x = tensor.randn({3, C}, {seed = 6, dtype = "f64"}) * 0.2
  local r = hand.route(nn.routers.noisy_topk, m, x, {E = 4, K = 2})
  local clean = logits_of(x:table(), values(m, "weight"))
  local of_noise = m.params["model.layers.0.mlp.gate.noise.weight"]
  local spread = logits_of(x:table(), of_noise:detach():table())
  local off, chance = 0, r.chance:table()
  for n, row in ipairs(clean) do
    for e, v in ipairs(row) do
      local others = table.move(row, 1, 4, 1, {})
      table.remove(others, e)
      local over = others[largest(others, 2)[2]]
      local want = 0.5 * (1 + erf((v - over) / math.log(1 + math.exp(spread[n][e])) / math.sqrt(2)))
      off = math.max(off, math.abs(chance[n][e] - want))
    end
  end
  ok(off < 1e-9, "noisy_topk: the chance that other noise chooses an expert", off)
  -- gates (1/2, 1/2) of experts (1, 2) and (1, 3): sums (1, 1/2, 1/2, 0)
  local l = losses("mixtral", f64 {{1, 1, 0, 0}, {1, 0, 1, 0}}, 2)
  ok(not l.cv2, "cv2 is in force where it is asked for")
  l = losses("noisy_topk", f64 {{1, 1, 0, 0}, {1, 0, 1, 0}}, 2)
  near(l.cv2:item(), 0.125 / 0.25, 1e-6, "cv2: variance over the square of the mean")
end

do -- at perfect balance a standard deviation has no gradient; the variance has
  local variation = require "switchyard.model.variation"
  local x = tensor.ones({4}, {dtype = "f64"}):grad(true)
  variation.of(x):backward()
  is(x.grad:abs():max():item(), 0.0, "cv2: its gradient at perfect balance is 0, not NaN")
  local r = train(moe {router = "noisy_topk", top_k = 2, experts = 4}, d,
    {steps = 3, batch = 2, warmup = 0, eval_every = 0, save = false}):wait()
  ok(r.loss == r.loss and math.abs(r.cv2 - 0.1) < 1e-6, "noisy_topk begins at 0 and learns", r.loss)
  r:close()
end

do -- simbal sees no token
  local m = moe {router = "softmax", balance = {simbal = 0.1}, experts = 4}
  local w = tensor.zeros {4, C}
  for e = 1, 4 do w[e][e] = 1 end
  engine.copy(m.params[AT .. "weight"], w)
  local still = {steps = 2, batch = 2, lr = 1e-30, warmup = 0, eval_every = 0, save = false}
  local r = train(m, d, still):wait()
  is(r:history("simbal.1")[1][2], 0.0, "simbal: of rows at right angles it is 0")
  r:close()
  engine.copy(m.params[AT .. "weight"], w * 2)
  r = train(m, d, still):wait()
  is(r:history("simbal.1")[1][2], 12.0, "... of rows twice as long 4 * 3")
  is(r:history("simbal.1")[2][2], 12.0, "... on any batch")
  r:close()
end

-- ---- by the token id ----

do
  local token_table = require "switchyard.model.token_table"
  local rows, counts, twice = token_table(1000, 8, 3, 1, 1):table(), {}, 0
  for _, row in ipairs(rows) do
    local seen = {}
    for _, e in ipairs(row) do
      counts[e], twice = (counts[e] or 0) + 1, twice + (seen[e] and 1 or 0)
      seen[e] = true
    end
  end
  is(twice, 0, "hash: a token's experts differ")
  local least, most = math.huge, 0
  for e = 1, 8 do least, most = math.min(least, counts[e]), math.max(most, counts[e]) end
  ok(#counts == 8 and least > 300 and most < 450, "... and are spread over all", most)
  local function hash(seed, layer) return token_table(1000, 8, 3, seed, layer):hash() end
  is(hash(1, 1), tensor(rows, {dtype = "f32"}):hash(), "by seed, the same")
  ok(hash(2, 1) ~= hash(1, 1), "another by another")
  ok(hash(1, 2) ~= hash(2, 1), "layer 2 of a seed is not layer 1 of the next")
  is(table.concat(token_table(4, 4, 2, 1, 1)[1]:table(), " "),
    table.concat(token_table(9, 4, 2, 1, 1)[1]:table(), " "), "a larger vocabulary changes no id's")
end

do -- deepseek_v4's first layers: experts by the id, weights by the context
  local m = scattered {router = "deepseek_v4", top_k = 2, experts = 8}
  local function at(ids, seed)
    return hand.route(nn.routers.deepseek_v4, m, tensor.randn({3, C}, {seed = seed, dtype = "f64"}),
      {E = 8, K = 2, ids = ids})
  end
  local a, b = at({7, 3, 7}, 1), at({3, 7, 9}, 2)
  is(a.experts[1]:hash(), b.experts[2]:hash(), "deepseek_v4: a token's experts are its id's")
  is(a.experts[1]:hash(), a.experts[3]:hash(), "... wherever it stands")
  ok(a.gates[1]:hash() ~= b.gates[2]:hash(), "... and their gates are not")
  is(find(m, AT .. "e_score_correction_bias"), nil, "... and there is no bias")
  m = moe {layers = 2, router = {"deepseek_v4", hash_layers = 1}, top_k = 2, experts = 8}
  ok(find(m, "model.layers.1.mlp.gate.e_score_correction_bias"), "the layer behind has one")
end

-- ---- the router learns of the loss ----

-- The largest gradient at the router's weights of a sum of gates, with K = 1.
local function gradient(router, m, o)
  local w = m.params[AT .. "weight"]:detach():cast("f64"):clone():grad(true)
  local x = tensor.randn({12, C}, {seed = 5, dtype = "f64"})
  local r = hand.route(router, m, x, {E = 4, K = 1, options = o, params = {[AT .. "weight"] = w}})
  local gates = hand.dense(r, 4)
  if o == "twin" then gates = gates / gates:sum(-1, true) end
  gates:sum():backward()
  return w.grad and w.grad:abs():max():item() or 0
end

for _, row in ipairs(routers()) do
  local router = nn.routers[row.name]
  local o = {row.name}
  if row.name == "forced" then o.experts = "2" end
  if not router.causal then o.allow_leak = true end
  local good, m = pcall(moe, {router = o, top_k = 1, experts = 4})
  if good and routing.gives(router, "logits") and find(m, AT .. "weight") then
    m = scattered {router = o, top_k = 1, experts = 4}
    ok(gradient(router, m, o) > 1e-3, row.name .. ": with one expert a token the router learns")
  end
end

nn.router("twin", {route = function(ctx)
  local r = nn.routers.switch.route(ctx)
  return {experts = r.experts, gates = r.gates / r.gates:sum(-1, true), scores = r.scores}
end, rows = {{"jitter", "number", 0.01}}})
ok(gradient(nn.routers.twin, scattered {router = "twin", top_k = 1, experts = 4}, {"twin"}) < 1e-12,
  "its twin with gates that sum to 1 does not")

do -- nor one that stands still
  local m = moe {router = "random", experts = 4}
  local w = m.params[AT .. "weight"]
  local before = w:hash()
  local r = train(m, d, {steps = 3, batch = 2, lr = 0.1, warmup = 0, eval_every = 0, save = false})
    :wait()
  is(w:hash(), before, "random: its weights stand still")
  r:close()
  ok(moe({router = "random", seed = 2, experts = 4}).params[AT .. "weight"]:hash() ~= before,
    "... and are others by another seed")
end

do -- no loss of balance where the id has chosen
  local m = moe {layers = 2, router = {"deepseek_v4", hash_layers = 1}, experts = 8,
                 balance = {aux = 0.1}}
  local r = train(m, d, {steps = 1, batch = 2, warmup = 0, eval_every = 0, save = false}):wait()
  ok(pcall(r.history, r, "balance.2"), "deepseek_v4: aux where scores choose")
  ok(not pcall(r.history, r, "balance.1"), "... and not in the layers by token id")
  r:close()
end

do -- jitter is the router's, and of training alone
  local m = moe {router = {"switch", jitter = 0.5}, experts = 4}
  is(m:logits({1, 2, 3}):hash(), m:logits({1, 2, 3}):hash(), "switch: no jitter in evaluation")
  local x = tensor.randn({4, C}, {seed = 1, dtype = "f64"})
  local function scores(mode, jitter)
    return hand.route(nn.routers.switch, m, x, {E = 4, K = 1, mode = mode,
      options = {"switch", jitter = jitter}}).scores:hash()
  end
  ok(scores("train", 0.5) ~= scores("eval", 0.5), "... in training there is")
  is(scores("train", 0), scores("eval", 0.5), "... unless it is 0")
end

do -- uniform: anew, K different ones
  local m = moe {router = "uniform", experts = 4}
  local r = hand.route(nn.routers.uniform, m, tensor.zeros({200, C}, {dtype = "f64"}),
    {E = 4, K = 2, mode = "train"})
  local load = r.experts:moe_load({experts = 4})
  ok((load * 4 - 1):abs():max():item() < 0.3, "uniform: all alike", tostring(load))
  is(r.experts:narrow(2, 1, 1):eq(r.experts:narrow(2, 2, 1)):cast("f32"):sum():item(), 0.0,
    "... and a token's differ")
  is(r.gates:min():item(), 0.5, "... of equal weight")
end

do -- forced: by place
  local m = moe {router = {"forced", experts = "2,3 4,1"}, experts = 4}
  local r = hand.route(nn.routers.forced, m, tensor.randn({3, C}, {seed = 1, dtype = "f64"}),
    {E = 4, K = 2, options = {"forced", experts = "2,3 4,1"}})
  is(table.concat(map(r.experts:table(), function(row) return table.concat(row, ",") end), " "),
    "2,3 4,1 2,3", "forced: what is said, over and over")
end

-- ---- defaults of the model, and what is refused ----

is(moe({router = "switch"}).cfg.top_k, 1, "switch: one expert a token where nothing is said")
is(moe({router = "softmax"}).cfg.top_k, 2, "softmax: two, as before")
is(moe({router = "softmax", top_k = 1}).cfg.top_k, 1, "what is said holds")

local function capacity_of(o)
  local c = moe(o).cfg.capacity
  if type(c) ~= "table" then return tostring(c) end
  return ("%g %g %d"):format(c.train, c.eval, c.least)
end
is(capacity_of {router = "switch"}, "1.25 2 4", "switch: its paper's capacity")
is(capacity_of {router = "gshard"}, "1 1 4", "gshard: 2 N/E, which is 1 of N*K/E")
is(capacity_of {router = "st_moe"}, "0.625 1 4", "st_moe: 1.25 N/E, which is 0.625 of N*K/E")
is(capacity_of {router = "switch", capacity = 3}, "3 2 4", "what is said holds")
is(tostring(moe({router = "switch", capacity = false}).cfg.capacity or nil), "nil",
  "... and that there is none")
is(moe({router = "gpt_oss"}).cfg.activation, "swiglu_oai", "gpt_oss: its experts")
is(moe({router = "gpt_oss", activation = "relu"}).cfg.activation, "relu",
  "... or those that are said")

do -- 8 tokens of one sequence, all to one of 4 experts: places for 4
  local m = moe {router = {"switch", jitter = 0}, experts = 4,
                 capacity = {train = 1, eval = 1, least = 4}}
  local free = moe {router = {"switch", jitter = 0}, experts = 4, capacity = false}
  local off = moe {router = {"switch", jitter = 0}, experts = 4, capacity = false}
  for i, info in ipairs(m._info) do
    if info.name:find("gate.weight", 1, true) then m.params[i]:detach():fill(0) end -- all tie
    for _, other in ipairs {free, off} do engine.copy(other.params[i], m.params[i]) end
    if info.name:find("experts.down", 1, true) then off.params[i]:detach():fill(0) end
  end
  local ids = {1, 2, 3, 4, 5, 6, 7, 8}
  local y = m:logits(ids)
  local function part(x, first) return x:narrow(1, first, 4):hash() end
  is(part(y, 1), part(free:logits(ids), 1), "switch: the first 4 are served")
  is(part(y, 5), part(off:logits(ids), 5), "... and the others get 0")
end

local function says(o, line)
  local good, why = pcall(moe, o)
  local said = good and "no error" or tostring(why):gsub("^[^\n]-tests/lua/[%w_]+.lua:%d+: ", "")
  is(said, line, line)
end
says({router = "switch", top_k = 2},
  "model.moe: router 'switch': top_k is 2; it sends a token to one expert")
says({router = "gshard", top_k = 1},
  "model.moe: router 'gshard': top_k is 1; it sends a token to two experts")
says({router = "llama4", top_k = 4},
  "model.moe: router 'llama4': top_k is 4; it sends a token to one expert")
for _, name in ipairs {"mixtral", "gpt_oss", "noisy_topk"} do
  says({router = name, top_k = 1}, ("model.moe: router '%s': top_k is 1; a softmax over one is 1 "
    .. "whatever its logit is"):format(name))
end
says({router = "olmoe", top_k = 9, experts = 8},
  "model.moe: top_k must be at most experts: top_k is 9, experts is 8")
says({router = {"deepseek_v3", groups = 3}, experts = 8},
  "model.moe: router 'deepseek_v3': 8 experts in 3 groups")
says({router = {"deepseek_v3", groups = 8}, experts = 8}, "model.moe: router 'deepseek_v3': "
  .. "8 experts in 8 groups, of 1; a group's score is that of its two best")
says({router = {"deepseek_v3", groups = 4, keep = 5}, experts = 8},
  "model.moe: router 'deepseek_v3': keep is 5 of 4 groups")
says({router = {"deepseek_v3", groups = 4, keep = 1}, experts = 8, top_k = 3},
  "model.moe: router 'deepseek_v3': top_k is 3 of the 2 experts of 1 groups")
says({router = {"deepseek_v3", keep = 2}, experts = 8},
  "model.moe: router 'deepseek_v3': keep is 2 of 1 group")
says({router = {"gshard", policy = "some"}},
  "model.moe: router 'gshard': unknown policy 'some'; there are: all, random, sampling")
says({router = "forced"}, "model.moe: router 'forced': experts is missing: numbers with commas "
  .. "between, {\"forced\", experts = \"1,2\"}")
says({router = {"forced", experts = "1,9"}, experts = 8},
  "model.moe: router 'forced': experts has '9'; it must be a number from 1 to 8")
says({router = {"forced", experts = "1,1"}},
  "model.moe: router 'forced': experts has 1 twice for a token: '1,1'")
says({router = {"forced", experts = "1,2 3"}},
  "model.moe: router 'forced': experts has 1 for a token ('3'); top_k is 2")
says({router = "hash", balance = {aux = 0.1}},
  "model.moe: aux has no effect with router 'hash'")
says({router = "random", balance = {z = 0.1}},
  "model.moe: z has no effect with router 'random'")
says({router = "softmax", balance = {cv2_load = 0.1}},
  "model.moe: cv2_load has no effect with router 'softmax'")
says({router = "switch", balance = {gamma = 0.1}},
  "model.moe: gamma has no effect with router 'switch'")
says({router = "switch", scale = 2}, "model.moe: scale has no effect with router 'switch'")
for _, listed in ipairs(routers()) do -- what the gates of a router do by themselves may be said
  local router = nn.routers[listed.name]
  local free = listed.name == "record" or listed.name == "replay"
  for _, row in ipairs(router.rows) do free = free or row[1] == "normalize" end
  if not free then
    local K = router.model and router.model.top_k or 2
    local o = {router = router.causal and router.name or {router.name, allow_leak = true},
               top_k = K, experts = 4}
    for _, normalize in ipairs {true, false} do
      o.normalize = normalize
      local line = ("model.moe: normalize has no effect with router '%s'"):format(router.name)
      if normalize == router.normalized then
        is(moe(o).cfg.normalize, normalize, router.name .. ": it is so")
      else
        says(o, line)
      end
    end
  end
end
says({router = "deepseek_v4", layers = 2, balance = {gamma = 0.1}}, "model.moe: balance: gamma = "
  .. "0.1 has no effect: no layer's mixture goes by it (router 'deepseek_v4', 2 layers)")
says({layers = 2, dense_layers = 2, balance = {aux = 0.01}}, "model.moe: balance: aux = 0.01 has "
  .. "no effect: no layer's mixture goes by it (router 'softmax', 2 layers)")
ok(moe {router = {"deepseek_v4", hash_layers = 1}, layers = 2, balance = {gamma = 0.1}},
  "... and has one where a layer has a bias")
says({router = {"softmax", frozen = true}, balance = {simbal = 1}}, "model.moe: simbal has no "
  .. "effect: the weight of router 'softmax' is frozen")
says({router = "noisy_topk", balance = {scope = "sequence"}}, "moe: balance rule 'cv2': scope = "
  .. "'sequence' has no effect on cv2, which is of a micro-batch or a step")
ok(moe {router = {"deepseek_v3", groups = 2, keep = 1}, balance = {scope = "step"}},
  "deepseek_v3 with scope = step")
says({router = "hash", capacity = {train = 1, drop = "probability"}}, "moe: capacity: drop = "
  .. "'probability' serves the largest gate first, and router 'hash' gives all the same")
says({router = "relu", capacity = {train = 1, drop = "reroute"}}, "moe: capacity: drop = 'reroute' "
  .. "goes by scores, and router 'relu' gives none")

do -- live: refused with the values, and the run goes on as if nothing had been said
  local function bits(f)
    local r = train(moe {router = {"deepseek_v3", groups = 2, keep = 1}, experts = 4}, d,
      {steps = 4, batch = 2, warmup = 0, eval_every = 0, save = false, paused = true})
    r:steps(2):wait()
    if f then f(r) end
    r:resume():wait()
    local hash = r:hash()
    r:close()
    return hash
  end
  local whole = bits()
  is(bits(function(r)
    t.refuses(function() r.top_k = 3 end, "live: more experts than the kept groups have",
      "router 'deepseek_v3': top_k is 3 of the 2 experts of 1 groups")
    t.refuses(function() r.top_k = 5 end, "live: more than there are", "top_k", "5", "4")
    t.refuses(function() r.aux = -1 end, "live: a coefficient out of its range", "aux", "-1")
    t.refuses(function() r.cv2_load = 1 end, "live: one that the router does not know", "cv2_load")
  end), whole, "live: which leaves the run as it was")
  local r = train(moe {router = "switch", experts = 4}, d,
    {steps = 2, batch = 2, warmup = 0, eval_every = 0, save = false, paused = true})
  t.refuses(function() r.top_k = 2 end, "live: switch takes one",
    "router 'switch': top_k is 2; it sends a token to one expert")
  is(r.top_k, 1, "... and has it still")
  r:resume():wait()
  r:close()
end

t.done()
