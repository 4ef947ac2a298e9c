-- Two experts a token; the second only sometimes, by how large its gate is.

local nn = require "switchyard.model.nn"

-- The likeliest, and one drawn of the others by their probabilities: the largest of logits with
-- Gumbel noise.
local function sampled(ctx, logits, p)
  local _, first = p:topk(1, -1)
  local noise = ((tensor.rand(logits.shape) + 1e-20):log() * -1 + 1e-20):log()
  local is_first = (first - 1):one_hot({n = ctx.E}):view(ctx.N, ctx.E):gt(0)
  local others = is_first:where(tensor.full({1}, -math.huge), logits - noise)
  local _, second = others:topk(1, -1)
  local experts = ctx:take(first:cat(second, 2))
  return p:gather(-1, experts), experts
end

-- The second where min(1, gate / threshold) is over a draw.
local function now_and_then(ctx, gates, experts)
  local drawn = tensor.rand({ctx.N, 1}) * ctx.options.threshold
  local kept = gates:narrow(2, 2, 1):gt(drawn)
  local second = experts:narrow(2, 2, 1):contiguous()
  second = kept:where(second, tensor.zeros(second.shape, {dtype = "i32"}))
  return experts:narrow(2, 1, 1):contiguous():cat(second, 2)
end

return {
  name = "gshard",
  rule = "the two largest of softmax; the second now and then, by its gate",
  doc = "Two experts a token; their probabilities are made to sum to 1 before anything is dropped, "
    .. "and not again after it. In training the second is kept (policy): random: where its gate is "
    .. "over a draw from 0 to threshold; all: always; sampling: always, and drawn from the others "
    .. "by their probabilities. Elsewhere it is the second largest, and kept. The loss aux counts "
    .. "first choices alone. A capacity serves all first choices before the second ones.",
  paper = "aux 0.01 of each group's first choices, shares sum to 1; no z-loss; capacity 2 N/E in a "
    .. "group, which is 1 here (Lingvo: a multiple of 4); second kept where 2 g2 > a draw from 0 "
    .. "to 1 (threshold 0.5; mesh-TF 0.2)",
  source = "Lepikhin et al. 2020",
  rows = {
    {"policy", "string", "random", choices = {"all", "random", "sampling"},
     help = "of the second expert in training: all, random or sampling"},
    {"threshold", "number", 0.5, 1e-6, 1, help = "gate from which random keeps every second"},
  },
  varies = true,
  model = {top_k = 2, capacity = {train = 1, eval = 1, least = 4}},
  balance = {aux = 0.01, z = 0, scope = "group"},
  except = {one = "it takes two experts"},
  check = function(_, K)
    if K ~= 2 then return ("top_k is %d; it sends a token to two experts"):format(K) end
  end,
  normalized = true,
  route = function(ctx)
    local init = {"uniform", math.sqrt(3 / ctx.x.shape[2])}
    local policy = ctx.mode == "train" and ctx.options.policy or "all"
    local logits = ctx:logits {init = init}
    local p = logits:softmax(-1)
    local gates, experts
    if policy == "sampling" then gates, experts = sampled(ctx, logits, p)
    else gates, experts = ctx:choose(p) end
    gates = nn.normalize_gates(gates, 1e-9)
    local counted = experts:narrow(2, 1, 1):contiguous()
    if policy == "random" then experts = now_and_then(ctx, gates, experts) end
    return {gates = gates, experts = experts, scores = p, counted = counted,
            fewer = policy == "random" or nil}
  end,
}
