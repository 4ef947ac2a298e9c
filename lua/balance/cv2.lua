-- Shazeer et al.'s importance loss: the squared coefficient of variation of the experts' gates.

local nn = require "switchyard.model.nn"
local variation = require "switchyard.model.variation"

return {
  name = "cv2",
  doc = "The importance loss: the squared coefficient of variation (variance / mean^2) of the "
    .. "sums of the experts' gates over the tokens. Of the variance, for the gradient of a "
    .. "deviation is not finite where all are even.",
  source = "Shazeer et al. 2017",
  needs = "scores",
  rows = {{"cv2", "number", nil, 0, 1e6, help = "weight of the importance loss"}},
  loss = function(ctx, routing)
    local r = routing.own or routing -- whatever aux counts, these are the gates
    local all = (r.experts + 1):scatter_add(r.taken_gates, {dim = 2, n = ctx.E + 1})
    local sums = all:narrow(2, 2, ctx.E):sum(1)
    nn.loss("cv2", variation.by_scope(ctx, "cv2", sums), ctx:setting "cv2")
  end,
}
