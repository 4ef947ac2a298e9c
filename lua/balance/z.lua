-- The router z-loss: mean of logsumexp(logits)^2.  It keeps the logits small.

local nn = require "switchyard.model.nn"

return {
  name = "z",
  doc = "The router z-loss, the mean of logsumexp(logits)^2: it keeps the logits small.",
  source = "Zoph et al. 2022",
  needs = "logits",
  rows = {{"z", "number", 0.001, 0, 1e6, help = "weight of the router z-loss"}},
  loss = function(ctx, routing)
    local of = ctx:mean(routing.logits:logsumexp(-1):square())
    nn.loss("z", ctx:weighed(of, "z"), ctx:setting "z")
  end,
}
