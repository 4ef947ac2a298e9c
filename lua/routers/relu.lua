-- ReMoE: a gate is the ReLU of its logit, and what is over 0 is chosen, so any number of experts is
-- a token's.  An L1 loss whose weight is steered makes that K of E in the mean:
--
--     lambda * E * sum over experts of (mean gate) * count / (N K);  lambda times or by `rate` a
--     step, as the share of experts that are not chosen, over all layers and micro-batches, is
--     under or over 1 - K/E
--
--  1. It begins dense: the first hundreds of steps cost E/K times what they do later, and memory is
--     for all N * E.
--  2. lambda is one for all layers, a state; what it is steered by are whole numbers, so it is the
--     same however a step is cut.

local nn = require "switchyard.model.nn"

-- layers: of each how many experts are chosen over what is wanted.
local function steer(rate)
  return function(layers)
    local over = layers[1]
    for i = 2, #layers do over = over + layers[i] end
    local lambda = nn._state_of_all("relu.lambda", tensor.zeros(1))
    local more = nn.step_sum("relu.over", over):gt(0)
    local factor = more:where(tensor.full(1, rate), tensor.full(1, 1 / rate))
    nn.update(lambda, lambda * factor)
    nn._observe_of_all("lambda", lambda)
  end
end

return {
  name = "relu",
  rule = "the experts whose logit is over 0; the gate is the logit",
  doc = "ReMoE: the gate is the ReLU of the logit, an expert is used where it is over 0, and a "
    .. "token may use any number. An L1 loss, heavier for experts that have more, makes it K in "
    .. "the mean: its weight lambda (a series) grows or shrinks by rate a step until it is so. "
    .. "It begins dense: the first hundreds of steps cost up to E/K times as much, and memory is "
    .. "for all N*E.",
  source = "ReMoE, Wang et al. 2024",
  paper = "lambda 1e-8 at first, rate 1.2; count over N K, as here",
  rows = {
    {"l1", "number", 1e-8, 0, 1, help = "lambda before the first step"},
    {"rate", "number", 1.2, 1.000001, 10, help = "factor of lambda's change a step"},
  },
  varies = true,
  gives = "logits", balance = {z = 0},
  except = {one = "its gate is the logit"},
  normalized = false,
  route = function(ctx)
    local gates = ctx:_without_padding(ctx:logits():relu())
    local chosen = gates:gt(0)
    local count, n = chosen:cast("f32"):sum(1), ctx:_tokens()
    local lambda = nn._state_of_all("relu.lambda", tensor.full(1, ctx.options.l1))
    local l1 = (gates:sum(1) / n * (count / (n * ctx.K))):sum() * ctx.E
    nn.loss("l1", l1, lambda:view {})
    nn.observe("active", count:sum() / n)
    nn._of_all_layers("relu", count:sum():view(1) - n * ctx.K, steer(ctx.options.rate),
      "rate = " .. ctx.options.rate)
    return {chosen = chosen, gates = gates}
  end,
}
