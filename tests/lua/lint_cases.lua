-- Faults of routers, each planted by what users write (routers, balance rules, models, options),
-- and beside it the twin without.  For tests/lua/lint.lua:
--     {fault, what, make = function(planted) -> m, options, also = {more faults of the planted},
--      twin = {faults that both have}}

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local nn = require "switchyard.model.nn"
local engine = require "switchyard.engine"

local E, V = 4, 64
local cases = {}

local function moe(more)
  return model.moe(t.with({layers = 2, dim = 16, heads = 2, context = 16, experts = E, top_k = 2,
                           expert_dim = 16, vocab = V}, more))
end

local count = 0

-- A router of a user's, which is made by route(ctx, planted); spec: what else it says.
local function routed(planted, route, spec, more)
  count = count + 1
  local name = "mine_" .. count
  nn.router(name, t.with({route = function(ctx) return route(ctx, planted) end}, spec))
  return moe(t.with({router = name}, more))
end

-- The same of a balance rule: rule = {needs =, loss =, update =} of (ctx, routing, planted).
local function balanced(planted, rule, more)
  count = count + 1
  local name, spec = "rule_" .. count, {needs = rule.needs}
  spec.rows = {{name, "number", nil, 0, 1}}
  spec.loss = rule.loss and function(ctx, r)
    rule.loss(ctx, r, planted, function(value) nn.loss("mine", value, ctx:setting(name)) end)
  end
  spec.update = rule.update and function(ctx, load) rule.update(ctx, load, planted) end
  nn.balance(name, spec)
  local balance = t.with({aux = 0, [name] = 0.01}, rule.beside)
  return moe(t.with(more, {balance = balance}))
end

