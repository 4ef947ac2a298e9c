-- Softmax over the logits of weights that are drawn once and never learned.

local nn = require "switchyard.model.nn"
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
  route = function(ctx)
    local p = ctx:logits():softmax(-1)
    local gates, experts = ctx:choose(p)
    if ctx.options.normalize ~= false then gates = nn.normalize_gates(gates) end
    return {gates = gates, experts = experts, scores = p}
  end,
}
