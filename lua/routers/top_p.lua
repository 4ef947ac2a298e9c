-- Top-p with a steered threshold: a token takes the smallest set of experts whose probabilities add
-- up to the threshold, which a controller moves so that it is K in the mean.  p: softmax of the
-- logits, which are brought to mean 0 and deviation 1 over the experts and times a learned scale of
-- the layer, so that one threshold does for all layers.
--
--     e = K - mean experts a token, over all layers and micro-batches;  I += e
--     threshold = start + kp * e + ki * I, from 0 to 1
--
--  1. Threshold and I are states of the model: what decides is the same in evaluation and
--  generation.
--  2. Counts are whole numbers: the threshold is the same however a step is cut.

local nn = require "switchyard.model.nn"
local routing = require "switchyard.model.routing"

local function steer(o)
  return function(layers)
    local over, tokens = layers[1].over, layers[1].n
    for i = 2, #layers do over, tokens = over + layers[i].over, tokens + layers[i].n end
    local threshold = nn.model_state("top_p.threshold", tensor.zeros(1))
    local sum = nn.model_state("top_p.sum", tensor.zeros(1))
    local all = type(tokens) == "number" and tokens * nn.micro_batches()
      or nn.step_sum("top_p.tokens", tokens):maximum(1)
    local e = nn.step_sum("top_p.over", over) / (all * -1)
    local sums = sum + e
    nn.update(sum, sums)
    nn.update(threshold, (sums * o.ki + e * o.kp + layers[1].start):clamp(1e-6, 1))
    nn.observe("threshold", threshold)
  end
end

local function normalised(ctx, logits)
  local scale = nn.param("gate.scale", {1}, "ones", {role = "router"})
  local mean, var = logits:mean(-1, true), logits:var(-1, true, 0)
  return (logits - mean) * (var + 1e-6):rsqrt() * scale
end

return {
  name = "top_p",
  rule = "the fewest experts whose probabilities add up to a threshold",
  doc = "A token takes the fewest experts whose probabilities add up to the threshold, so it has "
    .. "more of them where the router is in doubt. A controller moves the threshold, one for all "
    .. "layers (a series), so that it is K in the mean. Logits are brought to one deviation in "
    .. "each layer. Memory is for all N*E.",
  source = "DTop-p, 2025 (arXiv 2512.13996)",
  paper = "a PI controller to mean K; its constants are ours",
  rows = {
    routing.NORMALIZE,
    {"start", "number", nil, 1e-6, 1, help = "threshold before the first step; default: K/E"},
    {"kp", "number", 0.02, 0, 10, help = "of the controller: what a step's miss moves"},
    {"ki", "number", 0.005, 0, 10, help = "of the controller: what all misses before move"},
  },
  varies = true,
  except = {ties = "it takes as many as the threshold says"},
  route = function(ctx)
    ctx:logits()
    local p = (normalised(ctx, ctx._raw) + ctx:mask()):softmax(-1)
    local start = ctx.options.start or ctx.K / ctx.E
    local threshold = nn.model_state("top_p.threshold", tensor.full(1, start))
    nn.model_state("top_p.sum", tensor.zeros(1))
    local gates, experts = p:topk(ctx.E, -1)
    local before = gates:cumsum(-1) - gates
    local taken = ctx:without_padding(before:lt(threshold):cast "f32"):gt(0)
    gates = taken:where(gates, tensor.zeros(gates.shape, {dtype = gates.dtype}))
    local none = tensor.zeros(experts.shape, {dtype = "i32"})
    local each, n = taken:cast("f32"):sum(-1), ctx:count()
    nn.observe("active", ctx:mean(each))
    nn.of_layers("top_p", {over = each:sum():view(1) - n * ctx.K, n = n, start = start},
      steer(ctx.options), ("start = %g, kp = %g, ki = %g"):format(start, ctx.options.kp,
      ctx.options.ki))
    -- where one alone is usual it would be 1 whatever its logit is
    if ctx.options.normalize ~= false and ctx.K > 1 then gates = nn.normalize_gates(gates) end
    return {experts = taken:where(experts, none), gates = gates, scores = p, fewer = true}
  end,
}
