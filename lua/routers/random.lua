-- Softmax over the logits of weights that are drawn once and never learned.

local choice = require "switchyard.model.choice"
local routing = require "switchyard.model.routing"

return {
  name = "random",
  rule = "as softmax, with weights that are never learned",
  doc = "The router's weights stand still as they were drawn, by the model's seed: tokens that "
    .. "look alike go to the same experts, and no loss can change which. The control of every "
    .. "comparison of routers; its loss is near theirs in small models. frozen = true makes the "
    .. "same of any other.",
  source = "frozen random routers, 2402.13089",
  rows = {routing.NORMALIZE},
  frozen = true,
  gives = "",
  route = choice.normalized,
}
