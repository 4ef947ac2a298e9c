-- Shazeer et al.'s load loss: the squared coefficient of variation of the experts' loads, which are
-- smooth: the sums of the probabilities with which noise chooses an expert.

local nn = require "switchyard.model.nn"
local variation = require "switchyard.model.variation"

return {
  name = "cv2_load",
  doc = "The load loss: the squared coefficient of variation (variance / mean^2) of the sums, over "
    .. "the tokens, of the probability that another draw of an expert's noise would choose it.",
  source = "Shazeer et al. 2017",
  needs = "chance",
  rows = {{"cv2_load", "number", nil, 0, 1e6, help = "weight of the load loss"}},
  loss = function(ctx, routing)
    local value = variation.by_scope(ctx, "cv2_load", routing.chance:sum(1))
    nn.loss("cv2_load", value, ctx:setting "cv2_load")
  end,
}
