-- Experts that cost nothing beside those that compute: a token may choose nothing at all (zero),
-- itself (copy), or a learned vector mixed with itself (constant).
--
--     copy: x      constant c: a1 x + a2 v_c, a = softmax(W_c x)
--
--  1. Choices are numbered: the E experts, then zero, copy, constant ones.  A choice that is none
--     of the E has no slot and no product; of a zero one the output is exactly 0.
--  2. Logits go on from layer to layer: each layer adds a product of those of the layer before.

local nn = require "switchyard.model.nn"

local function count(o) return o.zero + o.copy + o.constant end

-- (E + extra) logits with what those of the layer before add; (N, E + extra).
local function chained_logits(ctx, extra)
  local n = ctx.E + extra
  local before = ctx:handed "logits"
  local function residual()
    local w = nn.param("gate.residual", {n, n}, "zeros", {role = "router"})
    return ctx:linear(before, w)
  end
  local fits = ctx.options.residual and before and before.shape[1] == ctx.N and before.shape[2] == n
  local logits = ctx:logits {extra = extra, plus = fits and residual or nil}
  -- -inf of a disabled expert would make products NaN
  ctx:handed("logits", logits:maximum(-1e4))
  return logits
end

-- Weights of the choice with number e, (N,1).
local function share_of(choices, gates, e)
  return choices:eq(e):where(gates, tensor.zeros(gates.shape)):sum(-1, true)
end

local function constant(ctx, i)
  local x, C = ctx.x, ctx.x.shape[2]
  local v = nn.param(("constant.%d.value"):format(i), {1, C})
  local w = nn.param(("constant.%d.weight"):format(i), {2, C})
  local a = nn.linear(x, w):softmax(-1)
  return a:narrow(2, 1, 1) * x + a:narrow(2, 2, 1) * v
end

-- What the choices beyond the E add; nil: nothing.
local function added(ctx, choices, gates)
  local o, sum = ctx.options, nil
  local function add(e, y)
    local part = share_of(choices, gates, ctx.E + e) * y
    sum = sum and sum + part or part
  end
  for i = 1, o.copy do add(o.zero + i, ctx.x) end
  for i = 1, o.constant do add(o.zero + o.copy + i, constant(ctx, i)) end
  return sum
end

-- The load-balancing loss over all n choices, by what it is of: f their shares of the assignments,
-- P the means of p (N,n).
local LOSS = {}

function LOSS.micro(ctx, choices, p, n) return choices:moe_load({experts = n}) * ctx:mean(p) end

local function of_parts(ctx, choices, p, n, parts)
  local f = choices:moe_load({experts = n, groups = parts}):view(parts, n)
  return (f * ctx:sequence_means(p, parts)):mean(1)
end

function LOSS.sequence(ctx, choices, p, n) return of_parts(ctx, choices, p, n, ctx.B) end

function LOSS.group(ctx, choices, p, n) return of_parts(ctx, choices, p, n, ctx:groups()) end

function LOSS.step(ctx, choices, p, n)
  local count = (choices:moe_load({experts = n}) * choices:gt(0):cast("f32"):sum()):round()
  local all = ctx:whole("choices", count)
  return all / all:sum():maximum(1) * ctx:weighed(ctx:mean(p))
end

-- Those that cost nothing count tau of an expert's.
local function balance_choices(ctx, choices, p)
  local n = p.shape[2]
  choices = ctx:without_padding(choices)
  local weight = tensor.ones(ctx.E):pad(1, 0, n - ctx.E)
  weight = weight + (1 - weight) * ctx:setting "tau"
  local each = LOSS[ctx:scope()](ctx, choices, p, n)
  nn.loss("balance", (weight * each):sum() * n, ctx:setting "aux_all")
end

-- K of the choices of p (N,n), and their gates; and with a bias its update.
local function chosen(ctx, p, extra)
  if not ctx.options.real then return ctx:choose(p) end
  local bias = nn.state("gate.bias", tensor.zeros(ctx.E))
  local _, choices = ctx:choose(p + (bias + ctx:mask()):pad(1, 0, extra))
  return p:gather(-1, choices), choices, bias
