-- Sigmoid scores; a bias that no gradient moves chooses, the scores weigh.

local nn = require "switchyard.model.nn"
local routing = require "switchyard.model.routing"

return {
  name = "sigmoid",
  rule = "sigmoid of the logits; the K largest of score + bias",
  doc = "Sigmoid scores; a bias that no gradient moves chooses (balance rule bias), the scores "
    .. "weigh, made to sum to 1 (normalize=false or K = 1: not).",
  source = "DeepSeek-V3, 2024, without its groups",
  rows = {routing.NORMALIZE, {"scale", "number", 1, 0, 1e3, help = "factor on the gates"}},
  gives = "logits scores bias",
  except = {one = "its gate is the score"},
  route = function(ctx)
    local s = ctx:logits():sigmoid()
    local bias = ctx:bias()
    local _, experts = ctx:choose(ctx:_as_before() and s + bias or s + bias + ctx:mask())
    local gates = s:gather(-1, experts)
    if ctx.options.normalize ~= false then gates = nn.normalize_gates(gates, 1e-20) end
    gates = gates * (ctx.options.scale or 1)
    -- Here and not in ctx:bias(): stored runs go by the hash of the operations in their order.
    nn.observe("bias", bias:max() - bias:min())
    return {gates = gates, experts = experts, scores = s / (s:sum(-1, true) + 1e-20)}
  end,
}
