-- The load-balancing loss: E * sum of f_e P_e, f the experts' shares of the assignments before any
-- drop (sum 1), P the mean of the scores over all experts (sum 1).

local nn = require "switchyard.model.nn"

return {
  name = "aux",
  doc = "The load-balancing loss E * sum of f_e P_e: f the experts' shares of the assignments, "
    .. "before any drop, P the mean scores; both sum to 1. Layers are added.",
  source = "Fedus et al. 2021",
  needs = "scores",
  rows = {{"aux", "number", 0.01, 0, 1e6, help = "weight of the load-balancing loss"}},
  loss = function(ctx, routing)
    nn.loss("balance", (routing.load * routing.importance):sum() * ctx.E, ctx:setting "aux")
  end,
}
