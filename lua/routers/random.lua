-- Softmax over the logits of weights that are drawn once and never learned.

local nn = require "switchyard.model.nn"
local routing = require "switchyard.model.routing"

return {
  name = "random",
  rule = "as softmax, with weights that are never learned",
  doc = "The router's weights are drawn once, by seed, and stand still (the state gate.weight): "
    .. "tokens that look alike go to the same experts, and no loss can change which. The control "
    .. "of every comparison of routers; its loss is near theirs in small models.",
  source = "frozen random routers, 2402.13089",
  rows = {routing.NORMALIZE, {"seed", "integer", 1, 0, 1 << 53, help = "of the weights"}},
  gives = "",
  route = function(ctx)
    local seed = ctx.options.seed * 1000 + (ctx.layer or 0)
    local w = nn.state("gate.weight", tensor.randn({ctx.E, ctx.x.shape[2]}, {seed = seed}))
    local p = ctx:logits {w = w * 0.02}:softmax(-1)
    local gates, experts = ctx:choose(p)
    if ctx.options.normalize ~= false then gates = nn.normalize_gates(gates) end
    return {gates = gates, experts = experts, scores = p}
  end,
}