local function add(fault, what, make, more)
  cases[#cases + 1] = t.with({fault = fault, what = what, make = make}, more)
end

local function f_P(ctx, f, P) return (f * P):sum() * ctx.E end

-- ---- the router and the language model's loss ----

add("router_untaught", "softmax over the one that is chosen", function(planted)
  return routed(planted, function(ctx, bad)
    local logits = ctx:logits()
    local p = logits:softmax(-1)
    local top, experts = ctx:choose(logits)
    return {experts = experts, gates = bad and top:softmax(-1) or p:gather(-1, experts), scores = p}
  end, nil, {top_k = 1})
end)

add("router_untaught", "a gate divided by itself", function(planted)
  return routed(planted, function(ctx, bad)
    local p = ctx:logits():softmax(-1)
    local gates, experts = ctx:choose(p)
    return {experts = experts, gates = bad and gates / (gates:sum(-1, true) + 1e-9) or gates,
            scores = p}
  end, nil, {top_k = 1})
end)

add("router_untaught", "gates of 1/K", function(planted)
  return routed(planted, function(ctx, bad)
    local p = ctx:logits():softmax(-1)
    local gates, experts = ctx:choose(p)
    return {experts = experts, gates = bad and tensor.full({ctx.N, ctx.K}, 1 / ctx.K) or gates,
            scores = p}
  end)
end)

add("experts_still", "a factor of 0 that is never learned", function(planted)
  count = count + 1
  local make = model.define("own_" .. count, function(cfg)
    return function(ids)
      local x = nn.embedding(ids, nn.param("embed", {cfg.vocab, 16}))
      local y = nn.layer(1, function()
        return nn.scope("mlp", nn.moe, x, {experts = E, top_k = 2, expert_dim = 8})
      end)
      return nn.head(x + y * (planted and 0 or 1), nn.param("head", {cfg.vocab, 16}))
    end
  end)
  return make {vocab = V, context = 16, layers = 1}
end)

add("router_too_fast", "a learning rate of 10", function() return moe() end,
  {options = function(planted) return {lr = planted and 10 or 1e-3} end})

-- ---- scores ----

add("scores_twice", "scores of a softmax of a softmax", function(planted)
  return routed(planted, function(ctx, bad)
    local p = ctx:logits():softmax(-1)
    if bad then p = p:softmax(-1) end
    local gates, experts = ctx:choose(p)
    return {experts = experts, gates = gates, scores = p}
  end)
end)

add("scores_twice", "gates by a softmax over chosen probabilities", function(planted)
  return routed(planted, function(ctx, bad)
    local p = ctx:logits():softmax(-1)
    local gates, experts = ctx:choose(p)
    return {experts = experts, gates = bad and gates:softmax(-1) or nn.normalize_gates(gates),
            scores = p}
  end)
end)

add("scores_shrink", "an epsilon that sigmoids come under", function(planted)
  return routed(planted, function(ctx, bad)
    local s = ctx:logits():sigmoid()
    local gates, experts = ctx:choose(s)
    return {experts = experts, gates = nn.normalize_gates(gates, 1e-20),
            scores = s / (s:sum(-1, true) + (bad and 1e-6 or 1e-20))}
  end)
end)

add("uniform", "weights of 0 that learn nothing", function(planted)
  local m = routed(planted, function(ctx, bad)
    local p = ctx:logits({init = bad and "zeros" or nil}):softmax(-1)
    local gates, experts = ctx:choose(p)
    gates = bad and tensor.full({ctx.N, ctx.K}, 1 / ctx.K) or nn.normalize_gates(gates)
    return {experts = experts, gates = gates, scores = p}
  end, nil, {balance = planted and {aux = 0, z = 0} or nil})
  local d = data.synthetic {domains = 2, tokens = 4000, seed = 1}
  train(m, d, {steps = 25, batch = 2, eval_every = 0, save = false}):wait():close()
  return m
end, {also = {"router_untaught", "no_balance"}})

add("router_coarse", "logits that were bf16", function(planted)
  return routed(planted, function(ctx, bad)
    local logits = ctx:logits()
    if bad then logits = logits:cast "bf16":cast "f32" end
    local p = logits:softmax(-1)
    local gates, experts = ctx:choose(p)
    return {experts = experts, gates = nn.normalize_gates(gates), scores = p}
  end)
end)

add("experts_by_lot", "noise in evaluation, too", function(planted)
  return routed(planted, function(ctx, bad)
    local logits = ctx:logits()
    local noisy = logits
    if bad or ctx.mode == "train" then noisy = logits + tensor.randn(logits.shape) end
    local _, experts = ctx:choose(noisy)
    local p = logits:softmax(-1)
    return {experts = experts, gates = nn.normalize_gates(p:gather(-1, experts)), scores = p}
  end)
end)

add("sees_future", "less the mean of the sequence", function(planted)
  return routed(planted, function(ctx, bad)
    local logits = ctx:logits()
    local by = logits
    if bad then
      local each = logits:view(ctx.B, ctx.T, ctx.E)
      by = (each - each:mean(2, true)):view(ctx.N, ctx.E)
    end
    local _, experts = ctx:choose(by)
    local p = logits:softmax(-1)
    return {experts = experts, gates = nn.normalize_gates(p:gather(-1, experts)), scores = p}
  end)
end)

-- ---- auxiliary losses ----

add("scores_of_chosen", "scores of the chosen, 0 elsewhere", function(planted)
  return routed(planted, function(ctx, bad)
    local logits = ctx:logits()
    local top, experts = ctx:choose(logits)
    local gates, p = top:softmax(-1), logits:softmax(-1)
    if bad then
      p = (experts + 1):scatter_add(gates, {dim = 2, n = ctx.E + 1}):narrow(2, 2, ctx.E)
        :contiguous()
    end
    return {experts = experts, gates = gates, scores = p}
  end)
end)

add("scores_of_chosen", "P from the gates", function(planted)
  return balanced(planted, {loss = function(ctx, r, bad, tell)
    local all = (r.experts + 1):scatter_add(r.taken_gates, {dim = 2, n = ctx.E + 1})
    local P = all:narrow(2, 2, ctx.E):contiguous():mean(1)
    tell(f_P(ctx, ctx:load(), bad and P or ctx:mean(r.scores)))
  end})
end)

add("load_after_drop", "f from what has a place", function(planted)
  return balanced(planted, {loss = function(ctx, r, bad, tell)
    local f = bad and r.placed:moe_load({experts = ctx.E}) or ctx:load()
    if bad then f = f * (r.placed:gt(0):cast("f32"):sum() / ctx.N) end
    tell(f_P(ctx, f, ctx:mean(r.scores)))
  end}, {top_k = 1, capacity = {train = 1, least = 4}})
end, {also = {"no_balance"}})

local function encdec(more)
  return model.encdec(t.with({layers = 2, decoder_layers = 2, dim = 16, heads = 2, vocab = V,
    context = 16, input_context = 16, experts = E, top_k = 2, expert_dim = 16,
    moe_every = 1}, more))
end

add("padding_counted", "a mean over all tokens", function(planted)
  count = count + 1
  local name = "rule_" .. count
  nn.balance(name, {rows = {{name, "number", nil, 0, 1}}, loss = function(ctx, r)
    local P = planted and r.scores:mean(1) or ctx:mean(r.scores)
    nn.loss("mine", f_P(ctx, ctx:load(), P), ctx:setting(name))
  end})
  return encdec {balance = {aux = 0, [name] = 0.01}}
end)

add("no_balance", "aux = 0", function(planted)
  return moe {balance = {aux = planted and 0 or 0.01}}
end)

add("loss_inert", "a loss of counts", function(planted)
  return balanced(planted, {loss = function(ctx, r, bad, tell)
    tell(f_P(ctx, ctx:load(), bad and ctx:load() or ctx:mean(r.scores)))
  end})
end, {also = {"no_balance"}})

add("loss_pooled", "the mean loads of all layers", function(planted)
  return balanced(planted, {loss = function(ctx, r, bad, tell)
    if not bad then return tell(f_P(ctx, ctx:load(), ctx:mean(r.scores))) end
    nn.of_layers("pool", {f = ctx:load(), P = ctx:mean(r.scores)}, function(list)
      local f, P = list[1].f, list[1].P
      for i = 2, #list do f, P = f + list[i].f, P + list[i].P end
      nn.loss("pooled", (f * P):sum() * (E / (#list) ^ 2), tensor(0.01))
    end, "")
    ctx:setting("rule_" .. count)
  end})
end)

add("loss_by_micro_batches", "divided by their number", function(planted)
  return balanced(planted, {loss = function(ctx, r, bad, tell)
    local value = f_P(ctx, ctx:load(), ctx:mean(r.scores))
    tell(bad and value / nn.micro_batches() or value)
  end})
end)

add("loss_not_finite", "a deviation in place of a variance", function(planted)
  return balanced(planted, {loss = function(ctx, r, bad, tell)
    local sums = ctx:mean(r.scores)
    local mean = sums:mean()
    local var = (sums - mean):square():mean()
    tell(bad and var:sqrt() / mean or var / mean:square())
  end})
end)

-- ---- loads and capacity ----

local function biased(planted, values, more)
  local m = moe(t.with({router = "sigmoid"}, more))
  for _, name in ipairs(m._state_names) do
    if planted and name:find "bias" then engine.put(m.states[name], values) end
  end
  return m
end

add("collapse", "a bias that sends all to one", function(planted)
  return biased(planted, {5, 0, 0, 0}, {top_k = 1})
end)

add("dead", "a bias that keeps one from all", function(planted)
  local m = biased(false, nil, {balance = {gamma = 0, aux = 0.01}})
  local d = data.synthetic {domains = 2, tokens = 4000, seed = 1}
  train(m, d, {steps = 100, batch = 2, context = 8, lr = 1e-4, eval_every = 0, save = false})
    :wait():close()
  for _, name in ipairs(planted and m._state_names or {}) do
    engine.put(m.states[name], {0.1, -5, 0, 0})
  end
  return m
end)

local function own_capacity(planted)
  count = count + 1
  local rows = {{"vocab", "integer"}, {"context", "integer"}, {"capacity", "number"},
                {"seed", "integer", 1}, {"layers", "integer"}}
  local make = model.define("own_" .. count, function(cfg)
    return function(ids)
      local x = nn.embedding(ids, nn.param("embed", {cfg.vocab, 16}))
      local y = nn.layer(1, function()
        return nn.scope("mlp", nn.moe, x, {experts = E, top_k = 2, expert_dim = 8,
                                           capacity = not planted and cfg.capacity or nil})
      end)
      return nn.head(x + y, nn.param("head", {cfg.vocab, 16}))
    end
  end, rows)
  return make {vocab = V, context = 16, layers = 1, capacity = 1.25}
end
add("capacity_ignored", "a model that forgets to hand it on", own_capacity)

add("mostly_dropped", "a quarter of the fair share", function(planted)
  return moe {top_k = 1, capacity = planted and 0.25 or 1.25}
end)

add("dropped_passed", "what finds no place is added by its gate", function(planted)
  return routed(planted, function(ctx, bad)
    local p = ctx:logits():softmax(-1)
    local gates, experts = ctx:choose(p)
    local taken = (experts:view(ctx.N) - 1):one_hot({n = ctx.E})
    local place = (taken:cumsum(1) * taken):sum(-1):view(ctx.N, 1)
    local over = place:gt(ctx.N / ctx.E * 1.5)
    local none = tensor.zeros(experts.shape, {dtype = "i32"})
    return {experts = over:where(none, experts), gates = gates, scores = p, fewer = true,
            plus = over:where(bad and ctx.x * gates or tensor.zeros(ctx.x.shape),
                              tensor.zeros(ctx.x.shape))}
  end, nil, {top_k = 1})
end)

-- ---- biases ----

add("bias_drifts", "biases of a public checkpoint", function(planted)
  return biased(planted, {6.817, 7.063, 6.9, 7.01})
end, {also = {"collapse"}})

local function moved(planted, update)
  return balanced(planted, {needs = "bias", update = update, beside = {gamma = 0}},
    {router = "sigmoid"})
end

add("bias_drifts", "an update without a mean taken off", function(planted)
  return moved(planted, function(ctx, load, bad)
    local step = bad and load * -1 - 1e-3 or load * -1 + 1 / ctx.E
    nn.update(ctx:bias(), ctx:bias() + step * 1e-3)
  end)
end)

add("bias_coarse", "biases that were bf16", function(planted)
  local m = moved(planted, function(ctx, load, bad)
    local now = ctx:bias() + (load * -1 + 1 / ctx.E) * 1e-2
    nn.update(ctx:bias(), bad and now:cast "bf16":cast "f32" or now)
  end)
  for _, name in ipairs(planted and m._state_names or {}) do
    engine.put(m.states[name], {0.0078125, -0.015625, 0.00390625, 0})
  end
  return m
end)

add("evaluation_moves", "loads of evaluations are gathered", function(planted)
  return routed(planted, function(ctx, bad)
    local p = ctx:logits():softmax(-1)
    local gates, experts = ctx:choose(p)
    local seen = nn.state("gate.seen", tensor.zeros(ctx.E))
    local load = experts:moe_load({experts = ctx.E})
    nn.update(seen, seen + load)
    if bad and ctx.mode == "eval" then
      nn.description().graph:carry(seen, seen + load)
    end
    return {experts = experts, gates = nn.normalize_gates(gates), scores = p}
  end)
end)

add("bias_jumps", "gamma = 0.5", function(planted)
  return moe {router = "deepseek_v3", balance = {gamma = planted and 0.5 or 1e-3}}
end)

add("bias_slow", "gamma = 1e-9 for a margin of 5", function(planted)
  return biased(true, {5, 0, 0, 0}, {top_k = 1, balance = {gamma = planted and 1e-9 or 1e-3}})
end, {twin = {"collapse"}})

return cases
