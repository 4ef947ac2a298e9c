-- What is seen of routers at few steps, for it takes a forward pass and two backward ones: the
-- phase "health" of a plan (include/switchyard/train.h), on a step's first micro-batch before it is
-- learned from.
--
--     margin.L         the K-th of what the router chooses by less the next, mean over tokens
--     close.L          share of tokens whose margin is under CLOSE of the range of their scores
--     bf16_changed.L   share of tokens that would get others if the router computed in bf16: its
--                      products of operands rounded to bf16, with sums in fp32, rounded to bf16
--     logsumexp.L      of the logits, mean over tokens
--     grad_norm.router_lm.L, grad_norm.router_balance.L
--                      norm at the router of the gradient of what is minimized without auxiliary
--                      losses, and of these; as vectors they sum to the gradient of this
--                      micro-batch
--
--  1. The phase changes nothing: no state, no series of every step, and the draws that the step has
--     are its own.
--  2. What a router does not have is not seen: hash has no logits, top_p no K-th, a frozen router
--     no gradient.

local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"

local health = {}

local CLOSE = 0.01

-- ---- choices ----

-- Mean of x (N) over the tokens in `of` (N) bool; NaN, which is kept nowhere, where there are none.
local function mean_of(of, x)
  return of:where(x, tensor.zeros(1)):sum() / of:cast("f32"):sum()
end

local function see_margin(ctx)
  local by, K = ctx._by, ctx.K
  if not by or ctx._forced or by.shape[2] <= K then return end
  local most = by:topk(K + 1, -1)
  local last, next = most:narrow(2, K, 1):view(-1), most:narrow(2, K + 1, 1):view(-1)
  local there = next:gt(-math.huge)
  local padding = ctx:padding()
  if padding then there = there:logical_and(padding:logical_not()) end
  local margin = there:where(last - next, tensor.zeros(1))
  local least = by:gt(-math.huge):where(by, tensor.full(1, math.huge)):neg():max(-1):neg()
  local range = most:narrow(2, 1, 1):view(-1) - least
  nn._observe_health("margin", mean_of(there, margin))
  nn._observe_health("close", mean_of(there, margin:lt(range * CLOSE):cast "f32"))
end

-- Each token's experts, in the order of their numbers.
local function sorted(experts)
  return (experts:cast("f32"):topk(experts.shape[2], -1))
end

local function see_bf16(ctx, r, again)
  if not ctx._raw or ctx._forced then return end
  local same = sorted(r.experts):eq(sorted(again().experts)):cast("f32"):sum(-1)
  nn._observe_health("bf16_changed", ctx:mean(same:lt(r.experts.shape[2]):cast "f32"))
end

-- What f() returns, which routes once more as it was before the first time: with its draws, and
-- what the layer before has handed on.  Nothing of it is seen by others.
local function aside(d, before, f)
  local draws, handed, aux, of_all = d.graph:draws(before.draws), d.handed, d.aux, d.of_all
  d.handed, d.aux, d.of_all = before.handed, {}, {}
  local r = f()
  d.graph:draws(draws)
  d.handed, d.aux, d.of_all = handed, aux, of_all
  return r
end

--- health.see(ctx, r, low, before): a mixture has routed: r; low(): the same by a router in bf16;
-- before: of health.before
function health.see(ctx, r, low, before)
  local d = nn.description()
  see_margin(ctx)
  see_bf16(ctx, r, function() return aside(d, before, low) end)
  if ctx._raw then nn._observe_health("logsumexp", ctx:mean(ctx._raw:logsumexp(-1))) end
end

--- What routing goes by beside the layer's input, before a mixture routes.
function health.before(d)
  local handed = {}
  for name, x in pairs(d.handed) do handed[name] = x end
  return {draws = d.graph:draws(), handed = handed}
end

-- ---- gradients ----

-- Routers' parameters by their places: {layer=, mixture=, at= numbers among all}.
local function places(m)
  local list, leaves = {}, {}
  for i, p in ipairs(m.params) do
    local info = m._info[i]
    if info.role == "router" and info.layer and not info.frozen then
      local key = m:_place(info.layer, info.mixture)
      if not list[key] then
        list[key] = {name = key, layer = info.layer, mixture = info.mixture}
        list[#list + 1] = list[key]
      end
      leaves[#leaves + 1] = p
      table.insert(list[key], #leaves)
    end
  end
  return list, leaves
end

-- The norm at each place of the gradient of y; 0: none flows there.
local function see_gradient(d, list, leaves, kind, name, y)
  local grads = y.requires_grad and engine.grad(y, leaves) or {}
  for _, place in ipairs(list) do
    local sum = tensor.zeros(1)
    for _, i in ipairs(place) do
      if grads[i] then sum = sum + grads[i]:square():sum() end
    end
    d.graph:observe(name .. place.name, sum:sqrt(), kind, place.layer, place.mixture)
    d.sees = true
  end
end

--- health.gradients(d, loss): of what is minimized without auxiliary losses, and of these.
function health.gradients(d, loss)
  local list, leaves = places(d.model)
  local sum
  for _, aux in ipairs(d.aux) do sum = sum and sum + aux or aux end
  if #leaves == 0 then return end
  see_gradient(d, list, leaves, "router_norm_lm", "grad_norm.router_lm.", loss)
  if sum then
    see_gradient(d, list, leaves, "router_norm_balance", "grad_norm.router_balance.", sum)
  end
end

--- Has the model what is seen here?
function health.any(m) return next(m._moe) ~= nil or #select(2, places(m)) > 0 end

return health