end

-- After a step: of each of the E what it misses of its part of the choices that are to compute.
local function steer(ctx, bias, experts)
  local load = experts:moe_load({experts = ctx.E}) -- shares of those that compute
  local count = nn.step_sum("real", (load * experts:gt(0):cast("f32"):sum()):round())
  local n = ctx:count()
  local all = type(n) == "number" and n * nn.micro_batches()
    or nn.step_sum("real.tokens", n):maximum(1)
  local on = ctx:enabled()
  local missing = on * (ctx.options.real / ctx.K) / on:sum() - count / (all * ctx.K)
  nn.observe("bias", bias:max() - bias:min())
  nn._observe_aside("bias_mean", bias:mean())
  nn.update(bias, bias + missing * on * ctx:setting "mu")
end

return {
  name = "zero_experts",
  rule = "softmax over the E experts and more that cost nothing, the K largest",
  doc = "Softmax over E + zero + copy + constant choices, the K largest: a zero expert adds "
    .. "nothing, a copy the token itself, a constant one a learned vector mixed with the token; "
    .. "none of these costs a product. Series computed: experts that compute a token, on average. "
    .. "The loss balance is over all choices. With real, a bias of the E, which chooses and "
    .. "does not weigh, moves by mu * (real / (K E) - the expert's share of all choices) after "
    .. "each step, so that so many compute a token in the mean, evenly; with copy alone, scale = "
    .. "6 and aux_all = 0 it is LongCat-Flash's.",
  source = "MoE++, Jin et al. 2024; LongCat-Flash, 2025",
  paper = "zero 1, copy 1, constant 2; loss 0.01 with tau 0.75 of f that sum to K = 2, which is "
    .. "0.02 here (times the number of choices, as in other losses; the paper writes none)",
  rows = {
    {"zero", "integer", 1, 0, 4096, help = "experts that give nothing"},
    {"copy", "integer", 1, 0, 4096, help = "experts that give what they are given"},
    {"constant", "integer", 2, 0, 4096, help = "experts that mix it with a learned vector"},
    {"residual", "boolean", true, help = "logits go on from one layer to the next"},
    {"normalize", "boolean", false, help = "the K gates of a token sum to 1"},
    {"scale", "number", 1, 0, 1e3, help = "factor on the gates"},
    {"aux_all", "number", 0.02, 0, 1e6, scheduled = true,
     help = "weight of the loss that balances all choices"},
    {"tau", "number", 0.75, 0, 1e3, scheduled = true,
     help = "weight of what costs nothing in it"},
    {"real", "number", nil, 0, 64,
     help = "experts that are to compute a token, on average; default: any, and no bias"},
    {"mu", "number", 0.01, 0, 1, scheduled = true, help = "speed of the bias"},
  },
  gives = "logits", scoped = true,
  balance = {z = 0},
  except = {
    one = "there are choices beside it",
    order = "its weights have rows beyond the E, which stay where they are",
  },
  check = function(_, K, o)
    if count(o) == 0 then return "zero, copy and constant are 0: that is router 'softmax'" end
    if o.real and o.real > K then return ("real is %g of top_k = %d"):format(o.real, K) end
    if not o.real and o.mu ~= 0.01 then return "mu has no effect without real" end
  end,
  route = function(ctx)
    local o, extra = ctx.options, count(ctx.options)
    local p = chained_logits(ctx, extra):softmax(-1)
    local gates, choices, bias = chosen(ctx, p, extra)
    if o.normalize then gates = nn.normalize_gates(gates) end
    gates = gates * o.scale
    local real = choices:le(ctx.E)
    nn.observe("computed", ctx:mean(real:cast("f32"):sum(-1)), {kind = "experts_per_token"})
    local experts = real:where(choices, tensor.zeros(choices.shape, {dtype = "i32"}))
    return {experts = experts,
            update = bias and function() steer(ctx, bias, ctx:without_padding(experts)) end,
            gates = real:where(gates, tensor.zeros(gates.shape)), fewer = true,
            plus = added(ctx, choices, gates),
            loss = function() balance_choices(ctx, choices, p) end}
  end,
}
