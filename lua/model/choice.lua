-- Choices that several routers make, for their route(ctx) (lua/model/mixture.lua).  N tokens, E
-- experts, K experts a token.
--
--  1. Operations come in the order that they had: the hashes that guard stored runs go by it.

local nn = require "switchyard.model.nn"

local choice = {}

--- The K likeliest by softmax of logits (N,E), and their probabilities as gates.
function choice.likeliest(ctx, logits, normalize)
  local p = (logits or ctx:logits()):softmax(-1)
  local gates, experts = ctx:choose(p)
  if normalize then gates = nn.normalize_gates(gates) end
  return {gates = gates, experts = experts, scores = p}
end

--- The same of a router with the row routing.NORMALIZE.
function choice.normalized(ctx)
  return choice.likeliest(ctx, nil, ctx.options.normalize ~= false)
end

--- The K largest of logits (N,E), by `by` (N,E) where that is others, and a softmax over these.
function choice.softmax_of_chosen(ctx, logits, by)
  local values, experts = ctx:choose(by or logits)
  return {gates = values:softmax(-1), experts = experts, scores = logits:softmax(-1)}
end

--- What is wrong with K of E for it, or nil.
function choice.check_chosen(E, K)
  if K == 1 and E > 1 then return "top_k is 1; a softmax over one is 1 whatever its logit is" end
end

--- Experts (N,K) that scores s (N,E) >= 0 weigh; of a router with the rows routing.NORMALIZE and
-- scale.  bias (E): what had its say in the choice, whose spread is a series.
function choice.weighed(ctx, s, experts, bias)
  local gates = s:gather(-1, experts)
  if ctx.options.normalize ~= false then gates = nn.normalize_gates(gates, 1e-20) end
  gates = gates * (ctx.options.scale or 1)
  if bias then
    nn.observe("bias", bias:max() - bias:min())
    nn._observe_aside("bias_mean", bias:mean())
  end
  return {gates = gates, experts = experts, scores = choice.shares(s)}
end

--- s (N,E) >= 0 as shares of a token's sum.
function choice.shares(s) return s / (s:sum(-1, true) + 1e-20) end

return choice
